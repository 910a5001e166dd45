"""What a mapping needs to know of the common information model: attributes of each class, and value schemes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from ontology import Attribute, AttributeUse, Model, model


@dataclass(frozen=True, slots=True)
class AttributeFacts:
    """One attribute of a class, as far as it decides how a value is written."""

    kind: str
    """The NGSI-LD type: Property, Relationship, GeoProperty ..."""
    range: str
    """Datatype, class of the target, or name of a structure."""
    many: bool = False
    unit: str | None = None
    """UCUM code of the unit, or None."""
    unit_code: str | None = None
    """UN/CEFACT code of the unit, where it has one."""
    money: bool = False
    telemetry: bool = False
    personal: bool = False
    derived: bool = False
    """The other side stores this link."""
    choices: frozenset[str] = frozenset()
    """The values that it may have, where a scheme says so."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A model that mappings are checked against."""

    classes: Mapping[str, Mapping[str, AttributeFacts]]
    """Attributes by class and name."""
    sub_attributes: Mapping[str, AttributeFacts]
    """The attributes that any attribute may carry, by name."""
    schemes: Mapping[str, Mapping[str, str]]
    """Schemes for lookup, named SCHEME/SYSTEM: a code of the other system -> the model's value."""


@cache
def cim() -> Vocabulary:
    """Return the common information model as mappings need it."""
    found = model()
    classes = {
        entity_type.name: MappingProxyType({name: _use(found, use) for name, use in entity_type.attributes.items()})
        for entity_type in found.classes.values()
    }
    sub_attributes = {a.name: _facts(found, a) for a in found.attributes.values() if a.sub_property}
    return Vocabulary(MappingProxyType(classes), MappingProxyType(sub_attributes), MappingProxyType(_schemes(found)))


def _use(found: Model, use: AttributeUse) -> AttributeFacts:
    return _facts(
        found,
        use.attribute,
        many=use.many,
        telemetry=use.changes == "telemetry",
        personal=use.personal,
        derived=use.inverse_of is not None,
        scheme=use.limits.scheme,
    )


def _facts(found: Model, attribute: Attribute, scheme: str | None = None, **more: Any) -> AttributeFacts:
    unit = attribute.unit
    scheme = scheme or attribute.scheme
    return AttributeFacts(
        attribute.kind.value,
        attribute.range,
        unit=unit.ucum if unit else None,
        unit_code=unit.unit_code if unit else None,
        money=unit is not None and unit.monetary,
        choices=frozenset(found.schemes[scheme].concepts) if scheme else frozenset(),
        **more,
    )


def _schemes(found: Model) -> dict[str, Mapping[str, str]]:
    schemes: dict[str, dict[str, str]] = {}
    for scheme in found.schemes.values():
        for concept in scheme.concepts.values():
            for system, codes in concept.codes.items():
                table = schemes.setdefault(f"{scheme.name}/{system}", {})
                for code in codes:
                    table.setdefault(code, concept.notation)
    return {name: MappingProxyType(table) for name, table in schemes.items()}
