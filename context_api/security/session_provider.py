"""The issuer as browsers are signed in by it: where they are sent, and codes and refresh tokens turned into tokens.

OpenID Connect Core 1.0 clause 3.1 with PKCE (RFC 7636, S256 only), as a client with a secret.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import structlog

from context_api.security.issuers import metadata_url, origin, published_document
from context_api.settings import SecuritySettings, SessionSettings
from ngsild.problems import Problem

log = structlog.get_logger(__name__)

_CALLBACK: Final = "/session/callback"
#: Of an answer that does not say for how long its access token is good.
_SHORT_LIFE_S: Final = 60.0


class GrantRefused(Exception):
    """The issuer does not take the code or the refresh token."""


class ProviderUnavailable(Exception):
    """The issuer cannot be asked now."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an issuer does what."""

    authorization: str
    token: str
    end_session: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens that the issuer gave; an identity token may be absent when they are renewed."""

    access: str
    refresh: str
    identity: str
    expires_in: float
    """Seconds for which the access token is good."""


class Provider:
    """One issuer, for one client of it."""

    def __init__(self, issuer: str, public_url: str, settings: SessionSettings, security: SecuritySettings) -> None:
        """Raise OSError where the file of the client's secret cannot be read."""
        self.issuer = issuer
        self.client_id = settings.console_client_id or ""
        self.public_url = public_url
        """Where browsers see this broker, without a slash at the end."""
        self._secret = settings.client_secret
        self._security = security
        self._endpoints: Endpoints | None = None
        self._looked_at = 0.0
        self._client = httpx.AsyncClient(
            timeout=security.issuer_timeout,
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(),
        )

    @property
    def longest_answer(self) -> float:
        """The seconds within which tokens are had, or not."""
        return 2 * self._security.issuer_timeout

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def sign_in_url(self, state: str, nonce: str, verifier: str) -> str:
        """Return where a browser is sent to sign in; raises ProviderUnavailable."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        asked = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": self.public_url + _CALLBACK,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        return f"{(await self._found()).authorization}?{urlencode(asked)}"

    async def sign_out_url(self, identity_token: str) -> str:
        """Return where a browser is sent to end the session at the issuer; raises ProviderUnavailable."""
        asked = {
            "id_token_hint": identity_token,
            "client_id": self.client_id,
            "post_logout_redirect_uri": f"{self.public_url}/",
        }
        return f"{(await self._found()).end_session}?{urlencode(asked)}"

    async def exchange(self, code: str, verifier: str) -> Grant:
        """Return the tokens for a code; raises GrantRefused and ProviderUnavailable."""
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        grant = await self._ask(form | {"redirect_uri": self.public_url + _CALLBACK})
        if not grant.identity:
            raise GrantRefused
        return grant

    async def renew(self, refresh_token: str) -> Grant:
        """Return new tokens for a refresh token, which is good once; raises GrantRefused and ProviderUnavailable."""
        return await self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def _ask(self, form: dict[str, str]) -> Grant:
        url = (await self._found()).token
        credentials = {"client_id": self.client_id, "client_secret": self._secret}
        try:
            async with asyncio.timeout(self._security.issuer_timeout):
                response = await self._client.post(url, data=form | credentials)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            # The text of an error may name the URL, never the form.
            log.warning("issuer does not answer", issuer=self.issuer, reason=type(error).__name__)
            raise ProviderUnavailable from None
        return _grant(response)

    async def _found(self) -> Endpoints:
        """Return the endpoints as the issuer describes them, from time to time again."""
        if self._endpoints is None or time.monotonic() - self._looked_at > self._security.keys_interval:
            self._looked_at = time.monotonic()
            try:
                async with asyncio.timeout(self._security.issuer_timeout):
                    document = await published_document(
                        self._client, metadata_url(self.issuer), self._security.issuer_max_bytes
                    )
                self._endpoints = _endpoints(document, self.issuer)
            except (httpx.HTTPError, httpx.InvalidURL, Problem, ValueError, TimeoutError) as error:
                log.warning("issuer does not describe itself", issuer=self.issuer, reason=str(error)[:200])
        if self._endpoints is None:
            raise ProviderUnavailable
        return self._endpoints


def _endpoints(document: Any, issuer: str) -> Endpoints:
    """Return the endpoints of an issuer's metadata; each must lie where the issuer does."""
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise ValueError("its metadata is that of another issuer")
    found = [document.get(f"{name}_endpoint") for name in ("authorization", "token", "end_session")]
    for url in found:
        if not isinstance(url, str) or "?" in url or origin(url) != origin(issuer):
            raise ValueError("its metadata lacks an endpoint, or names one of another origin")
    return Endpoints(*found)  # type: ignore[arg-type]  # each is a text, as was just seen


def _grant(response: httpx.Response) -> Grant:
    """Return the tokens of an answer (RFC 6749 clause 5)."""
    try:
        document = response.json()
    except ValueError:
        document = None
    found: dict[str, Any] = document if isinstance(document, dict) else {}
    access, refresh, identity = (found.get(f"{name}_token", "") for name in ("access", "refresh", "id"))
    tokens = isinstance(access, str) and isinstance(refresh, str) and isinstance(identity, str) and access and refresh
    if response.status_code == httpx.codes.OK and tokens:
        seconds = found.get("expires_in")
        return Grant(access, refresh, identity, seconds if isinstance(seconds, int | float) else _SHORT_LIFE_S)
    if found.get("error") == "invalid_grant":
        raise GrantRefused
    log.error("issuer gives no tokens", status=response.status_code, error=str(found.get("error"))[:100])
    raise ProviderUnavailable
