"""Repairs that a manifest accepts: made before entities are judged, counted; what the source gave stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.judging import Judge
from adapters.manifest import Validation
from adapters.quarantine import ViolationError

AT = "2026-05-04T08:30:00Z"


def session(*instances: tuple[float, str]) -> dict[str, Any]:
    made = [
        {"type": "Property", "value": value, "unitCode": unit, "observedAt": AT}
        | ({"datasetId": f"urn:ngsi-ld:Dataset:{number}"} if number else {})
        for number, (value, unit) in enumerate(instances)
    ]
    return {
        "id": "urn:ngsi-ld:ChargingSession:test:1",
        "type": "ChargingSession",
        "evse": {"type": "Relationship", "object": "urn:ngsi-ld:EVSE:test:1"},
        "startDateTime": {"type": "Property", "value": AT},
        "energyDelivered": made if len(made) > 1 else made[0],
    }


def checked(accept: list[str], entity: dict[str, Any], mode: Any = "enforce") -> Judge:
    judge = Judge(Validation(mode=mode, accept=accept))
    judge.check([entity])
    return judge


@pytest.mark.parametrize("accept", ["convertUnit", "C03"])
def test_a_unit_is_converted_where_that_is_accepted(accept: str) -> None:
    entity = session((9, "KWH"), (7500, "WHR"))
    judge = checked([accept], entity)
    right, converted = entity["energyDelivered"]
    assert right == {"type": "Property", "value": 9, "unitCode": "KWH", "observedAt": AT}
    assert converted == {
        "type": "Property", "value": 7.5, "unitCode": "KWH", "observedAt": AT,
        "datasetId": "urn:ngsi-ld:Dataset:1",
        "sourceValue": {"type": "Property", "value": 7500},
        "sourceUnit": {"type": "Property", "value": "WHR"},
    }  # fmt: skip
    assert judge.found["C03", "repaired"] == 1
    assert judge.found["C03", "Violation"] == 0


@pytest.mark.parametrize("accept", ["convertUnit", "markOutlier"])
def test_an_attribute_with_its_full_name_is_repaired_too(accept: str) -> None:
    short, entity = session((-5e9, "WHR")), session((-5e9, "WHR"))
    entity["https://w3id.org/voltweave/cim#energyDelivered"] = entity.pop("energyDelivered")
    checked([accept], short, "warn")
    checked([accept], entity, "warn")
    repaired = entity.pop("https://w3id.org/voltweave/cim#energyDelivered")
    assert repaired == short["energyDelivered"] != session((-5e9, "WHR"))["energyDelivered"]


def test_a_value_is_marked_only_if_it_is_wrong_after_its_conversion() -> None:
    entity = session((7500, "WHR"))
    checked(["convertUnit", "markOutlier"], entity)
    assert "quality" not in entity["energyDelivered"]
    entity = session((5e9, "WHR"))
    judge = checked(["convertUnit", "markOutlier"], entity)
    assert entity["energyDelivered"]["quality"] == {"type": "Property", "value": "suspect"}
    assert {key: n for key, n in judge.found.items() if key[1] == "repaired"} == {
        ("C03", "repaired"): 1, ("C05", "repaired"): 1,
    }  # fmt: skip


def test_what_is_repaired_is_repaired_once() -> None:
    entity = session((5e9, "WHR"))
    checked(["convertUnit", "markOutlier"], entity)
    once = copy.deepcopy(entity)
    judge = checked(["convertUnit", "markOutlier"], entity)
    assert entity == once
    assert not [key for key in judge.found if key[1] == "repaired"]


@pytest.mark.parametrize("accept", [[], ["markOutlier"], ["C05"]])
def test_nothing_is_repaired_that_is_not_accepted(accept: list[str]) -> None:
    entity = session((7.5, "WHR"))
    before = copy.deepcopy(entity)
    with pytest.raises(ViolationError):
        checked(accept, entity)
    assert entity == before
    assert checked(accept, entity, "warn").found["C03", "Violation"] == 1


def test_a_mark_of_the_source_itself_excuses_nothing() -> None:
    entity = session((-4, "KWH"))
    entity["energyDelivered"]["quality"] = {"type": "Property", "value": "suspect"}
    with pytest.raises(ViolationError):
        checked([], entity)
    checked(["C05"], entity)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"accept": ["guess"]}, "guess: no repair, and no rule that names one"),
        ({"accept": ["C10"]}, "C10"),
        ({"accept": ["C03"], "mode": "off"}, "nothing is repaired"),
    ],
)
def test_a_manifest_names_repairs_that_there_are(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Validation(**given)
