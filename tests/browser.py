"""A browser at a broker, whose person signs in at an issuer of the tests' own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
from pydantic import SecretStr

from benchmarks.processes import free_port
from context_api.app import create_app
from context_api.settings import SecuritySettings, ServerSettings, SessionSettings, Settings, StorageSettings
from tests.issuer import OwnIssuer
from tests.served import served

CLIENT = "voltweave-console"
COOKIE, SIGN_IN_COOKIE = "voltweave-session", "voltweave-sign-in"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Browser(httpx.Client):
    """A browser at a broker; the person at the issuer is always Ada."""

    def __init__(self, issuer: OwnIssuer, url: str) -> None:
        super().__init__(base_url=url, headers=BROWSER, timeout=30)
        self.issuer = issuer

    def begin(self, path: str = "/docs") -> dict[str, str]:
        """Begin to sign in; return what the issuer is asked."""
        answer = self.get("/session/login", params={"next": path})
        assert answer.status_code == 303, answer.text
        place, _, query = answer.headers["location"].partition("?")
        assert place == f"{self.issuer.url}/authorization"
        return {name: values[0] for name, values in parse_qs(query).items()}

    def come_back(self, asked: dict[str, str], code: str = "a-code", **parameters: str) -> httpx.Response:
        """Come back from the issuer, as it was asked."""
        return self.get("/session/callback", params={"state": asked["state"], "code": code} | parameters)

    def sign_in(self, **granted: Any) -> httpx.Response:
        """Sign in; `granted` are claims of the tokens, and expires_in."""
        asked = self.begin()
        self.issuer.grant = grants(self.issuer, asked["nonce"], **granted)
        return self.come_back(asked)

    @property
    def session_id(self) -> str:
        """Return the id of its session."""
        return self.cookies[COOKIE]


def grants(issuer: OwnIssuer, nonce: str, expires_in: float = 300, **claims: Any) -> Any:
    """Return a token endpoint that takes each code and refresh token once."""
    used: set[str] = set()
    lock = threading.Lock()

    def grant(form: dict[str, str]) -> dict[str, Any]:
        shown = form.get("code") or form["refresh_token"]
        with lock:
            if shown in used:
                return {"error": "invalid_grant"}
            used.add(shown)
        return {
            "access_token": issuer.token(exp=int(time.time() + expires_in), jti=str(time.monotonic_ns()), **claims),
            "refresh_token": f"refresh-{len(used)}",
            "id_token": issuer.token(
                **{"aud": CLIENT, "azp": CLIENT, "typ": "ID", "nonce": nonce, "sid": "s1"} | claims
            ),
            "expires_in": expires_in,
        }

    return grant


@contextmanager
def broker(issuer: OwnIssuer, folder: Path, **sessions: Any) -> Iterator[str]:
    """Serve a broker that browsers sign in at."""
    port = free_port()
    settings = Settings(
        server=ServerSettings(public_url=f"http://127.0.0.1:{port}"),
        storage=StorageSettings(database=f"sqlite:///{folder / 'test.db'}"),
        security=SecuritySettings(issuers=issuer.url, keys_min_interval=0.05, keys_retry=0.2, token_leeway=0),
        sessions=SessionSettings(console_client_id=CLIENT, console_client_secret=SecretStr("a secret"), **sessions),
    )
    with served(create_app(settings), port=port):
        yield f"http://127.0.0.1:{port}"
