"""The broker with an issuer, and without one, over real sockets: tenants, outages, callers, addresses, passwords."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import structlog
from pydantic import SecretStr
from starlette.routing import Route
from structlog.testing import capture_logs

from context_api.app import create_app, operations
from context_api.cross_origin import CrossOrigin
from context_api.front import Front
from context_api.operation import Resource
from context_api.protective_headers import ProtectiveHeaders
from context_api.security.authentication import local_user
from context_api.settings import (
    LoginSettings,
    SecuritySettings,
    ServerSettings,
    SessionSettings,
    Settings,
    StorageSettings,
)
from tests.issuer import OwnIssuer, own_issuer
from tests.served import served

V1 = "/ngsi-ld/v1"
CAR = {"id": "urn:ngsi-ld:Car:1", "type": "Car", "n": {"type": "Property", "value": 1}}
#: What is open to everybody; whoever adds to it has thought about it.
PUBLIC = {"live", "ready"}
#: What a setting adds to it.
SIGN_IN = {"obtainTokens", "refreshToken", "beginSignIn", "completeSignIn", "signOut", "endSessions"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def issuer() -> Iterator[OwnIssuer]:
    with own_issuer() as found:
        yield found


@pytest.fixture
def broker(tmp_path: Path) -> Callable[..., Any]:
    """Return what serves a broker with the settings that it is given."""

    @contextmanager
    def run(issuer: OwnIssuer | None = None, host: str = "127.0.0.1", **more: Any) -> Iterator[str]:
        quick = {"keys_min_interval": 0.05, "keys_retry": 0.2}
        security = SecuritySettings(issuers=issuer.url if issuer else "", **quick)  # type: ignore[arg-type]
        storage = StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}")
        with served(create_app(Settings(storage=storage, security=security, **more)), host) as port:
            yield f"http://127.0.0.1:{port}"

    return run


def bearer(issuer: OwnIssuer, tenant: str | None = None, **claims: Any) -> dict[str, str]:
    """Return the headers of a request."""
    rights = {"realm_access": {"roles": ["platform-administrator"]}}
    found = {"Authorization": f"Bearer {issuer.token(**(rights | claims))}"}
    return found if tenant is None else found | {"NGSILD-Tenant": tenant}


def test_what_is_public_is_known_and_every_route_is_an_operation(tmp_path: Path) -> None:
    assert {operation.id for operation in operations() if operation.public} == PUBLIC
    login = LoginSettings(login_token_url="https://issuer.example/token")
    storage = StorageSettings(database=f"sqlite:///{tmp_path / 'a.db'}")
    security = SecuritySettings(issuers="https://issuer.example")
    sessions = SessionSettings(console_client_id="voltweave-console")
    app = create_app(Settings(storage=storage, login=login, security=security, sessions=sessions))
    resources = [route for route in app.router.routes if isinstance(route, Route)]
    public = {
        operation.id
        for route in resources
        if isinstance(route.endpoint, Resource)
        for operation in route.endpoint.operations.values()
        if operation.public
    }
    assert public == PUBLIC | SIGN_IN
    for path, found in app.openapi()["paths"].items():
        for method, operation in found.items():
            assert (operation["security"] == []) == (operation["operationId"] in public), (method, path)
            assert "401" in operation["responses"] or operation["security"] == []


def test_tenants_that_a_token_does_not_name_do_not_exist(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    with broker(issuer) as url, httpx.Client(base_url=url + V1) as client:
        for name in ("ours", "theirs", "default", None):
            assert client.post("/entities", json=CAR, headers=bearer(issuer, name)).status_code == 201
        path = f"/entities/{CAR['id']}"
        for tenants in (["ours"], ["ours", "default"], None):
            allowed = set(tenants or ["default"])
            for tenant in ("ours", "theirs", "nowhere", "default", None):
                answer = client.get(path, headers=bearer(issuer, tenant, tenants=tenants))
                may = tenant in allowed - {"default"} if tenant else "default" in allowed
                assert answer.status_code == (200 if may else 404), (tenants, tenant)
        headers = bearer(issuer, "theirs", tenants=["ours"])
        hidden = client.get(path, headers=headers)
        missing = client.get(path, headers=headers | {"NGSILD-Tenant": "nowhere"})
        assert hidden.text.replace("theirs", "nowhere") == missing.text
        assert hidden.headers.keys() == missing.headers.keys()
        for other in ("theirs", "nowhere"):
            refused = client.post("/entities", json=CAR, headers=headers | {"NGSILD-Tenant": other})
            assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (404, "NonexistentTenant")
        # Nothing was made on the way.
        assert client.get(path, headers=bearer(issuer, "nowhere")).status_code == 404


def test_a_key_of_one_caller_is_none_of_anothers(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    with broker(issuer) as url, httpx.Client(base_url=url + V1) as client:
        key = {"Idempotency-Key": "k1"}
        assert client.post("/entities", json=CAR, headers=bearer(issuer, sub="a") | key).status_code == 201
        replayed = client.post("/entities", json=CAR, headers=bearer(issuer, sub="a", jti="2") | key)
        assert (replayed.status_code, replayed.headers["idempotency-replayed"]) == (201, "true")
        other = client.post("/entities", json=CAR, headers=bearer(issuer, sub="b") | key)
        assert other.status_code == 409
        assert "idempotency-replayed" not in other.headers


def test_until_keys_are_had_requests_are_told_to_come_again(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    token = bearer(issuer)
    issuer.stop()
    with broker(issuer) as url:
        for _ in range(3):
            answer = httpx.get(url + V1 + "/types", headers=token)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"] == "https://w3id.org/voltweave/errors/IssuerUnavailable"
        assert httpx.get(url + "/q/health/ready").status_code == 200
        assert httpx.get(url + V1 + "/types").status_code == 401
        issuer.start()
        for _ in range(100):
            if httpx.get(url + V1 + "/types", headers=token).status_code == 200:
                break
        else:
            raise AssertionError("the issuer is back, but nobody noticed")
        shown = httpx.get(url + "/metrics", headers=token).text
        assert f'voltweave_issuer_keys{{issuer="{issuer.url}"}} 1.0' in shown
        assert f'voltweave_issuer_failures{{issuer="{issuer.url}"}}' in shown


def test_the_log_names_who_asks_and_never_the_token(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    structlog.reset_defaults()
    with broker(issuer) as url, capture_logs() as logs:
        headers = bearer(issuer, preferred_username="ada@example.org")
        httpx.get(url + V1 + "/types", headers=headers)
        httpx.get(url + V1 + "/types", headers={"Authorization": headers["Authorization"][:-3]})
    lines = [line for line in logs if line["event"] == "request"]
    assert [line["principal"] for line in lines] == ["ada@example.org", ""]
    assert [line["status"] for line in lines] == [200, 401]
    assert headers["Authorization"][7:40] not in str(logs)


def address() -> str:
    """Return an address of this machine that others can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def test_without_an_issuer_an_application_serves_loopback_wherever_it_listens(broker: Callable[..., Any]) -> None:
    """As `uvicorn --factory context_api.app:create_app --host 0.0.0.0` would."""
    with broker(host="0.0.0.0", server=ServerSettings(server_names=address())) as url:  # noqa: S104
        port = url.rpartition(":")[2]
        assert httpx.get(url + V1 + "/types").status_code == 200
        for headers in ({}, {"Host": "127.0.0.1"}):
            refused = httpx.get(f"http://{address()}:{port}{V1}/types", headers=headers)
            assert (refused.status_code, refused.json()["title"]) == (
                403,
                "The request comes from where none is taken.",
            )
            assert "only loopback" in refused.json()["detail"]
        # A proxy on this machine says for whom it asks.
        proxied = httpx.get(url + V1 + "/types", headers={"X-Forwarded-For": "192.0.2.7"})
        assert proxied.status_code == 403


