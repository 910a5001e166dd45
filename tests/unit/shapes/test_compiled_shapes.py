"""Compiled shapes and the engine give the results of pySHACL, for right and wrong entities of every class.

`make test-oracle` judges 2,000 entities of each class; here it is 100.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pyshacl
import pytest
from rdflib import SH, BNode, Graph, Literal, Node, URIRef

import ontology
from ngsild.context import compile_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.problems import Problem
from ngsild.rdf import triples_of
from ngsild.render import Representation
from ontology import Kind, model
from shapes import NAMESPACE, terms
from shapes.compiler import Shapes
from shapes.engine import Data, judge
from shapes.oracle import shapes_graph
from shapes.reader import read_shapes
from shapes.shape import Result, Target
from tests.unit.shapes.generated_entities import EXAMPLES, entity
from tests.unit.shapes.test_mechanical_shapes import FAULTS, Fault, changed, mechanical_shapes, smallest

#: Entities that pySHACL judges in one graph.
TOGETHER = 25
COUNT = int(os.environ.get("VOLTWEAVE_ORACLE_ENTITIES", "100"))
TERMS = compile_terms([ontology.context("cim")["@context"]])
TARGETED = read_shapes(shapes_graph())
SHAPES = Shapes(TARGETED)

RANGE = re.compile("(Min|Max)(In|Ex)clusive")
#: (focus node, component, severity, shape, value)
Found = tuple[str, str, str, str, str]


def entities(class_name: str) -> list[Entity]:
    """Return entities that the broker would take."""
    random = Random(class_name)
    found: list[Entity] = []
    while len(found) < COUNT:
        try:
            made = expand_entity(entity(class_name, len(found), random), TERMS, 0)
            triples_of([made], Representation())
        except Problem:
            continue
        found.append(made)
    return found


def node(term: str) -> Node | None:
    if not term:
        return None
    if terms.is_iri(term):
        return URIRef(term[1:-1])
    literal = terms.as_literal(term)
    if literal is None:
        return BNode(term[2:])
    if literal.language:
        return Literal(literal.text, lang=literal.language)
    return Literal(literal.text, datatype=None if term.endswith('"') else URIRef(literal.datatype))


def term(node: Node | None) -> str:
    if node is None:
        return ""
    if isinstance(node, BNode):
        return f"_:{node}"
    if isinstance(node, URIRef):
        return terms.iri(str(node))
    # Literals are written in more than one way: their datatype will do.
    return str(node.datatype) if isinstance(node, Literal) else ""


def by_pyshacl(triples: list[Any]) -> list[Found]:
    graph = Graph()
    for triple in triples:
        graph.add(tuple(map(node, triple)))  # type: ignore[arg-type]
    _, report, _ = pyshacl.validate(graph, shacl_graph=shapes_graph(), inplace=True)
    assert isinstance(report, Graph)
    return sorted(
        (
            term(report.value(each, SH.focusNode)),
            str(report.value(each, SH.sourceConstraintComponent)),
            str(report.value(each, SH.resultSeverity)).rpartition("#")[2],
            term(report.value(each, SH.sourceShape)),
            term(report.value(each, SH.value)),
        )
        for each in report.objects(None, SH.result)
    )


def as_found(result: Result) -> Found:
    return result.focus, result.component, result.severity, result.shape, term(node(result.value or ""))


def without_held(found: list[Found]) -> list[Found]:
    """Return results without the instance that is a value, for which `Shapes.judge` puts what it holds."""
    return [(*each[:4], "") if each[1].startswith(NAMESPACE) else each for each in found]


def by_engine(triples: list[Any]) -> list[Found]:
    data = Data(triples)
    nodes = [(each.shape, n) for each in TARGETED for target in each.targets for n in data.targets(target)]
    return sorted(as_found(result) for shape, n in nodes for result in judge(data, shape, n))


def comparable(found: list[Found]) -> list[Found]:
    """Return results less those on the range of what does not compare.

    pySHACL takes true for 1, and orders texts of a foreign datatype and numbers; by SPARQL both are type errors.
    """
    return [
        each for each in found if not (RANGE.search(each[1]) and each[4].endswith(("#boolean", "Date", "DateTime")))
    ]


def without_labels(found: list[Found]) -> list[Found]:
    """Return results in which blank nodes have no names, for those of two runs differ."""
    return sorted(tuple("_" if part.startswith("_:") else part for part in each) for each in found)  # type: ignore[misc]


@pytest.mark.parametrize("class_name", list(EXAMPLES))
def test_results_are_those_of_pyshacl(class_name: str) -> None:
    found, exact = entities(class_name), list[Found]()
    # SPARQL takes longer for each entity the more there are.
    for begin in range(0, len(found), TOGETHER):
        triples = triples_of(found[begin : begin + TOGETHER], Representation())
        exact += by_engine(triples)
        assert comparable(by_engine(triples)) == comparable(by_pyshacl(triples))
    judged = [SHAPES.judge(each) for each in found]
    compiled = [as_found(result) for results in judged for result in results]
    assert without_labels(without_held(compiled)) == without_labels(without_held(exact))
    assert across_attributes(class_name) <= {result.shape for results in judged for result in results}
    broken = sum(map(bool, judged))
    assert COUNT / 10 <= broken <= COUNT * 0.9, "too few or too many entities break a shape to show anything"


def across_attributes(class_name: str) -> set[str]:
    """Return the names of the shapes of a class that are written by hand, each of which some entity must break."""
    target = Target("class", terms.iri(model().classes[class_name].iri))
    shapes = [each.shape for each in TARGETED if target in each.targets]
    inner = {shape.name for each in shapes for c in each.constraints if c.name == "property" for shape in c.value}
    return inner - {terms.iri(each) for each in mechanical_shapes()}


def test_a_conforming_example_is_never_in_doubt() -> None:
    for class_name, example in EXAMPLES.items():
        made = expand_entity(example, TERMS, 0)
        assert SHAPES.judge(made) == [], class_name


def all_shapes() -> set[str]:
    """Return the IRIs of all shapes that can have a result."""
    found, ahead = set(), [each.shape for each in TARGETED]
    while ahead:
        shape = ahead.pop()
        ahead += [inner for c in shape.constraints if c.name == "property" for inner in c.value]
        if any(c.name != "property" for c in shape.constraints):
            found.add(shape.name[1:-1])
    return found


def wrong_kinds() -> Iterator[Fault]:
    """Yield each attribute as a well-formed one of another kind, which the broker takes."""
    for class_ in model().classes.values():
        for name, use in class_.attributes.items():
            if use.inverse_of is None and name != "location":
                related = use.attribute.kind is Kind.RELATIONSHIP
                other = {"type": "Property", "value": 1} if related else {"type": "Relationship", "object": "urn:x:1"}
                made = smallest(class_.name, name) | {name: other | {"observedAt": "2026-05-04T08:30:00Z"}}
                yield Fault(f"{class_.name}-{name} of another kind", made, f"{class_.name}-{name}")


def other_faults() -> Iterator[Fault]:
    """Yield faults of geometries, lists and sub-attributes."""
    line = {"type": "LineString", "coordinates": [[8, 49], [9, 50]]}
    for class_ in model().classes.values():
        for name, use in class_.attributes.items():
            shape = f"{class_.name}-{name}"
            if use.attribute.kind is Kind.GEO_PROPERTY:
                yield Fault(f"{shape} as a line", changed(class_.name, name, value=line), f"{shape}-value")
            if use.attribute.kind is Kind.LIST_PROPERTY:
                yield Fault(f"{shape} of texts", changed(class_.name, name, valueList=["x"]), f"{shape}-items")
    for attribute in model().attributes.values():
        if attribute.sub_property:
            related = attribute.kind is Kind.RELATIONSHIP
            other = {"type": "Property", "value": 1} if related else {"type": "Relationship", "object": "urn:x:1"}
            yield Fault(attribute.name, changed("EVSE", "activePower", **{attribute.name: other}), attribute.name)
            wrong = {"type": "Relationship", "object": "urn:x:1"} if related else {"type": "Property", "value": [1, 2]}
            yield Fault(
                attribute.name, changed("EVSE", "activePower", **{attribute.name: wrong}), f"{attribute.name}-value"
            )


def test_every_single_fault_is_found_by_its_shape_and_without_a_shape_it_is_not() -> None:
    """So a shape that the compiler would drop is missed."""
    mechanical, hit = mechanical_shapes(), set[str]()
    for fault in [*FAULTS, *wrong_kinds(), *other_faults()]:
        try:
            made = expand_entity(fault.entity, TERMS, 0)
        except Problem:
            assert fault.name.endswith("of another kind"), fault.name
            continue
        found = {(r.shape[1:-1], r.severity) for r in SHAPES.judge(made) if r.shape[1:-1] in mechanical}
        hit |= {shape for shape, _ in found}
        if fault.shape is None:
            assert found == set(), fault.name
        else:
            assert (NAMESPACE + fault.shape, fault.severity) in found, fault.name
    # The broker itself takes no location that is no GeoProperty or off the globe.
    taken_for_granted = re.compile("-location(-latitude|-longitude)?$")
    assert [shape for shape in sorted((all_shapes() & mechanical) - hit) if not taken_for_granted.search(shape)] == []
