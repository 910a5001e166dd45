"""What is asked for before an entity is judged, and shapes that are refused."""

from __future__ import annotations

import pytest
from rdflib import Graph

from shapes.reader import RefusedShape
from shapes.surroundings import DATASET_ID, NOTHING, Related, SeriesNeed, Surroundings, model_surroundings
from shapes.surroundings.needs import Needs, together
from shapes.surroundings.reader import read_surroundings
from tests.unit.shapes.surrounded import NOW, about, entity, iri

EVSE, SESSION = iri("EVSE"), iri("ChargingSession")
REGISTER = iri("activeEnergyRegister")


def test_a_type_without_rules_needs_nothing() -> None:
    shapes = model_surroundings()
    assert shapes.needs(["urn:other"], frozenset({REGISTER})) is NOTHING
    assert not NOTHING
    assert shapes.judge(Surroundings(entity("Tariff:1"), NOW)) == []


def test_a_write_of_another_attribute_needs_nothing() -> None:
    assert not model_surroundings().needs([EVSE], frozenset({iri("evseUid")}))


def test_a_register_needs_the_sample_before_it_and_the_last_reset() -> None:
    needs = model_surroundings().needs([EVSE], frozenset({REGISTER}))
    assert needs.series == {REGISTER: (SeriesNeed(2),), iri("registerReset"): (SeriesNeed(2),)}
    assert not needs.links and not needs.related


def test_a_session_needs_its_evse_and_the_sessions_beside_it() -> None:
    needs = model_surroundings().needs([SESSION], frozenset({iri("startDateTime"), iri("energyDelivered")}))
    assert (iri("evse"),) in needs.links
    times = (iri("startDateTime"), iri("endDateTime"))
    beside = Related(SESSION, iri("connector"), (iri("connector"),), times, open_status="active")
    assert beside in needs.related
    beside = Related(SESSION, iri("evse"), (iri("evse"),), times, open_status="active", unless=iri("connector"))
    assert beside in needs.related
    metered = model_surroundings().needs([SESSION], frozenset({iri("endDateTime")}), when="window")
    [metered_between] = metered.histories[(iri("evse"),), iri("energyProvidedRegister")]
    assert metered_between.between == times


def test_the_clock_needs_the_dataset_whatever_was_written() -> None:
    needs = model_surroundings().needs([iri("ParkingSpot"), EVSE], when="clock")
    assert (DATASET_ID,) in needs.links
    assert (iri("evse"), iri("currentSession")) in needs.links
    assert ((iri("evse"),), iri("status")) in needs.histories


def test_entities_of_one_type_are_asked_for_by_one_attribute_in_one_way() -> None:
    # Surroundings keep related entities by type and attribute.
    shapes = model_surroundings()
    for type_ in {each for shape in shapes.shapes for each in shape.types}:
        for when in ("write", "window", "clock"):
            every = frozenset(each.attribute for each in shapes.shapes) | {iri("startDateTime"), iri("evse")}
            related = shapes.needs([type_], every, when).related
            assert len({(each.type, each.attribute) for each in related}) == len(related), type_


def test_needs_together_serve_all() -> None:
    one = Needs(True, frozenset({("a",)}), series={"x": (SeriesNeed(2),), "y": (SeriesNeed(5),)})
    other = Needs(True, frozenset({("b",)}), series={"x": (SeriesNeed(6, 9),), "y": (SeriesNeed(5),)})
    both = together([one, other])
    assert both.links == {("a",), ("b",)}
    assert both.series == {"x": (SeriesNeed(2), SeriesNeed(6, 9)), "y": (SeriesNeed(5),)}
    assert together([Needs()]) is NOTHING


def test_only_new_samples_are_judged() -> None:
    rows = [(-30, 10), (-20, 5), (-10, 6), (0, 7)]
    evse = entity("EVSE:1")
    shapes = model_surroundings()
    assert shapes.judge(about(evse, series={"activeEnergyRegister": rows})) == []
    assert len(shapes.judge(about(evse, series={"activeEnergyRegister": rows}, since=-25))) == 1
    assert shapes.judge(about(evse, series={"activeEnergyRegister": rows}, since=-20)) == []


SHAPE = """
    @prefix sh: <http://www.w3.org/ns/shacl#> . @prefix vs: <https://w3id.org/voltweave/shapes#> .
    vs:Node a sh:NodeShape ; sh:targetClass vs:Type ; sh:property vs:Shape .
    vs:Shape sh:path vs:attribute ; sh:message "no" ; sh:severity sh:Warning ; vs:rule vs:C23 ; vs:when "write" ;
        vs:riseAtMost 2e0 ; vs:resolution 1e0 .
"""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("vs:resolution 1e0", "vs:slack 1e0", "lacks resolution, has slack"),
        ("vs:riseAtMost 2e0", "vs:risesAtMost 2e0", "must have one constraint, it has none"),
        ("vs:resolution 1e0", "vs:resolution 1e0 ; vs:oneValue true", "it has oneValue, riseAtMost"),
        ("vs:resolution 1e0", "vs:resolution []", "a parameter is an IRI"),
        ('vs:when "write"', 'vs:when "never"', "vs:when is one of"),
        ("sh:Warning", "sh:Error", "sh:severity is"),
        ('sh:message "no" ;', "", "it needs"),
        ("sh:targetClass vs:Type ;", "", "it needs a target class"),
        ("vs:Shape", "_:shape", "needs an IRI"),
    ],
)
def test_a_shape_that_has_no_check_is_refused(old: str, new: str, reason: str) -> None:
    assert old in SHAPE
    assert len(read_surroundings(Graph().parse(data=SHAPE, format="turtle"))) == 1
    with pytest.raises(RefusedShape, match=reason):
        read_surroundings(Graph().parse(data=SHAPE.replace(old, new), format="turtle"))


def test_a_contract_needs_those_that_have_been_in_force_for_years() -> None:
    needs = model_surroundings().needs([iri("EnergySupplyContract")], frozenset({iri("site")}))
    [beside] = needs.related
    assert beside.overlapping == (iri("validFrom"), iri("validTo")) and beside.longest == 0
