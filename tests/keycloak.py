"""Keycloak for tests: one server a worker, which takes some ten seconds to start, and realms in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from benchmarks.keycloak import ADMIN, KeycloakServer, installed, keycloak

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin


@pytest.fixture(scope="session")
def keycloak_programs() -> Path:
    """Give the folder of Keycloak's distribution or skip."""
    programs = installed()
    if programs is None:
        pytest.skip("the server Keycloak is not installed (make servers)")
    return programs


@pytest.fixture(scope="session")
def keycloak_server(keycloak_programs: Path) -> Iterator[KeycloakServer]:
    """Give a running server with our themes, one for all tests of a worker; a test may stop it and start it again."""
    with keycloak(keycloak_programs, Path(__file__).parents[1] / "keycloak" / "themes") as server:
        yield server


@dataclass
class Realm:
    """A realm of a test's own, brought about by the command line."""

    server: KeycloakServer
    name: str
    settings: dict[str, str] = field(default_factory=dict)
    """Variables of every command, without the prefix VOLTWEAVE_KEYCLOAK_."""
    public_url: str = "http://127.0.0.1:9090"

    @property
    def issuer(self) -> str:
        """Return the realm's URL."""
        return f"{self.server.url}/realms/{self.name}"

    @property
    def token_url(self) -> str:
        """Return where tokens are got."""
        return f"{self.issuer}/protocol/openid-connect/token"

    @cached_property
    def admin(self) -> KeycloakAdmin:
        """Return the admin API of the realm, with which a test plays another administrator."""
        from keycloak import KeycloakAdmin, KeycloakOpenIDConnection

        name, password = ADMIN
        connection = KeycloakOpenIDConnection(
            server_url=f"{self.server.url}/",
            username=name,
            password=password,
            realm_name=self.name,
            user_realm_name="master",
            timeout=30,
        )
        return KeycloakAdmin(connection=connection)

    def voltweave(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command against the realm."""
        name, password = ADMIN
        given = {"URL": self.server.url, "REALM": self.name, "ADMIN_USER": name, "ADMIN_PASSWORD": password}
        given |= self.settings | settings
        variables = {f"VOLTWEAVE_KEYCLOAK_{variable}": value for variable, value in given.items()}
        return subprocess.run(
            [sys.executable, "-m", "voltweave", *arguments],
            env=os.environ | variables | {"VOLTWEAVE_PUBLIC_URL": self.public_url, "NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def apply(self, *arguments: str, **settings: str) -> None:
        """Apply the realm file; it must succeed."""
        done = self.voltweave("keycloak", "apply", "--yes", *arguments, **settings)
        assert done.returncode == 0, done.stdout + done.stderr

    def token(self, client_id: str, secret: str, **form: str) -> httpx.Response:
        """Ask for a token, by client credentials unless the form says otherwise."""
        asked = {"grant_type": "client_credentials"} | form
        return httpx.post(self.token_url, data=asked, auth=(client_id, secret), timeout=30)

    def claims(self, token: str) -> dict[str, Any]:
        """Verify an access token by the realm's keys and return its claims."""
        from joserfc import jwt
        from joserfc.jwk import KeySet

        certificates = httpx.get(f"{self.issuer}/protocol/openid-connect/certs", timeout=30).json()
        keys = [key for key in certificates["keys"] if key["use"] == "sig"]
        decoded = jwt.decode(token, KeySet.import_key_set({"keys": keys}), algorithms=["RS256"])
        assert decoded.claims["exp"] > time.time()
        return dict(decoded.claims)


@pytest.fixture(scope="module")
def realm(keycloak_server: KeycloakServer, request: pytest.FixtureRequest) -> Iterator[Realm]:
    """Give a realm of the module's own, not there yet; it is deleted at the end."""
    from keycloak.exceptions import KeycloakError

    found = Realm(keycloak_server, request.module.__name__.rpartition(".")[2].replace("_", "-")[:36])
    yield found
    try:
        found.admin.delete_realm(found.name)
    except KeycloakError as error:
        if error.response_code != 404:
            raise
