"""Shapes that users write: SHACL Core is judged as pySHACL does, anything else is refused with its reason."""

from __future__ import annotations

from typing import Any

import orjson
import pyshacl
import pytest
from rdflib import SH, Graph

from ngsild.context import core_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.rdf import n_triples, triples_of
from ngsild.render import Representation
from shapes import DOCUMENT, NAMESPACE, model_rules, profile_files
from shapes.compiler import Shapes
from shapes.document import from_document
from shapes.generate import document
from shapes.oracle import read_graph, shapes_graph
from shapes.reader import RefusedShape, read_library, read_shapes
from shapes.shape import Targeted

PREFIXES = """
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix n: <https://uri.etsi.org/ngsi-ld/> .
@prefix d: <https://uri.etsi.org/ngsi-ld/default-context/> .
@prefix : <urn:shapes:> .
"""


def graph(turtle: str) -> Graph:
    return Graph().parse(data=PREFIXES + turtle, format="turtle")


def shapes(turtle: str) -> list[Targeted]:
    return read_shapes(graph(turtle))


def car(**attributes: Any) -> Entity:
    return expand_entity({"id": "urn:x:1", "type": "Car"} | attributes, core_terms(), 0)


CARS = [
    car(),
    car(speed=5, name="Fiat", seats=4),
    car(speed=5.5, name="fiat 500", seats=4, colour=["red", "green"]),
    car(speed=-1, name="", seats=7, colour="blue", doors=5),
    car(
        speed={"type": "Property", "value": 120, "unitCode": "KMH", "observedAt": "2026-05-04T08:30:00Z"}, low=3, high=2
    ),
    car(speed=[{"value": 1}, {"value": 200, "datasetId": "urn:d:1"}], low=2, high=2),
    car(speed="fast", name=5, low="2026-01-01", high=1),
    car(type=["Car", "Van"], doors=True, name=["a", "b", "c"], low=1, high=[2, 3]),
    car(owner={"type": "Relationship", "object": "urn:ngsi-ld:Person:1"}, name="x" * 40),
    car(owner={"type": "Relationship", "object": ["urn:ngsi-ld:Person:1", "urn:other"]}, label="Auto"),
    car(label={"type": "LanguageProperty", "languageMap": {"de": "Auto", "en-GB": ["car", "vehicle"], "@none": "x"}}),
    car(label={"type": "LanguageProperty", "languageMap": {"fr": "voiture"}}, size={"width": 2, "height": "tall"}),
    car(place={"type": "GeoProperty", "value": {"type": "Point", "coordinates": [170, 10]}}, size={"width": 1}),
    car(steps={"type": "ListProperty", "valueList": [1, 2, "x"]}, size={"width": 3, "height": 1, "depth": 0}),
    car(speed={"value": 7, "quality": {"value": "good"}}, kind={"type": "VocabProperty", "vocab": "Van"}),
    car(speed={"value": 7, "quality": {"value": 3}}, kind={"type": "VocabProperty", "vocab": ["Van", "Bus"]}),
]


def on(path: str, constraints: str) -> str:
    return f"sh:property [ sh:path {path} ; {constraints} ]"


