"""Rules across entities and over history: each is met and broken, and pySHACL finds the same in surroundings."""

from __future__ import annotations

import os
from random import Random

import pyshacl
import pytest
from rdflib import RDF, SH, BNode, Graph, Literal, Namespace, Node, URIRef

import ontology
from ngsild.rdf import n_triples
from shapes import model_rules, terms
from shapes.generate import surroundings_document
from shapes.shape import Result
from shapes.surroundings import DOCUMENT, Surroundings, SurroundingShapes, graph
from shapes.surroundings.components import CONSTRAINTS
from shapes.surroundings.reader import surroundings_graph
from shapes.surroundings.shape import SurroundingShape, component_iri
from tests.unit.shapes.surrounded import varied
from tests.unit.shapes.surrounded_examples import EXAMPLES, SHAPES, SPECIAL

#: Variations of each example; `make test-oracle` makes twenty times as many.
COUNT = int(os.environ.get("VOLTWEAVE_ORACLE_ENTITIES", "100")) // 10
#: Samples in one surroundings that pySHACL judges: the paths along them cost it their third power.
LONGEST = 12
WHOLE = surroundings_graph()
#: Medians and the like, which SPARQL has not: other tests hold them against evaluators of their own.
WITHOUT_SPARQL = {"outlier", "weeklyShift", "logSpaced"}
#: The value of a result is what the instance at fault collides with, which a SHACL report has no place for.
OF_OTHERS = {"noOverlap", "uniqueAmong", "exists"}
BNODES: dict[str, BNode] = {}
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


@pytest.mark.parametrize("component", sorted(set(CONSTRAINTS) - WITHOUT_SPARQL))
def test_pyshacl_finds_the_same_in_generated_surroundings(component: str) -> None:
    random = Random(component)
    names = [name for name, shape in SHAPES.items() if shape.component == component]
    examples = [each for name in names for each in (*EXAMPLES[name], *SPECIAL.get(name, []))]
    examples = [each for each in examples if sum(map(len, each.series.values())) <= LONGEST]
    known = [each for name in names for each in SPECIAL.get(name, [])]
    chosen = known + random.sample(examples, min(len(examples), COUNT))
    every = chosen + [varied(random.choice(examples), random) for _ in range(COUNT)]
    shapes = SurroundingShapes(SHAPES[name] for name in names)
    when = SHAPES[names[0]].when
    meaning = _alone(component)
    results = 0
    for about in every:
        found = {_found(each) for each in shapes.judge(about, when)}
        assert found == pyshacl_finds(component, meaning, about), about
        results += len(found)
    assert results


def pyshacl_finds(component: str, shapes: Graph, about: Surroundings) -> set[Found]:
    """Return what pySHACL finds wrong with the entity, not with its neighbours."""
    data = Graph()
    # Blank nodes keep their names: the report names instances by them.
    data.parse(data=n_triples(graph.triples(about)), format="nt", bnode_context=BNODES)
    _, report, _ = pyshacl.validate(data, shacl_graph=shapes, advanced=False)
    assert isinstance(report, Graph), report
    return {
        (
            str(report.value(node, SH.focusNode)),
            str(report.value(node, SH.resultPath)),
            str(report.value(node, SH.sourceConstraintComponent)),
            str(report.value(node, SH.resultSeverity)).rpartition("#")[2],
            *_instance(data, report.value(node, SH.value), component),
        )
        for node in report.objects(None, SH.result)
        if str(report.value(node, SH.focusNode)) == about.entity.id
    }


def _instance(data: Graph, node: Node | None, component: str) -> tuple[str, str]:
    """Return the datasetId and the value of the instance that is at fault."""
    dataset, value, target = (data.value(node, NGSI_LD[name]) for name in ("datasetId", "hasValue", "hasObject"))
    return str(dataset), "" if component in OF_OTHERS else _value(value if target is None else target)


def _alone(component: str) -> Graph:
    """Return a graph of a component and the shapes that use it."""
    found = Graph()
    names = {URIRef(str(terms.text_of(shape.name))) for shape in SHAPES.values() if shape.component == component}
    for triple in WHOLE:
        subject, predicate, value = triple
        wanted = isinstance(subject, BNode) or subject in names or subject == URIRef(component_iri(component))
        of_node = (subject, RDF.type, SH.NodeShape) in WHOLE and (predicate != SH.property or value in names)
        if wanted or of_node or str(subject).endswith("#surroundings"):
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
