"""Which entity types and attributes there are (clauses 5.7.5 to 5.7.10), computed from occurrences.

An occurrence says how often entities with one set of types hold instances of one attribute with one attribute type. The
store keeps the sums up to date; for a caller who may see some entities only, they are counted from those entities.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from context_api.storage.port import AttributeInfo, Tenant, TypeInfo
from ngsild.entity import Entity, instances
from ngsild.query import Restriction

_SELECT = """
    SELECT typeset.types, name.iri, occurrence.type, occurrence.count
    FROM occurrence JOIN typeset ON typeset.id = occurrence.typeset JOIN name ON name.id = occurrence.attr
    WHERE occurrence.tenant = ? AND occurrence.count > 0
"""


class Occurrence(NamedTuple):
    """`attribute` is empty where the entities themselves are counted."""

    types: tuple[str, ...]
    attribute: str
    attribute_type: str
    instances: int


def stored_occurrences(con: sqlite3.Connection, tenant: Tenant) -> list[Occurrence]:
    """Return the occurrences of all entities of a tenant."""
    return [Occurrence(tuple(orjson.loads(types)), *rest) for types, *rest in con.execute(_SELECT, (tenant.id,))]


def counted_occurrences(entities: Iterable[Entity]) -> list[Occurrence]:
    """Return the occurrences of these entities."""
    counts: Counter[tuple[tuple[str, ...], str, str]] = Counter()
    for entity in entities:
        types = tuple(sorted(entity.types))
        counts[types, "", ""] += 1
        for attribute, found in entity.attributes.items():
            for instance in instances(found):
                counts[types, attribute, instance["type"]] += 1
    return [Occurrence(*what, count) for what, count in counts.items()]


def visible(occurrences: Iterable[Occurrence], restriction: Restriction) -> list[Occurrence]:
    """Return occurrences less those of attributes that a caller may not read."""
    return [o for o in occurrences if not o.attribute or not restriction.hides(o.attribute)]


def types_of(occurrences: Iterable[Occurrence]) -> dict[str, frozenset[str]]:
    """Return each entity type with its attributes."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for occurrence in occurrences:
        for iri in occurrence.types:
            found[iri].update(filter(None, [occurrence.attribute]))
    return {iri: frozenset(attributes) for iri, attributes in sorted(found.items())}


def attributes_of(occurrences: Iterable[Occurrence]) -> dict[str, frozenset[str]]:
    """Return each attribute with the types of the entities that have it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for occurrence in occurrences:
        if occurrence.attribute:
            found[occurrence.attribute].update(occurrence.types)
    return {iri: frozenset(types) for iri, types in sorted(found.items())}


def type_info_of(occurrences: Iterable[Occurrence], iri: str) -> TypeInfo | None:
    """Return one entity type, None where no entity has it."""
    entities = 0
    attributes: defaultdict[str, set[str]] = defaultdict(set)
    for occurrence in occurrences:
        if iri not in occurrence.types:
            continue
        if occurrence.attribute:
            attributes[occurrence.attribute].add(occurrence.attribute_type)
        else:
            entities += occurrence.instances
    if not entities:
        return None
    return TypeInfo(iri, entities, {name: frozenset(kinds) for name, kinds in sorted(attributes.items())})


def attribute_info_of(occurrences: Iterable[Occurrence], iri: str) -> AttributeInfo | None:
    """Return one attribute, None where no entity has it."""
    mine = [occurrence for occurrence in occurrences if occurrence.attribute == iri]
    if not mine:
        return None
    return AttributeInfo(
        iri,
        count=sum(occurrence.instances for occurrence in mine),
        attribute_types=frozenset(occurrence.attribute_type for occurrence in mine),
        types=frozenset(name for occurrence in mine for name in occurrence.types),
    )
