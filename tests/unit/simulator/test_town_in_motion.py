"""The town: what stands in it, that it lives the same life for the same seed, and that the life is plausible."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.dirt import parse_dirt
from simulator.feeds.writing import to_json
from simulator.fitted import DAY, HOUR, PUBLIC_AC, RAPID_DC, WORKPLACE_AC, Profile, draw_stay, next_arrival
from simulator.simulation import Simulation
from simulator.town import ZONE, build_town
from simulator.world import Session, World

START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())


def everything_said(simulation: Simulation) -> list[bytes]:
    """Return the bytes of every source."""
    said = [
        simulation.ampere.locations(),
        simulation.ampere.status(),
        simulation.ampere.sessions(1, 100_000, "u"),
        simulation.bays.snapshot(),
        simulation.bays.lots(),
        simulation.emotion.states(1, 100_000, "u"),
        simulation.emotion.charges(1, 100_000, "u"),
        [simulation.emotion.charge_ids(vehicle, 1, 100_000, "u") for vehicle in simulation.emotion.vehicles()],
        simulation.building.readings(1, 100_000, "u"),
        simulation.plant.describe(),
    ]
    return [to_json(document) for document in said] + [
        file.path.encode() + b"\0" + file.content for file in simulation.dropped
    ]


def lived(seed: int, until: int, dirt: str = "none", stops: list[int] | None = None) -> Simulation:
    simulation = Simulation.build(seed, START, parse_dirt(dirt, seed))
    for stop in sorted(stops or []):
        simulation.advance(stop)
    simulation.advance(until)
    return simulation


def test_the_town_has_what_it_promises() -> None:
    town = build_town(7)
    stations = [s for operator in town.operators for site in operator.sites for s in site.stations]
    evses = [e for operator in town.operators for e in operator.evses]
    bays = [bay for lot in town.lots for bay in lot.bays]
    assert len(town.operators) >= 3
    assert len(stations) >= 50
    assert len({e.id for e in evses}) == len(evses)
    assert {e.direct_current for e in evses} == {True, False}
    assert any(len(s.evses) > 1 for s in stations)
    assert any(len(e.connectors) > 1 for e in evses)
    assert len({bay.id for bay in bays}) == 200
    assert len(town.vehicles) == 30
    beside = {bay.evse: bay.id for bay in bays if bay.evse}
    assert beside
    assert beside == {e.id: e.bay for e in evses if e.bay}
    assert build_town(7) == town
    assert build_town(8) != town


@given(
    seed=st.integers(0, 2**32),
    hours=st.integers(1, 80),
    stops=st.lists(st.integers(START, START + 80 * HOUR), max_size=12),
    dirt=st.sampled_from(["none", "some", "much"]),
)
@settings(max_examples=25)
def test_the_same_seed_and_instant_give_the_same_bytes_however_the_clock_got_there(
    seed: int, hours: int, stops: list[int], dirt: str
) -> None:
    until = START + hours * HOUR
    at_once = everything_said(lived(seed, until, dirt))
    in_steps = everything_said(lived(seed, until, dirt, [stop for stop in stops if stop <= until]))
    assert in_steps == at_once


def test_another_seed_gives_another_life() -> None:
    assert everything_said(lived(1, START + 2 * DAY)) != everything_said(lived(2, START + 2 * DAY))


def test_time_never_runs_back() -> None:
    simulation = lived(1, START + DAY)
    before = everything_said(simulation)
    simulation.advance(START)
    assert simulation.world.now == START + DAY
    assert everything_said(simulation) == before


@pytest.fixture(scope="module")
def sessions() -> list[Session]:
    """Give the sessions of six weeks."""
    simulation = Simulation.build(3, START, parse_dirt("none", 3))
    heard: list[Session] = []
    simulation.world.listeners.session.append(heard.append)
    simulation.advance(START + 42 * DAY)
    return heard


def test_an_evse_serves_one_vehicle_at_a_time_and_never_beyond_its_power(sessions: list[Session]) -> None:
    by_evse = defaultdict(list)
    for session in sessions:
        by_evse[session.evse.id].append(session)
        assert session.end is not None
        assert START <= session.start < session.charging_end <= session.end
        assert session.energy_wh <= session.evse.power_kw * 1000 * session.charging_s / HOUR * 1.01 + 1
        assert 0 < session.soc_start <= session.soc_end <= 100
        assert session.energy_at(session.end) == session.energy_wh
        assert session.energy_at(session.start) == 0
    for own in by_evse.values():
        own.sort(key=lambda session: session.start)
        for earlier, later in pairwise(own):
            assert earlier.end is not None
            assert earlier.end <= later.start
    assert len(by_evse) > 60


def test_numbers_run_without_a_gap(sessions: list[Session]) -> None:
    finished = sorted(session.number for session in sessions)
    assert finished[0] == 1
    assert len(set(finished)) == len(finished)
    assert finished[-1] - len(finished) < 40  # those still plugged in


@pytest.mark.parametrize("profile", [PUBLIC_AC, WORKPLACE_AC, RAPID_DC], ids=lambda profile: profile.name)
def test_stays_follow_the_fitted_figures(profile: Profile) -> None:
    rng = World(1, START).rng("test")
    stays = [draw_stay(profile, 400.0, rng) for _ in range(4000)]
    median = statistics.median(stay.energy_wh / 1000 for stay in stays)
    assert median == pytest.approx(math.exp(profile.log_energy[0]), rel=0.15)
    power = statistics.median(stay.energy_wh / 1000 / (stay.charging_s / HOUR) for stay in stays)
    assert power == pytest.approx(math.exp(profile.log_power[0]), rel=0.1)
    left_when_full = sum(stay.idle_s == 0 for stay in stays) / len(stays)
    assert left_when_full == pytest.approx(profile.leaves_when_full, abs=0.05)
    assert all(stay.charging_s + stay.idle_s <= DAY for stay in stays)


@pytest.mark.parametrize("profile", [PUBLIC_AC, WORKPLACE_AC, RAPID_DC], ids=lambda profile: profile.name)
def test_arrivals_follow_the_fitted_hours_and_weekdays(profile: Profile) -> None:
    rng = World(1, START).rng("test")
    now, arrivals = START, []
    while now < START + 5000 * DAY:
        now = next_arrival(profile, now, ZONE, rng)
        arrivals.append(datetime.fromtimestamp(now, ZONE))
    assert len(arrivals) / 5000 == pytest.approx(profile.sessions_per_day, rel=0.08)
    weekdays = [a for a in arrivals if a.weekday() < 5]
    for hour in range(24):
        share = sum(a.hour == hour for a in weekdays) / len(weekdays)
        assert share == pytest.approx(profile.hours[hour] / sum(profile.hours), abs=0.03)
    assert not [hour for hour in range(24) if profile.hours[hour] == 0 and any(a.hour == hour for a in weekdays)]


def test_counters_of_clean_vehicles_never_fall_and_agree_with_their_charges() -> None:
    simulation = lived(5, START + 21 * DAY)
    states = defaultdict(list)
    for record in simulation.emotion.states(1, 100_000, "u")["results"]:
        states[record["vehicle"]].append(record)
    assert len(states) == 30
    for own in states.values():
        for name in ("timestamp", "km_total", "charge_count", "kwh_charged"):
            values = [record[name] for record in own]
            assert values == sorted(values), name
        assert all(0 < record["battery"] <= 100 for record in own)
        assert own[-1]["km_total"] > own[0]["km_total"]
    for vehicle in simulation.emotion.vehicles():
        charges = [
            simulation.emotion.charge(c) for c in simulation.emotion.charge_ids(vehicle, 1, 1000, "u")["results"]
        ]
        assert [charge["charge_count"] for charge in charges] == list(range(1, len(charges) + 1))


def test_the_plant_gives_nothing_by_night_and_most_at_noon() -> None:
    simulation = lived(2, START + 7 * DAY)
    lines = [
        line.split(b'"p_ac_w":')[1].split(b",")[0]
        for file in simulation.dropped
        if file.path.startswith("pv/samples")
        for line in file.content.splitlines()
    ]
    by_hour = defaultdict(list)
    for number, power in enumerate(lines):
        by_hour[number // 4 % 24].append(int(power))
    assert all(power < 0 for power in by_hour[0] + by_hour[23])
    assert statistics.mean(by_hour[11]) > 2 * statistics.mean(by_hour[7]) > 0
    assert max(map(max, by_hour.values())) < 180_000
