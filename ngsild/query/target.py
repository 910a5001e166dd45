"""Target values: what a path leads to in an entity (CIM 009 clause 4.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple

from ngsild.entity import Entity, Instance, instances, stamp_key
from ngsild.names import parse_date_time
from ngsild.query.ast import TEMPORAL_MEMBERS, Key, Path
from ngsild.query.restriction import EVERYTHING, Restriction


class Kind(IntEnum):
    """The data type of a target value."""

    OTHER = 0
    NUMBER = 1
    BOOLEAN = 2
    STRING = 3
    URI = 4
    SYSTEM_TIME = 5
    """A DateTime of a reserved member, in microseconds since 1970 UTC."""
    NULL = 6


class Element(NamedTuple):
    kind: Kind
    value: Any


class Target(NamedTuple):
    """The target value of one attribute instance.

    It is one of `scalars` (a LanguageProperty has one a language), or an array with these `members`.
    """

    scalars: tuple[Element, ...] = ()
    members: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What of an entity may be looked at: expired or unselected instances are absent, and what a caller may not see."""

    now: int
    restriction: Restriction = EVERYTHING
    """Of the caller; functions on one entity want it as it is seen (`evaluate.seen`)."""
    datasets: frozenset[str] | None = None

    def in_datasets(self, datasets: frozenset[str]) -> View:
        return replace(self, datasets=datasets)

    def first_level(self, entity: Entity, attribute: str) -> Iterator[tuple[Instance, str]]:
        """Yield the instances of an attribute with their stamp keys."""
        for instance, key in self.below(entity.attributes, attribute, ""):
            if self.datasets is None or instance.get("datasetId", "@none") in self.datasets:
                yield instance, key

    def below(self, members: Mapping[str, Any], attribute: str, parent: str) -> Iterator[tuple[Instance, str]]:
        """Yield the instances of a sub-attribute with their stamp keys."""
        found = members.get(attribute)
        if found is None:
            return
        for instance in instances(found):
            if not expired(instance.get("expiresAt"), self.now):
                yield instance, stamp_key(attribute, instance.get("datasetId"), parent)


def expired(expires_at: str | None, now: int) -> bool:
    """Tell whether what has this expiresAt is gone at `now` (clause 4.22)."""
    if expires_at is None:
        return False
    moment = parse_date_time(expires_at)
    return moment is not None and moment <= now


def targets(entity: Entity, path: Path, view: View) -> Iterator[Target]:
    """Yield the target value of each instance to which a path leads."""
    if path.is_entity_member:
        yield from _entity_member(entity, path.attribute)
        return
    for instance, key in reach(entity, path, view):
        if path.member is None:
            found = instance_target(instance, path.trail, path.raw_keys)
        else:
            found = _instance_member(entity, instance, key, path.member)
        if found is not None:
            yield found


def reach(entity: Entity, path: Path, view: View) -> Iterable[tuple[Instance, str]]:
    """Return the instances, with their stamp keys, at the end of the attributes of a path."""
    reached: Iterable[tuple[Instance, str]] = view.first_level(entity, path.attribute)
    for name in path.sub_attributes:
        reached = [down for instance, key in reached for down in view.below(instance, name, key)]
    return reached


def _entity_member(entity: Entity, name: str) -> Iterator[Target]:
    if name == "id":
        yield Target((Element(Kind.URI, entity.id),))
    elif name == "type":
        yield _uris(sorted(entity.types) if len(entity.types) > 1 else entity.types[0])
    elif name == "scope" and entity.scope:
        yield _json(entity.scope if len(entity.scope) > 1 else entity.scope[0])
    elif name == "createdAt":
        yield _time(entity.created_at)
    elif name == "modifiedAt":
        yield _time(entity.modified_at)
    elif name == "expiresAt" and entity.expires_at is not None:
        yield _time(parse_date_time(entity.expires_at))


def _instance_member(entity: Entity, instance: Instance, key: str, name: str) -> Target | None:
    if name in ("createdAt", "modifiedAt"):
        created, modified = entity.stamps.get(key, (entity.created_at, entity.created_at))
        return _time(created if name == "createdAt" else modified)
    held = instance.get(name)
    if held is None:
        return None
    if name in TEMPORAL_MEMBERS:
        return _time(parse_date_time(held))
    if name == "unitCode":
        return Target((Element(Kind.STRING, held),))
    return _uris(held)


def instance_target(instance: Instance, trail: tuple[Key, ...] = (), raw_keys: bool = False) -> Target | None:
    """Return the target value of an instance; None where the trail leads to nothing."""
    match instance["type"]:
        case "Property" | "GeoProperty":
            return _json_below(instance["value"], trail, raw_keys)
        case "JsonProperty":
            return _json_below(instance["json"], trail, True)
        case "LanguageProperty":
            return _language(instance["languageMap"], trail)
    if trail:
        return None
    match instance["type"]:
        case "Relationship":
            return _uris(instance["object"])
        case "VocabProperty":
            return _uris(instance["vocab"])
        case "ListRelationship":
            return _uris([item["object"] for item in instance["objectList"]])
    return _json(instance["valueList"])


def _json_below(value: Any, trail: tuple[Key, ...], raw_keys: bool) -> Target | None:
    for key in trail:
        if not isinstance(value, dict):
            return None
        if not raw_keys and key.iri in value:
            value = value[key.iri]
        elif key.raw in value:
            value = value[key.raw]
        else:
            return None
    return _json(value)


def _json(value: Any) -> Target:
    if isinstance(value, list):
        return Target((), tuple(map(_element, value)))
    return Target((_element(value),))


def _element(value: Any) -> Element:
    if isinstance(value, dict):
        if "@value" not in value:
            return Element(Kind.OTHER, None)
        value = value["@value"]
    if isinstance(value, bool):
        return Element(Kind.BOOLEAN, value)
    if isinstance(value, int | float):
        return Element(Kind.NUMBER, float(value))
    if isinstance(value, str):
        return Element(Kind.STRING, value)
    return Element(Kind.NULL if value is None else Kind.OTHER, None)


def _uris(value: str | list[str]) -> Target:
    if isinstance(value, list):
        return Target((), tuple(Element(Kind.URI, uri) for uri in value))
    return Target((Element(Kind.URI, value),))


def _time(moment: int | None) -> Target:
    return Target((Element(Kind.SYSTEM_TIME, moment),))


def _language(texts: Mapping[str, str | list[str]], trail: tuple[Key, ...]) -> Target | None:
    if len(trail) > 1:
        return None
    wanted = trail[0].raw.lower() if trail else "*"
    found = [text for tag, text in texts.items() if wanted in ("*", tag.lower())]
    if not found:
        return None
    return Target(
        tuple(Element(Kind.STRING, text) for text in found if isinstance(text, str)),
        tuple(Element(Kind.STRING, member) for text in found if isinstance(text, list) for member in text),
    )
