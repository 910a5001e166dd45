"""The change log on SQLite: one writer gives the numbers, so their order is that of the commits."""

from __future__ import annotations

import sqlite3

from context_api.storage.port import LoggedChange, Tenant

_SELECT = """
    SELECT id, tenant, k, entity_id, operation, attributes, old_version, new_version, at, report
    FROM change WHERE id > ? ORDER BY id LIMIT ?
"""
_TENANTS = "SELECT id, name FROM tenant"


class ChangeLog:
    """Reads the changes of all tenants."""

    def __init__(self) -> None:
        self._tenants: dict[int, Tenant] = {}

    def read(self, con: sqlite3.Connection, after: int, limit: int) -> list[LoggedChange]:
        """Return the changes that follow a number, the first `limit` of them."""
        rows = con.execute(_SELECT, (after, limit)).fetchall()
        tenants = self._tenants
        if not all(row[1] in tenants for row in rows):
            tenants.update((number, Tenant(number, name)) for number, name in con.execute(_TENANTS))
        return [LoggedChange(number, tenants[tenant], *columns) for number, tenant, *columns in rows]
