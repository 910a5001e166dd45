"""The rows of one transaction on SQLite, gathered from many changes and written one statement a table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from context_api.storage.judging import Stored
from context_api.storage.port import Change, Tenant
from context_api.storage.rows import Line, Rows
from context_api.storage.sqlite import statements
from context_api.storage.sqlite.names import Names

_FIRST = itemgetter(0)


@dataclass(slots=True)
class Counters:
    """Numbers that only grow, kept by the one writer of a database; a gap is harmless."""

    version: int
    """Of entities; at once the id of the change row, so that the database keeps the last one given out."""
    geometry: int

    @classmethod
    def load(cls, con: sqlite3.Connection) -> Counters:
        """Read the last numbers given out."""
        version = con.execute("SELECT seq FROM sqlite_sequence WHERE name = 'change'").fetchone()
        geometry = con.execute("SELECT max(id) FROM geometry").fetchone()
        return cls(version[0] if version else 0, geometry[0] or 0)


class _Interning:
    """Names as the writer interns them inside its transaction."""

    def __init__(self, con: sqlite3.Connection, names: Names) -> None:
        self._con = con
        self._names = names

    def intern(self, iri: str) -> int:
        return self._names.intern(self._con, iri)

    def typeset(self, tenant: int, types: Sequence[str]) -> int:
        return self._names.typeset(self._con, tenant, types)


class Batch:
    """Gathers the rows of changes and writes them; it holds at most one change of an entity between two flushes."""

    def __init__(self, con: sqlite3.Connection, names: Names, counters: Counters) -> None:
        self._con = con
        self._counters = counters
        self._txn = counters.version + 1
        self._names = _Interning(con, names)
        self._rows: Rows[bytes] = Rows(self._names)
        self._numbers: list[int] = []
        self.pending: set[bytes] = set()

    def flush(self) -> None:
        """Execute what was gathered."""
        rows = self._rows
        # A deletion comes before what takes its place.
        self._execute(statements.BOX_DELETE, rows.geometry_deletes)
        self._execute(statements.GEOMETRY_DELETE, rows.geometry_deletes)
        self._execute(statements.VALUE_DELETE, rows.value_deletes)
        self._execute(statements.SCOPE_DELETE, rows.scope_deletes)
        self._execute(statements.ENTITY_DELETE, rows.entity_deletes)
        self._insert(statements.ENTITY_INSERT, rows.entity_inserts)
        self._execute(statements.ENTITY_UPDATE, rows.entity_updates)
        self._insert(statements.VALUE_UPSERT, rows.value_upserts)
        self._insert(statements.SCOPE_INSERT, rows.scope_inserts)
        self._insert_geometries(rows.geometry_inserts)
        self._insert(statements.HISTORY_INSERT, rows.history)
        changes = zip(self._numbers, rows.changes, strict=True)
        self._insert(statements.CHANGE_INSERT, [(number, self._txn, *change) for number, change in changes])
        self._insert(statements.OCCURRENCE_ADD, [(*what, count) for what, count in rows.counts.items() if count])
        self._rows = Rows(self._names)
        self._numbers = []
        self.pending.clear()

    def add(self, tenant: Tenant, k: bytes, change: Change, stored: Stored | None) -> Stored | None:
        """Gather the rows of one change of an entity; return what is stored of it from then on."""
        self.pending.add(k)
        self._counters.version += 1
        number = version = self._counters.version
        self._numbers.append(number)
        if change.before is not None and change.after is change.before:
            version = change.before.version
        columns = self._rows.add(tenant, k, change, version)
        if columns is not None:
            return Stored(version, columns.expires_at, columns.next_expiry)
        return None if change.after is None else stored

    def _insert_geometries(self, geometries: Iterable[Line]) -> None:
        inserts, boxes = [], []
        for key, attr, dataset, seq, tenant, geojson, box in geometries:
            self._counters.geometry += 1
            inserts.append((self._counters.geometry, key, tenant, attr, dataset, seq, geojson))
            boxes.append((self._counters.geometry, *box))
        self._insert(statements.GEOMETRY_INSERT, inserts)
        self._insert(statements.BOX_INSERT, boxes)

    def _insert(self, statement: str, rows: list[Line]) -> None:
        """Insert rows in the order of their keys: what is written together then lies on few pages."""
        if rows:
            rows.sort(key=_FIRST)
            statements.insert_rows(self._con, statement, rows)

    def _execute(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._con.executemany(statement, rows)
