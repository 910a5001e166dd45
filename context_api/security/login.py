"""Passwords shown to an issuer on behalf of clients that cannot send people there (RFC 6749 clauses 4.3 and 6).

The issuer decides: it counts failures, locks accounts and refuses who must show more than a password. Nothing of what
passes here is kept or logged.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import structlog

from context_api.settings import LoginSettings

log = structlog.get_logger(__name__)


class LoginRefused(Exception):
    """The issuer does not take the name and password, or the refresh token."""


class LoginUnavailable(Exception):
    """Whether it would cannot be told now."""


class Login:
    """The token endpoint of an issuer, as the one client that may use passwords there."""

    def __init__(self, settings: LoginSettings) -> None:
        """Raise OSError where the file of the client's secret cannot be read."""
        self._url = settings.login_token_url or ""
        self._client_form = {"client_id": settings.login_client_id, "client_secret": settings.secret}
        self._most = settings.login_concurrency
        self._running = 0
        self._client = httpx.AsyncClient(
            timeout=settings.login_timeout,
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def sign_in(self, username: str, password: str) -> tuple[str, str]:
        """Return an access token and a refresh token; raises LoginRefused and LoginUnavailable."""
        return await self._ask({"grant_type": "password", "username": username, "password": password})

    async def refresh(self, token: str) -> tuple[str, str]:
        """Return a new access token and the refresh token to use from now on; raises as `sign_in`.

        An issuer may take each refresh token only once.
        """
        return await self._ask({"grant_type": "refresh_token", "refresh_token": token})

    async def _ask(self, form: dict[str, str]) -> tuple[str, str]:
        if self._running >= self._most:
            raise LoginUnavailable
        self._running += 1
        try:
            response = await self._client.post(self._url, data=form | self._client_form)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The text of an error may name the URL, never the form.
            log.warning("issuer does not answer a sign-in", reason=type(error).__name__)
            raise LoginUnavailable from None
        finally:
            self._running -= 1
        return _tokens(response)


def _tokens(response: httpx.Response) -> tuple[str, str]:
    """Return access token and refresh token of an answer (RFC 6749 clause 5)."""
    try:
        document = response.json()
    except ValueError:
        document = None
    found: dict[str, Any] = document if isinstance(document, dict) else {}
    access, refresh = found.get("access_token"), found.get("refresh_token")
    if response.status_code == httpx.codes.OK and isinstance(access, str) and isinstance(refresh, str):
        return access, refresh
    if found.get("error") == "invalid_grant":
        raise LoginRefused
    log.error("issuer refuses to sign anybody in", status=response.status_code, error=str(found.get("error"))[:100])
    raise LoginUnavailable
