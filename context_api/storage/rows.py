"""The rows that changes make, in every database the same, gathered from many changes for one statement a table.

`key` stands for the entity and `version` for its new version in all rows of a change: what a database writes there is
its own affair. Names and type sets are interned already when rows are gathered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from context_api.storage.codec import Encoded, encode, json_text
from context_api.storage.history import ENTITY_LIFE, changed_attributes, history_rows
from context_api.storage.index_rows import index_rows
from context_api.storage.port import Change, Tenant
from context_api.storage.tables import RESERVED_NAME
from ngsild.entity import Attribute, Entity, instances

Key = TypeVar("Key")
Line = tuple[Any, ...]
_Indexed = dict[tuple[int, int, int], Line]


class Interning(Protocol):
    """Numbers that stand for names in the narrow tables."""

    def intern(self, iri: str) -> int:
        """Return the number of the IRI of an attribute or dataset."""

    def typeset(self, tenant: int, types: Sequence[str]) -> int:
        """Return the number of a set of types in a tenant."""


@dataclass(slots=True)
class Rows(Generic[Key]):
    """Rows to write and keys of rows to delete, columns in the order of the comments."""

    names: Interning
    entity_inserts: list[Line] = field(default_factory=list)
    """key, tenant, id, typeset, scope, sys, created_at, modified_at, version, expires_at, next_expiry, owner, doc"""
    entity_updates: list[Line] = field(default_factory=list)
    """typeset, scope, sys, created_at, modified_at, version, expires_at, next_expiry, owner, doc, key"""
    entity_deletes: list[Line] = field(default_factory=list)
    """key"""
    value_deletes: list[Line] = field(default_factory=list)
    """key, attr, dataset, seq"""
    value_upserts: list[Line] = field(default_factory=list)
    """key, attr, dataset, seq, tenant, typeset, kind, num, txt, tim, expires_at"""
    geometry_deletes: list[Line] = field(default_factory=list)
    """key, attr, dataset, seq"""
    geometry_inserts: list[Line] = field(default_factory=list)
    """key, tenant, attr, dataset, seq, geojson, (min_x, max_x, min_y, max_y)"""
    scope_deletes: list[Line] = field(default_factory=list)
    """key, scope"""
    scope_inserts: list[Line] = field(default_factory=list)
    """key, scope, tenant"""
    history: list[Line] = field(default_factory=list)
    """key, attr, dataset, time, hash, tenant, created_at, modified_at, deleted, version, num, instance"""
    changes: list[Line] = field(default_factory=list)
    """key, tenant, entity_id, operation, attributes, old_version, version, at"""
    counts: Counter[tuple[int, int, int, str]] = field(default_factory=Counter)
    """(tenant, typeset, attr, attribute type) -> instances more than before, for table `occurrence`"""

    def add(self, tenant: Tenant, key: Key, change: Change, version: int) -> Encoded | None:
        """Gather the rows of one change; `version` is that of the entity after it.

        Returns the columns of the entity, None where the change does not write it.
        """
        written = None
        if change.after is not change.before:
            self._index(tenant, key, change.before, change.after)
            written = self._entity(tenant, key, change, version)
        self._history(tenant, key, change, version)
        self._change(tenant, key, change, version)
        return written

    def _entity(self, tenant: Tenant, key: Key, change: Change, version: int) -> Encoded | None:
        after = change.after
        if after is None:
            self.entity_deletes.append((key,))
            return None
        columns = encode(after)
        row = (
            self.names.typeset(tenant.id, after.types),
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
            self.entity_inserts.append((key, tenant.id, after.id, *row))
        else:
            self.entity_updates.append((*row, key))
        return columns

    def _index(self, tenant: Tenant, key: Key, before: Entity | None, after: Entity | None) -> None:
        """Gather the index rows that differ between two states of an entity (decision 5)."""
        old, new = _differing(before, after)
        old_values, old_geometries = self._indexed(tenant, old, -1)
        new_values, new_geometries = self._indexed(tenant, new, 1)
        self.value_deletes += [(key, *place) for place in old_values if place not in new_values]
        self.value_upserts += [(key, *place, *row) for place, row in new_values.items() if old_values.get(place) != row]
        for place, geometry in old_geometries.items():
            if new_geometries.get(place) != geometry:
                self.geometry_deletes.append((key, *place))
        for place, geometry in new_geometries.items():
            if old_geometries.get(place) != geometry:
                self.geometry_inserts.append((key, tenant.id, *place, *geometry))
        old_scopes = set(before.scope) if before is not None else set()
        new_scopes = set(after.scope) if after is not None else set()
        self.scope_deletes += [(key, scope) for scope in old_scopes - new_scopes]
        self.scope_inserts += [(key, scope, tenant.id) for scope in new_scopes - old_scopes]

    def _indexed(self, tenant: Tenant, entity: Entity | None, by: int) -> tuple[_Indexed, _Indexed]:
        """Return value rows and geometries of an entity by (attr, dataset, seq); count what it holds for discovery."""
        if entity is None:
            return {}, {}
        intern, counts = self.names.intern, self.counts
        typeset = self.names.typeset(tenant.id, entity.types)
        counts[tenant.id, typeset, RESERVED_NAME, ""] += by
        for attr, found in entity.attributes.items():
            number = intern(attr)
            for instance in instances(found):
                counts[tenant.id, typeset, number, instance["type"]] += by
        rows = index_rows(entity)
        values = {
            (intern(attr), self._dataset(dataset), seq): (tenant.id, typeset, *columns)
            for attr, dataset, seq, *columns in rows.values
        }
        geometries = {
            (intern(attr), self._dataset(dataset), seq): tuple(columns)
            for attr, dataset, seq, *columns in rows.geometries
        }
        return values, geometries

    def _history(self, tenant: Tenant, key: Key, change: Change, version: int) -> None:
        self.history += [
            (
                key,
                RESERVED_NAME if attr == ENTITY_LIFE else self.names.intern(attr),
                self._dataset(dataset),
                time,
                digest,
                tenant.id,
                created_at,
                modified_at,
                int(deleted),
                version,
                num,
                instance,
            )
            for attr, dataset, time, digest, created_at, modified_at, deleted, num, instance in history_rows(change)
        ]

    def _change(self, tenant: Tenant, key: Key, change: Change, version: int) -> None:
        attributes = {
            what: [self.names.intern(attr) for attr in attrs] for what, attrs in changed_attributes(change).items()
        }
        old_version = None if change.before is None else change.before.version
        self.changes.append(
            (key, tenant.id, change.entity_id, change.operation, json_text(attributes), old_version, version, change.at)
        )

    def _dataset(self, iri: str | None) -> int:
        return RESERVED_NAME if iri is None else self.names.intern(iri)


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
