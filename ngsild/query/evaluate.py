"""The meaning of the query AST, said plainly: does an entity meet it? (CIM 009 clauses 4.9, 4.10, 4.17 and 4.19)

Subscriptions and policies use this evaluator, and the SQL of every database is tested against it (decision 20).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from ngsild.entity import Entity
from ngsild.names import parse_date, parse_date_time, parse_time
from ngsild.query.ast import (
    And,
    Compare,
    Equal,
    Exists,
    GeoQuery,
    HasId,
    HasType,
    IdMatches,
    InDatasets,
    InScope,
    Linked,
    Match,
    Moment,
    Node,
    Number,
    Or,
    OwnedBy,
    Range,
    Scalar,
    Text,
)
from ngsild.query.geo import relates, shape_of
from ngsild.query.restriction import Restriction
from ngsild.query.scope import scope_matches
from ngsild.query.selection import EntityQuery
from ngsild.query.target import Element, Kind, Target, View, expired, targets
from ngsild.query.types import has_type

LinkedEntity = Callable[[str], Entity | None]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PARSE_MOMENT = {"DateTime": parse_date_time, "Date": parse_date, "Time": parse_time}


def matches(query: EntityQuery, entity: Entity, restriction: Restriction, linked: LinkedEntity, now: int) -> bool:
    """Tell whether a query finds an entity; `linked` gives the entities that its relationships name."""
    return readable(entity, restriction, linked, now) and holds(
        query.condition(), entity, View(now, restriction), linked
    )


def readable(entity: Entity, restriction: Restriction, linked: LinkedEntity, now: int) -> bool:
    """Tell whether an entity is there for a caller: not expired, and no restriction hides it."""
    if expired(entity.expires_at, now):
        return False
    return restriction.row is None or holds(restriction.row, entity, View(now), linked)


def holds(node: Node, entity: Entity, view: View, linked: LinkedEntity) -> bool:
    """Tell whether an entity meets a node."""
    match node:
        case And():
            return all(holds(term, entity, view, linked) for term in node.terms)
        case Or():
            return any(holds(term, entity, view, linked) for term in node.terms)
        case InDatasets():
            return holds(node.term, entity, view.in_datasets(node.datasets), linked)
        case Linked():
            return _linked(node, entity, view, linked)
        case Exists():
            return any(True for _ in targets(entity, node.path, view))
        case Equal():
            found = targets(entity, node.path, view)
            return any(_equals(target, node.values) is not node.negated for target in found)
        case Compare() | Match():
            return any(_compares(target, node) for target in targets(entity, node.path, view))
    return _entity_holds(node, entity, view)


def _entity_holds(node: HasId | IdMatches | HasType | InScope | OwnedBy | GeoQuery, entity: Entity, view: View) -> bool:
    match node:
        case HasId():
            return entity.id in node.ids
        case IdMatches():
            return node.pattern.found_in(entity.id)
        case HasType():
            return has_type(node, entity.types)
        case OwnedBy():
            return entity.owner in node.owners
        case InScope():
            return any(
                all(any(scope_matches(pattern, scope) for scope in entity.scope) for pattern in group)
                for group in node.any_of
            )
        case GeoQuery():
            return any(
                (shape := shape_of(instance["value"])) is not None and relates(node, shape)
                for instance, _ in view.first_level(entity, node.attribute)
                if instance["type"] == "GeoProperty"
            )


def _linked(node: Linked, entity: Entity, view: View, linked: LinkedEntity) -> bool:
    for uri in _objects(entity, node.relationship, view):
        other = linked(uri)
        if (
            other is not None
            and (not node.types or not node.types.isdisjoint(other.types))
            and readable(other, view.restriction, linked, view.now)
            and holds(node.term, other, view, linked)
        ):
            return True
    return False


def _objects(entity: Entity, relationship: str, view: View) -> Iterator[str]:
    for instance, _ in view.first_level(entity, relationship):
        if instance["type"] == "Relationship":
            found = instance["object"]
            yield from found if isinstance(found, list) else [found]
        elif instance["type"] == "ListRelationship":
            yield from (item["object"] for item in instance["objectList"])


def _equals(target: Target, values: tuple[Scalar | Range, ...]) -> bool:
    return any(
        any(_in_range(element, value) for element in target.scalars)
        if isinstance(value, Range)
        else any(_same(element, value) for element in target.scalars + target.members)
        for value in values
    )


def _same(element: Element, value: Scalar) -> bool:
    if isinstance(value, Text) and element.kind is Kind.URI:
        return bool(element.value == value.value)
    return bool(as_type_of(value, element) == value.value)


def _in_range(element: Element, value: Range) -> bool:
    found = as_type_of(value.low, element)
    return found is not None and value.low.value <= found <= value.high.value


def _compares(target: Target, node: Compare | Match) -> bool:
    if isinstance(node, Compare):
        return any(
            (found := as_type_of(node.value, element)) is not None and _ORDER[node.operator](found, node.value.value)
            for element in target.scalars
        )
    strings = [element.value for element in target.scalars if element.kind is Kind.STRING]
    found = any(map(node.pattern.found_in, strings))
    return bool(strings) and not found if node.negated else found


def as_type_of(wanted: Scalar, element: Element) -> Any:
    """Return a target value in the data type of a query value, None where it is of another type."""
    kind = element.kind
    match wanted:
        case Number():
            return element.value if kind is Kind.NUMBER else None
        case Text():
            return element.value if kind is Kind.STRING else None
        case Moment():
            if kind is Kind.SYSTEM_TIME:
                return element.value if wanted.type == "DateTime" else None
            return _PARSE_MOMENT[wanted.type](element.value) if kind is Kind.STRING else None
    return element.value if kind is Kind.BOOLEAN else None
