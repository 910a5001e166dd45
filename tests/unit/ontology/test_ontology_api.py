"""The Python API of the model."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

import ontology
from ontology import Kind, model, telemetry_iris


def test_one_attribute_in_one_class() -> None:
    use = model().use("EVSE", "activePower")
    assert use.attribute.iri == ontology.NAMESPACE + "activePower"
    assert use.attribute.kind is Kind.PROPERTY
    assert use.attribute.range == "number"
    unit = use.attribute.unit
    assert unit is not None
    assert (unit.unit_code, unit.ucum, unit.iri) == ("KWT", "kW", "http://qudt.org/vocab/unit/KiloW")
    assert (use.changes, use.saving_step, use.required, use.many) == ("telemetry", "10 s", None, False)


def test_limits_belong_to_the_class() -> None:
    pack, cell = (model().use(c, "nominalVoltage").limits for c in ("Battery", "BatteryCell"))
    assert (pack.minimum, pack.maximum, pack.severity) == (0, 2000, "Warning")
    assert cell.maximum == 10
    assert model().use("ElectricVehicle", "stateOfCharge").limits.severity == "Violation"
    assert model().use("EVSE", "evseId").limits.severity == "Warning"


def test_required_and_expected() -> None:
    assert model().use("Connector", "evse").required == "hard"
    assert model().use("ChargingStation", "site").required == "expected"
    assert model().use("ChargingStation", "customer").required is None
    assert model().use("ParkingViolation", "evidence").min_count == 2
    assert model().use("Organisation", "role").many


def test_relationships_name_their_target() -> None:
    assert model().attributes["station"].range == "ChargingStation"
    assert model().attributes["asset"].range == "any"
    targets = {a.range for a in model().attributes.values() if a.kind is Kind.RELATIONSHIP} - {"any"}
    assert targets <= set(model().classes)


def test_telemetry_is_asked_by_iri() -> None:
    assert ontology.NAMESPACE + "stateOfCharge" in telemetry_iris()
    assert "https://uri.etsi.org/ngsi-ld/status" in telemetry_iris()
    assert ontology.NAMESPACE + "ratedPower" not in telemetry_iris()
    assert telemetry_iris() is telemetry_iris()


def test_personal_data_are_marked_where_they_are_personal() -> None:
    personal = {(c.name, n) for c in model().classes.values() for n, u in c.attributes.items() if u.personal}
    assert personal == {
        ("ChargingSession", "userPseudonym"),
        ("ElectricVehicle", "location"),
        ("ChargeDetailRecord", "signedMeterData"),
    }
    assert not model().use("ChargingSite", "location").personal


def test_a_code_of_another_system_finds_its_concept() -> None:
    connectors = model().schemes["ConnectorType"]
    found = connectors.from_code("OICP", "CCS Combo 2 Plug (Cable Attached)")
    assert found is not None
    assert found.notation == "iec62196T2Combo"
    assert connectors.from_code("OCPI", "IEC_62196_T2") is connectors.concepts["iec62196T2"]
    assert connectors.from_code("OCPI", "FUTURE_PLUG") is None


@pytest.mark.parametrize("scheme", ["ConnectorType", "EVSEStatus"])
def test_a_code_means_one_concept(scheme: str) -> None:
    codes = [
        (system, code)
        for concept in model().schemes[scheme].concepts.values()
        for system, found in concept.codes.items()
        for code in found
    ]
    assert codes
    assert len(codes) == len(set(codes))


def test_the_model_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model().version = "9"  # type: ignore[misc]
    with pytest.raises(TypeError):
        model().classes["X"] = model().classes["EVSE"]  # type: ignore[index]


def test_contexts_are_offered_by_url() -> None:
    found = ontology.contexts()
    assert found[ontology.CONTEXT_URL]["@context"]["evseId"] == "cim:evseId"
    assert ontology.context_url("cim-0.1") in found
    assert set(model().domains) < set(ontology.context_names())
    with pytest.raises(KeyError):
        ontology.context("../model")


def test_a_start_parses_no_turtle() -> None:
    code = "import sys, ontology; ontology.model(); ontology.telemetry_iris(); sys.exit('rdflib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
