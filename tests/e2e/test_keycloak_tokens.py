"""Tokens of a real Keycloak: clients, passwords, rotation of its keys while requests run, and its absence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from adapters.credentials import ClientCredentials
from benchmarks.keycloak import ADMIN, KeycloakServer
from context_api.app import create_app
from context_api.settings import LoginSettings, SecuritySettings, Settings, StorageSettings
from tests.served import served
from voltweave.problems import ExitCode

REALM = "tokens"
SECRET = "a secret of tests only"
PASSWORD = "A passw\u00f6rd of tests & no more"
TYPES = "/ngsi-ld/v1/types"
MAPPERS = [
    {
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.client.audience": "voltweave-api", "access.token.claim": "true"},
    },
    {
        "name": "tenants",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-usermodel-attribute-mapper",
        "config": {
            "user.attribute": "tenants",
            "claim.name": "tenants",
            "jsonType.label": "String",
            "multivalued": "true",
            "access.token.claim": "true",
        },
    },
]


class Realm:
    """A realm of the tests' own, through the administration API."""

    def __init__(self, server: KeycloakServer) -> None:
        self.server = server
        self.url = f"{server.url}/realms/{REALM}"
        self.token_url = f"{self.url}/protocol/openid-connect/token"

    def admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request as the administrator."""
        name, password = ADMIN
        form = {"grant_type": "password", "client_id": "admin-cli", "username": name, "password": password}
        token = httpx.post(
            f"{self.server.url}/realms/master/protocol/openid-connect/token", data=form, timeout=60
        ).json()["access_token"]
        answer = httpx.request(
            method,
            f"{self.server.url}/admin/realms{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        assert answer.is_success, answer.text
        return answer

    def make(self) -> None:
        """Make the realm with two clients and two users, one of whom must show a one-time password."""
        client = {"publicClient": False, "secret": SECRET, "standardFlowEnabled": False, "protocolMappers": MAPPERS}
        person = {"enabled": True, "emailVerified": True, "firstName": "A", "lastName": "B"}
        password = {"type": "password", "value": PASSWORD, "temporary": False}
        one_time = {
            "type": "otp",
            "secretData": json.dumps({"value": "JBSWY3DPEHPK3PXP"}),
            "credentialData": json.dumps(
                {"subType": "totp", "digits": 6, "period": 30, "counter": 0, "algorithm": "HmacSHA1"}
            ),
        }
        self.admin("POST", "", {
            "realm": REALM, "enabled": True, "bruteForceProtected": True, "sslRequired": "none",
            "roles": {"realm": [{"name": "data-provider"}]},
            "clients": [
                client | {"clientId": "adapters", "serviceAccountsEnabled": True},
                client | {"clientId": "voltweave-tokens", "directAccessGrantsEnabled": True},
            ],
            "users": [
                person | {"username": "ada", "email": "ada@example.org", "credentials": [password]},
                person | {"username": "otto", "email": "otto@example.org", "credentials": [password, one_time]},
            ],
        })  # fmt: skip
        profile = self.admin("GET", f"/{REALM}/users/profile").json()
        self.admin("PUT", f"/{REALM}/users/profile", profile | {"unmanagedAttributePolicy": "ENABLED"})
        [found] = self.admin("GET", f"/{REALM}/clients?clientId=adapters").json()
        account = self.admin("GET", f"/{REALM}/clients/{found['id']}/service-account-user").json()
        self.admin("PUT", f"/{REALM}/users/{account['id']}", account | {"attributes": {"tenants": ["ours", "default"]}})
        role = self.admin("GET", f"/{REALM}/roles/data-provider").json()
        self.admin("POST", f"/{REALM}/users/{account['id']}/role-mappings/realm", [role])

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self.admin("POST", f"/{REALM}/components", {
            "name": f"rsa-{time.monotonic_ns()}", "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [str(1000 + int(time.monotonic()))], "keySize": ["2048"], "active": ["true"]},
        })  # fmt: skip

    def tokens(self, **form: str) -> dict[str, str]:
        """Return what the token endpoint gives."""
        answer = httpx.post(self.token_url, data={"client_secret": SECRET} | form, timeout=60)
        assert answer.is_success, answer.text
        found: dict[str, str] = answer.json()
        return found

    def client_token(self) -> str:
        return self.tokens(grant_type="client_credentials", client_id="adapters")["access_token"]

    def credentials(self) -> ClientCredentials:
        return ClientCredentials(self.token_url, "adapters", SECRET, 60)


@pytest.fixture(scope="module")
def realm(keycloak_server: KeycloakServer) -> Iterator[Realm]:
    keycloak_server.start()
    found = Realm(keycloak_server)
    found.make()
    yield found
    keycloak_server.start()
    found.admin("DELETE", f"/{REALM}")


@contextmanager
def broker(realm: Realm, folder: Path, **security: Any) -> Iterator[httpx.Client]:
    """Give a client of a broker that takes the realm's tokens."""
    settings = Settings(
        storage=StorageSettings(database=f"sqlite:///{folder / 'test.db'}"),
        security=SecuritySettings(issuers=realm.url, **security),
        login=LoginSettings(login_token_url=realm.token_url, login_client_secret=SecretStr(SECRET)),
    )
    with (
        served(create_app(settings)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_client_writes_where_its_tenants_allow(realm: Realm, tmp_path: Path) -> None:
    car = {"id": "urn:ngsi-ld:Car:1", "type": "Car"}
    with broker(realm, tmp_path) as client:
        auth = realm.credentials()
        for tenant, status in {"ours": 201, "theirs": 404}.items():
            answer = client.post("/ngsi-ld/v1/entities", json=car, headers={"NGSILD-Tenant": tenant}, auth=auth)
            assert answer.status_code == status, answer.text
        assert client.post("/ngsi-ld/v1/entities", json=car, auth=auth).status_code == 201
        assert client.get(TYPES).status_code == 401


def test_commands_sign_in(realm: Realm, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n", encoding="utf-8")
    client_of = {
        "VOLTWEAVE_TOKEN_URL": realm.token_url,
        "VOLTWEAVE_CLIENT_ID": "adapters",
        "VOLTWEAVE_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    with broker(realm, tmp_path) as client:

        def query(**environment: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "voltweave", "query", "--type", "Car", "--server", str(client.base_url)]
            return subprocess.run(
                command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
            )

        car = {"id": "urn:ngsi-ld:Car:7", "type": "Car"}
        assert client.post("/ngsi-ld/v1/entities", json=car, auth=realm.credentials()).status_code == 201
        asked = query(**client_of)
        assert asked.returncode == ExitCode.DONE, asked.stderr
        nameless = query()
        assert nameless.returncode == ExitCode.REFUSED
        assert "who you are" in nameless.stderr and "VOLTWEAVE_TOKEN_URL" in nameless.stderr
        wrong = query(**client_of | {"VOLTWEAVE_CLIENT_ID": "nobody"})
        assert wrong.returncode == ExitCode.REFUSED
        assert "invalid_client" in wrong.stderr and SECRET not in wrong.stderr


def test_other_tokens_of_keycloak_are_not_taken(realm: Realm, tmp_path: Path) -> None:
    form = {"grant_type": "password", "client_id": "voltweave-tokens", "username": "ada", "password": PASSWORD}
    with broker(realm, tmp_path) as client:
        found = realm.tokens(**form, scope="openid")
        assert client.get(TYPES, headers=bearer(found["access_token"])).status_code == 200
        for kind in ("id_token", "refresh_token"):
            refused = client.get(TYPES, headers=bearer(found[kind]))
            assert refused.status_code == 401, kind
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        name, password = ADMIN
        other = {"grant_type": "password", "client_id": "admin-cli", "username": name, "password": password}
        master = httpx.post(f"{realm.server.url}/realms/master/protocol/openid-connect/token", data=other, timeout=60)
        assert "issuer" in client.get(TYPES, headers=bearer(master.json()["access_token"])).json()["detail"]


def test_names_and_passwords_as_battery2life_has_them(realm: Realm, tmp_path: Path) -> None:
    with broker(realm, tmp_path) as client:
        found = client.post("/api/token/", json={"username": "ada", "password": PASSWORD})
        assert found.status_code == 200, found.text
        assert found.json().keys() == {"access", "refresh"}
        renewed = client.post("/api/token/refresh/", json={"refresh": found.json()["refresh"]})
        assert renewed.json().keys() == {"access", "refresh"}
        for token in (found.json()["access"], renewed.json()["access"]):
            assert client.get(TYPES, headers=bearer(token)).status_code == 200
        for username, password in {"ada": "wrong", "otto": PASSWORD, "nobody": PASSWORD}.items():
            refused = client.post("/api/token/", json={"username": username, "password": password})
            assert refused.status_code == 401, username
        assert client.post("/api/token/refresh/", json={"refresh": "x"}).status_code == 401


def test_keys_rotate_while_requests_run(realm: Realm, tmp_path: Path) -> None:
    with broker(realm, tmp_path) as client:
        stop = threading.Event()
        statuses: list[int] = []
        kids: set[str] = set()

        def ask() -> None:
            while not stop.is_set():
                token = realm.client_token()
                kids.add(token.partition(".")[0])
                statuses.append(client.get(TYPES, headers=bearer(token)).status_code)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            realm.rotate()
            time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}, statuses
        assert len(kids) >= 3


def test_keycloak_stops_and_valid_tokens_go_on(realm: Realm, tmp_path: Path) -> None:
    with broker(realm, tmp_path, token_cache_seconds=0, keys_interval=0.5, keys_retry=0.5) as client:
        token = realm.client_token()
        assert client.get(TYPES, headers=bearer(token)).status_code == 200
        realm.server.stop()
        for _ in range(20):
            assert client.get(TYPES, headers=bearer(token)).status_code == 200
            time.sleep(0.1)
        failed = client.get("/metrics", headers=bearer(token)).text
        assert f'voltweave_issuer_failures{{issuer="{realm.url}"}} 0.0' not in failed
        assert client.post("/api/token/", json={"username": "ada", "password": PASSWORD}).status_code == 503
        realm.server.start()
        assert client.get(TYPES, headers=bearer(token)).status_code == 200
        realm.rotate()
        later = bearer(realm.client_token())
        for _ in range(60):
            answer = client.get(TYPES, headers=later)
            if answer.status_code != 503:
                break
            time.sleep(0.1)
        assert answer.status_code == 200
