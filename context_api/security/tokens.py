"""Verification of bearer tokens: signed JWTs (RFC 7519) that are access tokens (RFC 9068, or Keycloak's) of an issuer.

A token is judged from the outside in: its size, its form, the header, the issuer, the signature, then what it says. The
key is one that the issuer publishes under the id in the header; whatever else a header may say of keys is not read.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from context_api.security.issuers import Issuers
from context_api.security.principal import DEFAULT, Principal
from context_api.settings import SecuritySettings
from ngsild.payload import parse
from ngsild.problems import Problem

_FORM = re.compile(rb"([\w-]+)\.([\w-]+)\.([\w-]+)\Z", re.ASCII)
_MAX_DEPTH = 16
#: RFC 9068 clause 2.1, and the plain type that Keycloak writes.
_ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
PLAIN_TYPE = "jwt"
#: The claim by which Keycloak tells access tokens from identity and refresh tokens.
_KEYCLOAK_ACCESS = "Bearer"


class InvalidToken(Exception):
    """A token is not taken; the message says why, in words that hold nothing of the token."""


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    until: float
    """Moment of the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A token whose signature is its issuer's; what it says is not judged yet."""

    issuer: str
    header: dict[str, Any]
    claims: dict[str, Any]


class Signatures:
    """Verifies that an issuer signed a token."""

    def __init__(self, settings: SecuritySettings, issuers: Issuers) -> None:
        self._issuers = issuers
        self._algorithms = settings.algorithms
        self._max_bytes = settings.max_token_bytes
        self._registry = jws.JWSRegistry(algorithms=sorted(settings.algorithms), strict_check_header=False)
        for part in ("header", "payload", "signature"):
            setattr(self._registry, f"max_{part}_length", settings.max_token_bytes)

    def check_size(self, token: bytes) -> None:
        """Raise InvalidToken for a token that is not even looked at."""
        if len(token) > self._max_bytes:
            raise InvalidToken(f"the token is larger than {self._max_bytes} bytes")

    async def signed(self, token: bytes, types: frozenset[str]) -> Signed:
        """Return what a token says whose header names one of these types, in small letters.

        Raises InvalidToken, or KeysUnavailable where its signature cannot be verified now.
        """
        self.check_size(token)
        match = _FORM.match(token)
        if match is None:
            raise InvalidToken("the token is no signed JWT")
        header, claims = _json_object(match[1]), _json_object(match[2])
        kid = self._check_header(header, types)
        url = claims.get("iss")
        issuer = self._issuers.get(url) if isinstance(url, str) else None
        if issuer is None:
            raise InvalidToken("the issuer of the token is none of those that are taken")
        key = await issuer.key(kid)
        if key is None or header["alg"] not in key.algorithms:
            raise InvalidToken("the key of the token is none of its issuer's for this signature")
        try:
            good = jws.validate_compact(
                jws.extract_compact(token, registry=self._registry), key.key, None, self._registry
            )
        except (JoseError, ValueError) as error:
            raise InvalidToken("the signature of the token cannot be verified") from error
        if not good:
            raise InvalidToken("the signature of the token is wrong")
        return Signed(issuer.url, header, claims)

    def _check_header(self, header: dict[str, Any], types: frozenset[str]) -> str:
        """Return the id of the key."""
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken("the signature of the token is of a kind that is not taken")
        if "crit" in header or "b64" in header:
            raise InvalidToken("the token asks for extensions that are not understood")
        if not isinstance(kind, str) or kind.lower() not in types:
            raise InvalidToken("the token is of another type")
        if not isinstance(kid, str) or not kid:
            raise InvalidToken("the token does not name its key")
        return kid


