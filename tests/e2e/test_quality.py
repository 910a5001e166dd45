"""A real broker keeps issues in step with what is written to it, on each database (decision 14)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.platform import LINK, Broker, broker
from tests.postgres import postgres_database
from tests.unit.shapes.generated_entities import EXAMPLES

VEHICLE = "urn:ngsi-ld:ElectricVehicle:example:1"
RULE = "https://w3id.org/voltweave/shapes#C04"
#: From an answered write to its issue: the consumer gathers for a twentieth of a second, and another process of the
#: database hears of a write after a fifth.
SOON_SECONDS = 3.0


@pytest.fixture(params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Give a broker, on PostgreSQL with several workers, of which one keeps the issues."""
    if request.param == "sqlite":
        with broker(tmp_path) as found:
            yield found
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with postgres_database(server, template) as url, broker(tmp_path, url, ["--workers", "2"]) as found:
        yield found


@pytest.fixture
def api(running: Broker) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{running.url}/ngsi-ld/v1", headers={"Link": LINK}, timeout=60, trust_env=False) as api:
        yield api


def observed(minute: int) -> str:
    """Return a moment of its own for each value: two values of one moment are an issue too."""
    return f"2026-05-04T08:{minute:02}:00Z"


def vehicle(state_of_charge: float, minute: int) -> dict[str, Any]:
    entity = {key: value for key, value in copy.deepcopy(EXAMPLES["ElectricVehicle"]).items() if key != "@context"}
    entity["stateOfCharge"] |= {"value": state_of_charge, "observedAt": observed(minute)}
    return entity


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def test_an_impossible_value_has_one_issue_until_it_is_healed(running: Broker, api: httpx.Client) -> None:
    def count(q: str) -> int:
        return running.count(type="DataQualityIssue", q=q)

    assert api.post("/entities", json=vehicle(50, 1)).status_code == 201
    for minute, value in enumerate((2264, 2265), 2):
        changed = {"stateOfCharge": vehicle(value, minute)["stateOfCharge"]}
        patched = api.patch(f"/entities/{VEHICLE}/attrs", json=changed)
        assert patched.status_code == 204
    until(lambda: count('status=="open";offendingValue=="2265"') == 1)
    [issue] = running.all(type="DataQualityIssue")
    assert issue["concerns"]["object"] == VEHICLE
    assert issue["attribute"]["value"] == "https://w3id.org/voltweave/cim#stateOfCharge"
    assert (issue["rule"]["value"], issue["severity"]["value"]) == (RULE, "violation")
    assert issue["observedAtOfValue"]["value"] == observed(3)
    assert issue["recommendedAction"]["value"] == "checkSensor"
    assert count(f'concerns=="{VEHICLE}"') == 1
    good = api.patch(f"/entities/{VEHICLE}/attrs", json={"stateOfCharge": vehicle(60, 4)["stateOfCharge"]})
    assert good.status_code == 204
    until(lambda: count('status=="resolved"') == 1)
    assert count('status=="open"') == 0
    assert api.post("/entityOperations/upsert", json=[vehicle(130, 5)]).status_code in (201, 204)
    until(lambda: count('status=="open"') == 1)
    assert api.delete(f"/entities/{VEHICLE}").status_code == 204
    until(lambda: count('status=="resolved"') == 1)
    assert running.count(type="DataQualityIssue") == 1
    assert "failed" not in running.log()
