"""The sweep of transient entities and attributes (clause 4.22): real deletions, with history and change log."""

from __future__ import annotations

from dataclasses import replace

from context_api.storage.codec import microseconds, without_expired
from context_api.storage.port import Change
from ngsild.entity import Entity

OPERATION = "expire"


def expiry_of(before: Entity, now: int) -> Change:
    """Return the change that takes away what of a stored entity expired before `now`."""
    if before.expires_at is not None and microseconds(before.expires_at) <= now:
        after = None
    else:
        after = replace(without_expired(before, now), modified_at=now)
    return Change(before.id, before, after, now, OPERATION)
