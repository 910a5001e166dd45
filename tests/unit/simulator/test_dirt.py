"""Dirt: each kind shows where it is asked for and nowhere else."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from itertools import pairwise

import pytest
from lxml import etree

from simulator.dirt import KINDS, parse_dirt
from simulator.fitted import DAY
from simulator.simulation import Simulation

START = int(datetime.fromisoformat("2026-03-01T00:00:00+00:00").timestamp())


def lived(dirt: str) -> Simulation:
    simulation = Simulation.build(11, START, parse_dirt(dirt, 11))
    simulation.advance(START + 20 * DAY)
    return simulation


def findings(simulation: Simulation) -> dict[str, int]:
    """Count what is wrong with what the sources say, by looking at their output alone."""
    states = simulation.emotion.states(1, 100_000, "u")["results"]
    sessions = simulation.ampere.sessions(1, 100_000, "u")["results"]
    rows = [
        line.split(";")
        for file in simulation.dropped
        if file.path.startswith("brezza/sessions")
        for line in file.content.decode("utf-8-sig").splitlines()[1:]
    ]
    details = [
        detail
        for file in simulation.dropped
        if file.path.startswith("corrente/details")
        for detail in etree.fromstring(file.content)
    ]
    lines = [
        [json.loads(line)["ts"] for line in file.content.splitlines()]
        for file in simulation.dropped
        if file.path.startswith("pv/samples")
    ]
    stuck = sum(
        later["kwh_charged"] == earlier["kwh_charged"] and later["charge_count"] > earlier["charge_count"]
        for vehicle in simulation.emotion.vehicles()
        for own in [[state for state in states if state["vehicle"] == vehicle]]
        for earlier, later in pairwise(own)
    )
    ids = Counter(session["id"] for session in sessions) + Counter(row[0] for row in rows)
    ended = list({session["id"]: session["endedAt"] for session in sessions}.values())
    return {
        "batteries": sum(state["battery"] > 100 for state in states),
        "dates": sum(
            abs((datetime.strptime(row[5], "%d/%m/%Y") - datetime.strptime(row[3], "%d/%m/%Y")).days) > 2  # noqa: DTZ007
            for row in rows
        ),
        "counters": stuck,
        "duplicates": sum(ids.values()) - len(ids),
        "late": sum(later < earlier for earlier, later in pairwise(ended)),
        "disorder": sum(stamps != sorted(stamps) for stamps in lines),
        "soc_zero": sum(detail.findtext("SocEnd") == "0" for detail in details),
    }


def test_a_clean_town_has_no_dirt() -> None:
    assert findings(lived("none")) == dict.fromkeys(KINDS, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_dirt_shows_alone(kind: str) -> None:
    found = findings(lived(f"{kind}=0.3"))
    assert found.pop(kind) > 0
    if kind == "late":
        assert found.pop("disorder") > 0  # a late sample comes after younger ones
    assert found == dict.fromkeys(found, 0)


def test_more_dirt_is_more() -> None:
    some, much = findings(lived("some")), findings(lived("much"))
    assert sum(much.values()) > 3 * sum(some.values()) > 0


def test_a_battery_may_show_2264_percent() -> None:
    states = lived("batteries=1").emotion.states(1, 10, "u")["results"]
    assert {state["battery"] for state in states} == {2264.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filth", "unknown kind of dirt 'filth'"),
        ("late=lots", "not a number"),
        ("late=1.5", "not between 0 and 1"),
        ("", "unknown kind"),
    ],
)
def test_unknown_dirt_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_dirt(text, 1)
