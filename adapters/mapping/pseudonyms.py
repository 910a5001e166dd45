"""Pseudonyms for personal data: HMAC-SHA256, keyed per stream, from a secret that only the operator holds.

There is no default secret: without one the personal value is left out and counted, or the record is refused, as the
mapping says. The same person has the same pseudonym within a source and another one in every other source.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from adapters.errors import SettingError
from adapters.mapping.values import Unusable, text

KEY_VARIABLE: Final = "VOLTWEAVE_PSEUDONYM_KEY"
_SHORTEST_SECRET: Final = 16


def stream_key(environment: Mapping[str, str], source: str) -> bytes | None:
    """Return the key of a source, derived from the secret in the environment; None where there is no secret."""
    secret = environment.get(KEY_VARIABLE)
    if not secret:
        return None
    if len(secret.encode()) < _SHORTEST_SECRET:
        raise SettingError(f"{KEY_VARIABLE} is shorter than {_SHORTEST_SECRET} bytes: set a longer random text")
    return hmac.digest(secret.encode(), source.encode(), hashlib.sha256)


def pseudonymiser(key: bytes | None, missing: str, dropped: Counter[str], what: str) -> Callable[[Any], str | None]:
    """Return a function from a personal value to its pseudonym, 64 hexadecimal digits.

    Without a key it returns None and counts the value in `dropped` under `what` (missing: drop), or refuses the record
    (missing: error).
    """

    def pseudonym(value: Any) -> str | None:
        if key is None:
            if missing == "error":
                raise Unusable("pseudonym", "(personal)", f"is personal and {KEY_VARIABLE} is not set")
            dropped[what] += 1
            return None
        return hmac.digest(key, text(value).encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    return pseudonym
