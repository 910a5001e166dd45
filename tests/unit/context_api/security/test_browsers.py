"""What browsers are told: protective headers on every answer, and which pages of other origins may use the broker."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from context_api.app import create_app
from context_api.settings import SecuritySettings, ServerSettings, Settings, StorageSettings
from tests.issuer import OwnIssuer, own_issuer
from tests.served import served

CONSOLE = "https://console.example"
V1 = "/ngsi-ld/v1/entities"
Serve = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture
def issuer() -> Iterator[OwnIssuer]:
    with own_issuer() as found:
        yield found


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Return what serves a broker with some settings and gives a client of it."""

    @contextmanager
    def run(issuer: OwnIssuer | None = None, **server: str) -> Iterator[httpx.Client]:
        found = Settings(
            server=ServerSettings(**server),  # type: ignore[arg-type]
            storage=StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}"),
            security=SecuritySettings(issuers=issuer.url if issuer else ""),
        )
        with (
            served(create_app(found)) as port,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            if issuer is not None:
                client.headers["Authorization"] = f"Bearer {issuer.token()}"
            yield client

    return run


def test_every_answer_bears_what_protects_it(serve: Serve) -> None:
    with serve() as client:
        asked = [
            client.get("/ngsi-ld/v1/types"), client.get("/nowhere"), client.get("/docs"),
            client.get("/ngsi-ld/v1/types", headers={"Host": "evil.example"}), client.delete(V1 + "/urn:x:1"),
            client.get("/ngsi-ld/v1/types", params={"q": "x" * 20_000}),
        ]  # fmt: skip
    assert [answer.status_code for answer in asked] == [200, 404, 200, 403, 404, 403]
    for answer in asked:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "strict-transport-security" not in answer.headers
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_public_url_of_https_is_strict(serve: Serve) -> None:
    with serve(public_url="https://broker.example") as client:
        assert "max-age=" in client.get("/q/health/live").headers["strict-transport-security"]


def test_pages_may_use_their_own_style_and_nothing_else(serve: Serve) -> None:
    pages = {"/docs": "text/html", "/ontology": "text/html", "/shapes": "text/html"}
    with serve() as client:
        for path, kind in pages.items():
            answer = client.get(path, headers={"Accept": kind})
            assert answer.headers["content-type"].startswith(kind)
            policy = dict(
                part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
            )
            assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
            [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
            assert policy["style-src"] == f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"
            assert not re.search(r"<(script|img|link|iframe)\b|\sstyle=|\son\w+=", answer.text)
        assert "content-security-policy" not in client.get("/ngsi-ld/v1/types").headers


def test_what_a_token_was_given_for_is_not_stored(serve: Serve, issuer: OwnIssuer) -> None:
    with serve(issuer) as client:
        for path in ("/ngsi-ld/v1/types", "/access/permissions", V1 + "/urn:x:1"):
            assert client.get(path).headers["cache-control"] == "no-store"
        assert "no-store" not in client.get("/contexts/cim.jsonld").headers["cache-control"]
        client.headers["Authorization"] = "Bearer wrong"
        answer = client.get("/ngsi-ld/v1/types")
        assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")


def test_pages_of_a_listed_origin_may_use_the_broker(serve: Serve) -> None:
    with serve(cors_origins=f"{CONSOLE}, http://localhost:5173") as client:
        asked = {"Origin": CONSOLE, "Access-Control-Request-Method": "PATCH"}
        preflight = client.options(V1, headers=asked)
        assert preflight.status_code == 204
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        assert "NGSILD-Tenant" in preflight.headers["access-control-allow-headers"]
        for answer in (preflight, client.get(V1, headers={"Origin": CONSOLE})):
            assert answer.headers["access-control-allow-origin"] == CONSOLE
            assert answer.headers["access-control-allow-credentials"] == "true"
            for name in ("Link", "NGSILD-Results-Count", "ETag", "Location", "NGSILD-Tenant"):
                assert name in answer.headers["access-control-expose-headers"]
            assert "Origin" in answer.headers["vary"]
        assert client.get("/ngsi-ld/v1/types").headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{CONSOLE}.evil.example", f"{CONSOLE}:8443"])
def test_pages_of_others_may_not(serve: Serve, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    with serve(cors_origins=CONSOLE) as client:
        for answer in (client.options(V1, headers=asked), client.get(V1, headers={"Origin": origin})):
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_needs_no_token_and_the_request_does(serve: Serve, issuer: OwnIssuer) -> None:
    with serve(issuer, cors_origins=CONSOLE) as client:
        del client.headers["Authorization"]
        asked = {"Origin": CONSOLE, "Access-Control-Request-Method": "GET"}
        assert client.options("/ngsi-ld/v1/types", headers=asked).status_code == 204
        answer = client.get("/ngsi-ld/v1/types", headers={"Origin": CONSOLE})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == CONSOLE


@pytest.mark.parametrize(
    "text",
    ["*", "null", "console.example", "https://a.example/", "https://A.example", "https://a.example:443", "ftp://a"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        ServerSettings(cors_origins=text)