CORE = {
    "counts": on("d:speed", "sh:minCount 1 ; sh:maxCount 1"),
    "two at least": on("( d:name n:hasValue )", "sh:minCount 2"),
    "none": on("d:colour", "sh:maxCount 0"),
    "datatype": on("( d:name n:hasValue )", "sh:datatype xsd:string"),
    "double": on("( d:speed n:hasValue )", "sh:datatype xsd:double"),
    "kinds": on("d:owner", "sh:property [ sh:path n:hasObject ; sh:nodeKind sh:IRI ; sh:maxCount 1 ]"),
    "literals": on("( d:size n:hasValue )", "sh:nodeKind sh:IRIOrLiteral"),
    "class": on("d:owner", "sh:class n:Property"),
    "own class": "sh:class d:Van",
    "open range": on("( d:speed n:hasValue )", "sh:minExclusive -1 ; sh:maxExclusive 120"),
    "range of text": on("( d:name n:hasValue )", 'sh:minInclusive "b"'),
    "length": on("( d:name n:hasValue )", "sh:minLength 1 ; sh:maxLength 8"),
    "pattern": on("( d:name n:hasValue )", 'sh:pattern "^fiat" ; sh:flags "i"'),
    "pattern of targets": on("( d:owner n:hasObject )", 'sh:pattern "^urn:ngsi-ld:Person:"'),
    "languages": on("( d:label n:hasLanguageMap )", 'sh:languageIn ( "de" "en" )'),
    "unique languages": on("( d:label n:hasLanguageMap )", "sh:uniqueLang true"),
    "equals": on("d:low", "sh:equals d:high"),
    "closed": on(
        "d:speed", "sh:node [ sh:closed true ; sh:ignoredProperties ( rdf:type ) ; sh:property [ sh:path n:hasValue ] ]"
    ),
    "has value": on("( d:colour n:hasValue )", 'sh:hasValue "red"'),
    "in": on("( d:colour n:hasValue )", 'sh:in ( "red" "green" 5 )'),
    "in numbers": on("( d:seats n:hasValue )", "sh:in ( 2 4 )"),
    "in concepts": on("( d:kind n:hasVocab )", "sh:in ( d:Van )"),
    "two alternatives": on(
        "( d:name n:hasValue )",
        "sh:or ( [ sh:datatype xsd:string ] [ sh:datatype xsd:integer ] ) ;"
        " sh:or ( [ sh:datatype xsd:integer ] [ sh:datatype xsd:boolean ] )",
    ),
    "alternatives of two kinds": on(
        "( d:name n:hasValue )", 'sh:or ( [ sh:datatype xsd:string ; sh:pattern "^F" ] [ sh:datatype xsd:integer ] )'
    ),
    "geometries of two kinds": on(
        "( d:place n:hasValue )",
        "sh:or ( [ sh:class <https://purl.org/geojson/vocab#Point> ; sh:nodeKind sh:IRI ]"
        " [ sh:class <https://purl.org/geojson/vocab#Polygon> ] )",
    ),
    "not": "sh:not [ sh:property [ sh:path d:doors ; sh:minCount 1 ] ]",
    "or": f"sh:or ( [ {on('d:name', 'sh:minCount 1')} ] [ {on('d:owner', 'sh:minCount 1')} ] )",
    "and": on("( d:speed n:hasValue )", "sh:and ( [ sh:minInclusive 0 ] [ sh:maxInclusive 100 ] )"),
    "xone": f"sh:xone ( [ {on('d:name', 'sh:minCount 1')} ] [ {on('d:speed', 'sh:minCount 1')} ] )",
    "alternative": on("( [ sh:alternativePath ( d:low d:high ) ] n:hasValue )", "sh:minInclusive 2"),
    "parts": on("( d:size n:hasValue [ sh:alternativePath ( d:width d:height ) ] )", "sh:maxInclusive 2"),
    "one part": on("( d:size n:hasValue d:height )", "sh:minCount 1 ; sh:datatype xsd:integer"),
    "any part": on("( d:size [ sh:oneOrMorePath n:hasValue ] )", "sh:minCount 1"),
    "items": on("( d:steps n:hasValueList [ sh:zeroOrMorePath rdf:rest ] rdf:first )", "sh:datatype xsd:integer"),
    "maybe": on("( d:steps [ sh:zeroOrOnePath n:hasValueList ] )", "sh:maxCount 1"),
    "longitude": on(
        "( d:place n:hasValue <https://purl.org/geojson/vocab#coordinates> rdf:first )", "sh:maxInclusive 90"
    ),
    "sub-attribute": on("d:speed", 'sh:property [ sh:path ( d:quality n:hasValue ) ; sh:in ( "good" ) ]'),
    "unit": on("d:speed", 'sh:property [ sh:path n:unitCode ; sh:hasValue "KMH" ]'),
    "time": on("d:speed", "sh:property [ sh:path n:observedAt ; sh:minCount 1 ; sh:datatype n:DateTime ]"),
    "less": on("( d:size n:hasValue )", "sh:property [ sh:path d:height ; sh:lessThan d:width ]"),
    "less or equal": on("( d:size n:hasValue )", "sh:property [ sh:path d:height ; sh:lessThanOrEquals d:width ]"),
    "type": on("rdf:type", "sh:hasValue d:Van ; sh:severity sh:Warning"),
}