class Tokens:
    """Verifies tokens and remembers, for a short time, those that were good."""

    def __init__(self, settings: SecuritySettings, issuers: Issuers) -> None:
        self._settings = settings
        self._signatures = Signatures(settings, issuers)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def principal(self, token: bytes) -> Principal:
        """Return whom a token speaks of; raises InvalidToken, or KeysUnavailable where that cannot be told now."""
        self._signatures.check_size(token)
        digest = hashlib.sha256(token).digest()
        known = self._verified.get(digest)
        if known is not None and known.until > time.monotonic():
            self._verified.move_to_end(digest)
            return known.principal
        principal, expires_in = await self._verify(token)
        self._remember(digest, principal, expires_in)
        return principal

    def remembers(self, token: bytes) -> bool:
        """Tell whether a token was verified a moment ago and is good; nothing is verified."""
        known = self._verified.get(hashlib.sha256(token).digest())
        return known is not None and known.until > time.monotonic()

    def _remember(self, digest: bytes, principal: Principal, expires_in: float) -> None:
        seconds = min(expires_in, self._settings.token_cache_seconds)
        self._verified[digest] = _Verified(principal, time.monotonic() + seconds)
        self._verified.move_to_end(digest)
        while len(self._verified) > self._settings.token_cache_size:
            self._verified.popitem(last=False)

    async def _verify(self, token: bytes) -> tuple[Principal, float]:
        """Return principal and the seconds for which the token will be good."""
        signed = await self._signatures.signed(token, _ACCESS_TYPES | {PLAIN_TYPE})
        self._check_use(signed.header, signed.claims)
        expires_in = remaining(signed.claims, self._settings.token_leeway)
        return principal_of(signed.claims, signed.issuer), expires_in

    def _check_use(self, header: dict[str, Any], claims: dict[str, Any]) -> None:
        """Refuse what is for others, or for another purpose."""
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self._settings.audience not in audiences:
            raise InvalidToken("the token is for another audience")
        kind = claims.get("typ")
        if kind != _KEYCLOAK_ACCESS and (kind is not None or header["typ"].lower() not in _ACCESS_TYPES):
            raise InvalidToken("the token is no access token")
        if "cnf" in claims:
            raise InvalidToken("the token is bound to a key, whose proof is not taken")


def remaining(claims: dict[str, Any], leeway: float) -> float:
    """Return the seconds until a token has expired; raises InvalidToken where it has, or is not valid yet."""
    now = time.time()
    expires_in = _moment(claims, "exp", now, required=True) + leeway - now
    if expires_in <= 0:
        raise InvalidToken("the token has expired")
    if max(_moment(claims, "nbf", now), _moment(claims, "iat", now)) > now + leeway:
        raise InvalidToken("the token is not valid yet")
    return expires_in


def principal_of(claims: dict[str, Any], issuer: str) -> Principal:
    """Return what verified claims say of their bearer; raises InvalidToken naming one of a wrong kind."""
    realm = claims.get("realm_access", {})
    if not isinstance(realm, dict):
        raise InvalidToken("realm_access: the claim is no object")
    subject = text_claim(claims, "sub")
    if not subject:
        raise InvalidToken("sub: the claim is missing")
    return Principal(
        subject,
        issuer,
        client=text_claim(claims, "azp"),
        username=text_claim(claims, "preferred_username"),
        roles=_texts(realm, "roles"),
        groups=_texts(claims, "groups"),
        tenants=_texts(claims, "tenants") or frozenset({DEFAULT}),
    )


def _json_object(part: bytes) -> dict[str, Any]:
    """Return the JSON object that a part of a token holds; duplicate members are refused."""
    try:
        found = parse(urlsafe_b64decode(part), _MAX_DEPTH)
    except (Problem, ValueError) as error:
        raise InvalidToken("the token holds no JSON that can be read") from error
    if not isinstance(found, dict):
        raise InvalidToken("the token holds no JSON objects")
    return found


def _moment(claims: dict[str, Any], name: str, otherwise: float, required: bool = False) -> float:
    """Return a claim in seconds since 1970 UTC."""
    value = claims.get(name)
    if value is None and not required:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name}: the claim is no moment")
    return float(value)


def text_claim(claims: dict[str, Any], name: str) -> str:
    """Return a claim that is a text, empty where it is absent; raises InvalidToken for any other."""
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise InvalidToken(f"{name}: the claim is no text")
    return value


def _texts(claims: dict[str, Any], name: str) -> frozenset[str]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidToken(f"{name}: the claim is no list of texts")
    return frozenset(value)
