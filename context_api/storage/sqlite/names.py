"""Interned names: the integers that stand for attribute IRIs, dataset IRIs and type sets in the narrow tables.

Look-ups may come from any thread; only the writer interns. What a transaction interned becomes known to others when it
has been committed, so that a rolled back id is never used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from context_api.storage.tables import RESERVED_NAME

#: Names kept in memory; dataset IRIs are unbounded, so the memory is dropped when full and filled again on use.
_REMEMBERED = 200_000


class Names:
    """The interned names of one database."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._fresh: dict[str, int] = {}
        self._typesets: dict[tuple[int, str], int] = {}
        self._fresh_typesets: dict[tuple[int, str], int] = {}

    def find(self, con: sqlite3.Connection, iri: str) -> int | None:
        """Return the id of an IRI, None where it was never stored."""
        found = self._known.get(iri)
        if found is None:
            row = con.execute("SELECT id FROM name WHERE iri = ?", (iri,)).fetchone()
            if row is None:
                return None
            found = int(row[0])
            self._remember(iri, found)
        return found

    def intern(self, con: sqlite3.Connection, iri: str) -> int:
        """Return the id of an IRI, making one; for the writer, inside its transaction."""
        found = self._known.get(iri) or self._fresh.get(iri)
        if found is None:
            row = con.execute("SELECT id FROM name WHERE iri = ?", (iri,)).fetchone()
            if row is None:
                row = con.execute("INSERT INTO name (iri) VALUES (?) RETURNING id", (iri,)).fetchone()
            found = self._fresh[iri] = int(row[0])
        return found

    def dataset(self, con: sqlite3.Connection, iri: str | None) -> int:
        """Return the id of a datasetId, making one; `RESERVED_NAME` for the default instance."""
        return RESERVED_NAME if iri is None else self.intern(con, iri)

    def typeset(self, con: sqlite3.Connection, tenant: int, types: Sequence[str]) -> int:
        """Return the id of a set of types in a tenant, making one; for the writer, inside its transaction."""
        key = (tenant, orjson.dumps(sorted(types)).decode())
        found = self._typesets.get(key) or self._fresh_typesets.get(key)
        if found is None:
            row = con.execute("SELECT id FROM typeset WHERE tenant = ? AND types = ?", key).fetchone()
            if row is None:
                insert = "INSERT INTO typeset (tenant, types) VALUES (?, ?) RETURNING id"
                row = con.execute(insert, key).fetchone()
            found = self._fresh_typesets[key] = int(row[0])
        return found

    def committed(self) -> None:
        """Make known what the transaction interned."""
        if self._fresh:
            for iri, number in self._fresh.items():
                self._remember(iri, number)
            self._fresh = {}
        if self._fresh_typesets:
            self._typesets.update(self._fresh_typesets)
            self._fresh_typesets = {}

    def rolled_back(self) -> None:
        """Forget what the transaction interned."""
        self._fresh = {}
        self._fresh_typesets = {}

    def _remember(self, iri: str, number: int) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[iri] = number
