"""Repairs: a repaired entity is whole or says that it is in doubt, keeps what the source gave, and is repaired once."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdflib import Graph

import ontology
from ngsild.context import compile_terms
from ngsild.entity import Attribute, Entity, Instance, instances
from ngsild.expand import expand_entity
from ngsild.problems import Problem
from ontology import Kind, model
from ontology.conversion import conversion_of_codes
from shapes import model_rules, model_shapes
from shapes.reader import RefusedShape, read_rules
from shapes.repair import QUALITY, SOURCE_UNIT, SOURCE_VALUE, in_doubt, proposal, repaired_entity, without_doubted
from shapes.shape import Repair, Result
from tests.unit.shapes.generated_entities import EXAMPLES, entity

TERMS = compile_terms([ontology.context()["@context"]])
#: Rec 20 codes that sources use, with what one of them is in a unit of the model.
SOURCES: dict[tuple[str, str], Decimal | int] = {
    ("WHR", "KWH"): Decimal("0.001"), ("MWH", "KWH"): 1000, ("WTT", "KWT"): Decimal("0.001"), ("C62", "P1"): 100,
    ("MIN", "SEC"): 60, ("HUR", "SEC"): 3600, ("MTR", "KMT"): Decimal("0.001"), ("HUR", "MIN"): 60,
}  # fmt: skip
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9)
#: Attributes of classes with a unit and a number.
PLACES = sorted(
    (class_name, name)
    for class_name, class_ in model().classes.items()
    for name, use in class_.attributes.items()
    if use.attribute.unit
    and use.attribute.range == "number"
    and use.inverse_of is None
    and name in EXAMPLES[class_name]
)


def expanded(body: dict[str, Any]) -> Entity:
    return expand_entity({key: value for key, value in body.items() if key != "@context"}, TERMS, 0)


def place(result: Result) -> tuple[str, str | None, str | None]:
    return result.shape, result.attribute, result.dataset


def check(found: Entity) -> set[str]:
    """Repair each result that can be repaired by itself; return the kinds of repair that were made."""
    made: set[str] = set()
    for result in model_shapes().judge(found):
        proposed = proposal(found, result)
        if proposed is None or result.attribute is None:
            continue
        after = repaired_entity(found, result.attribute, proposed)
        left = [each for each in model_shapes().judge(after) if place(each) == place(result)]
        again = [each for each in left if each.value == result.value]
        assert without_doubted(after, again) == []
        assert all(proposal(after, each) is None for each in again)
        before: Attribute = found.attributes[result.attribute]
        [was] = [each for each in instances(before) if each.get("datasetId") == proposed.get("datasetId")]
        [now] = [each for each in instances(after.attributes[result.attribute])
                 if each.get("datasetId") == proposed.get("datasetId")]  # fmt: skip
        assert now.get("observedAt") == was.get("observedAt")
        if SOURCE_VALUE in proposed:
            assert left == []
            assert (now[SOURCE_VALUE]["value"], now[SOURCE_UNIT]["value"]) == (was["value"], was["unitCode"])
            made.add("convertUnit")
        else:
            assert now == was | {QUALITY: {"type": "Property", "value": "suspect"}}
            assert all(in_doubt(after, each) for each in again)
            made.add("markOutlier")
    return made


def test_a_repaired_entity_is_whole_or_in_doubt_whatever_else_is_wrong() -> None:
    random = Random(20)
    made: set[str] = set()
    for class_name in sorted(EXAMPLES):
        for number in range(40):
            body = entity(class_name, number, random)
            for value in body.values():
                if isinstance(value, dict) and "unitCode" in value and random.random() < 0.3:
                    value["unitCode"] = random.choice(("WHR", "WTT", "C62", "MIN", "HUR", "MTR", "FAH", "KEL", "XXX"))
            try:
                found = expanded(body)
                model_shapes().judge(found)
            except Problem:
                continue  # What is no NGSI-LD, or no RDF, is no matter of shapes.
            made |= check(found)
    assert made == {"convertUnit", "markOutlier"}


@given(st.sampled_from(PLACES), st.sampled_from(sorted(SOURCES)), NUMBERS)
def test_a_value_in_a_known_unit_becomes_one_in_the_unit_of_the_model(
    where: tuple[str, str], units: tuple[str, str], value: float
) -> None:
    class_name, name = where
    source, _ = units
    body = dict(EXAMPLES[class_name])
    body[name] = body[name] | {"value": value, "unitCode": source}
    unit = model().use(class_name, name).attribute.unit
    assert unit is not None
    found = expanded(body)
    results = [
        r
        for r in model_shapes().judge(found)
        if r.shape == f"<https://w3id.org/voltweave/shapes#{class_name}-{name}-unit>"
    ]
    if unit.unit_code is None or unit.unit_code == source:
        return
    [result] = results
    proposed = proposal(found, result)
    factor = SOURCES.get((source, unit.unit_code))
    if factor is None:
        assert proposed is None or conversion_of_codes(source, unit.unit_code) is not None
        return
    assert proposed is not None
    assert proposed["unitCode"] == unit.unit_code
    assert proposed["value"] == pytest.approx(float(Decimal(repr(value)) * factor), rel=1e-15)
    assert check(found)


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [("FAH", "CEL", 212, 100), ("KEL", "CEL", 273.15, 0), ("CEL", "CEL", 5, 5), ("KNT", "MTS", 3600, 1852)],
)
def test_temperatures_and_speeds(source: str, target: str, value: float, expected: float) -> None:
    convert = conversion_of_codes(source, target)
    assert convert is not None
    assert convert(Decimal(repr(value))) == expected


@pytest.mark.parametrize(("source", "target"), [("KWH", "KWT"), ("XXX", "KWH"), ("KWH", "XXX"), ("", "")])
def test_what_is_of_another_kind_is_not_converted(source: str, target: str) -> None:
    assert conversion_of_codes(source, target) is None


def vehicle(**members: Any) -> Entity:
    body = EXAMPLES["ElectricVehicle"]
    return expanded(body | {"stateOfCharge": body["stateOfCharge"] | members})


def proposed_of(found: Entity) -> list[Instance]:
    return [each for result in model_shapes().judge(found) if (each := proposal(found, result)) is not None]


def test_what_says_already_how_far_it_can_be_trusted_is_left_alone() -> None:
    quality = {"type": "Property", "value": "estimated"}
    assert len(proposed_of(vehicle(value=2264))) == 1
    assert len(proposed_of(vehicle(value=2264, quality=quality | {"value": "good"}))) == 1
    assert proposed_of(vehicle(value=2264, quality=quality)) == []
    marked = vehicle(value=2264, quality=quality | {"value": "bad"})
    assert without_doubted(marked, model_shapes().judge(marked)) == []


def test_what_was_converted_once_is_not_converted_again() -> None:
    source = {"sourceValue": {"type": "Property", "value": "0,5"}}
    assert proposed_of(vehicle(value=0.5, unitCode="C62", **source)) == []


def test_a_whole_number_stays_one() -> None:
    integers = [(c, n) for c, class_ in model().classes.items() for n, use in class_.attributes.items()
                if use.attribute.kind is Kind.PROPERTY and use.attribute.range == "integer"
                and use.attribute.unit is not None and use.attribute.unit.unit_code == "SEC"]  # fmt: skip
    class_name, name = integers[0]
    attribute = EXAMPLES[class_name][name] | {"unitCode": "C26"}
    halves = expanded(EXAMPLES[class_name] | {name: attribute | {"value": 1500}})
    assert proposed_of(halves) == []
    wholes = expanded(EXAMPLES[class_name] | {name: attribute | {"value": 2000}})
    assert [each["value"] for each in proposed_of(wholes)] == [2]


def test_the_rules_of_the_model_that_name_a_repair() -> None:
    named = {iri.rpartition("#")[2]: rule.repair for iri, rule in model_rules().items() if rule.repair is not None}
    mark = Repair("markOutlier", "suspect")
    assert named == {"C03": Repair("convertUnit"), "C04": mark, "C05": mark, "C33": mark}
    marks = model().schemes[model().attributes["quality"].scheme or ""].concepts
    assert mark.quality in marks


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('vs:repair "guess"', "vs:repair is one of convertUnit, markOutlier"),
        ('vs:repair "markOutlier"', "vs:quality"),
        ('vs:repair "convertUnit" ; vs:quality "bad"', "vs:quality"),
        ('vs:quality "bad"', "vs:repair is one of"),
    ],
)
def test_a_repair_that_is_not_understood_is_refused(said: str, reason: str) -> None:
    turtle = f"""
        @prefix vs: <https://w3id.org/voltweave/shapes#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
        vs:X a vs:Rule ; rdfs:label "x" ; vs:explanation "x" ; vs:recommendedAction "none" ; {said} ."""
    with pytest.raises(RefusedShape, match=reason):
        list(read_rules(Graph().parse(data=turtle, format="turtle")))
