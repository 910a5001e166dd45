"""What is legal and seldom: rules across entities say nothing where they know nothing, and never fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ngsild.entity import Entity
from shapes import model_library, model_shapes
from shapes.components.nodes import seconds_between
from shapes.surroundings import Surroundings, model_surroundings
from shapes.surroundings.needs import WHENS
from tests.unit.shapes.surrounded import At, Given, about, entity, instance, iri

HOUR_LONG = {"startDateTime": At(-60), "endDateTime": At(0)}
ONE, TWO = "urn:ngsi-ld:Connector:1", "urn:ngsi-ld:Connector:2"


def emission(**grid: Given) -> Surroundings:
    """A session whose grid has no intensity, or one of no known time."""
    session = entity("ChargingSession:1", energyDelivered=10, co2Emission=5, evse="urn:ngsi-ld:EVSE:1", **HOUR_LONG)
    return about(
        session,
        entity("EVSE:1", station="urn:ngsi-ld:ChargingStation:1"),
        entity("ChargingStation:1", site="urn:ngsi-ld:ChargingSite:1"),
        entity("ChargingSite:1", gridConnection="urn:ngsi-ld:GridConnection:1"),
        entity("GridConnection:1", carbonIntensity="urn:ngsi-ld:GridCarbonIntensity:1"),
        entity("GridCarbonIntensity:1", **grid),
    )


def related(what: Surroundings, by: str, *others: Entity) -> Surroundings:
    type_ = what.entity.types[0]
    return replace(what, related={(type_, iri(by)): list(others)})


def spectrum(**attributes: Given) -> Surroundings:
    return about(entity("EISMeasurement:1", frequency=5, **attributes))


def parked(since: float) -> Surroundings:
    """A spot whose charger still names a session that ended five hours ago."""
    return about(
        entity("ParkingSpot:1", status=("occupied", -1), occupiedSince=At(since), evse="urn:ngsi-ld:EVSE:1"),
        entity("EVSE:1", currentSession="urn:ngsi-ld:ChargingSession:1"),
        entity("ChargingSession:1", chargingEndDateTime=At(-300)),
    )


def overlapping() -> Surroundings:
    """A session at two connectors, one of them shared with another session."""
    own = [instance(ONE), {"type": "Relationship", "object": [ONE, TWO], "datasetId": "urn:ngsi-ld:Dataset:1"}]
    session = entity("ChargingSession:1", connector=own, **HOUR_LONG)
    return related(about(session), "connector", entity("ChargingSession:2", connector=ONE, **HOUR_LONG))


def alike() -> Surroundings:
    """A point of a spectrum, and one of the same frequency of several spectra."""
    other = entity("EISMeasurement:2", frequency=5, cell="urn:ngsi-ld:BatteryCell:1", eventId=["x"])
    other.attributes[iri("eventId")] = {"type": "Property", "value": ["x", "y"]}
    own = entity("EISMeasurement:1", frequency=5, cell="urn:ngsi-ld:BatteryCell:1", eventId="x")
    return related(about(own, entity("BatteryCell:1")), "eventId", other)


def powers() -> Surroundings:
    """A session that names two chargers which are both too weak."""
    session = entity("ChargingSession:1", energyDelivered=900, duration=3600)
    session.attributes[iri("evse")] = {
        "type": "Relationship",
        "object": ["urn:ngsi-ld:EVSE:1", "urn:ngsi-ld:EVSE:2"],
    }
    return about(session, entity("EVSE:1", ratedPower=10), entity("EVSE:2", ratedPower=11))


def cut_off() -> Surroundings:
    """More links than are read."""
    return replace(about(entity("CellMeasurement:1", cell="urn:ngsi-ld:BatteryCell:1")), whole=False)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param(emission(), [], id="no intensity"),
        pytest.param(emission(intensity=300), [], id="an intensity of no known time"),
        pytest.param(emission(intensity=(300, -120)), ["C54"], id="an intensity"),
        pytest.param(spectrum(), [], id="a point of no spectrum"),
        pytest.param(spectrum(eventId="x"), [], id="a point of no cell"),
        pytest.param(parked(-2), [], id="who came after the charging"),
        pytest.param(parked(-400), ["C46"], id="who charged and stayed"),
        pytest.param(overlapping(), ["C21", "C21"], id="several connectors"),
        pytest.param(alike(), [], id="a value that is an array"),
        pytest.param(powers(), ["C14"], id="two chargers make one fault"),
        pytest.param(cut_off(), [], id="links that were not followed"),
    ],
)
def test_odd_surroundings(what: Surroundings, expected: list[str]) -> None:
    whole = replace(what, changed=frozenset(what.entity.attributes))
    results = [result for when in WHENS for result in model_surroundings().judge(whole, when)]
    assert [str(result.rule).rpartition("#")[2] for result in results] == expected


@pytest.mark.parametrize("profile", sorted(each.name for each in model_library().profiles))
@pytest.mark.parametrize("value", [1e308, -1.7e308, 5e-324])
def test_numbers_at_the_ends_of_what_a_double_holds_are_judged(profile: str, value: float) -> None:
    shapes = model_shapes(profile)
    for type_, attribute in (("ChargingSession", "energyDelivered"), ("EVSE", "voltageDC"), ("BatteryCell", "mass")):
        results = shapes.judge(entity(f"{type_}:1", **{attribute: value}))
        assert any(result.attribute == iri(attribute) for result in results) or abs(value) < 1, attribute


@pytest.mark.parametrize("odd", ["2024-01-01T00:00+01Z", "2024-01-01T00+01:00Z", "2024-01-01T01:00:00+", "x" * 20])
def test_only_moments_of_whole_seconds_in_utc_are_compared_quickly(odd: str) -> None:
    moment = "2024-01-01T01:00:00Z"
    assert seconds_between(odd, moment) is None
    assert seconds_between(moment, odd) is None
    assert seconds_between(odd, odd) is None
    assert seconds_between("2023-12-31T00:00:00Z", moment) == 90_000
