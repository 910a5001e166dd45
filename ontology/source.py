"""Reading the Turtle files: the source of the model, as the document of which `ontology.model` builds objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rdflib import OWL, RDF, RDFS, SKOS, XSD, Graph, Literal, Namespace, Node, URIRef

from ontology.model import Document

FOLDER = Path(__file__).parent
CIM = Namespace("https://w3id.org/voltweave/cim#")
VW = Namespace("https://w3id.org/voltweave/model#")
NGSI_LD = Namespace("https://uri.etsi.org/ngsi-ld/")
QUDT = Namespace("http://qudt.org/schema/qudt/")
SH = Namespace("http://www.w3.org/ns/shacl#")
DCT = Namespace("http://purl.org/dc/terms/")
ONTOLOGY = URIRef("https://w3id.org/voltweave/cim")

_RELATIONS = {
    SKOS.exactMatch: "exactMatch",
    SKOS.closeMatch: "closeMatch",
    SKOS.broadMatch: "broadMatch",
    SKOS.relatedMatch: "relatedMatch",
}


class SourceError(ValueError):
    """A Turtle file says something that the model cannot mean; the message names the term."""


def graph(folder: Path = FOLDER) -> Graph:
    """Return all source files as one graph."""
    merged = Graph()
    for file in sorted(folder.glob("*.ttl")):
        merged.parse(file, format="turtle")
    return merged


def document(source: Graph) -> Document:
    """Return the model in a source graph as plain data; raise SourceError naming the term at fault."""
    units = [_unit(source, u) for u in _subjects(source, QUDT.Unit)]
    schemes = [_scheme(source, s) for s in _subjects(source, SKOS.ConceptScheme)]
    classes = [_class(source, c) for c in _subjects(source, OWL.Class) if (c, VW.identifier, None) in source]
    uses: dict[str, list[Document]] = {}
    for entry in classes:
        for use in entry["attributes"]:
            uses.setdefault(use["attribute"], []).append(use)
    attributes = [_attribute(source, a, uses) for a in _subjects(source, OWL.ObjectProperty)]
    return {
        "version": str(source.value(ONTOLOGY, OWL.versionInfo)),
        "namespace": str(CIM),
        "domains": [
            {"name": _local(d), "label": _text(source, d, RDFS.label), "comment": _text(source, d, RDFS.comment)}
            for d in _subjects(source, VW.Domain)
        ],
        "units": units,
        "schemes": schemes,
        "attributes": attributes,
        "classes": classes,
    }


def _subjects(source: Graph, type_: URIRef) -> list[URIRef]:
    return sorted((s for s in source.subjects(RDF.type, type_) if isinstance(s, URIRef)), key=_local)


def _local(iri: Node) -> str:
    return str(iri).replace("#", "/").rpartition("/")[2]


def _text(source: Graph, subject: Node, predicate: URIRef) -> str:
    value = source.value(subject, predicate)
    if value is None:
        raise SourceError(f"{subject}: {_local(predicate)} is missing")
    return str(value)


def _optional(source: Graph, subject: Node, predicate: URIRef) -> str | None:
    value = source.value(subject, predicate)
    return None if value is None else str(value)


def _plain(value: Node | None) -> Any:
    """Return a literal as JSON data, a decimal as the integer or float that prints like it."""
    if not isinstance(value, Literal):
        return None if value is None else str(value)
    if value.datatype == RDF.JSON:
        return json.loads(str(value))
    if value.datatype in (XSD.decimal, XSD.double):
        return float(str(value))
    return value.toPython()


def _flag(source: Graph, subject: Node, predicate: URIRef, default: bool = False) -> bool:
    value = source.value(subject, predicate)
    return default if value is None else bool(_plain(value))


def _domain(source: Graph, subject: Node) -> str:
    return _text(source, subject, RDFS.isDefinedBy).rpartition("/")[2]


def _matches(source: Graph, subject: Node) -> list[list[str]]:
    found = [[name, str(o)] for p, name in _RELATIONS.items() for o in source.objects(subject, p)]
    found += [["subClassOf", str(o)] for o in source.objects(subject, RDFS.subClassOf) if isinstance(o, URIRef)]
    return sorted(found)


def _corresponds(source: Graph, subject: Node) -> list[str]:
    return sorted(str(o) for o in source.objects(subject, VW.correspondsTo))


def _unit(source: Graph, unit: URIRef) -> Document:
    return {
        "iri": str(unit),
        "symbol": _text(source, unit, QUDT.symbol),
        "label": _text(source, unit, RDFS.label),
        "unit_code": _optional(source, unit, QUDT.uneceCommonCode),
        "ucum": _optional(source, unit, QUDT.ucumCode),
    }


def _scheme(source: Graph, scheme: URIRef) -> Document:
    concepts = [_concept(source, c) for c in source.subjects(SKOS.inScheme, scheme)]
    order = [str(o) for o in source.objects(scheme, SKOS.hasTopConcept)]
    if {c["iri"] for c in concepts} != set(order):
        raise SourceError(f"{scheme}: hasTopConcept does not list its concepts")
    return {
        "iri": str(scheme),
        "name": _local(scheme),
        "label": _text(source, scheme, RDFS.label),
        "concepts": sorted(concepts, key=lambda c: str(c["iri"])),
    }


def _concept(source: Graph, concept: Node) -> Document:
    codes: dict[str, list[str]] = {}
    notation = None
    for value in source.objects(concept, SKOS.notation):
        system = value.datatype if isinstance(value, Literal) else None
        if system in (None, XSD.string):
            notation = str(value)
        else:
            codes.setdefault(_local(system), []).append(str(value))
    if notation is None:
        raise SourceError(f"{concept}: no plain skos:notation")
    return {
        "iri": str(concept),
        "notation": notation,
        "label": _text(source, concept, SKOS.prefLabel),
        "definition": _optional(source, concept, SKOS.definition),
        "codes": {system: sorted(codes[system]) for system in sorted(codes)},
    }


def _attribute(source: Graph, attribute: URIRef, uses: dict[str, list[Document]]) -> Document:
    name = _local(attribute)
    unit = source.value(attribute, QUDT.hasUnit)
    found = uses.get(name, [])
    return {
        "iri": str(attribute),
        "name": name,
        "label": _text(source, attribute, RDFS.label),
        "comment": _text(source, attribute, RDFS.comment),
        "domain": _domain(source, attribute),
        "kind": _kind(source, attribute),
        "range": _range(source, attribute),
        "unit": None if unit is None else _text(source, unit, QUDT.symbol),
        "scheme": _scheme_name(source, attribute),
        "telemetry": any(u["changes"] == "telemetry" for u in found),
        "personal": any(u["personal"] for u in found),
        "queryable": _flag(source, attribute, VW.queryable, default=True),
        "sub_property": _flag(source, attribute, VW.subProperty),
        "example": _plain(source.value(attribute, VW.example)),
        "matches": _matches(source, attribute),
        "corresponds_to": _corresponds(source, attribute),
    }


def _kind(source: Graph, attribute: URIRef) -> str:
    kinds = [_local(o) for o in source.objects(attribute, RDFS.range) if isinstance(o, URIRef)]
    if len(kinds) != 1:
        raise SourceError(f"{attribute}: rdfs:range names {len(kinds)} kinds, not one")
    return kinds[0]


def _range(source: Graph, attribute: URIRef) -> str:
    kind = _kind(source, attribute)
    if kind == "GeoProperty":
        return "geometry"
    if kind == "VocabProperty":
        return _scheme_name(source, attribute) or "any"
    if kind == "Relationship":
        bounds = [source.value(o, OWL.allValuesFrom) for o in source.objects(attribute, RDFS.range)]
        return next((_local(b) for b in bounds if b is not None), "any")
    datatype = source.value(attribute, VW.datatype)
    return "any" if datatype is None else _local(datatype)


def _scheme_name(source: Graph, subject: Node) -> str | None:
    scheme = source.value(subject, VW.scheme)
    return None if scheme is None else _local(scheme)


def _class(source: Graph, class_: URIRef) -> Document:
    severity = _local(source.value(class_, VW.limitSeverity) or SH.Violation)
    restrictions = [r for r in source.objects(class_, RDFS.subClassOf) if (r, RDF.type, OWL.Restriction) in source]
    uses = [_use(source, r, severity) for r in restrictions]
    return {
        "iri": str(class_),
        "name": _local(class_),
        "label": _text(source, class_, RDFS.label),
        "comment": _text(source, class_, RDFS.comment),
        "domain": _domain(source, class_),
        "identifier": _text(source, class_, VW.identifier),
        "limit_severity": severity,
        "matches": _matches(source, class_),
        "corresponds_to": _corresponds(source, class_),
        "attributes": sorted(uses, key=lambda u: str(u["attribute"])),
    }


def _use(source: Graph, restriction: Node, class_severity: str) -> Document:
    attribute = source.value(restriction, OWL.onProperty)
    if attribute is None or (attribute, RDF.type, OWL.ObjectProperty) not in source:
        raise SourceError(f"{attribute}: a restriction names an attribute that no file defines")
    exact, least, most = (
        _plain(source.value(restriction, p)) for p in (OWL.cardinality, OWL.minCardinality, OWL.maxCardinality)
    )
    return {
        "attribute": _local(attribute),
        "min_count": exact or least or 0,
        "max_count": exact or most,
        "expected": _flag(source, restriction, VW.expected),
        "changes": _text(source, restriction, VW.changes),
        "saving_step": _optional(source, restriction, VW.savingStep),
        "personal": _flag(source, restriction, VW.personal),
        "inverse_of": _inverse(source, restriction),
        "limits": _limits(source, restriction, class_severity),
        "example": _plain(source.value(restriction, VW.example)),
        "source": _text(source, restriction, DCT.source),
    }


def _inverse(source: Graph, restriction: Node) -> str | None:
    inverse = source.value(restriction, VW.inverseOf)
    return None if inverse is None else _local(inverse)


def _limits(source: Graph, restriction: Node, class_severity: str) -> Document:
    facet = {
        name: _plain(source.value(restriction, XSD[name]))
        for name in ("minInclusive", "minExclusive", "maxInclusive", "minLength", "maxLength", "pattern")
    }
    own_severity = source.value(restriction, VW.limitSeverity)
    return {
        "minimum": facet["minInclusive"],
        "exclusive_minimum": facet["minExclusive"],
        "maximum": facet["maxInclusive"],
        "min_length": facet["minLength"],
        "max_length": facet["maxLength"],
        "pattern": facet["pattern"],
        "scheme": _scheme_name(source, restriction),
        "geometries": sorted(_local(g) for g in source.objects(restriction, VW.geometry)),
        "step": _plain(source.value(restriction, VW.step)),
        "monotonic": _optional(source, restriction, VW.monotonic),
        "rule": _optional(source, restriction, VW.rule),
        "severity": class_severity if own_severity is None else _local(own_severity),
    }
