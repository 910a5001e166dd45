"""Simplified input for Merge Entity: bare values, read by the type that the attribute already has (clause 5.6.17.4)."""

from __future__ import annotations

from typing import Any

from ngsild.context import Terms
from ngsild.entity import VALUE_MEMBERS, Entity, instances
from ngsild.expand import Fragment, Nulls, expand_attribute_name, expand_fragment
from ngsild.geometry import is_geometry
from ngsild.names import NULL
from ngsild.problems import BadRequestData

_ENTITY_MEMBERS = frozenset({"id", "@id", "type", "@type", "scope", "expiresAt", "@context", "createdAt", "modifiedAt"})
_WRAPPED = {"languageMap": "LanguageProperty", "vocab": "VocabProperty", "json": "JsonProperty"}


def expand_simplified(body: Any, terms: Terms, target: Entity) -> Fragment:
    """Return the fragment that a simplified body means for this entity."""
    if not isinstance(body, dict):
        raise BadRequestData("an entity is a JSON object")
    normalized: dict[str, Any] = {}
    for name, value in body.items():
        if name in _ENTITY_MEMBERS:
            normalized[name] = value
        else:
            normalized[name] = _attribute(value, _kind(target, expand_attribute_name(name, terms)))
    return expand_fragment(normalized, terms, Nulls.DEEP)


def _kind(target: Entity, iri: str) -> str | None:
    found = target.attributes.get(iri)
    return None if found is None else str(instances(found)[0]["type"])


def _attribute(value: Any, kind: str | None) -> Any:
    if isinstance(value, dict) and value.keys() == {"dataset"} and isinstance(value["dataset"], dict):
        return [_instance(each, kind) | {"datasetId": dataset} for dataset, each in value["dataset"].items()]
    return NULL if value == NULL else _instance(value, kind)


def _instance(value: Any, kind: str | None) -> dict[str, Any]:
    if isinstance(value, dict) and len(value) == 1:
        [member] = value
        if member in _WRAPPED and kind in (None, _WRAPPED[member]):
            return {"type": _WRAPPED[member], member: value[member]}
    if kind is None:
        kind = "GeoProperty" if is_geometry(value) else "Property"
    if kind == "LanguageProperty":
        return {"type": "Property", "value": value}
    return {"type": kind, VALUE_MEMBERS[kind]: value}
