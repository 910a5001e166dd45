"""Writes judged by a real broker: off, warn and enforce, the report of what is refused, and shapes of tenants."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.platform import LINK, Broker, broker
from tests.postgres import postgres_database
from tests.unit.shapes.generated_entities import EXAMPLES

VEHICLE = "urn:ngsi-ld:ElectricVehicle:example:1"
CIM = "https://w3id.org/voltweave/cim#"
Json = dict[str, Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "sqlite":
        with broker(tmp_path) as found:
            yield found
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with postgres_database(server, template) as url, broker(tmp_path, url) as found:
        yield found


@pytest.fixture
def api(running: Broker) -> Iterator[httpx.Client]:
    headers = {"Link": LINK}
    with httpx.Client(base_url=running.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def example(name: str, **changes: Any) -> Json:
    entity: Json = {key: value for key, value in EXAMPLES[name].items() if key != "@context"}
    for attribute, value in changes.items():
        entity[attribute] = entity[attribute] | {"value": value}
    return entity


def battery(state_of_charge: float) -> Json:
    """A battery that refers to nothing: what it refers to would have to be there."""
    whole = example("Battery", stateOfCharge=state_of_charge)
    return {name: whole[name] for name in ("id", "type", "name", "serialNumber", "stateOfCharge")}


def set_modes(api: httpx.Client, **modes: Any) -> Json:
    answer = api.patch("/validation", json=modes)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def create(api: httpx.Client, entity: Json) -> httpx.Response:
    return api.post("/ngsi-ld/v1/entities", json=entity)


def test_enforce_refuses_a_violation_in_words_and_stores_nothing(api: httpx.Client) -> None:
    assert set_modes(api, mode="enforce") == {"mode": "enforce", "default": "warn", "types": {}}
    answer = create(api, example("ElectricVehicle", stateOfCharge=2264))
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["type"].endswith("/BadRequestData")
    assert "stateOfCharge must lie between 0 and 100 % (it is 2264)" in problem["detail"]
    report = problem["validationReport"]
    assert (report["conforms"], report["resultCount"]) == (False, 1)
    [result] = report["results"]
    assert (result["attribute"], result["severity"], result["value"]) == (f"{CIM}stateOfCharge", "Violation", "2264")
    assert result["rule"] == "https://w3id.org/voltweave/shapes#C04"
    assert result["recommendedAction"] == "checkSensor"
    assert result["explanation"]
    assert api.get(f"/ngsi-ld/v1/entities/{VEHICLE}").status_code == 404


def test_the_same_value_on_a_battery_is_a_warning_and_stored(api: httpx.Client) -> None:
    set_modes(api, mode="enforce")
    assert create(api, battery(2264)).status_code == 201


def test_warn_is_the_default_and_stores_all(api: httpx.Client) -> None:
    assert api.get("/validation").json() == {"mode": "warn", "default": "warn", "types": {}}
    assert create(api, example("ElectricVehicle", stateOfCharge=2264)).status_code == 201
    stored = api.get(f"/ngsi-ld/v1/entities/{VEHICLE}").json()
    assert stored["stateOfCharge"]["value"] == 2264


def test_a_violation_that_was_there_refuses_only_writes_that_name_it(api: httpx.Client) -> None:
    create(api, example("ElectricVehicle", stateOfCharge=2264))
    set_modes(api, mode="enforce")
    path = f"/ngsi-ld/v1/entities/{VEHICLE}/attrs"
    telemetry = {"unitCode": "P1", "observedAt": "2026-06-01T00:00:00Z"}
    odometer = {"value": 50_000, "unitCode": "KMT", "observedAt": "2026-06-01T00:00:00Z"}
    assert api.patch(path, json={"odometer": odometer}).status_code == 204
    again = api.patch(path, json={"stateOfCharge": {"value": 101} | telemetry})
    assert again.status_code == 400 and "stateOfCharge" in again.json()["detail"]
    new = api.patch(path, json={"odometer": odometer | {"value": -5}})
    assert new.status_code == 400
    report = new.json()["validationReport"]["results"]
    assert {(result["attribute"], result["rule"].rpartition("#")[2]) for result in report} == {
        (f"{CIM}odometer", "C05"), (f"{CIM}odometer", "C30"),
    }  # fmt: skip
    assert api.patch(path, json={"stateOfCharge": {"value": 80} | telemetry}).status_code == 204
    assert api.patch(path, json={"stateOfCharge": {"value": 800} | telemetry}).status_code == 400


def test_each_item_of_a_batch_is_judged_alone(api: httpx.Client) -> None:
    set_modes(api, types={"ElectricVehicle": "enforce"})
    entities = [
        example("ElectricVehicle", stateOfCharge=n) | {"id": f"urn:ngsi-ld:ElectricVehicle:{n}"} for n in (50, 101, 60)
    ]
    answer = api.post("/ngsi-ld/v1/entityOperations/upsert", json=entities)
    assert answer.status_code == 207
    body = answer.json()
    assert body["success"] == ["urn:ngsi-ld:ElectricVehicle:50", "urn:ngsi-ld:ElectricVehicle:60"]
    [error] = body["errors"]
    assert error["entityId"] == "urn:ngsi-ld:ElectricVehicle:101"
    assert error["error"]["validationReport"]["results"][0]["attribute"] == f"{CIM}stateOfCharge"
    lines = b"\n".join(map(orjson.dumps, entities))
    loaded = api.post(
        "/ngsi-ld/v1/entityOperations/upsert", content=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert loaded.status_code == 207 and b"validationReport" in loaded.content


WRITES: dict[str, Callable[[httpx.Client, Json], httpx.Response]] = {
    "replace": lambda api, bad: api.put(
        f"/ngsi-ld/v1/entities/{VEHICLE}", json=example("ElectricVehicle") | {"stateOfCharge": bad}
    ),
    "merge": lambda api, bad: api.patch(f"/ngsi-ld/v1/entities/{VEHICLE}", json={"stateOfCharge": bad}),
    "append": lambda api, bad: api.post(f"/ngsi-ld/v1/entities/{VEHICLE}/attrs", json={"stateOfCharge": bad}),
    "update": lambda api, bad: api.patch(f"/ngsi-ld/v1/entities/{VEHICLE}/attrs", json={"stateOfCharge": bad}),
    "partial": lambda api, bad: api.patch(f"/ngsi-ld/v1/entities/{VEHICLE}/attrs/stateOfCharge", json=bad),
    "replace attribute": lambda api, bad: api.put(f"/ngsi-ld/v1/entities/{VEHICLE}/attrs/stateOfCharge", json=bad),
    "batch merge": lambda api, bad: api.post(
        "/ngsi-ld/v1/entityOperations/merge", json=[{"id": VEHICLE, "stateOfCharge": bad}]
    ),
}


@pytest.mark.parametrize("name", list(WRITES))
def test_every_way_to_write_is_judged(running: Broker, api: httpx.Client, name: str) -> None:
    create(api, example("ElectricVehicle"))
    set_modes(api, mode="enforce")
    before = running.get(f"entities/{VEHICLE}").json()
    bad = {"type": "Property", "value": 2264, "unitCode": "P1", "observedAt": "2026-06-01T00:00:00Z"}
    answer = WRITES[name](api, bad)
    assert answer.status_code in (207, 400) and "2264" in answer.text and "C04" in answer.text
    assert running.get(f"entities/{VEHICLE}").json() == before


def test_modes_are_of_a_tenant_and_of_types_and_can_be_taken_back(api: httpx.Client) -> None:
    set_modes(api, mode="off", types={"ElectricVehicle": "enforce", f"{CIM}Battery": "warn"})
    found = api.get("/validation").json()
    assert found == {"mode": "off", "default": "warn", "types": {"Battery": "warn", "ElectricVehicle": "enforce"}}
    elsewhere = {"NGSILD-Tenant": "other"}
    bad = example("ElectricVehicle", stateOfCharge=2264)
    assert api.post("/ngsi-ld/v1/entities", json=bad, headers=elsewhere).status_code == 201
    assert create(api, bad).status_code == 400
    assert create(api, bad | {"type": ["ElectricVehicle", "Battery"]}).status_code == 400, "the strictest counts"
    assert set_modes(api, mode=None, types={"ElectricVehicle": None})["types"] == {"Battery": "warn"}
    assert create(api, bad).status_code == 201


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"mode": "strict"}, "mode"),
        ({"types": {"Battery": 1}}, "types.Battery"),
        ({"types": []}, "types"),
        ({"x": 1}, "x"),
    ],
)
def test_modes_that_make_no_sense_are_refused(api: httpx.Client, body: Json, named: str) -> None:
    answer = api.patch("/validation", json=body)
    assert answer.status_code == 400 and answer.json()["detail"].startswith(named)


TOWN = """
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix ngsi-ld: <https://uri.etsi.org/ngsi-ld/> .
@prefix cim: <https://w3id.org/voltweave/cim#> .
<urn:town:Plates> a sh:NodeShape ; sh:targetClass cim:ElectricVehicle ;
    sh:property [ sh:path ( cim:odometer ngsi-ld:hasValue ) ; sh:maxInclusive %d ;
        sh:message "no car of the town has driven so far"@en ] .
