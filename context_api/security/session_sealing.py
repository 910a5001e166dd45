"""What sessions keep in the database, encrypted (RFC 7516: dir, A256GCM): who reads the database cannot use it.

Each sealed text belongs to one row of one table, which its header names, so that none can be put in another's place.
"""

from __future__ import annotations

import json
import os
from typing import Any

import structlog
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from context_api.settings import SESSION_KEY_BYTES, SessionSettings

log = structlog.get_logger(__name__)

_ALGORITHMS = ["dir", "A256GCM"]


class Sealing:
    """Seals and opens with one key."""

    def __init__(self, key: bytes, max_bytes: int) -> None:
        """Take the key, 32 bytes, and the size that no content exceeds."""
        self._key = OctKey.import_key(key)
        self._registry = jwe.JWERegistry(algorithms=_ALGORITHMS)
        # Base64 makes four bytes of three.
        self._registry.max_ciphertext_length = 2 * max_bytes

    def seal(self, place: str, content: dict[str, Any]) -> bytes:
        """Return a content encrypted for the row that `place` names."""
        header = {"alg": "dir", "enc": "A256GCM", "kid": place}
        return jwe.encrypt_compact(header, json.dumps(content), self._key, registry=self._registry).encode()

    def open(self, place: str, sealed: bytes) -> dict[str, Any] | None:
        """Return the content of a row; None where another key or another row sealed it."""
        try:
            found = jwe.decrypt_compact(sealed, self._key, registry=self._registry)
        except (JoseError, ValueError):
            return None
        if found.headers().get("kid") != place or found.plaintext is None:
            return None
        content: dict[str, Any] = json.loads(found.plaintext)
        return content


def session_key(settings: SessionSettings) -> bytes:
    """Return the key of the settings, or else one that only this process has.

    Raises OSError and ValueError as `SessionSettings.key`.
    """
    key = settings.key
    if key is None:
        log.warning("sessions end with this process; VOLTWEAVE_SESSION_KEY lets them outlive it")
        return os.urandom(SESSION_KEY_BYTES)
    return key
