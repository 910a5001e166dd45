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
from ngsild.entity import Attribute, Entity, instances

_Indexed = dict[tuple[int, int, int], tuple[Any, ...]]

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
        old_values, old_geometries = self._indexed(tenant, old, -1)
        new_values, new_geometries = self._indexed(tenant, new, 1)
        rows = self._rows
        rows[statements.VALUE_DELETE] += [(k, *place) for place in old_values if place not in new_values]
        rows[statements.VALUE_UPSERT] += [
            (k, *place, *row) for place, row in new_values.items() if old_values.get(place) != row
        ]
        for place, geometry in old_geometries.items():
            if new_geometries.get(place) != geometry:
                rows[statements.BOX_DELETE].append((k, *place))
                rows[statements.GEOMETRY_DELETE].append((k, *place))
        for place, geometry in new_geometries.items():
            if old_geometries.get(place) != geometry:
                self._counters.geometry += 1
                number = self._counters.geometry
                rows[statements.GEOMETRY_INSERT].append((number, k, tenant.id, *place, geometry[0]))
                rows[statements.BOX_INSERT].append((number, *geometry[1]))
        old_scopes = set(before.scope) if before is not None else set()
        new_scopes = set(after.scope) if after is not None else set()
        rows[statements.SCOPE_DELETE] += [(k, scope) for scope in old_scopes - new_scopes]
        rows[statements.SCOPE_INSERT] += [(k, scope, tenant.id) for scope in new_scopes - old_scopes]

    def _indexed(self, tenant: Tenant, entity: Entity | None, by: int) -> tuple[_Indexed, _Indexed]:
        """Return value rows and geometries of an entity by (attr, dataset, seq); count what it holds for discovery."""
        if entity is None:
            return {}, {}
        names, con, counts = self._names, self._con, self._counts
        typeset = names.typeset(con, tenant.id, entity.types)
        counts[tenant.id, typeset, RESERVED_NAME, ""] += by
        for attr, found in entity.attributes.items():
            number = names.intern(con, attr)
            for instance in instances(found):
                counts[tenant.id, typeset, number, instance["type"]] += by
        rows = index_rows(entity)
        values = {
            (names.intern(con, attr), names.dataset(con, dataset), seq): (tenant.id, typeset, *columns)
            for attr, dataset, seq, *columns in rows.values
        }
        geometries = {
            (names.intern(con, attr), names.dataset(con, dataset), seq): tuple(columns)
            for attr, dataset, seq, *columns in rows.geometries
        }
        return values, geometries

    def _history(self, tenant: Tenant, k: bytes, change: Change, version: int) -> None:
        names, con = self._names, self._con
        self._rows[statements.HISTORY_INSERT] += [
            (
                k,
                RESERVED_NAME if attr == ENTITY_LIFE else names.intern(con, attr),
                names.dataset(con, dataset),
                time,
                digest,
                tenant.id,
                created_at,
                modified_at,
                deleted,
                version,
                num,
                instance,
            )
            for attr, dataset, time, digest, created_at, modified_at, deleted, num, instance in history_rows(change)
        ]

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
    old, new = before.attributes, after.attributes
    differing = {a for a in old.keys() | new.keys() if not _same(old.get(a), new.get(a))}
    return (
        replace(before, attributes={a: found for a, found in old.items() if a in differing}),
        replace(after, attributes={a: found for a, found in new.items() if a in differing}),
    )


def _same(one: Attribute | None, other: Attribute | None) -> bool:
    """Tell whether two attributes are written alike; Python's equality takes True for 1."""
    return one is other or json_text(one) == json_text(other)
