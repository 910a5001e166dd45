"""The sweep of transient entities and attributes (clause 4.22): real deletions, with history and change log."""

# ruff: noqa: S608 - only columns and numbers of ours are put into the text

from __future__ import annotations

import sqlite3
from dataclasses import replace

from context_api.storage.codec import decode, microseconds, without_expired
from context_api.storage.port import Change, Row, Tenant
from context_api.storage.sqlite.statements import ROW_COLUMNS

OPERATION = "expire"
#: Entities swept in one transaction.
_CHUNK = 500
_SELECT = f"""
    SELECT tenant.id, tenant.name, {ROW_COLUMNS.replace("created_at", "entity.created_at")}
    FROM entity JOIN tenant ON tenant.id = entity.tenant
    WHERE next_expiry <= ? ORDER BY next_expiry LIMIT {_CHUNK}
"""


def expired_changes(con: sqlite3.Connection, now: int) -> dict[Tenant, list[Change]]:
    """Return, by tenant, the changes that take away some of what expired before `now`."""
    found: dict[Tenant, list[Change]] = {}
    for number, name, *columns in con.execute(_SELECT, (now,)):
        before = decode(Row(*columns))
        if before.expires_at is not None and microseconds(before.expires_at) <= now:
            after = None
        else:
            after = replace(without_expired(before, now), modified_at=now)
        change = Change(before.id, before, after, now, OPERATION)
        found.setdefault(Tenant(number, name), []).append(change)
    return found
