"""The sums that discovery reads on SQLite, where every write keeps them up to date."""

from __future__ import annotations

import sqlite3

import orjson

from context_api.storage.discovery import Occurrence
from context_api.storage.port import Tenant

_SELECT = """
    SELECT typeset.types, name.iri, occurrence.type, occurrence.count
    FROM occurrence JOIN typeset ON typeset.id = occurrence.typeset JOIN name ON name.id = occurrence.attr
    WHERE occurrence.tenant = ? AND occurrence.count > 0
"""


def stored_occurrences(con: sqlite3.Connection, tenant: Tenant) -> list[Occurrence]:
    """Return the occurrences of all entities of a tenant."""
    return [Occurrence(tuple(orjson.loads(types)), *rest) for types, *rest in con.execute(_SELECT, (tenant.id,))]
