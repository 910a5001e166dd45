"""The rows that changes make, in every database the same, gathered from many changes for one statement a table.

`key` stands for the entity and `version` for its new version in all rows of a change: what a database writes there is
its own affair. Names and type sets are interned already when rows are gathered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from context_api.storage.codec import Encoded, encode, json_text, microseconds
from context_api.storage.history import ENTITY_LIFE, changed_attributes, history_rows
from context_api.storage.index_rows import geometry_columns, value_columns
from context_api.storage.port import Change, Tenant
from context_api.storage.tables import RESERVED_NAME
from ngsild.entity import Attribute, Entity, instances

Key = TypeVar("Key")
Line = tuple[Any, ...]


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
    """key, attr, dataset, seq, tenant, geojson, (min_x, max_x, min_y, max_y)"""
    scope_deletes: list[Line] = field(default_factory=list)
    """key, scope"""
    scope_inserts: list[Line] = field(default_factory=list)
    """key, scope, tenant"""
    history: list[Line] = field(default_factory=list)
    """key, attr, dataset, time, hash, tenant, created_at, modified_at, deleted, version, num, instance"""
    changes: list[Line] = field(default_factory=list)
    """key, tenant, entity_id, operation, attributes, old_version, version, at, report"""
    counts: Counter[tuple[int, int, int, str]] = field(default_factory=Counter)
    """(tenant, typeset, attr, attribute type) -> instances more than before, for table `occurrence`"""
    _numbers: _Numbers = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = _Numbers(self.names)

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
        old_values, old_geometries = self._indexed(tenant, key, old, -1)
        new_values, new_geometries = self._indexed(tenant, key, new, 1)
        known, kept = set(old_values), {_place(row) for row in new_values} if old_values else set()
        self.value_deletes += [_place(row) for row in old_values if _place(row) not in kept]
        self.value_upserts += [row for row in new_values if row not in known] if known else new_values
        same = set(old_geometries).intersection(new_geometries)
        self.geometry_deletes += [_place(row) for row in old_geometries if row not in same]
        self.geometry_inserts += [row for row in new_geometries if row not in same]
        old_scopes = set(before.scope) if before is not None else set()
        new_scopes = set(after.scope) if after is not None else set()
        self.scope_deletes += [(key, scope) for scope in old_scopes - new_scopes]
        self.scope_inserts += [(key, scope, tenant.id) for scope in new_scopes - old_scopes]

    def _indexed(self, tenant: Tenant, key: Key, entity: Entity | None, by: int) -> tuple[list[Line], list[Line]]:
        """Return value and geometry rows of an entity; count what it holds for discovery."""
        values: list[Line] = []
        geometries: list[Line] = []
        if entity is None:
            return values, geometries
        numbers, counts, number_of_tenant = self._numbers, self.counts, tenant.id
        typeset = self.names.typeset(number_of_tenant, entity.types)
        counts[number_of_tenant, typeset, RESERVED_NAME, ""] += by
        for attr, found in entity.attributes.items():
            number = numbers[attr]
            for instance in instances(found):
                kind, dataset = instance["type"], numbers[instance.get("datasetId")]
                counts[number_of_tenant, typeset, number, kind] += by
                expires = instance.get("expiresAt")
                expires_at = None if expires is None else microseconds(expires)
                for seq, (form, num, txt, tim) in enumerate(value_columns(instance)):
                    values.append(
                        (key, number, dataset, seq, number_of_tenant, typeset, form, num, txt, tim, expires_at)
                    )
                if kind == "GeoProperty" and (geometry := geometry_columns(instance)) is not None:
                    geometries.append((key, number, dataset, 0, number_of_tenant, *geometry))
        return values, geometries

    def _history(self, tenant: Tenant, key: Key, change: Change, version: int) -> None:
        numbers, number_of_tenant = self._numbers, tenant.id
        self.history += [
            (
                key,
                numbers[attr],
                numbers[dataset],
                time,
                digest,
                number_of_tenant,
                created_at,
                modified_at,
                deleted,
                version,
                num,
                instance,
            )
            for attr, dataset, time, digest, created_at, modified_at, deleted, num, instance in history_rows(change)
        ]

    def _change(self, tenant: Tenant, key: Key, change: Change, version: int) -> None:
        numbers = self._numbers
        attributes = {what: [numbers[attr] for attr in attrs] for what, attrs in changed_attributes(change).items()}
        old_version = None if change.before is None else change.before.version
        self.changes.append(
            (
                key,
                tenant.id,
                change.entity_id,
                change.operation,
                json_text(attributes),
                old_version,
                version,
                change.at,
                change.report,
            )
        )


class _Numbers(dict[str | None, int]):
    """The numbers of names, each asked for once."""

    def __init__(self, names: Interning) -> None:
        super().__init__({None: RESERVED_NAME, ENTITY_LIFE: RESERVED_NAME})
        self._intern = names.intern

    def __missing__(self, iri: str) -> int:
        number = self[iri] = self._intern(iri)
        return number


def _place(row: Line) -> Line:
    """Return what names an index row in its table: key, attr, dataset, seq."""
    return row[:4]


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