def test_with_an_issuer_known_names_are_served(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    server = ServerSettings(public_url="https://broker.example/x", server_names="one.example, Two.example")
    with broker(issuer, host="0.0.0.0", server=server) as url:  # noqa: S104
        reached = url.replace("127.0.0.1", address())
        for host, status in {
            "broker.example": 200, "one.example:8443": 200, "two.example": 200, "three.example": 403, "127.0.0.1": 200,
            "one.example.evil.example": 403,
        }.items():  # fmt: skip
            answer = httpx.get(reached + V1 + "/types", headers=bearer(issuer) | {"Host": host})
            assert answer.status_code == status, host
        foreign = {"Host": "one.example", "Origin": "https://evil.example"}
        assert httpx.get(reached + V1 + "/types", headers=bearer(issuer) | foreign).status_code == 403


def test_sockets_of_other_kinds_are_closed(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    with broker(issuer) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(
                b"GET /ngsi-ld/v1/types HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert connection.recv(4096).split(b" ")[1] in (b"401", b"403")


@pytest.mark.anyio
async def test_sockets_of_other_kinds_reach_no_route() -> None:
    """One that a route would take, too: nobody asks who sends what comes over it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def application(*_: Any) -> None:
        raise AssertionError("it was reached")

    front = Front(
        application, hosts=[], max_query_length=100, authenticate=local_user, failed=sent.append,
        protective=ProtectiveHeaders(None, ""), cross_origin=CrossOrigin([]),
    )  # fmt: skip
    await front({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close"}]


class TokenEndpoint:
    """The part of an issuer that takes passwords, with one user."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.answer: tuple[int, Any] | None = None
        self.gate = threading.Event()
        self.gate.set()

    def take(self, form: dict[str, str]) -> tuple[int, Any]:
        self.forms.append(form)
        self.gate.wait(10)
        if self.answer is not None:
            return self.answer
        good = form.get("password") == "p\u00e4ss w\u00f6rd&x=1" or form.get("refresh_token") == "r1"
        if form["client_secret"] != "hush" or not good:
            return 401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}
        return 200, {"access_token": "a1", "refresh_token": "r1", "expires_in": 60}


@contextmanager
def token_endpoint() -> Iterator[tuple[TokenEndpoint, str]]:
    endpoint = TokenEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, document = endpoint.take({name: values[0] for name, values in parse_qs(text).items()})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint, f"http://127.0.0.1:{server.server_address[1]}/token"
    finally:
        endpoint.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


ADA = {"username": "ada", "password": "p\u00e4ss w\u00f6rd&x=1"}


def test_names_and_passwords(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    structlog.reset_defaults()
    with token_endpoint() as (endpoint, token_url):
        login = LoginSettings(login_token_url=token_url, login_client_secret=SecretStr("hush"))
        with broker(issuer, login=login) as url, capture_logs() as logs, httpx.Client(base_url=url) as client:
            found = client.post("/api/token/", json=ADA)
            assert (found.status_code, found.json()) == (200, {"refresh": "r1", "access": "a1"})
            assert found.headers["cache-control"] == "no-store"
            assert endpoint.forms == [
                ADA | {"grant_type": "password", "client_id": "voltweave-tokens", "client_secret": "hush"}
            ]
            renewed = client.post("/api/token/refresh/", json={"refresh": "r1"})
            assert (renewed.status_code, renewed.json()) == (200, {"access": "a1", "refresh": "r1"})
            wrong = client.post("/api/token/", json=ADA | {"password": "secret-guess"})
            assert wrong.status_code == 401
            assert wrong.json()["detail"] == "No active account found with the given credentials"
            assert wrong.headers["www-authenticate"] == 'Bearer realm="voltweave"'
            stale = client.post("/api/token/refresh/", json={"refresh": "r0"})
            assert (stale.status_code, stale.json()["detail"]) == (401, "Token is invalid or expired")
            endpoint.forms.clear()
            for body in (
                {},
                {"username": "ada"},
                {"username": "ada", "password": ""},
                {"username": 1, "password": "x"},
            ):
                missing = client.post("/api/token/", json=body)
                assert missing.status_code == 400
                assert missing.json()[
                    "password" if "password" not in body or body["password"] == "" else "username"
                ] == ["This field is required."]
            assert client.post("/api/token/", json=[]).status_code == 400
            assert (
                client.post("/api/token/", content=b"{", headers={"Content-Type": "application/json"}).status_code
                == 400
            )
            assert client.post("/api/token/", json=ADA | {"password": "x" * 2000}).status_code == 400
            assert client.post("/api/token/", data=ADA).status_code == 415
            assert client.get("/api/token/").status_code == 401
            assert endpoint.forms == []
            for answer in [(401, {"error": "unauthorized_client"}), (500, {}), (302, {}), (200, {}), (200, [])]:
                endpoint.answer = answer
                away = client.post("/api/token/", json=ADA)
                assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    told = str(logs)
    assert not [word for word in (ADA["password"], "hush", "secret-guess", "r1'") if word in told]


def test_attempts_at_the_same_time_are_bounded(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    with token_endpoint() as (endpoint, token_url):
        login = LoginSettings(login_token_url=token_url, login_client_secret=SecretStr("hush"), login_concurrency=2)
        with broker(issuer, login=login) as url:
            endpoint.gate.clear()
            found: list[int] = []

            def attempt() -> None:
                found.append(httpx.post(url + "/api/token/", json=ADA, timeout=20).status_code)

            threads = [threading.Thread(target=attempt) for _ in range(6)]
            for thread in threads:
                thread.start()
            while len(found) < 4:
                time.sleep(0.01)
            endpoint.gate.set()
            for thread in threads:
                thread.join()
    assert sorted(found) == [200, 200, 503, 503, 503, 503]
    assert len(endpoint.forms) == 2


def test_passwords_are_taken_only_where_that_is_wanted(issuer: OwnIssuer, broker: Callable[..., Any]) -> None:
    with broker(issuer) as url:
        assert httpx.post(url + "/api/token/", json=ADA).status_code == 401
        assert httpx.post(url + "/api/token/", json=ADA, headers=bearer(issuer)).status_code == 404


def test_secrets_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush\n", encoding="utf-8")
    assert LoginSettings(login_client_secret_file=file).secret == "hush"
    assert "hush" not in repr(LoginSettings(login_client_secret=SecretStr("hush")))
    with pytest.raises(OSError, match="gone"):
        assert LoginSettings(login_client_secret_file=tmp_path / "gone").secret
