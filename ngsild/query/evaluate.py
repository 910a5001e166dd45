"""The meaning of the query AST, said plainly: does an entity meet it? (CIM 009 clauses 4.9, 4.10, 4.17 and 4.19)

Subscriptions and policies use this evaluator, and the SQL of every database is tested against it (decision 20).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import orjson

from ngsild.entity import Attribute, Entity, Instance, attribute_of, instances, stamp_key
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
    Not,
    Number,
    Or,
    OwnedBy,
    Range,
    Scalar,
    Text,
)
from ngsild.query.geo import relates, shape_of
from ngsild.query.restriction import Restriction, Rule
from ngsild.query.scope import in_scope
from ngsild.query.selection import EntityQuery
from ngsild.query.target import Element, Kind, Target, View, expired, targets
from ngsild.query.types import has_type

LinkedEntity = Callable[[str], Entity | None]

#: The version of an entity of which something may be hidden.
UNVERSIONED = -1

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PARSE_MOMENT = {"DateTime": parse_date_time, "Date": parse_date, "Time": parse_time}


def matches(query: EntityQuery, entity: Entity, restriction: Restriction, linked: LinkedEntity, now: int) -> bool:
    """Tell whether a query finds an entity; `linked` gives the entities that its relationships name."""
    return readable(entity, restriction, now) and holds(query.condition(), entity, View(now, restriction), linked)


def readable(entity: Entity, restriction: Restriction, now: int) -> bool:
    """Tell whether an entity is there for a caller: not expired, and no restriction hides it."""
    return not expired(entity.expires_at, now) and seen(entity, restriction, now) is not None


def seen(entity: Entity, restriction: Restriction, now: int) -> Entity | None:
    """Return an entity as a caller sees it, None where it is not there.

    Where something may be hidden, the time of its last change is that of what is shown, and its version is UNVERSIONED:
    else they would tell of changes to what is not.
    """
    own = restriction.of_types(frozenset(entity.types))
    if own.everything:
        return entity
    if any(rule.whole and _meets(entity, rule, now) for rule in own.prohibitions):
        return None
    if not any(_meets(entity, rule, now) for rule in own.permissions):
        return None
    return entity if own.total else _as_shown(entity, own, now)


def shown_of(entity: Entity, restriction: Restriction, now: int) -> Entity:
    """Return the same of an entity that is there for the caller, such as one that a query of the caller found."""
    own = restriction.of_types(frozenset(entity.types))
    return entity if own.total else _as_shown(entity, own, now)


def version_of(shown: Entity) -> int:
    """Return the version of an entity as it is seen: where something may be hidden, a hash of what is shown."""
    if shown.version != UNVERSIONED:
        return shown.version
    what = [shown.types, shown.scope, shown.expires_at, shown.attributes, shown.stamps]
    digest = blake2b(orjson.dumps(what, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _as_shown(entity: Entity, own: Restriction, now: int) -> Entity:
    if own.typed:
        return _as_if_all(entity, {name: each for name, each in entity.attributes.items() if own.shows(name)})
    permissions = [rule for rule in own.permissions if _meets(entity, rule, now)]
    prohibitions = [rule for rule in own.prohibitions if _meets(entity, rule, now)]
    shown: dict[str, Attribute] = {}
    for name, attribute in entity.attributes.items():
        kept = [each for each in instances(attribute) if _shown(name, each, permissions, prohibitions)]
        if kept:
            shown[name] = attribute_of(kept)
    return _as_if_all(entity, shown)


def _meets(entity: Entity, rule: Rule, now: int) -> bool:
    return rule.where is None or _holds(rule.where, entity, View(now), lambda _: None)


def _shown(name: str, instance: Instance, permissions: Iterable[Rule], prohibitions: Iterable[Rule]) -> bool:
    dataset = instance.get("datasetId", "@none")
    if any(rule.covers(name, dataset) for rule in prohibitions):
        return False
    return any(rule.covers(name, dataset) for rule in permissions)


def _as_if_all(entity: Entity, attributes: dict[str, Attribute]) -> Entity:
    """Return an entity as if these were all its attributes."""
    stamps = entity.stamps
    if stamps:
        held = ((name, each) for name, found in attributes.items() for each in instances(found))
        keys = {stamp_key(name, each.get("datasetId")) for name, each in held}
        stamps = {key: stamp for key, stamp in stamps.items() if " ".join(key.split(" ")[:2]) in keys}
    modified = max((moment for _, moment in stamps.values()), default=entity.created_at)
    return replace(
        entity,
        attributes=attributes,
        stamps=stamps,
        modified_at=max(modified, entity.created_at),
        version=UNVERSIONED,
    )


def holds(node: Node, entity: Entity, view: View, linked: LinkedEntity) -> bool:
    """Tell whether an entity, as it is seen, meets a node."""
    shown = seen(entity, view.restriction, view.now)
    return shown is not None and _holds(node, shown, view, linked)


def _holds(node: Node, entity: Entity, view: View, linked: LinkedEntity) -> bool:
    match node:
        case And():
            return all(_holds(term, entity, view, linked) for term in node.terms)
        case Or():
            return any(_holds(term, entity, view, linked) for term in node.terms)
        case Not():
            return not _holds(node.term, entity, view, linked)
        case InDatasets():
            return _holds(node.term, entity, view.in_datasets(node.datasets), linked)
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
            return in_scope(node, entity.scope)
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
            and not expired(other.expires_at, view.now)
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