def results(found: list[Targeted], entity: Entity) -> list[tuple[str, str]]:
    return sorted((result.component, result.severity) for result in Shapes(found).judge(entity))


def by_pyshacl(turtle: str, entity: Entity) -> list[tuple[str, str]]:
    data = Graph().parse(data=n_triples(triples_of([entity], Representation())), format="nt")
    _, report, _ = pyshacl.validate(data, shacl_graph=graph(turtle))
    assert isinstance(report, Graph)
    return sorted(
        (str(report.value(r, SH.sourceConstraintComponent)), str(report.value(r, SH.resultSeverity)).rpartition("#")[2])
        for r in report.objects(None, SH.result)
    )


@pytest.mark.parametrize("name", list(CORE))
def test_core_constraints_are_judged_as_pyshacl_does(name: str) -> None:
    turtle = f":S a sh:NodeShape ; sh:targetClass d:Car ; {CORE[name]} ."
    found = shapes(turtle)
    judged = [results(found, entity) for entity in CARS]
    assert judged == [by_pyshacl(turtle, entity) for entity in CARS]
    assert any(judged) and not all(judged), "every car conforms, or none: that shows nothing"


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("sh:targetNode <urn:x:1>", True),
        ("sh:targetNode <urn:x:2>", False),
        ("sh:targetSubjectsOf d:name", True),
        ("sh:targetObjectsOf d:name", False),
        ("a rdfs:Class", False),
    ],
)
def test_other_targets(target: str, broken: bool) -> None:
    turtle = f":S a sh:NodeShape ; {target} ; sh:property [ sh:path d:doors ; sh:maxCount 0 ] ."
    entity = car(name="a", doors=4)
    assert results(shapes(turtle), entity) == by_pyshacl(turtle, entity)
    assert bool(results(shapes(turtle), entity)) is broken


@pytest.mark.parametrize(
    ("constraint", "reason"),
    [
        ('sh:sparql [ sh:select "SELECT $this WHERE {}" ]', "free SPARQL"),
        ("sh:property [ sh:path [ sh:inversePath d:owner ] ; sh:minCount 1 ]", "inverse path"),
        ("sh:property [ sh:path [ sh:anyPath d:owner ] ; sh:minCount 1 ]", "path is not understood"),
        ("sh:property [ sh:minCount 1 ]", "needs a path"),
        ('sh:property [ sh:path d:a ; sh:minCount "one" ]', "needs an integer"),
        ('sh:property [ sh:path d:a ; sh:pattern "(" ]', "no regular expression"),
        ("sh:property [ sh:path d:a ; sh:in 5 ]", "a list is needed"),
        ("sh:property [ sh:path d:a ; sh:datatype 5 ]", "needs an IRI"),
        ("sh:property [ sh:path d:a ; sh:nodeKind sh:Thing ]", "no node kind"),
        ("sh:property [ sh:path d:a ; sh:qualifiedValueShape [] ; sh:qualifiedMinCount 1 ]", "not supported"),
        ("sh:property [ sh:path d:a ; sh:moreThan d:b ]", "sh:moreThan is not understood"),
        ("sh:severity sh:Fatal", "none of Violation, Warning, Info"),
        ("sh:node :S", "refers to itself"),
    ],
)
def test_what_cannot_be_judged_is_refused_and_never_skipped(constraint: str, reason: str) -> None:
    with pytest.raises(RefusedShape, match=reason) as refused:
        shapes(f":S a sh:NodeShape ; sh:targetClass d:Car ; {constraint} .")
    assert "urn:shapes:S" in str(refused.value) or "without a name" in str(refused.value)


def test_a_deactivated_shape_is_no_shape() -> None:
    assert shapes(":S a sh:NodeShape ; sh:targetClass d:Car ; sh:deactivated true ; sh:class d:Van .") == []


