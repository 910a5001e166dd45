"""Example entities: one complete normalized NGSI-LD entity for each class, made of the example values of the model."""

from __future__ import annotations

import json
from typing import Any

from ontology.model import AttributeUse, EntityType, Kind, Model, Scheme

CONTEXT = [
    "https://w3id.org/voltweave/contexts/cim.jsonld",
    "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.9.jsonld",
]
OBSERVED_AT = "2026-05-04T08:30:00Z"

#: The member of a normalized attribute that holds its value.
VALUE_MEMBER = {
    Kind.PROPERTY: "value",
    Kind.GEO_PROPERTY: "value",
    Kind.RELATIONSHIP: "object",
    Kind.VOCAB_PROPERTY: "vocab",
    Kind.LANGUAGE_PROPERTY: "languageMap",
    Kind.LIST_PROPERTY: "valueList",
}
#: What stands at the end of a Relationship that may point to anything: the station and the bay are the usual assets.
_ANY_TARGETS = ("EVSE", "ParkingSpot")


class NoExample(ValueError):
    """The model holds no example value for an attribute; the message names it."""


def documents(model: Model) -> dict[str, str]:
    """Return the text of the example entity of every class by the name of the class."""
    return {c.name: json.dumps(entity(model, c), ensure_ascii=False, indent=2) + "\n" for c in model.classes.values()}


def entity(model: Model, class_: EntityType) -> dict[str, Any]:
    """Return a complete normalized entity of a class; inverse sides are left out, for they are never stored."""
    stored = [use for use in class_.attributes.values() if use.inverse_of is None]
    return {
        "id": entity_id(class_.name),
        "type": class_.name,
        **{use.attribute.name: _instance(model, use) for use in stored},
        "@context": CONTEXT,
    }


def entity_id(class_name: str, number: int = 1) -> str:
    """Return the id of an example entity."""
    return f"urn:ngsi-ld:{class_name}:example:{number}"


def _instance(model: Model, use: AttributeUse) -> dict[str, Any]:
    attribute = use.attribute
    instance = {"type": str(attribute.kind), VALUE_MEMBER[attribute.kind]: _value(model, use)}
    unit = attribute.unit
    if unit and unit.unit_code:
        instance["unitCode"] = unit.unit_code
    elif unit and unit.monetary:
        instance["currency"] = {"type": "Property", "value": "EUR"}
    elif unit:
        instance["unit"] = {"type": "Property", "value": unit.ucum}
    if use.changes == "telemetry":
        instance["observedAt"] = OBSERVED_AT
    return instance


def _value(model: Model, use: AttributeUse) -> Any:
    attribute = use.attribute
    if attribute.kind is Kind.RELATIONSHIP:
        return _object(use)
    scheme = use.limits.scheme or attribute.scheme
    example = attribute.example if use.example is None else use.example
    if example is None and scheme:
        return _concepts(model.schemes[scheme], use)
    if example is None:
        raise NoExample(f"{attribute.name}: no vw:example")
    return example


def _object(use: AttributeUse) -> str | list[str]:
    target = use.attribute.range
    if target == "any":
        targets = [entity_id(name) for name in _ANY_TARGETS]
    else:
        targets = [entity_id(target), entity_id(target, 2)]
    return targets if use.many else targets[0]


def _concepts(scheme: Scheme, use: AttributeUse) -> str | list[str]:
    notations = list(scheme.concepts)
    return notations[:2] if use.many else notations[0]
