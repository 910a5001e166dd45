"""Each component, in shapes that a user might write, judges odd entities as pySHACL does, compiled or not."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pyshacl
import pytest
from rdflib import SH, Graph

from ngsild.context import core_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.rdf import n_triples, triples_of
from ngsild.render import Representation
from shapes import NAMESPACE
from shapes.compiler import Shapes
from shapes.components import COMPONENTS, turtle
from shapes.engine import Data, judge
from shapes.generate import COMPONENTS as FILE
from shapes.reader import RefusedShape, read_shapes
from tests.unit.shapes.test_reader import PREFIXES

VS = f"@prefix vs: <{NAMESPACE}> .\n@prefix cim: <https://w3id.org/voltweave/cim#> .\n{PREFIXES}"
VALUES: tuple[Any, ...] = (
    0, 1, 2, 2.0, 3, 0.5, 0.1, 0.30000000000000004, -1, 5e-7, 1.0000005, 60, 1e300, True, False, "a", "done",
    "4539148803436467", "4539148803436468", "59", "2026-05-04", "2026-05-05", "2026-02-30", "2026-13-01", "1999-12-31",
    "2026-05-04T08:00:00Z", "2026-05-04T08:01:00Z", "2026-05-04T08:00:00.5Z", "2026-05-04T08:00:00,25Z",
    "2026-05-04T07:59:59.999999Z", "2099-01-01T00:00:00Z", "2026-05-04 08:00", "2026-05-04T08:00:00+02:00",
    {"@type": "DateTime", "@value": "2026-05-04T08:00:30Z"}, {"@type": "Date", "@value": "2026-05-04"},
    {"@type": "http://www.w3.org/2001/XMLSchema#decimal", "@value": "1.5"}, [1, 2], [1, "a"], [],
    {"low": 1, "high": 2}, {"low": 2, "high": 2}, {"low": "2026-05-04", "high": "2026-05-05T00:00:00Z"},
    {"low": [1, 3], "high": 2}, {"low": "x"}, {},
)  # fmt: skip
TIMES = ("2026-05-04T08:00:00Z", "2026-05-04T08:00:00Z", "2026-05-04T09:00:00Z", "2099-01-01T00:00:00Z")
LISTS: tuple[list[Any], ...] = ([], [1], [2], [1, 2], [2, 1], [1, "x"], [0.5, 2.5], [[1], 2])
POINTS = ([0, 0], [0, 0.01], [8, 49], [8.0, -0.01, 5], [180, 90])


def entity(number: int, random: Random) -> Entity:
    found: dict[str, Any] = {"id": f"urn:x:{number}", "type": "Car"}
    for name in ("a", "b", "c", "e", "f"):
        if random.random() < 0.85:
            found[name] = attribute(random)
            if random.random() < 0.15:
                found[name] = [found[name], attribute(random) | {"datasetId": "urn:d:1"}]
            elif random.random() < 0.1:
                found[name]["datasetId"] = "urn:d:1"
    if random.random() < 0.2:
        at_once = {"type": "Property", "observedAt": TIMES[0]}
        found |= {name: at_once | {"value": random.choice((1, 2, 3, 6))} for name in ("a", "b", "c")}
    if random.random() < 0.1:
        found |= {"a": random.choice((0, 30, 31, 60)), "b": random.choice(TIMES), "c": "2026-05-04T08:01:00Z"}
    for name in ("list", "other"):
        if random.random() < 0.8:
            found[name] = {"type": "ListProperty", "valueList": random.choice(LISTS)}
    if random.random() < 0.8:
        found["place"] = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": random.choice(POINTS)}}
        if random.random() < 0.2:
            found["place"]["value"] = {"type": "LineString", "coordinates": [[0, 0], [8, 49]]}
    if random.random() < 0.6:
        country = {"https://schema.org/addressCountry": random.choice(("DE", "IT", ["DE", "IT"], 5))}
        found["address"] = {"type": "Property", "value": random.choice((country, country, "DE"))}
    return expand_entity(found, core_terms(), 0)


def attribute(random: Random) -> dict[str, Any]:
    # Numbers that are near each other, so that sums and orders hold now and then.
    pools: tuple[tuple[Any, ...], ...] = (
        VALUES,
        (1, 2, 3, 2.5, 0.5, 6),
        (30, 60, *TIMES, "2026-05-04T08:00:50Z", "2026-05-05T08:00:00Z", "2026-05-05T08:00:01Z", "2026-05-09"),
    )
    value = random.choice(random.choices(pools, (4, 3, 3))[0])
    found: dict[str, Any] = {"type": "Property", "value": value}
    if random.random() < 0.1:
        found = {"type": "Relationship", "object": "urn:x:1"}
    if random.random() < 0.7:
        found["observedAt"] = random.choice(TIMES)
    if random.random() < 0.15:
        mark = random.choice(("suspect", "good"))
        found["https://w3id.org/voltweave/cim#quality"] = {"type": "Property", "value": mark}
    return found


WHEN = 'vs:when d:c ; vs:whenPattern "^(done|a|1)$"'
SHAPES = {
    "at most": "sh:path d:a ; vs:atMost d:b",
    "less than": "sh:path d:a ; vs:atMost d:b ; vs:strictly true",
    "at most a minute later": "sh:path d:a ; vs:atMost d:b ; vs:offset 60",
    "at most a day later": "sh:path d:a ; vs:atMost d:b ; vs:offset 86400",
    "at most twice": "sh:path d:a ; vs:atMost d:b ; vs:factor 2 ; vs:offset -0.5",
    "at most itself": "sh:path d:a ; vs:atMost d:a",
    "at most when": f"sh:path d:a ; vs:atMost d:b ; {WHEN} ; vs:unlessMarked '^suspect$'",
    "at most when over": "sh:path d:a ; vs:atMost d:b ; vs:when d:c ; vs:whenOver 1 ; vs:unlessPositive d:e",
    "at least": "sh:path d:a ; vs:atLeast d:b",
    "at least an hour before": "sh:path d:a ; vs:atLeast d:b ; vs:offset -3600",
    "range when": "sh:path d:a ; vs:rangeWhen d:c ; vs:least 1 ; vs:most 2",
    "over when": "sh:path d:a ; vs:rangeWhen d:c ; vs:whenPattern '^(true|a|1)$' ; vs:over 1 ;"
    " vs:unlessMarked 'suspect'",
    "members": "sh:path d:a ; vs:lesserMember d:low ; vs:greaterMember d:high",
    "lasts": "sh:path d:a ; vs:lastsFrom d:b ; vs:lastsUntil d:c ; vs:tolerance 30",
    "sum": "sh:path d:a ; vs:sumOf d:b ; vs:plus d:c",
    "difference": "sh:path d:a ; vs:sumOf d:b ; vs:less d:c ; vs:tolerance 0.5",
    "product": "sh:path d:a ; vs:productOf d:b ; vs:times d:c ; vs:relativeTolerance 0.1",
    "product at once": "sh:path d:a ; vs:productOf d:b ; vs:times d:c ; vs:sameTime true ; vs:tolerance 1",
    "quotient": "sh:path d:a ; vs:productOf d:b ; vs:dividedBy d:c ; vs:scale -1 ; vs:constant 3 ; vs:tolerance 0.5",
    "quotient of more": "sh:path d:a ; vs:productOf d:b ; vs:dividedBy d:c ; vs:andBy d:e ; vs:andAlsoBy d:f",
    "requires": "sh:path d:a ; vs:requires d:b",
    "requires if": "sh:path d:a ; vs:requires d:b ; vs:ifPattern '^(true|a|2)'",
    "before observations": "sh:path d:a ; vs:beforeObservations true",
    "before observations, or not": "sh:path d:a ; vs:beforeObservations false",
    "as long": "sh:path d:list ; vs:sameLengthAs d:other",
    "each at most": "sh:path d:list ; vs:eachAtMost d:other",
    "items": f"sh:path d:list ; vs:itemsFrom 1 ; vs:itemsTo 2 ; {WHEN}",
    "possible time": "sh:path ( d:a n:hasValue ) ; vs:notAfterNow 60 ; vs:notBefore '2000-01-01'",
    "possible observation": "sh:path d:a ; sh:property [ sh:path n:observedAt ; vs:notAfterNow 60 ]",
    "steps": "sh:path ( d:a n:hasValue ) ; vs:multipleOf 0.4",
    "check digit": "sh:path ( d:a n:hasValue ) ; vs:checkDigit true",
    "not at zero": "sh:path d:place ; vs:west 0 ; vs:south 0 ; vs:east 0 ; vs:north 0.01 ; vs:outside true",
    "in a country": "sh:path d:place ; vs:west 5 ; vs:south 47 ; vs:east 15 ; vs:north 55 ;"
    " vs:byAddress d:address ; vs:inCountry 'DE'",
    "with a count": "sh:path d:a ; vs:atMost d:b ; sh:minCount 1 ; sh:maxCount 1",
}
#: Cars that break what odd ones seldom do.
PLAIN: tuple[dict[str, Any], ...] = (
    {"a": "2026-05-09", "b": "2026-05-04T08:00:00Z", "c": "done"},
    {"a": 5, "b": 1, "c": 2},
    {"a": 5, "b": 1, "c": "done", "list": {"type": "ListProperty", "valueList": [0.5, 3]}},
    {"a": 100, "b": "2026-05-04T08:00:00Z", "c": "2026-05-04T08:01:00Z"},
)
#: (focus node without blank nodes' names, component)
Found = list[tuple[str, str]]


@cache
def cars() -> list[Entity]:
    random = Random(7)
    plain = [
        expand_entity(each | {"id": f"urn:x:p{n}", "type": "Car"}, core_terms(), 0) for n, each in enumerate(PLAIN)
    ]
    return plain + [entity(number, random) for number in range(100)]


@cache
def triples() -> list[Any]:
    return triples_of(cars(), Representation())


def by_pyshacl(graph: Graph) -> Found:
    data = Graph().parse(data=n_triples(triples()), format="nt")
    _, report, _ = pyshacl.validate(data, shacl_graph=graph)
    assert isinstance(report, Graph)
    return sorted(
        (focus(f"<{report.value(r, SH.focusNode)}>"), str(report.value(r, SH.sourceConstraintComponent)))
        for r in report.objects(None, SH.result)
    )


def focus(node: str) -> str:
    return node if node.startswith("<urn:") else "_"


@pytest.mark.parametrize("name", [*SHAPES, "known attributes"])
def test_a_component_is_judged_as_pyshacl_does(name: str) -> None:
    says = (
        f"sh:property [ {SHAPES[name]} ]"
        if name in SHAPES
        else 'vs:noAttributeFrom "https://uri.etsi.org/ngsi-ld/default-context/p"'
    )
    graph = Graph().parse(data=f"{VS} :S a sh:NodeShape ; sh:targetClass d:Car ; {says} .")
    shapes, whole = read_shapes(graph), Graph().parse(FILE) + graph
    data = Data(triples())
    exact = sorted(
        (focus(r.focus), r.component)
        for each in shapes
        for target in each.targets
        for node in data.targets(target)
        for r in judge(data, each.shape, node)
    )
    assert exact == by_pyshacl(whole)
    compiled = [(focus(r.focus), r.component) for car in cars() for r in Shapes(shapes).judge(car)]
    assert sorted(compiled) == exact
    broken = {node for node, _ in exact}
    assert bool(broken) is not name.endswith("or not"), "no car breaks it: that shows nothing"
    assert len(broken) < len(cars()), "all cars break it: that shows nothing"


def test_every_component_is_tried() -> None:
    tried = " ".join(SHAPES.values()) + " vs:noAttributeFrom"
    assert [each.name for each in COMPONENTS.values() if f"vs:{each.key} " not in f"{tried} "] == []


def test_the_file_of_components_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == turtle(), "run `make model`"


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("sh:property [ sh:path d:a ; vs:atMots d:b ]", "vs:atMots is not understood"),
        ("sh:property [ sh:path d:a ; vs:factor 2 ]", "vs:factor says nothing by itself"),
        ("sh:property [ sh:path d:a ; vs:atMost d:b , d:c ]", "vs:atMost is given twice"),
        ("sh:property [ sh:path d:a ; vs:atMost 5 ]", "vs:atMost needs an IRI"),
        ("sh:property [ sh:path d:a ; vs:atMost d:b ; vs:factor 'x' ]", "vs:factor needs a number"),
        ('sh:property [ sh:path d:a ; vs:atMost d:b ; vs:factor "INF"^^xsd:double ]', "vs:factor needs a number"),
        ("sh:property [ sh:path d:a ; vs:atMost d:b ; vs:strictly 1 ]", "vs:strictly needs true or false"),
        ("sh:property [ sh:path d:a ; vs:requires d:b ; vs:ifPattern '(' ]", "vs:ifPattern .* no regular expression"),
        ("sh:property [ sh:path ( d:a n:hasValue ) ; vs:atMost d:b ]", "needs a path, which is one attribute"),
        ("vs:atMost d:b", "needs a path, which is one attribute"),
        ("sh:property [ sh:path d:a ; vs:lastsFrom d:b ]", "vs:lastsFrom needs vs:lastsUntil"),
        ("sh:property [ sh:path d:a ; vs:noAttributeFrom 'x' ]", "so the shape has no path"),
        ("sh:property [ sh:path d:a ; vs:multipleOf 0 ]", "vs:multipleOf needs a number"),
        ("sh:property [ sh:path d:place ; vs:west 0 ]", "vs:west needs vs:south"),
    ],
)
def test_what_a_component_cannot_take_is_refused(says: str, reason: str) -> None:
    graph = Graph().parse(data=f"{VS} :S a sh:NodeShape ; sh:targetClass d:Car ; {says} .")
    with pytest.raises(RefusedShape, match=reason):
        read_shapes(graph)


def test_a_result_tells_what_the_instance_holds_and_its_dataset() -> None:
    graph = Graph().parse(
        data=f"{VS} :S a sh:NodeShape ; sh:targetClass d:Car ; sh:property [ sh:path d:a ; vs:atMost d:b ] ."
    )
    dataset = {"datasetId": "urn:d:1"}
    car = {
        "id": "urn:x:1",
        "type": "Car",
        "a": [{"value": 1}, {"value": 5} | dataset],
        "b": [{"value": 2}, {"value": 3} | dataset],
    }
    (found,) = Shapes(read_shapes(graph)).judge(expand_entity(car, core_terms(), 0))
    assert (found.value, found.dataset) == ('"5"^^<http://www.w3.org/2001/XMLSchema#integer>', "urn:d:1")
    assert (found.attribute or "").endswith("/a")
