"""The generated shapes, judged by pySHACL: examples pass, and each fault is found by the shape that is there for it.

All faulty entities stand in one graph and are validated at once; each has an id of its own and exactly one fault.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from rdflib import RDF, SH, BNode, Graph, Literal, URIRef

from ontology import AttributeUse, Kind, model
from ontology.generate.examples import VALUE_MEMBER
from shapes import NAMESPACE, shape_files
from shapes.generate import COMPONENTS
from shapes.oracle import Result, UnknownContext, to_graph, validate
from tests.unit.shapes.generated_entities import EXAMPLES

WRONG_VALUE = {
    "string": 5,
    "number": "12",
    "integer": 1.5,
    "boolean": "yes",
    "date": "04/05/26",
    "dateTime": "2026-05-04 08:30",
    "anyURI": "no uri",
    "PostalAddress": "Via Roma 1",
    "ContactPoint": "somebody",
    "OpeningHoursSpecification": "always",
    "PhaseValues": 230,
    "Interval": "April",
}


@dataclass(frozen=True)
class Fault:
    """An entity with one fault and the shape that must find it (None: no shape at all)."""

    name: str
    entity: dict[str, Any]
    shape: str | None
    severity: str = "Violation"


def smallest(class_name: str, name: str) -> dict[str, Any]:
    """Return the example of a class with one attribute and those that must or should be there."""
    uses = model().classes[class_name].attributes
    example = copy.deepcopy(EXAMPLES[class_name])
    return {key: value for key, value in example.items() if key not in uses or key == name or uses[key].required}


def changed(class_name: str, name: str, **members: Any) -> dict[str, Any]:
    """Return an entity in which members of one attribute differ from the example; None takes a member away."""
    entity = smallest(class_name, name)
    instance = entity[name] | members
    entity[name] = {key: value for key, value in instance.items() if value is not None}
    return entity


def faults() -> Iterator[Fault]:
    for class_ in model().classes.values():
        for use in class_.attributes.values():
            if use.inverse_of is None:
                yield from faults_of(class_.name, use)


def faults_of(class_name: str, use: AttributeUse) -> Iterator[Fault]:
    attribute, name = use.attribute, f"{class_name}-{use.attribute.name}"
    member = VALUE_MEMBER[attribute.kind]

    def fault(what: str, shape: str | None, severity: str = "Violation", **members: Any) -> Fault:
        return Fault(f"{name} {what}", changed(class_name, attribute.name, **members), shape, severity)

    entity = smallest(class_name, attribute.name)
    del entity[attribute.name]
    hard = {"hard": "Violation", "expected": "Warning", None: ""}[use.required]
    yield Fault(f"{name} absent", entity, f"{name}-present" if hard else None, hard)
    if attribute.unit and attribute.unit.unit_code:
        yield fault("in another unit", f"{name}-unit", unitCode="XXX")
        yield fault("without unit", f"{name}-unit", unitCode=None)
    elif attribute.unit and not attribute.unit.monetary:
        yield fault("in another unit", f"{name}-unit", unit={"type": "Property", "value": "g"})
    elif attribute.unit:
        yield fault("without currency", f"{name}-unit", "Warning", currency=None)
    if use.changes == "telemetry":
        yield fault("without observedAt", f"{name}-observedAt", observedAt=None)
    other = "GeoProperty" if attribute.kind is Kind.PROPERTY else "Property"
    yield fault("of another kind", name, type=other)
    if attribute.kind is Kind.RELATIONSHIP and attribute.range != "any":
        yield fault("to another type", f"{name}-value", object="urn:ngsi-ld:Nothing:example:1")
    elif attribute.kind is Kind.PROPERTY and attribute.range in WRONG_VALUE:
        wrong: Any = WRONG_VALUE[attribute.range]
        yield fault("with a value of another type", f"{name}-value", **{member: wrong})
    if not use.many and attribute.kind in (Kind.PROPERTY, Kind.RELATIONSHIP):
        yield from two_values(class_name, use, f"{name}-value")
    for what, value in outside(use):
        yield fault(what, f"{name}-limits", use.limits.severity, **{member: value})
    if use.limits.scheme or attribute.scheme:
        yield fault("not in its list", f"{name}-listed", "Warning", **{member: "somethingNew"})


def two_values(class_name: str, use: AttributeUse, shape: str) -> Iterator[Fault]:
    """Two values in one instance are a fault; two instances with a datasetId each are none (decision 27)."""
    name, member = use.attribute.name, VALUE_MEMBER[use.attribute.kind]
    first = EXAMPLES[class_name][name][member]
    if not isinstance(first, str) or use.attribute.range not in ("string", *model().classes):
        return
    second = first[:-1] + ("2" if use.attribute.kind is Kind.RELATIONSHIP else "Z")
    yield Fault(f"{shape} twice", changed(class_name, name, **{member: [first, second]}), shape)
    entity = smallest(class_name, name)
    dataset = {"datasetId": "urn:ngsi-ld:Dataset:example:2"}
    entity[name] = [entity[name], entity[name] | dataset]
    yield Fault(f"{shape} in two datasets", entity, None)


def outside(use: AttributeUse) -> Iterator[tuple[str, Any]]:
    """Yield values just outside the limits of a use, each breaking one bound."""
    limits, attribute = use.limits, use.attribute
    if attribute.kind is Kind.LIST_PROPERTY:
        if limits.max_length and attribute.name == "forecastValue":
            yield "too long", [float(n) for n in range(limits.max_length + 1)]
        return
    step = 1 if attribute.range == "integer" else 0.5

    def shaped(number: float) -> Any:
        return {"L1": number, "L2": 10, "L3": 10} if attribute.range == "PhaseValues" else number

    if limits.minimum is not None:
        yield "too low", shaped(limits.minimum - step)
    if limits.exclusive_minimum is not None:
        yield "at the open end", shaped(limits.exclusive_minimum)
    if limits.maximum is not None:
        yield "too high", shaped(limits.maximum + step)
    if limits.max_length is not None:
        yield "too long", "x" * (limits.max_length + 1)
    if limits.min_length is not None and not limits.pattern:
        yield "too short", ""
    if limits.pattern:
        yield "against its pattern", "ws-!" if limits.pattern.startswith("^wss") else "!"


@cache
def mechanical_graph() -> Graph:
    """Return the shapes that are generated, with the components that they use."""
    graph = Graph().parse(COMPONENTS)
    for file in shape_files():
        if file.parent.name == "generated":
            graph.parse(file)
    return graph


def mechanical_shapes() -> set[str]:
    """Return the IRIs of the shapes that are generated."""
    return {str(s) for kind in (SH.NodeShape, SH.PropertyShape) for s in mechanical_graph().subjects(RDF.type, kind)}


FAULTS = list(faults())
SUB_PROPERTY_SHAPES = {
    NAMESPACE + a.name + part
    for a in model().attributes.values()
    if a.sub_property
    for part in ("", "-value", "-listed")
}


@pytest.fixture(scope="module")
def found() -> dict[int, list[Result]]:
    """Give the results for each fault by its number, from one run over all faulty entities."""
    numbered = [fault.entity | {"id": f"{fault.entity['id']}:fault:{n}"} for n, fault in enumerate(FAULTS)]
    graph = to_graph(numbered)
    owners = owner_by_node(graph)
    results: dict[int, list[Result]] = {n: [] for n in range(len(FAULTS))}
    for result in validate(graph, mechanical_graph()):
        results[int(owners[result.focus].rpartition(":")[2])].append(result)
    return results


def owner_by_node(graph: Graph) -> dict[str, str]:
    """Return for each node the entity that it is part of."""
    owners = {str(s): str(s) for s in graph.subjects() if isinstance(s, URIRef)}
    ahead = [URIRef(iri) for iri in owners]
    while ahead:
        node = ahead.pop()
        for part in graph.objects(node):
            if isinstance(part, BNode) and str(part) not in owners:
                owners[str(part)] = owners[str(node)]
                ahead.append(part)  # type: ignore[arg-type]
    return owners


def test_the_faults_cover_every_kind_of_shape() -> None:
    endings = {f.shape.rpartition("-")[2] for f in FAULTS if f.shape and f.shape.count("-") > 1}
    assert endings == {"present", "unit", "observedAt", "value", "limits", "listed"}
    assert len(FAULTS) > 1500


@pytest.mark.parametrize("ending", ["present", "unit", "observedAt", "value", "limits", "listed"])
def test_a_fault_is_found_by_its_shape(found: dict[int, list[Result]], ending: str) -> None:
    numbers = [n for n, f in enumerate(FAULTS) if f.shape and f.shape.endswith(f"-{ending}")]
    missed = [
        FAULTS[n].name
        for n in numbers
        if (NAMESPACE + str(FAULTS[n].shape), FAULTS[n].severity) not in {(r.shape, r.severity) for r in found[n]}
    ]
    assert missed == []


def test_a_wrong_kind_is_found(found: dict[int, list[Result]]) -> None:
    for n, fault in enumerate(FAULTS):
        if fault.shape and fault.name.endswith("of another kind"):
            assert (NAMESPACE + fault.shape, "Violation") in {(r.shape, r.severity) for r in found[n]}, fault.name


def test_a_fault_of_one_attribute_breaks_no_shape_of_another(found: dict[int, list[Result]]) -> None:
    stray = {
        (fault.name, result.shape)
        for n, fault in enumerate(FAULTS)
        for result in found[n]
        if fault.shape
        and result.shape.removeprefix(NAMESPACE).split("-")[:2] != fault.shape.split("-")[:2]
        and result.shape not in SUB_PROPERTY_SHAPES
    }
    assert stray == set()


def test_what_is_no_fault_breaks_nothing(found: dict[int, list[Result]]) -> None:
    allowed = [n for n, fault in enumerate(FAULTS) if fault.shape is None]
    assert len(allowed) > 300
    assert [(FAULTS[n].name, found[n]) for n in allowed if found[n]] == []


@pytest.mark.parametrize("class_name", EXAMPLES)
def test_the_example_of_a_class_passes(class_name: str) -> None:
    graph = to_graph([EXAMPLES[class_name]])
    assert validate(graph) == []
    entity = URIRef(EXAMPLES[class_name]["id"])
    assert (entity, None, None) in graph


def test_the_2264_percent_battery() -> None:
    vehicle = changed("ElectricVehicle", "stateOfCharge", value=2264)
    (result,) = validate(to_graph([vehicle]))
    assert result.shape == NAMESPACE + "ElectricVehicle-stateOfCharge-limits"
    assert (result.severity, result.value) == ("Violation", "2264")
    assert result.message == "stateOfCharge must lie between 0 and 100 %"
    battery = changed("Battery", "stateOfCharge", value=2264)
    assert [r.severity for r in validate(to_graph([battery]))] == ["Warning"]


@pytest.mark.parametrize("value", [22, 22.0, 22.5, 1e2])
def test_any_json_number_is_a_number(value: float) -> None:
    assert validate(to_graph([changed("EVSE", "ratedPower", value=value)])) == []


def test_evidence_needs_two_entities() -> None:
    one = changed("ParkingViolation", "evidence", object="urn:ngsi-ld:EVSE:example:1")
    (result,) = validate(to_graph([one]))
    assert result.shape == NAMESPACE + "ParkingViolation-evidence-present"
    assert result.severity == "Violation"


def test_an_interval_has_two_ends() -> None:
    open_end = changed("KeyPerformanceIndicator", "period", value={"begin": "2026-04-01T00:00:00Z"})
    (result,) = validate(to_graph([open_end]))
    assert result.shape == NAMESPACE + "KeyPerformanceIndicator-period-end"


@pytest.mark.parametrize("values", [["1", 2], [1.5, True]])
def test_a_list_holds_numbers_only(values: list[Any]) -> None:
    series = changed("ForecastSeries", "lower", valueList=values)
    found = validate(to_graph([series]), mechanical_graph())
    assert {r.shape for r in found} == {NAMESPACE + "ForecastSeries-lower-items"}


def test_swapped_coordinates_are_noticed_where_they_leave_the_globe() -> None:
    swapped = changed("ChargingSite", "location", value={"type": "Point", "coordinates": [12.6, 142.5]})
    assert [r.shape for r in validate(to_graph([swapped]))] == [NAMESPACE + "ChargingSite-location-latitude"]


def test_a_sub_property_keeps_its_form() -> None:
    good = changed("EVSE", "activePower", quality={"type": "Property", "value": "suspect"})
    assert validate(to_graph([good])) == []
    bad = changed("EVSE", "activePower", quality={"type": "Property", "value": "so-so"})
    assert [r.severity for r in validate(to_graph([bad]))] == ["Warning"]


def test_an_unknown_context_is_not_fetched() -> None:
    entity = EXAMPLES["EVSE"] | {"@context": ["https://example.org/unknown.jsonld"]}
    with pytest.raises(UnknownContext, match=r"https://example\.org/unknown\.jsonld"):
        to_graph([entity])


def test_every_result_names_a_shape_of_ours(found: dict[int, list[Result]]) -> None:
    shapes = {result.shape for results in found.values() for result in results}
    assert len(shapes) > 1000
    assert all(shape.startswith(NAMESPACE) for shape in shapes)


def test_every_shape_says_what_it_wants() -> None:
    sh = "http://www.w3.org/ns/shacl#"
    for file in shape_files():
        graph = Graph().parse(file, format="turtle")
        for shape in set(graph.subjects(URIRef(sh + "path"))):
            if isinstance(shape, URIRef):
                message = graph.value(shape, URIRef(sh + "message"))
                assert isinstance(message, Literal), shape
                assert message.language == "en", shape