def test_a_result_names_attribute_dataset_and_message() -> None:
    (found,) = Shapes(
        shapes(
            ":S a sh:NodeShape ; sh:targetClass d:Car ; sh:property [ sh:path d:speed ; "
            'sh:property [ sh:path n:hasValue ; sh:maxInclusive 100 ; sh:message "zu schnell"@de , "too fast"@en ] ] .'
        )
    ).judge(CARS[5])
    assert (found.attribute or "").endswith("/speed")
    assert (found.dataset, found.message, found.severity) == ("urn:d:1", "too fast", "Violation")


def test_the_document_of_shapes_is_what_the_turtle_says() -> None:
    assert document() == DOCUMENT.read_bytes(), "run `make model`"
    assert from_document(orjson.loads(DOCUMENT.read_bytes())) == read_library(
        shapes_graph(), map(read_graph, profile_files())
    )


def test_every_shape_names_a_rule_that_says_what_to_do() -> None:
    rules = model_rules()
    assert list(rules) == [f"{NAMESPACE}C{number:02}" for number in range(1, 58)]
    actions = {
        "checkSensor", "maintenanceCheck", "reviewUsage", "contactProvider", "correctMapping", "confirmReset", "none",
    }  # fmt: skip
    assert {rule.action for rule in rules.values()} == actions
    assert all(rule.label and len(rule.explanation) > 100 for rule in rules.values())
    ahead = [each.shape for each in read_shapes(shapes_graph())]
    while ahead:
        shape = ahead.pop()
        ahead += [inner for c in shape.constraints if c.name == "property" for inner in c.value]
        assert shape.rule in rules or all(c.name == "property" for c in shape.constraints), shape.name


@pytest.mark.parametrize(
    ("turtle", "reason"),
    [
        (":R a vs:Rule ; rdfs:label 'a' .", "an explanation"),
        ("[] a vs:Rule ; rdfs:label 'a' ; vs:explanation 'b' ; vs:recommendedAction 'none' .", "needs an IRI"),
        (":S a sh:NodeShape ; sh:targetClass d:Car ; sh:class d:Van ; vs:rule 'C01' .", "needs the IRI of a rule"),
    ],
)
def test_a_rule_that_says_too_little_is_refused(turtle: str, reason: str) -> None:
    with pytest.raises(RefusedShape, match=reason):
        read_library(graph(f"@prefix vs: <{NAMESPACE}> .\n{turtle}"))


@pytest.mark.parametrize("entity_id", ["ngsi-ld:Car:1", "geojson:1", "urn:x:%7B1%7D"])
def test_an_id_that_rdf_writes_otherwise_escapes_nothing(entity_id: str) -> None:
    entity = expand_entity({"id": entity_id, "type": "Car", "speed": 500}, core_terms(), 0)
    found = shapes(
        f":S a sh:NodeShape ; sh:targetClass d:Car ; {on('( d:speed n:hasValue )', 'sh:maxInclusive 100')} ;"
        f" {on('d:name', 'sh:minCount 1')} ."
    )
    assert [component.rpartition("#")[2][:3] for component, _ in results(found, entity)] == ["Max", "Min"]


def test_what_is_missing_is_told_of_an_entity_that_rdf_cannot_express() -> None:
    entity = car(speed={"type": "Property", "value": {"@value": {"b": 1}}})
    found = shapes(f":S a sh:NodeShape ; sh:targetClass d:Car ; {on('d:name', 'sh:minCount 1')} .")
    assert [component.rpartition("#")[2] for component, _ in results(found, entity)] == ["MinCountConstraintComponent"]


@pytest.mark.parametrize(
    ("turtle", "reason"),
    [
        (":S a sh:NodeShape ; sh:target [ a sh:SPARQLTarget ] ; sh:class d:Van .", "sh:target"),
        (":Own a sh:ConstraintComponent ; sh:parameter [ sh:path :own ] .", "constraint components"),
    ],
)
def test_targets_and_components_of_ones_own_are_refused(turtle: str, reason: str) -> None:
    with pytest.raises(RefusedShape, match=reason):
        shapes(turtle)
