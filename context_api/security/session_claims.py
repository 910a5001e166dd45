"""What the issuer says of a sign-in and of its end: identity tokens and logout tokens (OpenID Connect)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, Final

from context_api.security.issuers import Issuers
from context_api.security.tokens import PLAIN_TYPE, InvalidToken, Signatures, Signed, remaining, text_claim
from context_api.settings import SecuritySettings

_LOGOUT_TYPES: Final = frozenset({"logout+jwt", PLAIN_TYPE})
_LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_MAX_JTI: Final = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signed in, and the session of theirs at the issuer; empty where it does not say."""

    subject: str
    issuer_session: str


@dataclass(frozen=True, slots=True)
class Logout:
    """What has ended at the issuer: a session, or all of a subject's."""

    subject: str
    issuer_session: str
    jti: str
    expires_in: float
    """Seconds for which the token would be taken."""


class SessionClaims:
    """Verifies what one issuer says to one client."""

    def __init__(self, issuer: str, client_id: str, settings: SecuritySettings, issuers: Issuers) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._leeway = settings.token_leeway
        self._signatures = Signatures(settings, issuers)

    async def identity(self, token: str, nonce: str) -> Identity:
        """Return who signed in (OpenID Connect Core 1.0 clause 3.1.3.7).

        Raises InvalidToken, or KeysUnavailable where that cannot be told now.
        """
        signed = await self._signed(token, frozenset({PLAIN_TYPE}))
        claims = signed.claims
        remaining(claims, self._leeway)
        if not hmac.compare_digest(text_claim(claims, "nonce").encode(), nonce.encode()):
            raise InvalidToken("the identity token belongs to another sign-in")
        if "events" in claims or claims.get("typ", "ID") != "ID":
            raise InvalidToken("the token is no identity token")
        subject = text_claim(claims, "sub")
        if not subject:
            raise InvalidToken("sub: the claim is missing")
        return Identity(subject, text_claim(claims, "sid"))

    async def logout(self, token: str) -> Logout:
        """Return what has ended (OpenID Connect Back-Channel Logout 1.0 clause 2.6); raises as `identity`."""
        signed = await self._signed(token, _LOGOUT_TYPES)
        claims = signed.claims
        expires_in = remaining(claims, self._leeway)
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
            raise InvalidToken("the token is no logout token")
        if "nonce" in claims:
            raise InvalidToken("a logout token has no nonce")
        if "iat" not in claims:
            raise InvalidToken("iat: the claim is missing")
        found = Logout(text_claim(claims, "sub"), text_claim(claims, "sid"), text_claim(claims, "jti"), expires_in)
        if not (found.subject or found.issuer_session):
            raise InvalidToken("the token names neither a subject nor a session")
        if not 0 < len(found.jti) <= _MAX_JTI:
            raise InvalidToken(f"jti: the claim must have 1 to {_MAX_JTI} characters")
        return found

    async def _signed(self, token: str, types: frozenset[str]) -> Signed:
        signed = await self._signatures.signed(token.encode(), types)
        if signed.issuer != self._issuer:
            raise InvalidToken("the token is of another issuer")
        self._check_audience(signed.claims)
        return signed

    def _check_audience(self, claims: dict[str, Any]) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self._client_id not in audiences:
            raise InvalidToken("the token is for another audience")
        if claims.get("azp", self._client_id) != self._client_id or (len(audiences) > 1 and "azp" not in claims):
            raise InvalidToken("the token was issued to another client")
