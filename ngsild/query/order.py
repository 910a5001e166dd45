"""Ordering of entities (CIM 009 clause 4.23): orderBy -> keys, and the place of an entity under each key.

Where an attribute has several values, the first in the direction of the sort counts. Absent and null values come last
in both directions; entities that tie under all keys are ordered by id.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ngsild.context import Terms
from ngsild.entity import Entity
from ngsild.names import parse_date, parse_date_time, parse_time
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query.ast import Path
from ngsild.query.collation import collation
from ngsild.query.geo import parse_reference, reference_shape, shape_of
from ngsild.query.q import Parser
from ngsild.query.sphere import distance
from ngsild.query.target import Element, Kind, Target, View, reach, targets

MAX_KEYS = 20
_DIRECTIONS = ("asc", "desc", "dist-asc", "dist-desc")
# The datatype comparison order of clause 4.23.2; null is the last in both directions.
_GEO, _NUMBER, _STRING, _OBJECT, _ARRAY, _BOOLEAN, _TIME, _DATE, _DATE_TIME, _NULL = range(10)
ARRAY_PLACE = bytes([_ARRAY])
_MOMENTS = ((_DATE_TIME, parse_date_time), (_DATE, parse_date), (_TIME, parse_time))


@dataclass(frozen=True, slots=True)
class OrderKey:
    path: Path
    descending: bool = False
    by_distance: bool = False


@dataclass(frozen=True, slots=True)
class Ordering:
    """Keys applied one after the other."""

    keys: tuple[OrderKey, ...]
    collation: str | None = None
    """BCP 47 tag of an ICU collation; None compares texts by code point."""
    reference: str | None = None
    """GeoJSON text of the geometry that distances are measured from."""


def parse_order_by(
    order_by: str | Iterable[str],
    terms: Terms,
    collation_tag: str | None = None,
    order_from: Any = None,
    order_geometry: str | None = None,
) -> Ordering:
    """Return the ordering of orderBy, collation, orderFrom and orderGeometry (clause 4.23.3).

    BadRequestData names the parameter at fault.
    """
    items = order_by.split(",") if isinstance(order_by, str) else list(order_by)
    if len(items) > MAX_KEYS:
        raise TooComplexQuery(f"orderBy: more than {MAX_KEYS} members")
    keys = tuple(_key(item, terms) for item in items)
    if collation_tag is not None:
        collation(collation_tag)
    reference = None
    if order_from is not None:
        reference = parse_reference(order_geometry or "Point", order_from, ("orderGeometry", "orderFrom"))
    elif any(key.by_distance for key in keys):
        raise BadRequestData("orderFrom: ordering by distance needs it")
    elif order_geometry is not None:
        raise BadRequestData("orderGeometry: without orderFrom it has no meaning")
    return Ordering(keys, collation_tag, reference)


def _key(item: str, terms: Terms) -> OrderKey:
    name, separator, direction = item.partition(";")
    if separator and direction not in _DIRECTIONS:
        raise BadRequestData(f"orderBy: {direction!r} is none of {', '.join(_DIRECTIONS)}")
    parser = Parser(name, terms, "orderBy")
    path = parser.path()
    parser.end()
    by_distance = direction.startswith("dist-")
    if by_distance and (path.is_entity_member or path.member or path.trail):
        raise BadRequestData(f"orderBy: {name!r} cannot be a GeoProperty")
    return OrderKey(path, direction.endswith("desc"), by_distance)


def sort_entities(entities: Iterable[Entity], ordering: Ordering, view: View) -> list[Entity]:
    """Return entities in their order."""
    found = sorted(entities, key=lambda entity: entity.id)
    for key in reversed(ordering.keys):
        places = [(sort_place(entity, key, ordering, view), entity) for entity in found]
        present = [(place, entity) for place, entity in places if place is not None]
        present.sort(key=lambda pair: pair[0], reverse=key.descending)
        found = [entity for _, entity in present] + [entity for place, entity in places if place is None]
    return found


def sort_key(entity: Entity, ordering: Ordering, view: View) -> tuple[Any, ...]:
    """Return what compares as entities do under a whole ordering."""
    key: list[Any] = []
    for order in ordering.keys:
        place = sort_place(entity, order, ordering, view)
        key.append(place is None)
        key.append(_Descending(place or b"") if order.descending else place or b"")
    return *key, entity.id


@dataclass(frozen=True, slots=True)
class _Descending:
    """A place that comes before smaller ones."""

    place: bytes

    def __lt__(self, other: _Descending) -> bool:
        return self.place > other.place


def sort_place(entity: Entity, key: OrderKey, ordering: Ordering, view: View) -> bytes | None:
    """Return bytes that compare as entities do under a key, None where the entity has nothing there."""
    places = _distances(entity, key, ordering, view) if key.by_distance else _values(entity, key, ordering, view)
    return max(places, default=None) if key.descending else min(places, default=None)


def _distances(entity: Entity, key: OrderKey, ordering: Ordering, view: View) -> Iterator[bytes]:
    reference = reference_shape(ordering.reference or "")
    near = 255 if key.descending else _GEO
    for instance, _ in reach(entity, key.path, view):
        shape = shape_of(instance["value"]) if instance["type"] == "GeoProperty" else None
        if shape is not None:
            yield bytes([near]) + _number_bytes(distance(shape, reference))
    yield from _values(entity, key, ordering, view)


def _values(entity: Entity, key: OrderKey, ordering: Ordering, view: View) -> Iterator[bytes]:
    for target in targets(entity, key.path, view):
        yield from _places(target, key.descending, ordering.collation)


def _places(target: Target, descending: bool, tag: str | None) -> Iterator[bytes]:
    if target.members or not target.scalars:
        yield ARRAY_PLACE
    for element in target.scalars:
        yield element_place(element, descending, tag)


def element_place(element: Element, descending: bool, tag: str | None) -> bytes:
    """Return the place of one scalar."""
    rank, place = _place(element, tag)
    return bytes([0 if rank == _NULL and descending else rank]) + place


def _place(element: Element, tag: str | None) -> tuple[int, bytes]:
    match element.kind:
        case Kind.NUMBER:
            return _NUMBER, _number_bytes(element.value)
        case Kind.BOOLEAN:
            return _BOOLEAN, bytes([bool(element.value)])
        case Kind.SYSTEM_TIME:
            return _DATE_TIME, _moment_bytes(element.value)
        case Kind.OTHER:
            return _OBJECT, b""
        case Kind.NULL:
            return _NULL, b""
    if element.kind is Kind.STRING:
        for rank, parse in _MOMENTS:
            moment = parse(element.value)
            if moment is not None:
                return rank, _moment_bytes(moment)
    return _STRING, element.value.encode() if tag is None else collation(tag).key(element.value)


def _number_bytes(number: float) -> bytes:
    """Return eight bytes that compare as numbers do."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", number + 0.0))
    return int(bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63)).to_bytes(8, "big")


def _moment_bytes(moment: int) -> bytes:
    return (moment + (1 << 63)).to_bytes(8, "big")
