"""How adapters and commands prove who they are: tokens by client credentials (RFC 6749 clause 4.4), kept fresh."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx

from adapters.errors import SettingError
from adapters.settings import CredentialSettings

#: A token is renewed when less than this share of its life is left, so that it does not expire on its way.
_RENEWED_AT = 0.2
_SHORTEST_LIFE = 1.0
_HEADERS = {"Accept": "application/json"}


def credentials(settings: CredentialSettings | None = None) -> ClientCredentials | None:
    """Return the credentials of the settings, None where there are none; raises SettingError where they are by half."""
    settings = settings or CredentialSettings()
    if settings.token_url is None:
        return None
    if not settings.client_id:
        raise SettingError("VOLTWEAVE_CLIENT_ID: VOLTWEAVE_TOKEN_URL is set, but not which client asks there")
    try:
        secret = settings.secret
    except (OSError, UnicodeError) as error:
        raise SettingError(f"VOLTWEAVE_CLIENT_SECRET_FILE: {error}") from error
    if not secret:
        raise SettingError(
            "VOLTWEAVE_CLIENT_SECRET: the client has no secret; VOLTWEAVE_CLIENT_SECRET_FILE may name it"
        )
    return ClientCredentials(settings.token_url, settings.client_id, secret, settings.token_timeout)


class ClientCredentials(httpx.Auth):
    """Adds a token to requests of one client; requests at the same time share one look for it.

    A request that is refused with 401 is sent once more, with a new token: keys or sessions may have been withdrawn.
    """

    def __init__(self, url: str, client_id: str, secret: str, timeout: float) -> None:
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._options: dict[str, Any] = {"timeout": timeout, "trust_env": False}
        self._token = ""
        self._renew_at = 0.0
        self._turn = asyncio.Lock()
        self._thread_turn = threading.Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with a token; raises SettingError where the issuer gives none."""
        token = self._fetched("")
        response = yield _with(request, token)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            yield _with(request, self._fetched(token))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request with a token; raises SettingError where the issuer gives none."""
        token = await self._async_fetched("")
        response = yield _with(request, token)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            yield _with(request, await self._async_fetched(token))

    def _fetched(self, refused: str) -> str:
        with self._thread_turn:
            if self._is_stale(refused):
                with httpx.Client(verify=ssl.create_default_context(), **self._options) as client:
                    self._take(client.send(self._request()))
            return self._token

    async def _async_fetched(self, refused: str) -> str:
        async with self._turn:
            if self._is_stale(refused):
                async with httpx.AsyncClient(verify=ssl.create_default_context(), **self._options) as client:
                    self._take(await client.send(self._request()))
            return self._token

    def _is_stale(self, refused: str) -> bool:
        """Tell whether a new token is due: the one at hand grew old, or is the one that was refused."""
        return time.monotonic() >= self._renew_at or self._token == refused

    def _request(self) -> httpx.Request:
        form = {"grant_type": "client_credentials", "client_id": self._client_id, "client_secret": self._secret}
        return httpx.Request("POST", self._url, data=form, headers=_HEADERS)

    def _take(self, response: httpx.Response) -> None:
        """Keep the token that the issuer gave."""
        status = response.status_code
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
            raise httpx.RemoteProtocolError(f"the token endpoint {self._url} answers {status}")
        try:
            document = response.json()
        except ValueError:
            document = None
        found = document if isinstance(document, dict) else {}
        token, life = found.get("access_token"), found.get("expires_in", 60)
        if status != httpx.codes.OK or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            reason = str(found.get("error", f"status {status}"))[:100]
            raise SettingError(f"the token endpoint {self._url} gives client {self._client_id} no token: {reason}")
        seconds = float(life) if isinstance(life, int | float) else 60.0
        self._token = token
        self._renew_at = time.monotonic() + max(_SHORTEST_LIFE, seconds * (1 - _RENEWED_AT))


def _with(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request
