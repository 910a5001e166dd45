"""The stored form of an entity: normalized NGSI-LD with every name expanded to an IRI, independent of any @context.

`Entity.attributes` maps an attribute's IRI to one instance (a dict) or, with several datasetIds, a list of instances,
just as the normalized representation has it (CIM 009 clause 4.5.1). An instance holds

    "type"        Property | GeoProperty | Relationship | LanguageProperty | VocabProperty | JsonProperty |
    ListProperty |
                  ListRelationship
    its value     value | object | languageMap | vocab | json | valueList | objectList, in the short core name
    reserved      observedAt, unitCode, datasetId, valueType, objectType, expiresAt, ngsildproof members: short core
    names sub-attributes under their IRI (the only keys that hold a colon), one instance or a list as above

`objectType`, `valueType`, `vocab`, types and the keys of compound Property values are IRIs; `json`, `languageMap` and
geometries are kept as sent. The default instance has no datasetId. System times are no members: they live in
`created_at`, `modified_at` and the sparse `stamps` (decision 2), in microseconds since 1970 UTC (decision 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Instance = dict[str, Any]
Attribute = Instance | list[Instance]
Stamp = tuple[int, int]

#: The member that holds the value of each attribute type (clauses 4.5.2, 4.5.3, 4.5.18 to 4.5.24).
VALUE_MEMBERS = {
    "Property": "value",
    "GeoProperty": "value",
    "Relationship": "object",
    "LanguageProperty": "languageMap",
    "VocabProperty": "vocab",
    "JsonProperty": "json",
    "ListProperty": "valueList",
    "ListRelationship": "objectList",
}


@dataclass(slots=True)
class Entity:
    """One entity in the stored form."""

    id: str
    types: list[str]
    attributes: dict[str, Attribute]
    scope: list[str] = field(default_factory=list)
    expires_at: str | None = None
    """expiresAt as sent (clause 4.22), or None for an entity that stays."""
    created_at: int = 0
    modified_at: int = 0
    stamps: dict[str, Stamp] = field(default_factory=dict)
    """(createdAt, modifiedAt) of each attribute instance and sub-attribute instance by `stamp_key`; one that is absent
    was created with the entity and never changed: (created_at, created_at)."""
    version: int = 0
    owner: str | None = None


def instances(attribute: Attribute) -> list[Instance]:
    """Return the instances of an attribute as a list."""
    return attribute if isinstance(attribute, list) else [attribute]


def attribute_of(found: list[Instance]) -> Attribute:
    """Return the shape in which these instances are stored: one alone as itself, several as a list."""
    return found[0] if len(found) == 1 else found


def stamp_key(attribute: str, dataset_id: str | None, parent: str = "") -> str:
    """Return the key in `Entity.stamps` of an instance; parts are joined by spaces, which no IRI holds."""
    own = f"{attribute} {dataset_id or ''}"
    return f"{parent} {own}" if parent else own


def sub_attributes(instance: Instance) -> Iterable[tuple[str, Attribute]]:
    """Yield the sub-attributes of an instance: the members whose key is an IRI."""
    return ((k, v) for k, v in instance.items() if ":" in k)


def instance_value(instance: Instance) -> Any:
    """Return the value of an instance, whatever its type."""
    return instance[VALUE_MEMBERS[instance["type"]]]