"""


def put_shapes(api: httpx.Client, turtle: str, name: str = "town") -> httpx.Response:
    return api.put(f"/shapes/{name}", content=turtle, headers={"Content-Type": "text/turtle"})


def test_a_tenant_adds_shapes_and_takes_them_back(api: httpx.Client) -> None:
    set_modes(api, mode="enforce")
    assert put_shapes(api, TOWN % 1000).status_code == 201
    answer = create(api, example("ElectricVehicle"))
    assert answer.status_code == 400 and "no car of the town has driven so far" in answer.json()["detail"]
    assert put_shapes(api, TOWN % 1000).status_code == 204, "the same again is no new version"
    assert put_shapes(api, TOWN % 90_000).status_code == 204
    assert create(api, example("ElectricVehicle")).status_code == 201
    assert create(api, example("ElectricVehicle", stateOfCharge=2264)).status_code == 400, (
        "the model's are in force too"
    )
    assert "90000" in api.get("/shapes/town").text
    assert "1000" in api.get("/shapes/town", params={"version": 1}).text
    [listed] = api.get("/validation/shapes").json()
    assert (listed["name"], listed["version"]) == ("town", 2)
    assert api.delete("/shapes/town").status_code == 204
    assert api.get("/shapes/town").status_code == 404 and api.get("/validation/shapes").json() == []
    api.delete(f"/ngsi-ld/v1/entities/{VEHICLE}")
    assert create(api, example("ElectricVehicle", odometer=1e6)).status_code == 201
    assert put_shapes(api, TOWN % 5).status_code == 201
    known = api.get("/shapes/town", headers={"Accept": "application/json"}).json()
    assert [(v["version"], v["removed"]) for v in known["versions"]] == [(4, False), (3, True), (2, False), (1, False)]


@pytest.mark.parametrize(
    ("turtle", "reason"),
    [
        ("<urn:a> <urn:b>", "no Turtle"),
        ("<urn:a> <urn:b> <urn:c> .", "no shape with a target"),
        (TOWN.replace("sh:maxInclusive %d", 'sh:sparql [ sh:select "SELECT $this {}" ]'), "free SPARQL"),
        (TOWN.replace("sh:maxInclusive %d", 'sh:pattern "(?=a)b"'), "pattern"),
        ("#" * 300_000, "bytes"),
    ],
)
def test_shapes_that_cannot_be_judged_are_refused_with_the_reason(api: httpx.Client, turtle: str, reason: str) -> None:
    answer = put_shapes(api, turtle)
    assert answer.status_code in (400, 413) and reason in answer.json()["detail"]
    assert api.get("/validation/shapes").json() == []


def test_a_pattern_of_a_tenant_cannot_keep_the_broker_busy(api: httpx.Client) -> None:
    turtle = TOWN.replace("cim:odometer", "cim:vin").replace("sh:maxInclusive %d", 'sh:pattern "^(a+)+$"')
    assert put_shapes(api, turtle).status_code == 201
    entity = example("ElectricVehicle") | {"vin": {"type": "Property", "value": "a" * 5000 + "!"}}
    began = time.monotonic()
    assert create(api, entity).status_code == 201
    assert time.monotonic() - began < 5


def test_modes_and_shapes_outlive_the_process_and_reach_other_ones(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    bad = example("ElectricVehicle", stateOfCharge=2264)
    with postgres_database(server, template) as url, broker(tmp_path / "one", url) as one:
        with broker(tmp_path / "two", url) as two:
            with httpx.Client(base_url=one.url, headers={"Link": LINK}, trust_env=False) as api:
                set_modes(api, mode="enforce")
                put_shapes(api, TOWN % 5)
            with httpx.Client(base_url=two.url, headers={"Link": LINK}, trust_env=False) as api:
                deadline = time.monotonic() + 10
                while api.get("/validation").json()["mode"] != "enforce" or not api.get("/validation/shapes").json():
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                assert create(api, bad).status_code == 400
        one.end()
        one.start()
        one.wait_until_ready()
        with httpx.Client(base_url=one.url, headers={"Link": LINK}, trust_env=False) as api:
            answer = create(api, example("ElectricVehicle"))
            assert answer.status_code == 400 and "the town" in answer.json()["detail"]


def issues(api: httpx.Client, entity_id: str, status: str) -> list[Json]:
    """Return the issues about an entity with a status, as soon as there are some."""
    asked = {"type": "DataQualityIssue", "q": f'concerns=="{entity_id}";status=="{status}"', "format": "simplified"}
    deadline = time.monotonic() + 20
    while True:
        answer = api.get("/ngsi-ld/v1/entities", params=asked)
        assert answer.status_code == 200, answer.text
        found: list[Json] = answer.json()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_in_warn_an_issue_is_opened_and_healed_by_the_next_good_value(api: httpx.Client) -> None:
    assert create(api, example("ElectricVehicle", stateOfCharge=2264)).status_code == 201
    [issue] = issues(api, VEHICLE, "open")
    assert (issue["attribute"], issue["severity"], issue["offendingValue"]) == (
        f"{CIM}stateOfCharge",
        "violation",
        "2264",
    )
    assert issue["rule"] == "https://w3id.org/voltweave/shapes#C04"
    assert issue["recommendedAction"] == "checkSensor" and "percent" in str(issue["explanation"])
    good = {"value": 81, "unitCode": "P1", "observedAt": "2026-06-01T00:00:00Z"}
    path = f"/ngsi-ld/v1/entities/{VEHICLE}/attrs"
    assert api.patch(path, json={"stateOfCharge": good}).status_code == 204
    assert [found["id"] for found in issues(api, VEHICLE, "resolved")] == [issue["id"]]
    assert api.get("/ngsi-ld/v1/entities", params={"type": "DataQualityIssue", "q": 'status=="open"'}).json() == []


@pytest.mark.parametrize("mode", ["warn", "enforce"])
def test_the_same_value_on_a_battery_is_stored_with_one_issue(api: httpx.Client, mode: str) -> None:
    set_modes(api, mode=mode)
    stored = battery(2264)
    assert create(api, stored).status_code == 201
    [issue] = issues(api, stored["id"], "open")
    assert (issue["attribute"], issue["severity"]) == (f"{CIM}stateOfCharge", "warning")
