"""The rows of one transaction, gathered from many changes and written one statement a table."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import Any

from context_api.storage import statements
from context_api.storage.codec import encode, json_text
from context_api.storage.history import ENTITY_LIFE, changed_attributes, history_rows
from context_api.storage.index_rows import index_rows
from context_api.storage.names import Names
from context_api.storage.port import Change, Tenant
from context_api.storage.tables import RESERVED_NAME
from ngsild.entity import Entity, instances

Indexed = dict[tuple[int, int, int], tuple[Any, ...]]

#: In this order: a deletion comes before what takes its place.
_ORDER = (
    statements.BOX_DELETE,
    statements.GEOMETRY_DELETE,
    statements.VALUE_DELETE,
    statements.SCOPE_DELETE,
    statements.ENTITY_DELETE,
    statements.ENTITY_INSERT,
    statements.ENTITY_UPDATE,
    statements.VALUE_UPSERT,
    statements.SCOPE_INSERT,
    statements.GEOMETRY_INSERT,
    statements.BOX_INSERT,
    statements.HISTORY_INSERT,
    statements.CHANGE_INSERT,
)


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


@dataclass(frozen=True, slots=True)
class Stored:
    """What the condition of a change is checked against."""

    version: int
    expires_at: int | None
    next_expiry: int | None


class Batch:
    """Gathers the rows of changes and writes them; it holds at most one change of an entity between two flushes."""

    def __init__(self, con: sqlite3.Connection, names: Names, counters: Counters) -> None:
        self._con = con
        self._names = names
        self._counters = counters
        self._txn = counters.version + 1
        self._rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._counts: Counter[tuple[int, int, int, str]] = Counter()
        self.pending: set[bytes] = set()

    def flush(self) -> None:
        """Execute what was gathered."""
        for statement in _ORDER:
            rows = self._rows.get(statement)
            if rows:
                self._con.executemany(statement, rows)
        counts = [(*what, count) for what, count in self._counts.items() if count]
        self._con.executemany(statements.OCCURRENCE_ADD, counts)
        self._counts.clear()
        self._rows.clear()
        self.pending.clear()

    def add(self, tenant: Tenant, k: bytes, change: Change, stored: Stored | None) -> Stored | None:
        """Gather the rows of one change of an entity; return what is stored of it from then on."""
        self.pending.add(k)
        before, after = change.before, change.after
        self._counters.version += 1
        number = self._counters.version
        old_version = None if stored is None else stored.version
        if stored is not None and after is before:
            version = stored.version
        else:
            version = number
            self._index(tenant, k, before, after)
            stored = self._entity(tenant, k, change, version)
        self._history(tenant, k, change, version)
        self._change(tenant, k, change, number, old_version, version)
        return stored

    def _entity(self, tenant: Tenant, k: bytes, change: Change, version: int) -> Stored | None:
        after = change.after
        if after is None:
            self._rows[statements.ENTITY_DELETE].append((k,))
            return None
        columns = encode(after)
        row = (
            self._names.typeset(self._con, tenant.id, after.types),
            columns.scope,
            columns.sys,
            after.created_at,
            after.modified_at,
            version,
            columns.expires_at,
            columns.next_expiry,
            after.owner,
            columns.doc,
        )
        if change.before is None:
            self._rows[statements.ENTITY_INSERT].append((k, tenant.id, after.id, *row))
        else:
            self._rows[statements.ENTITY_UPDATE].append((*row, k))
        return Stored(version, columns.expires_at, columns.next_expiry)

    def _index(self, tenant: Tenant, k: bytes, before: Entity | None, after: Entity | None) -> None:
        """Gather the index rows that differ between two states of an entity (decision 5)."""
        old, new = _differing(before, after)
        self._count(tenant, old, -1)
        self._count(tenant, new, 1)
        old_values, old_geometries = self._index_rows(tenant, old)
        new_values, new_geometries = self._index_rows(tenant, new)
        self._diff(k, tenant, old_values, new_values, statements.VALUE_DELETE, statements.VALUE_UPSERT)
        for place, geometry in old_geometries.items():
            if new_geometries.get(place) != geometry:
                self._rows[statements.BOX_DELETE].append((k, *place))
                self._rows[statements.GEOMETRY_DELETE].append((k, *place))
        for place, geometry in new_geometries.items():
            if old_geometries.get(place) != geometry:
                self._counters.geometry += 1
                number = self._counters.geometry
                self._rows[statements.GEOMETRY_INSERT].append((number, k, tenant.id, *place, geometry[0]))
                self._rows[statements.BOX_INSERT].append((number, *geometry[1]))
        old_scopes = set(before.scope) if before is not None else set()
        new_scopes = set(after.scope) if after is not None else set()
        self._rows[statements.SCOPE_DELETE].extend((k, scope) for scope in old_scopes - new_scopes)
        self._rows[statements.SCOPE_INSERT].extend((k, scope, tenant.id) for scope in new_scopes - old_scopes)

    def _diff(self, k: bytes, tenant: Tenant, old: Indexed, new: Indexed, delete: str, insert: str) -> None:
        self._rows[delete].extend((k, *place) for place in old if place not in new)
        self._rows[insert].extend((k, *place, tenant.id, *row) for place, row in new.items() if old.get(place) != row)

    def _index_rows(self, tenant: Tenant, entity: Entity | None) -> tuple[Indexed, Indexed]:
        """Return value rows and geometries of an entity by (attr, dataset, seq)."""
        if entity is None:
            return {}, {}
        typeset = self._names.typeset(self._con, tenant.id, entity.types)
        rows = index_rows(entity)
        values = {
            self._place(row): (typeset, row.kind, row.num, row.txt, row.tim, row.expires_at) for row in rows.values
        }
        geometries = {self._place(row): (row.geojson, row.box) for row in rows.geometries}
        return values, geometries

    def _count(self, tenant: Tenant, entity: Entity | None, by: int) -> None:
        """Count what an entity holds, for discovery."""
        if entity is None:
            return
        typeset = self._names.typeset(self._con, tenant.id, entity.types)
        self._counts[tenant.id, typeset, RESERVED_NAME, ""] += by
        for attr, found in entity.attributes.items():
            number = self._names.intern(self._con, attr)
            for instance in instances(found):
                self._counts[tenant.id, typeset, number, instance["type"]] += by

    def _place(self, row: Any) -> tuple[int, int, int]:
        con = self._con
        return self._names.intern(con, row.attr), self._names.dataset(con, row.dataset), row.seq

    def _history(self, tenant: Tenant, k: bytes, change: Change, version: int) -> None:
        rows = self._rows[statements.HISTORY_INSERT]
        for row in history_rows(change):
            attr = RESERVED_NAME if row.attr == ENTITY_LIFE else self._names.intern(self._con, row.attr)
            dataset = self._names.dataset(self._con, row.dataset)
            times = (row.created_at, row.modified_at)
            rows.append(
                (k, attr, dataset, row.time, row.hash, tenant.id, *times, row.deleted, version, row.num, row.instance)
            )

    def _change(
        self, tenant: Tenant, k: bytes, change: Change, number: int, old_version: int | None, version: int
    ) -> None:
        attributes = {
            what: [self._names.intern(self._con, attr) for attr in attrs]
            for what, attrs in changed_attributes(change).items()
        }
        row = (number, self._txn, k, tenant.id, change.entity_id, change.operation, json_text(attributes))
        self._rows[statements.CHANGE_INSERT].append((*row, old_version, version, change.at))


def _differing(before: Entity | None, after: Entity | None) -> tuple[Entity | None, Entity | None]:
    """Return both states with only the attributes whose index rows can differ."""
    if before is None or after is None or before.types != after.types or before.expires_at != after.expires_at:
        return before, after
    old = {a: found for a, found in before.attributes.items() if after.attributes.get(a) != found}
    new = {a: found for a, found in after.attributes.items() if before.attributes.get(a) != found}
    return replace(before, attributes=old), replace(after, attributes=new)
