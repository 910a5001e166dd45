"""What the sweep of transient entities and attributes finds on PostgreSQL (clause 4.22)."""

from __future__ import annotations

from context_api.storage.codec import decode
from context_api.storage.expiry import expiry_of
from context_api.storage.port import Change, Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.reads import COLUMNS, row_of

#: Entities swept in one transaction.
_CHUNK = 500
_SELECT = f"""
    SELECT t.id, t.name, {COLUMNS.replace("created_at", "e.created_at")}
    FROM entity e JOIN tenant t ON t.id = e.tenant
    WHERE e.next_expiry <= $1 ORDER BY e.next_expiry LIMIT {_CHUNK}
"""  # noqa: S608 - columns and numbers of ours


async def expired_changes(con: Connection, now: int) -> dict[Tenant, list[Change]]:
    """Return, by tenant, the changes that take away some of what expired before `now`."""
    found: dict[Tenant, list[Change]] = {}
    for number, name, *columns in await con.fetch(_SELECT, now):
        found.setdefault(Tenant(number, name), []).append(expiry_of(decode(row_of(columns)), now))
    return found
