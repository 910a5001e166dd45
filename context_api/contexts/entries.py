"""A stored @context and its metadata (CIM 009 clauses 5.13.1 and 5.13.3.5)."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import uuid4

from ngsild.names import format_date_time

RESOURCE = "/ngsi-ld/v1/jsonldContexts"
_ID_PREFIX = "urn:ngsi-ld:Context:"


class Kind(Enum):
    """Where a stored @context comes from."""

    HOSTED = "Hosted"
    CACHED = "Cached"
    IMPLICITLY_CREATED = "ImplicitlyCreated"


@dataclass(slots=True, eq=False)
class Entry:
    """One stored @context. Times are microseconds since 1970 UTC."""

    id: str
    kind: Kind
    document: dict[str, Any]
    """A JSON object whose only member is @context."""
    created_at: int
    tenant: int | None = None
    """The tenant that it belongs to; None for what all share: cached and built-in documents."""
    url: str | None = None
    """Where a Cached one was downloaded from."""
    base: str | None = None
    """What relative references in it are relative to: the URL after redirects."""
    expires_at: int | None = None
    validators: dict[str, str] = field(default_factory=dict)
    """Request headers that make the next download conditional."""
    last_usage: int | None = None
    hits: int = 0
    built_in: bool = False

    def path(self) -> str:
        """Return the local path at which this is served or described."""
        return f"{RESOURCE}/{self.id}"

    def address(self, origin: str) -> str:
        """Return the URL of clause 5.13.3.1: the original one of a Cached @context, else ours."""
        return self.url or origin + self.path()

    def metadata(self, origin: str) -> dict[str, Any]:
        """Return what clients see of it besides its content (clause 5.13.3.5)."""
        found: dict[str, Any] = {
            "URL": self.address(origin),
            "localId": self.id,
            "kind": self.kind.value,
            "createdAt": format_date_time(self.created_at),
            "numberOfHits": self.hits,
        }
        if self.expires_at is not None:
            found["expiresAt"] = format_date_time(self.expires_at)
        if self.last_usage is not None:
            found["lastUsage"] = format_date_time(self.last_usage)
        if self.built_in:
            found["extraInfo"] = {"builtIn": True}
        return found


def new_id() -> str:
    """Return a new locally unique identifier, which nobody can guess."""
    return f"{_ID_PREFIX}{uuid4().hex}"


def id_of(*parts: object) -> str:
    """Return the identifier of the @context that these parts determine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return f"{_ID_PREFIX}{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def now() -> int:
    """Return the moment in microseconds since 1970 UTC."""
    return time.time_ns() // 1000
