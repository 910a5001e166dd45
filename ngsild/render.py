"""Rendering: the stored form to the representations a client asks for (CIM 009 clauses 4.5.1 to 4.5.24, 5.7.1.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ngsild.context import Terms
from ngsild.entity import VALUE_MEMBERS, Attribute, Entity, Instance, Stamp, stamp_key
from ngsild.expand import SYSTEM_MEMBERS
from ngsild.geometry import is_geometry
from ngsild.language import choose_language
from ngsild.names import format_date_time
from ngsild.problems import TooManyResults
from ngsild.projection import Projection, below, project

Format = Literal["normalized", "concise", "simplified"]
Links = Mapping[str, Entity]
_RESERVED_IN_VALUES = frozenset(VALUE_MEMBERS.values()) | {"type", "@type", "@context"}


@dataclass(frozen=True, slots=True)
class Representation:
    """How entities are shown."""

    format: Format = "normalized"
    sys_attrs: bool = False
    languages: tuple[str, ...] | None = None
    """Language ranges, best first, that turn LanguageProperties into Properties (clause 4.15)."""
    pick: Projection | None = None
    omit: Projection | None = None
    attrs: frozenset[str] | None = None
    links: Links = field(default_factory=dict)
    """Linked entities by id, shown inside the relationships that name them (inline join, clause 4.5.23.2)."""
    join_level: int = 0
    encountered: frozenset[str] = frozenset()
    max_inline: int = 5000
    """Linked entities shown in one answer, each time one is shown counted: many paths may lead to the same."""


def render_entity(entity: Entity, terms: Terms, representation: Representation) -> dict[str, Any]:
    """Return the JSON object of an entity, without @context."""
    return Renderer(terms, representation).entity(entity)


def feature_of(entity: Entity, members: dict[str, Any], geometry_property: str, dataset: str | None) -> dict[str, Any]:
    """Return the GeoJSON Feature of an entity and of the JSON object that shows it (clauses 4.5.16 and 4.5.17)."""
    return {
        "id": entity.id,
        "type": "Feature",
        "geometry": _geometry(entity.attributes.get(geometry_property), dataset),
        "properties": {name: value for name, value in members.items() if name != "id"},
    }


def _geometry(attribute: Attribute | None, dataset: str | None) -> Any:
    """Return the geometry of the chosen instance, or None (clause 4.5.16.1)."""
    if attribute is None:
        return None
    found = attribute if isinstance(attribute, list) else [attribute]
    wanted = None if dataset == "@none" else dataset
    chosen = next((i for i in found if i.get("datasetId") == wanted), None)
    return chosen["value"] if chosen is not None and chosen["type"] == "GeoProperty" else None


def compact_value(value: Any, compact: Callable[[str], str]) -> Any:
    """Return a Property value with the keys and types of its objects compacted."""
    if isinstance(value, dict):
        return {_compact_key(k, compact): _compact_member(k, v, compact) for k, v in value.items()}
    if isinstance(value, list):
        return [compact_value(item, compact) for item in value]
    return value


def _compact_key(key: str, compact: Callable[[str], str]) -> str:
    return compact(key) if ":" in key else key


def _compact_member(key: str, value: Any, compact: Callable[[str], str]) -> Any:
    if key in ("type", "@type"):
        return _compact_names(value, compact)
    return value if key.startswith("@") or key == "id" else compact_value(value, compact)


def _compact_names(value: Any, compact: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [compact(v) if isinstance(v, str) else v for v in value]
    return compact(value) if isinstance(value, str) else value


class Renderer:
    """Renders the entities of one answer."""

    def __init__(self, terms: Terms, representation: Representation) -> None:
        self.compact = terms.compact
        self.shown = representation
        self.inline_left = representation.max_inline
        self.instance = {
            "normalized": self.normalized,
            "concise": self.concise,
            "simplified": self.simplified,
        }[representation.format]

    def entity(self, entity: Entity) -> dict[str, Any]:
        """Return the JSON object of an entity, without @context; raise TooManyResults above `max_inline`."""
        return self._entity(entity, self.shown.pick, self.shown.omit, 0, self.shown.encountered | {entity.id})

    def linked(self, entity: Entity, pick: Projection | None, omit: Projection | None) -> dict[str, Any]:
        """Return the JSON object of an entity that others link to, with the projection of the braces on the way."""
        return self._entity(entity, pick, omit, 1, frozenset())

    def _entity(
        self, entity: Entity, pick: Projection | None, omit: Projection | None, level: int, path: frozenset[str]
    ) -> dict[str, Any]:
        compact, shown = self.compact, self.shown
        body = self._members(entity, pick, omit)
        if shown.sys_attrs:
            body["createdAt"] = format_date_time(entity.created_at)
            body["modifiedAt"] = format_date_time(entity.modified_at)
            if entity.expires_at is not None:
                body["expiresAt"] = entity.expires_at
        attrs = shown.attrs if level == 0 else None
        for iri, attribute in project(entity, pick, omit, attrs).attributes.items():
            place = _Place(entity, iri, "", level, path, below(pick, iri), below(omit, iri))
            body[compact(iri)] = self.attribute(attribute, place)
        return body

    def _members(self, entity: Entity, pick: Projection | None, omit: Projection | None) -> dict[str, Any]:
        body: dict[str, Any] = {"id": entity.id}
        types = [self.compact(t) for t in entity.types]
        body["type"] = types[0] if len(types) == 1 else types
        if entity.scope:
            body["scope"] = entity.scope[0] if len(entity.scope) == 1 else entity.scope
        if pick is not None:
            body = {k: v for k, v in body.items() if k in pick.members}
        if omit is not None:
            body = {k: v for k, v in body.items() if k not in omit.members}
        return body

    def attribute(self, attribute: Attribute, place: _Place) -> Any:
        if isinstance(attribute, dict):
            return self.instance(attribute, place)
        if self.shown.format == "simplified":
            return {"dataset": {i.get("datasetId", "@none"): self.instance(i, place) for i in attribute}}
        if self.shown.format == "concise":
            return [self._concise_members(i, place) for i in attribute]
        return [self.instance(i, place) for i in attribute]

    def normalized(self, instance: Instance, place: _Place) -> dict[str, Any]:
        if self.shown.languages is not None and instance["type"] == "LanguageProperty":
            instance = self._in_one_language(instance)
        geometry = instance["type"] == "GeoProperty"
        body: dict[str, Any] = {}
        for member, value in instance.items():
            if ":" in member:
                body[self.compact(member)] = self.attribute(value, place.below(instance, member))
            elif member == "value" and not geometry:
                body[member] = compact_value(value, self.compact) if isinstance(value, dict | list) else value
            elif member in ("vocab", "objectType", "valueType", "entityTypeSealed"):
                body[member] = _compact_names(value, self.compact)
            elif member == "valueList":
                body[member] = compact_value(value, self.compact)
            elif member != "expiresAt" or self.shown.sys_attrs:
                body[member] = value
        self._add_links(body, instance, place)
        if self.shown.sys_attrs:
            self._add_stamps(body, instance, place)
        return body

    def concise(self, instance: Instance, place: _Place) -> Any:
        body = self._concise_members(instance, place)
        return body["value"] if body.keys() == {"value"} and _stands_alone(body["value"]) else body

    def _concise_members(self, instance: Instance, place: _Place) -> dict[str, Any]:
        """Return the members of an instance, its type only where they do not tell it (clause 4.5.1)."""
        body = self.normalized(instance, place)
        kind = body["type"]
        if kind != "Property" or not is_geometry(body["value"]):
            del body["type"]
        if kind == "ListRelationship":
            body["objectList"] = [target["object"] for target in body["objectList"]]
        return body

    def simplified(self, instance: Instance, place: _Place) -> Any:
        kind = instance["type"]
        if kind == "LanguageProperty":
            if self.shown.languages is None:
                return {"languageMap": instance["languageMap"]}
            return self._in_one_language(instance)["value"]
        if kind == "VocabProperty":
            return {"vocab": _compact_names(instance["vocab"], self.compact)}
        if kind == "JsonProperty":
            return {"json": instance["json"]}
        if kind == "GeoProperty":
            return instance["value"]
        if kind == "Relationship":
            return self._simplified_targets(instance["object"], place)
        if kind == "ListRelationship":
            return self._simplified_targets([target["object"] for target in instance["objectList"]], place)
        return compact_value(instance[VALUE_MEMBERS[kind]], self.compact)

    def _simplified_targets(self, targets: Any, place: _Place) -> Any:
        if isinstance(targets, list):
            return [self._linked(t, place) or t for t in targets]
        return self._linked(targets, place) or targets

    def _in_one_language(self, instance: Instance) -> Instance:
        tag, text = choose_language(instance["languageMap"], list(self.shown.languages or ()))
        rest = {k: v for k, v in instance.items() if k not in ("type", "languageMap")}
        return {"type": "Property", "value": text, "lang": tag} | rest

    def _add_links(self, body: dict[str, Any], instance: Instance, place: _Place) -> None:
        if not self.shown.links:
            return
        if instance["type"] == "Relationship":
            targets = instance["object"]
            if isinstance(targets, list):
                found = [linked for t in targets if (linked := self._linked(t, place)) is not None]
                if found:
                    body["entity"] = found
            elif (linked := self._linked(targets, place)) is not None:
                body["entity"] = linked
        elif instance["type"] == "ListRelationship":
            found = [e for t in instance["objectList"] if (e := self._linked(t["object"], place)) is not None]
            if found:
                body["entityList"] = found

    def _linked(self, target: str, place: _Place) -> dict[str, Any] | None:
        """Return the entity that a relationship names, unless it is unknown, too deep or was met on the way."""
        entity = self.shown.links.get(target)
        if entity is None or place.level >= self.shown.join_level or target in place.path:
            return None
        self.inline_left -= 1
        if self.inline_left < 0:
            raise TooManyResults(f"join: more than {self.shown.max_inline} linked entities would be shown inline")
        return self._entity(entity, place.pick, place.omit, place.level + 1, place.path | {target})

    def _add_stamps(self, body: dict[str, Any], instance: Instance, place: _Place) -> None:
        created, modified = place.stamp(instance)
        body["createdAt"] = format_date_time(created)
        body["modifiedAt"] = format_date_time(modified)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an attribute instance stands: what its system times and its linked entities depend on."""

    entity: Entity
    iri: str
    parent: str
    level: int
    path: frozenset[str]
    pick: Projection | None
    omit: Projection | None

    def key(self, instance: Instance) -> str:
        return stamp_key(self.iri, instance.get("datasetId"), self.parent)

    def below(self, instance: Instance, iri: str) -> _Place:
        return _Place(self.entity, iri, self.key(instance), self.level, self.path, None, None)

    def stamp(self, instance: Instance) -> Stamp:
        return self.entity.stamps.get(self.key(instance), (self.entity.created_at, self.entity.created_at))


def _stands_alone(value: Any) -> bool:
    """Tell whether a reader of the concise form would take the bare value for what it is."""
    if is_geometry(value):
        return True
    if isinstance(value, dict):
        return not (_RESERVED_IN_VALUES | SYSTEM_MEMBERS) & value.keys()
    return not (isinstance(value, list) and any(isinstance(item, dict) for item in value))
