"""The model as immutable Python objects, built from the document that the generator writes (model.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

Severity = Literal["Violation", "Warning", "Info"]
Document = dict[str, Any]


class Kind(StrEnum):
    """The NGSI-LD type of an attribute; one attribute name has one kind in the whole model (decision 26)."""

    PROPERTY = "Property"
    RELATIONSHIP = "Relationship"
    GEO_PROPERTY = "GeoProperty"
    VOCAB_PROPERTY = "VocabProperty"
    LANGUAGE_PROPERTY = "LanguageProperty"
    LIST_PROPERTY = "ListProperty"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure; `iri` is QUDT's where QUDT has the unit, else ours."""

    iri: str
    symbol: str
    label: str
    unit_code: str | None
    """The UN/CEFACT Rec 20 code that `unitCode` holds; without one the sub-property `unit` holds `ucum`."""
    ucum: str | None
    """The UCUM code; None for an amount of money, whose currency (ISO 4217) is the sub-property `currency`."""

    @property
    def monetary(self) -> bool:
        """Tell whether values are amounts of money."""
        return self.ucum is None


@dataclass(frozen=True, slots=True)
class Concept:
    """One value of a scheme."""

    iri: str
    notation: str
    """The value as entities hold it; for a VocabProperty the term that the contexts expand to `iri`."""
    label: str
    definition: str | None
    codes: Mapping[str, tuple[str, ...]]
    """The codes of other systems (OCPI, OCPP, OCPP16, OICP, DATEX, SmartDataModels, OpenEVData) that mean it."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A value list."""

    iri: str
    name: str
    label: str
    concepts: Mapping[str, Concept]
    """By notation, in the order of the scheme."""

    def from_code(self, system: str, code: str) -> Concept | None:
        """Return the concept that a code of another system means, or None for an unknown code."""
        return next((c for c in self.concepts.values() if code in c.codes.get(system, ())), None)


@dataclass(frozen=True, slots=True)
class Match:
    """An alignment with a term of another vocabulary."""

    relation: str
    """exactMatch, closeMatch, broadMatch, relatedMatch (SKOS) or subClassOf (RDFS)."""
    iri: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute: what its name means wherever it occurs."""

    iri: str
    name: str
    label: str
    comment: str
    domain: str
    """The domain that defines it, or "cim" when several do."""
    kind: Kind
    range: str
    """The class that a Relationship points to, the scheme of a VocabProperty, else the datatype; "any" when open."""
    unit: Unit | None
    scheme: str | None
    """The value list that holds in every class; `Limits.scheme` is the one of a single class."""
    telemetry: bool
    """Some class marks it telemetry: a value older than the stored one goes to history only (decision 7)."""
    personal: bool
    """Some class marks it personal; `AttributeUse.personal` says which."""
    queryable: bool
    sub_property: bool
    """Any attribute may carry it as a sub-property."""
    example: Any
    matches: tuple[Match, ...]
    corresponds_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a value may be in one class: numbers hold for each member of PhaseValues, lengths for items of a list."""

    minimum: float | None
    exclusive_minimum: float | None
    maximum: float | None
    min_length: int | None
    max_length: int | None
    pattern: str | None
    scheme: str | None
    geometries: tuple[str, ...]
    step: float | None
    monotonic: Literal["always", "withinDay"] | None
    rule: str | None
    """What else holds, in words."""
    severity: Severity


@dataclass(frozen=True, slots=True)
class AttributeUse:
    """One attribute in one class."""

    attribute: Attribute
    min_count: int
    """How many values an entity must have; above 0 its absence is a Violation (decision 27)."""
    max_count: int | None
    """How many values one datasetId may have; None when there is no limit."""
    expected: bool
    """Its absence is a Warning."""
    changes: Literal["static", "onChange", "telemetry", "derived"]
    saving_step: str | None
    personal: bool
    inverse_of: str | None
    """The attribute of the target that holds this link; such a side is never stored or demanded."""
    limits: Limits
    example: Any
    source: str

    @property
    def required(self) -> Literal["hard", "expected"] | None:
        """Return "hard" (absence is a Violation), "expected" (a Warning) or None."""
        return "hard" if self.min_count else "expected" if self.expected else None

    @property
    def many(self) -> bool:
        """Tell whether one datasetId may have several values."""
        return self.max_count is None


