"""Which entity types and attributes there are (clauses 5.7.5 to 5.7.10), computed from occurrences.

An occurrence says how often entities with one set of types hold instances of one attribute with one attribute type. A
store keeps the sums in its way; for a caller who may see some entities only, they are counted from those entities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from context_api.storage.port import AttributeInfo, Tenant, TypeInfo
from ngsild.entity import Entity, instances
from ngsild.query import Restriction
from ngsild.query.evaluate import seen


class Occurrence(NamedTuple):
    """`attribute` is empty where the entities themselves are counted."""

    types: tuple[str, ...]
    attribute: str
    attribute_type: str
    instances: int


Counts = Counter[tuple[tuple[str, ...], str, str]]
"""Types, attribute ("" for the entities themselves) and attribute type, with how often they occur."""


class Discovery(ABC):
    """The part of a store that tells which types and attributes there are."""

    @abstractmethod
    async def occurrences(self, tenant: Tenant, restriction: Restriction) -> list[Occurrence]:
        """Return the occurrences of those entities that a caller may see, less what has expired."""

    async def types(self, tenant: Tenant, restriction: Restriction) -> dict[str, frozenset[str]]:
        """Return each entity type with the attributes that its entities have."""
        return types_of(await self._visible(tenant, restriction))

    async def type_info(self, tenant: Tenant, iri: str, restriction: Restriction) -> TypeInfo | None:
        """Return one entity type, None where no entity has it."""
        return type_info_of(await self._visible(tenant, restriction), iri)

    async def attributes(self, tenant: Tenant, restriction: Restriction) -> dict[str, frozenset[str]]:
        """Return each attribute with the types of the entities that have it."""
        return attributes_of(await self._visible(tenant, restriction))

    async def attribute_info(self, tenant: Tenant, iri: str, restriction: Restriction) -> AttributeInfo | None:
        """Return one attribute, None where no entity has it."""
        return attribute_info_of(await self._visible(tenant, restriction), iri)

    async def _visible(self, tenant: Tenant, restriction: Restriction) -> list[Occurrence]:
        found = await self.occurrences(tenant, restriction)
        return visible(found, restriction) if restriction.typed else found


def count(counts: Counts, entities: Iterable[Entity], restriction: Restriction, now: int) -> None:
    """Count the occurrences of these entities too, as a caller sees them."""
    for entity in filter(None, (seen(each, restriction, now) for each in entities)):
        types = tuple(sorted(entity.types))
        counts[types, "", ""] += 1
        for attribute, found in entity.attributes.items():
            for instance in instances(found):
                counts[types, attribute, instance["type"]] += 1


def counted_occurrences(counts: Counts) -> list[Occurrence]:
    """Return what has been counted."""
    return [Occurrence(*what, number) for what, number in counts.items()]


def visible(occurrences: Iterable[Occurrence], restriction: Restriction) -> list[Occurrence]:
    """Return occurrences less those of what a caller may not see, whose restriction goes by types alone."""
    return [o for o in occurrences if _is_visible(o, restriction.of_types(frozenset(o.types)))]


def _is_visible(occurrence: Occurrence, restriction: Restriction) -> bool:
    if not restriction.permissions or any(rule.whole for rule in restriction.prohibitions):
        return False
    return not occurrence.attribute or bool(restriction.shows(occurrence.attribute))


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
