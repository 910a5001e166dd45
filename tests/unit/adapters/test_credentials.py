"""Tokens of adapters and commands: had in time, by one request, and had again when one is refused."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr

from adapters.credentials import ClientCredentials, credentials
from adapters.errors import SettingError, TransientError
from adapters.settings import CredentialSettings
from adapters.sink import HttpSink

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Platform:
    """An issuer and a broker that takes only its newest tokens."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.asked: list[tuple[str, bytes]] = []
        """Authorization and body of each request to the broker."""
        self.answer: tuple[int, Any] | None = None
        self.life = 60.0
        self.withdrawn: set[str] = set()
        self.lock = threading.Lock()
        self.url = ""

    def token(self, form: dict[str, str]) -> tuple[int, Any]:
        time.sleep(0.05)
        with self.lock:
            self.forms.append(form)
            if self.answer is not None:
                return self.answer
            return 200, {"access_token": f"t{len(self.forms)}", "expires_in": self.life, "token_type": "Bearer"}

    def credentials(self) -> ClientCredentials:
        return ClientCredentials(self.url + "/token", "adapters", "hush", 5.0)


@pytest.fixture
def platform() -> Iterator[Platform]:
    found = Platform()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/token":
                status, document = found.token({n: v[0] for n, v in parse_qs(body.decode()).items()})
            else:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                with found.lock:
                    found.asked.append((token, body))
                    status, document = (401, {}) if not token or token in found.withdrawn else (204, None)
            self.send_response(status)
            self.end_headers()
            if document is not None:
                self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


async def test_one_token_serves_many_requests(platform: Platform) -> None:
    sink = HttpSink(platform.url, auth=platform.credentials())
    entity = {"id": "urn:x:1", "type": "Car"}
    results = await asyncio.gather(*(sink.deliver([entity], None) for _ in range(20)))
    await sink.aclose()
    assert all(result.error is None for [result] in results)
    assert platform.forms == [{"grant_type": "client_credentials", "client_id": "adapters", "client_secret": "hush"}]
    assert {token for token, _ in platform.asked} == {"t1"}


async def test_a_token_is_renewed_before_it_expires(platform: Platform) -> None:
    platform.life = 1.5  # renewed after 1.2 s
    sink = HttpSink(platform.url, auth=platform.credentials())
    for pause in (0.0, 0.0, 1.25):
        await asyncio.sleep(pause)
        await sink.deliver([{"id": "urn:x:1"}], None)
    await sink.aclose()
    assert [token for token, _ in platform.asked] == ["t1", "t1", "t2"]


async def test_a_refused_token_is_replaced_once(platform: Platform) -> None:
    sink = HttpSink(platform.url, auth=platform.credentials())
    await sink.deliver([{"id": "urn:x:1"}], None)
    platform.withdrawn = {"t1"}
    platform.asked.clear()
    results = await asyncio.gather(*(sink.deliver([{"id": f"urn:x:{n}"}], None) for n in range(5)))
    assert all(result.error is None for [result] in results)
    # Whoever was refused shares one new token, and the body is sent again as it was.
    assert len(platform.forms) == 2
    assert sorted(body for token, body in platform.asked if token == "t2") == sorted(
        json.dumps([{"id": f"urn:x:{n}"}], separators=(",", ":")).encode() for n in range(5)
    )
    platform.withdrawn = {f"t{n}" for n in range(10)}
    platform.asked.clear()
    with pytest.raises(SettingError, match="rights"):
        await sink.deliver([{"id": "urn:x:1"}], None)
    assert len(platform.asked) == 2
    await sink.aclose()


def test_commands_bear_tokens_too(platform: Platform) -> None:
    auth = platform.credentials()
    assert httpx.post(platform.url + "/x", content=b"1", auth=auth).status_code == 204
    platform.withdrawn = {"t1"}
    assert httpx.post(platform.url + "/x", content=b"2", auth=auth).status_code == 204
    assert platform.asked == [("t1", b"1"), ("t1", b"2"), ("t2", b"2")]


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((401, {"error": "unauthorized_client"}), SettingError, "unauthorized_client"),
        ((400, {"error": "invalid_client"}), SettingError, "invalid_client"),
        ((200, {}), SettingError, "status 200"),
        ((200, []), SettingError, "status 200"),
        ((200, {"access_token": "a\r\nX-Injected: 1"}), SettingError, "status 200"),
        ((302, {}), SettingError, "status 302"),
        ((503, {}), TransientError, "answers 503"),
        ((429, {}), TransientError, "answers 429"),
    ],
)
async def test_an_issuer_that_gives_no_token(
    platform: Platform, answer: tuple[int, Any], error: type[Exception], said: str
) -> None:
    platform.answer = answer
    sink = HttpSink(platform.url, auth=platform.credentials())
    with pytest.raises(error, match=said) as refused:
        await sink.deliver([{"id": "urn:x:1"}], None)
    assert "hush" not in str(refused.value)
    await sink.aclose()


async def test_an_issuer_that_is_away_is_waited_for() -> None:
    auth = ClientCredentials("http://127.0.0.1:9/token", "adapters", "hush", 1.0)
    sink = HttpSink("http://127.0.0.1:9", auth=auth)
    with pytest.raises(TransientError):
        await sink.deliver([{"id": "urn:x:1"}], None)
    await sink.aclose()


def test_settings_by_half_are_said(tmp_path: Path) -> None:
    url = "https://issuer.example/token"
    assert credentials(CredentialSettings()) is None
    for settings, said in (
        (CredentialSettings(token_url=url), "VOLTWEAVE_CLIENT_ID"),
        (CredentialSettings(token_url=url, client_id="a"), "VOLTWEAVE_CLIENT_SECRET"),
        (CredentialSettings(token_url=url, client_id="a", client_secret_file=tmp_path / "gone"), "_FILE"),
    ):
        with pytest.raises(SettingError, match=said):
            credentials(settings)
    (tmp_path / "secret").write_text("hush\n", encoding="utf-8")
    for found in (
        CredentialSettings(token_url=url, client_id="a", client_secret=SecretStr("hush")),
        CredentialSettings(token_url=url, client_id="a", client_secret_file=tmp_path / "secret"),
    ):
        assert credentials(found) is not None
        assert found.secret == "hush"
        assert "hush" not in repr(found)
