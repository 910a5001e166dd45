"""What the sweep of transient entities and attributes finds on SQLite (clause 4.22)."""

# ruff: noqa: S608 - only columns and numbers of ours are put into the text

from __future__ import annotations

import sqlite3

from context_api.storage.codec import decode
from context_api.storage.expiry import expiry_of
from context_api.storage.port import Change, Row, Tenant
from context_api.storage.sqlite.statements import ROW_COLUMNS

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
        found.setdefault(Tenant(number, name), []).append(expiry_of(decode(Row(*columns)), now))
    return found
