"""The public keys of an issuer (RFC 7517): what is published, reduced to what may verify a token."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from joserfc.util import base64_to_int

_MOST_KEYS = 100
_LEAST_RSA_BITS = 2048
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
#: The members of a public key; others are not even read, so that nothing private is ever held.
_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the signatures that it may verify."""

    key: RSAKey | ECKey
    algorithms: frozenset[str]


def verification_keys(document: Any, allowed: Collection[str]) -> dict[str, VerificationKey]:
    """Return the keys of a JWK set by their ids; those that can verify nothing that is allowed are left out.

    The first of several keys with one id counts. Raises ValueError for what is no JWK set, or holds no such key.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("it is no JWK set")
    found: dict[str, VerificationKey] = {}
    for kid, key in _usable(keys[:_MOST_KEYS], frozenset(allowed)):
        found.setdefault(kid, key)
    if not found:
        raise ValueError("it has no key for the signatures that are taken")
    return found


def _usable(keys: list[Any], allowed: frozenset[str]) -> Iterator[tuple[str, VerificationKey]]:
    for data in keys:
        kid = data.get("kid") if isinstance(data, dict) else None
        if not isinstance(kid, str) or not kid or not _is_for_signatures(data):
            continue
        key = _imported(data)
        algorithms = _algorithms(key) & allowed
        if "alg" in data:
            algorithms &= {data["alg"]} if isinstance(data["alg"], str) else frozenset()
        if key is not None and algorithms:
            yield kid, VerificationKey(key, algorithms)


def _is_for_signatures(data: dict[str, Any]) -> bool:
    operations = data.get("key_ops", ["verify"])
    return data.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _imported(data: dict[str, Any]) -> RSAKey | ECKey | None:
    """Return the public part of a key; None for kinds that are not taken, and for what is broken."""
    kind = data.get("kty")
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None or not all(isinstance(data.get(name), str) for name in members):
        return None
    try:
        if kind == "RSA" and base64_to_int(data["n"]).bit_length() < _LEAST_RSA_BITS:
            return None
        key = JWKRegistry.import_key({name: data[name] for name in members})
        key.raw_value  # noqa: B018 - imports it: only then is a point known to lie on its curve
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


def _algorithms(key: RSAKey | ECKey | None) -> frozenset[str]:
    if isinstance(key, RSAKey):
        return _RSA
    if isinstance(key, ECKey):
        name = _CURVES.get(key.curve_name)
        return frozenset({name}) if name else frozenset()
    return frozenset()
