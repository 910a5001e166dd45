"""Profiles of providers add shapes and raise those of the model; each that they add or raise has examples."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pyshacl
import pytest
from rdflib import SH, Graph, URIRef

from ngsild.expand import expand_entity
from ngsild.rdf import n_triples, triples_of
from ngsild.render import Representation
from ontology import model
from shapes import DOCUMENT, NAMESPACE, example_files, model_shapes, profile_files
from shapes.document import from_document
from shapes.oracle import read_graph, shapes_graph
from shapes.reader import RefusedShape, read_library
from shapes.shape import Profile, Shape, Targeted
from tests.unit.shapes.test_compiled_shapes import TERMS

PROFILES = {each.name: each for each in from_document(orjson.loads(DOCUMENT.read_bytes())).profiles}
EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    (file.stem, each)
    for file in sorted((example_files()[0].parent / "profiles").glob("*.json"))
    for each in json.loads(file.read_text(encoding="utf-8"))
]


def test_there_is_a_profile_a_file() -> None:
    assert list(PROFILES) == [file.stem for file in profile_files()] == ["battery2life", "strict", "uc5"]


def named(targeted: tuple[Targeted, ...]) -> set[str]:
    """Return the names of the shapes that can have a result."""
    found, ahead = set(), [each.shape for each in targeted]
    while ahead:
        shape: Shape = ahead.pop()
        ahead += [inner for c in shape.constraints if c.name == "property" for inner in c.value]
        if any(c.name != "property" for c in shape.constraints):
            found.add(shape.name)
    return found


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_what_a_profile_adds_or_raises_has_an_example(profile: Profile) -> None:
    shown = {f"<{NAMESPACE}{each['shape']}>" for name, each in EXAMPLES if name == profile.name}
    assert shown == named(profile.adds) | set(profile.raises)


@pytest.mark.parametrize(("name", "each"), EXAMPLES, ids=[f"{name} {each['shape']}" for name, each in EXAMPLES])
def test_one_entity_breaks_the_shape_and_one_passes(name: str, each: dict[str, Any]) -> None:
    shape, rule = f"<{NAMESPACE}{each['shape']}>", NAMESPACE + each["rule"]
    good, bad = (expand_entity(each[which], TERMS, 0) for which in ("passes", "fails"))
    severity = "Info" if name == "uc5" else "Violation"
    assert [r for r in model_shapes(name).judge(good) if r.shape == shape] == []
    assert {(r.rule, r.severity) for r in model_shapes(name).judge(bad) if r.shape == shape} == {(rule, severity)}
    without = {(r.rule, r.severity) for r in model_shapes().judge(bad) if r.shape == shape}
    assert without == ({(rule, "Warning")} if shape in PROFILES[name].raises else set())


@pytest.mark.parametrize("name", list(PROFILES))
def test_pyshacl_says_the_same_of_what_a_profile_adds(name: str) -> None:
    graph = read_graph(*(file for file in profile_files() if file.stem == name))
    graph += Graph().parse(DOCUMENT.with_name("components.ttl"))
    added = named(PROFILES[name].adds)
    entities = [
        expand_entity(each[which] | {"id": f"urn:ngsi-ld:X:{number}:{which}"}, TERMS, 0)
        for number, (_, each) in enumerate(e for e in EXAMPLES if e[0] == name)
        for which in ("passes", "fails")
    ]
    data = Graph().parse(data=n_triples(triples_of(entities, Representation())), format="nt")
    _, report, _ = pyshacl.validate(data, shacl_graph=graph)
    assert isinstance(report, Graph)
    found = sorted(
        (report.value(r, SH.focusNode), report.value(r, SH.sourceShape)) for r in report.objects(None, SH.result)
    )
    judged = [(e, r) for e in entities for r in model_shapes(name).judge(e) if r.shape in added]
    assert found == sorted((URIRef(e.id), URIRef(r.shape[1:-1])) for e, r in judged)


def test_the_steps_of_uc5_are_those_of_the_model() -> None:
    asked = {}
    for each in PROFILES["uc5"].adds:
        for inner in each.shape.constraints[0].value:
            asked[inner.name[1:-1].removeprefix(f"{NAMESPACE}uc5-")] = dict(inner.constraints[0].value)["multipleOf"]
    steps = {f"{c.name}-{n}": use.limits.step for c in model().classes.values() for n, use in c.attributes.items()}
    assert asked == {name: step for name, step in steps.items() if step}


@pytest.mark.parametrize(
    ("turtle", "reason"),
    [
        ("vs:a a vs:Profile ; vs:raises vs:nothing .", "which is no shape"),
        ("vs:a a vs:Profile . vs:b a vs:Profile .", "one vs:Profile"),
        ("vs:a a vs:Rule .", "one vs:Profile"),
    ],
)
def test_a_profile_that_is_none_is_refused(turtle: str, reason: str) -> None:
    graph = Graph().parse(data=f"@prefix vs: <{NAMESPACE}> . {turtle}", format="turtle")
    with pytest.raises(RefusedShape, match=reason):
        read_library(shapes_graph(), [graph])


def test_an_unknown_profile_is_told_with_those_that_are_known() -> None:
    with pytest.raises(LookupError, match="no profile nobody; known: battery2life, strict, uc5"):
        model_shapes("nobody")
