"""Database URLs: which database they name, and how they may be shown."""

from __future__ import annotations

import re

#: Up to the last @, for a password may hold any character where its writer forgot to quote it.
_USER_PASSWORD = re.compile(r"(?<=://)([^:@/?]*):.*@", re.DOTALL)
_PARAMETER = re.compile(r"([?&]\w*password=)[^&]*", re.IGNORECASE)


def redacted(url: str) -> str:
    """Return a URL with *** for each password in it, also where the rest of the URL is wrong."""
    return _PARAMETER.sub(r"\1***", _USER_PASSWORD.sub(r"\1:***@", url))


def is_postgresql(url: str) -> bool:
    """Tell whether a database URL names a PostgreSQL database."""
    return url.startswith("postgresql://")