@dataclass(frozen=True, slots=True)
class EntityType:
    """A class of the model: an entity type."""

    iri: str
    name: str
    label: str
    comment: str
    domain: str
    identifier: str
    """The form of the entity id, urn:ngsi-ld:<type>:<source>:<natural key>."""
    limit_severity: Severity
    matches: tuple[Match, ...]
    corresponds_to: tuple[str, ...]
    attributes: Mapping[str, AttributeUse]


@dataclass(frozen=True, slots=True)
class Domain:
    """A part of the model with a context, shapes and a reference page of its own."""

    name: str
    label: str
    comment: str


@dataclass(frozen=True, slots=True)
class Model:
    """The common information model."""

    version: str
    namespace: str
    domains: Mapping[str, Domain]
    units: Mapping[str, Unit]
    """By symbol."""
    schemes: Mapping[str, Scheme]
    attributes: Mapping[str, Attribute]
    classes: Mapping[str, EntityType]

    def use(self, class_name: str, attribute_name: str) -> AttributeUse:
        """Return an attribute as a class uses it; KeyError when the class has none of that name."""
        return self.classes[class_name].attributes[attribute_name]

    def classes_of(self, domain: str) -> tuple[EntityType, ...]:
        """Return the classes that a domain defines, in its order."""
        return tuple(c for c in self.classes.values() if c.domain == domain)


def build(document: Document) -> Model:
    """Return the model that a document describes."""
    units = {u["symbol"]: Unit(**u) for u in document["units"]}
    schemes = {s["name"]: _scheme(s) for s in document["schemes"]}
    attributes = {a["name"]: _attribute(a, units) for a in document["attributes"]}
    classes = {c["name"]: _entity_type(c, attributes) for c in document["classes"]}
    return Model(
        version=document["version"],
        namespace=document["namespace"],
        domains=MappingProxyType({d["name"]: Domain(**d) for d in document["domains"]}),
        units=MappingProxyType(units),
        schemes=MappingProxyType(schemes),
        attributes=MappingProxyType(attributes),
        classes=MappingProxyType(classes),
    )


def _scheme(entry: Document) -> Scheme:
    concepts = {
        c["notation"]: Concept(**c | {"codes": MappingProxyType({k: tuple(v) for k, v in c["codes"].items()})})
        for c in entry["concepts"]
    }
    return Scheme(**entry | {"concepts": MappingProxyType(concepts)})


def _attribute(entry: Document, units: Mapping[str, Unit]) -> Attribute:
    unit = entry["unit"]
    return Attribute(
        **entry
        | {
            "kind": Kind(entry["kind"]),
            "unit": units[unit] if unit else None,
            "matches": _matches(entry),
            "corresponds_to": tuple(entry["corresponds_to"]),
        }
    )


def _entity_type(entry: Document, attributes: Mapping[str, Attribute]) -> EntityType:
    uses = {u["attribute"]: _use(u, attributes) for u in entry["attributes"]}
    return EntityType(
        **entry
        | {
            "matches": _matches(entry),
            "corresponds_to": tuple(entry["corresponds_to"]),
            "attributes": MappingProxyType(uses),
        }
    )


def _use(entry: Document, attributes: Mapping[str, Attribute]) -> AttributeUse:
    limits = entry["limits"]
    return AttributeUse(
        **entry
        | {
            "attribute": attributes[entry["attribute"]],
            "limits": Limits(**limits | {"geometries": tuple(limits["geometries"])}),
        }
    )


def _matches(entry: Document) -> tuple[Match, ...]:
    return tuple(Match(relation, iri) for relation, iri in entry["matches"])
