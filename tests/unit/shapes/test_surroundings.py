"""Rules across entities and over history: each is met and broken, and pySHACL finds the same in surroundings."""

from __future__ import annotations

import os
from random import Random

import pyshacl
import pytest
from rdflib import SH, BNode, Graph, Literal, Namespace, Node, URIRef

import ontology
from ngsild.rdf import n_triples
from shapes import NAMESPACE, model_rules, terms
from shapes.generate import surroundings_document
from shapes.shape import Result
from shapes.surroundings import DOCUMENT, Surroundings, SurroundingShapes, graph, model_surroundings
from shapes.surroundings.components import CONSTRAINTS
from shapes.surroundings.reader import surroundings_graph
from shapes.surroundings.shape import SurroundingShape, component_iri
from tests.unit.shapes.surrounded import numbered, varied
from tests.unit.shapes.surrounded_examples import EXAMPLES, SPECIAL

#: Variations of each example; `make test-oracle` makes twenty times as many.
COUNT = int(os.environ.get("VOLTWEAVE_ORACLE_ENTITIES", "100")) // 5
WHOLE = surroundings_graph()
SHAPES = {str(terms.text_of(shape.name)).removeprefix(NAMESPACE): shape for shape in model_surroundings().shapes}
#: (focus node, path, component, severity, datasetId, value)
Found = tuple[str, str, str, str, str, str]
NGSI_LD = Namespace("https://uri.etsi.org/ngsi-ld/")


def judged(shape: SurroundingShape, about: Surroundings) -> list[Result]:
    """Return what one shape says."""
    return SurroundingShapes([shape]).judge(about, shape.when)


def test_the_document_is_what_the_turtle_says() -> None:
    assert DOCUMENT.read_bytes() == surroundings_document()


def test_every_shape_has_its_examples() -> None:
    assert SHAPES.keys() == EXAMPLES.keys()


def test_every_component_is_used_and_has_its_meaning_in_sparql_or_is_known_to_have_none() -> None:
    assert {shape.component for shape in SHAPES.values()} == set(CONSTRAINTS)
    meant = {name for name in CONSTRAINTS if (URIRef(component_iri(name)), SH.propertyValidator, None) in WHOLE}
    assert set(CONSTRAINTS) - meant == WITHOUT_SPARQL


def test_every_shape_names_a_rule_and_attributes_that_its_classes_have() -> None:
    model = ontology.model()
    classes = {each.iri: each for each in model.classes.values()}
    for name, shape in SHAPES.items():
        assert shape.rule in model_rules(), name
        for each in shape.types:
            assert shape.attribute in {use.attribute.iri for use in classes[each].attributes.values()}, name


def test_every_register_and_counter_of_the_model_never_falls() -> None:
    asked = {
        (each, shape.attribute, shape.component)
        for shape in SHAPES.values()
        for each in shape.types
        if shape.component in ("neverFalls", "neverFallsWithinDay")
    }
    expected = {
        (each.iri, use.attribute.iri, "neverFalls" if use.limits.monotonic == "always" else "neverFallsWithinDay")
        for each in ontology.model().classes.values()
        for use in each.attributes.values()
        if use.limits.monotonic is not None
    }
    assert asked == expected


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_met_by_one_example_and_broken_by_the_other(name: str) -> None:
    shape = SHAPES[name]
    right, wrong = EXAMPLES[name]
    assert judged(shape, right) == []
    found = judged(shape, wrong)
    assert {(each.rule, each.severity, each.attribute) for each in found} == {
        (shape.rule, shape.severity, shape.attribute)
    }
    assert all(each.message == shape.message for each in found)


@pytest.mark.parametrize("name", SHAPES)
def test_pyshacl_finds_the_same_in_generated_surroundings(name: str) -> None:
    random, shape = Random(name), SHAPES[name]
    if shape.component in WITHOUT_SPARQL:
        return
    examples = [*EXAMPLES[name], *SPECIAL.get(name, [])]
    every = examples + [varied(random.choice(examples), random) for _ in range(COUNT)]
    every = [numbered(each, number) for number, each in enumerate(every)]
    found = {_found(each) for about in every for each in judged(shape, about)}
    assert found == pyshacl_finds(shape, every)
    assert found


def pyshacl_finds(shape: SurroundingShape, every: list[Surroundings]) -> set[Found]:
    """Return what pySHACL finds wrong with the entities, not with their neighbours."""
    data = Graph()
    for number, about in enumerate(every):
        # Blank nodes keep their names: the report names instances by them.
        text = n_triples(graph.triples(about)).replace("_:b", f"_:b{number}x")
        data.parse(data=text, format="nt", bnode_context=BNODES)
    _, report, _ = pyshacl.validate(data, shacl_graph=_alone(shape), advanced=False)
    assert isinstance(report, Graph), report
    ids = {about.entity.id for about in every}
    return {
        (
            str(report.value(node, SH.focusNode)),
            str(report.value(node, SH.resultPath)),
            str(report.value(node, SH.sourceConstraintComponent)),
            str(report.value(node, SH.resultSeverity)).rpartition("#")[2],
            *_instance(data, report.value(node, SH.value), shape),
        )
        for node in report.objects(None, SH.result)
        if str(report.value(node, SH.focusNode)) in ids
    }


def _instance(data: Graph, node: Node | None, shape: SurroundingShape) -> tuple[str, str]:
    """Return the datasetId and the value of the instance that is at fault."""
    dataset, value, target = (data.value(node, NGSI_LD[name]) for name in ("datasetId", "hasValue", "hasObject"))
    return str(dataset), "" if shape.component in OF_OTHERS else _value(value if target is None else target)


def _alone(shape: SurroundingShape) -> Graph:
    """Return a graph of the components and this shape."""
    found = Graph()
    whole = WHOLE
    name = URIRef(str(terms.text_of(shape.name)))
    others = set(whole.subjects(SH.path, None)) - {name} - {n for n in whole.subjects() if isinstance(n, BNode)}
    for triple in whole:
        if triple[0] not in others and not (triple[1] == SH.property and triple[2] in others):
            found.add(triple)
    return found


def _found(result: Result) -> Found:
    return (
        str(terms.text_of(result.focus)),
        str(terms.text_of(getattr(result.path, "predicate", ""))),
        result.component,
        result.severity,
        str(result.dataset),
        "" if result.component in {component_iri(name) for name in OF_OTHERS} else _written(result.value),
    )


def _written(value: str | None) -> str:
    """Return a term as it is compared: literals are written in more than one way."""
    literal = None if value is None else terms.as_literal(value)
    if literal is None:
        return str(value and terms.text_of(value))
    number = terms.native(str(value))
    return f"{float(number):.9g}" if type(number) in (int, float) else literal.text


def _value(node: Node | None) -> str:
    if isinstance(node, Literal):
        return f"{float(node):.9g}" if type(node.value) in (int, float) else str(node)
    return str(node)


#: Medians and the like, which SPARQL has not: other tests hold them against evaluators of their own.
WITHOUT_SPARQL: set[str] = set()
#: The value of a result is what the instance at fault collides with, which a SHACL report has no place for.
OF_OTHERS: set[str] = set()
BNODES: dict[str, BNode] = {}
