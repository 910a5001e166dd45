"""`voltweave up` as a user runs it: data arrive through the adapters, the five queries answer, and the end is clean."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

CONTEXT = "https://w3id.org/voltweave/contexts/cim.jsonld"
LINK = f'<{CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
OPERATORS = {"ampere", "brezza", "corrente"}
TOWN_HALL = (12.6430, 42.5610)


class Platform:
    """A running `voltweave up`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder

    def ask(self, parameters: dict[str, object], accept: str = "application/json") -> httpx.Response:
        """Query entities."""
        given = {name: str(value) for name, value in parameters.items()}
        answer = httpx.get(
            f"{self.url}/ngsi-ld/v1/entities", params=given, headers={"Link": LINK, "Accept": accept}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return answer

    def entities(self, **parameters: object) -> list[dict[str, Any]]:
        """Return the entities that match, in the simplified form."""
        found: list[dict[str, Any]] = self.ask({"format": "simplified"} | parameters).json()
        return found

    def count(self, **parameters: object) -> int:
        """Return how many entities match."""
        return int(self.ask({"count": "true", "limit": 0} | parameters).headers["NGSILD-Results-Count"])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `voltweave` against it."""
        environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "300", "VOLTWEAVE_SERVER_URL": self.url}
        return subprocess.run(
            [sys.executable, "-m", "voltweave", *arguments], env=environment, capture_output=True, text=True, timeout=60
        )

    def children(self) -> list[int]:
        """Return the processes that it started."""
        return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and parent_of(p) == self.process.pid]


@contextmanager
def up(folder: Path, speed: int = 1200) -> Iterator[Platform]:
    """Run `voltweave up` with a small and fast town."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "VOLTWEAVE_TOWN_SPEED": str(speed), "VOLTWEAVE_TOWN_HISTORY_DAYS": "3", "VOLTWEAVE_TOWN_DIRT": "some",
        "VOLTWEAVE_SETTLE_SECONDS": "0.2", "VOLTWEAVE_PSEUDONYM_KEY": "0" * 64, "NO_COLOR": "1",
    }  # fmt: skip
    with (folder / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "voltweave", "up", f"--port={port}", f"--data={folder / 'data'}"],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    platform = Platform(process, port, folder)
    try:
        wait_for(lambda: process.poll() is not None or is_ready(platform), 60)
        assert process.poll() is None, (folder / "up.log").read_text()
        yield platform
    finally:
        for pid in platform.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def is_ready(platform: Platform) -> bool:
    try:
        return httpx.get(f"{platform.url}/q/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def parent_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def sources(entities: list[dict[str, Any]]) -> set[str]:
    """Return the sources that the ids name."""
    return {entity["id"].split(":")[3] for entity in entities}


def metres(there: list[float], here: tuple[float, float] = TOWN_HALL) -> float:
    """Return the distance on the sphere between two points."""
    (lon1, lat1), (lon2, lat2) = (map(math.radians, here), map(math.radians, there))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371_000 * math.asin(math.sqrt(half))


def filled(platform: Platform) -> bool:
    """Tell whether every source has delivered."""
    return (
        sources(platform.entities(type="ChargingSession", limit=1000, pick="id")) == OPERATORS
        and sources(platform.entities(type="ChargingSite", limit=100, pick="id")) == OPERATORS
        and platform.count(type="ParkingSpot") == 200
        and platform.count(type="ElectricVehicle") == 30
        and platform.count(type="VehicleChargeRecord") > 0
        and platform.count(type="PVPlant", q="activePower;installedPower") == 1
        and platform.count(type="Building", q="activePower;name") == 1
    )


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with up(tmp_path_factory.mktemp("up")) as started:
        wait_for(lambda: filled(started), 90)
        yield started


def test_a_join_leads_from_a_session_to_its_charge_point_and_station(platform: Platform) -> None:
    pick = "id,evse{id,ratedPower,station{id,stationId}}"
    joined = platform.entities(type="ChargingSession", join="inline", joinLevel=2, pick=pick, limit=50)
    assert len(joined) == 50
    plain = {e["id"]: e for e in platform.entities(type="ChargingSession", limit=1000)}
    evses = {e["id"]: e for e in platform.entities(type="EVSE", limit=1000)}
    for session in joined:
        assert session["evse"]["id"] == plain[session["id"]]["evse"]
        evse = evses[session["evse"]["id"]]
        assert session["evse"]["ratedPower"] == evse["ratedPower"]
        assert session["evse"]["station"]["id"] == evse["station"]
    assert all("energyDelivered" not in session for session in joined)


def test_a_geographical_query_finds_what_is_near_and_nothing_else(platform: Platform) -> None:
    everything = platform.entities(type="ParkingSpot", limit=1000)
    near = platform.entities(
        type="ParkingSpot", georel="near;maxDistance==700", geometry="Point", coordinates=list(TOWN_HALL), limit=1000
    )
    expected = {spot["id"] for spot in everything if metres(spot["location"]["coordinates"]) <= 700}
    doubtful = {spot["id"] for spot in everything if abs(metres(spot["location"]["coordinates"]) - 700) < 5}
    assert {spot["id"] for spot in near} ^ expected <= doubtful
    assert 0 < len(near) < len(everything)


def test_a_range_finds_what_lies_in_it_and_nothing_else(platform: Platform) -> None:
    before = platform.entities(type="ChargingSession", limit=1000)
    found = {
        e["id"]: e["energyDelivered"]
        for e in platform.entities(type="ChargingSession", q="energyDelivered>30", limit=1000)
    }
    assert found
    assert min(found.values()) > 30
    assert {e["id"] for e in before if e["energyDelivered"] > 30} <= found.keys()
    assert sources([{"id": entity_id} for entity_id in found]) <= OPERATORS


def test_a_count_grows_while_it_is_watched(platform: Platform) -> None:
    first = platform.count(type="ChargingSession")
    assert first >= len(platform.entities(type="ChargingSession", limit=10))
    wait_for(lambda: platform.count(type="ChargingSession") > first, 60)
    assert platform.count(type="ChargingSession", q="energyDelivered>100000") == 0


def test_the_map_layer_is_geojson(platform: Platform) -> None:
    answer = platform.ask({"type": "ChargingSite", "limit": 100, "format": "simplified"}, accept="application/geo+json")
    assert answer.headers["Content-Type"].startswith("application/geo+json")
    layer = answer.json()
    assert layer["type"] == "FeatureCollection"
    assert len(layer["features"]) == 18
    for feature in layer["features"]:
        assert feature["geometry"]["type"] == "Point"
        assert metres(feature["geometry"]["coordinates"]) < 5000
        assert feature["properties"]["name"]


def test_the_bays_lead_to_charge_points_of_two_operators(platform: Platform) -> None:
    bays = platform.entities(type="ParkingSpot", q="evse", limit=1000)
    assert sources([{"id": bay["evse"]} for bay in bays]) == {"ampere", "corrente"}
    assert {bay["evse"] for bay in bays} <= {e["id"] for e in platform.entities(type="EVSE", limit=1000)}


def test_cards_are_pseudonyms(platform: Platform) -> None:
    sessions = platform.entities(type="ChargingSession", q="userPseudonym", limit=100)
    assert sessions
    assert all(len(session["userPseudonym"]) == 64 for session in sessions)


def test_the_command_line_asks_it(platform: Platform) -> None:
    table = platform.command("query", "--type", "ChargingStation", "--limit", "2", "--count")
    assert table.returncode == 0, table.stderr
    assert "51 entities match" in table.stdout
    layer = platform.command("query", "--type", "ChargingSite", "-o", "geojson", "--near", "12.643,42.561,100000")
    assert len(json.loads(layer.stdout)["features"]) == 18
    plain = platform.command("query", "--type", "EVSE", "-o", "json", "--limit", "3", "--pick", "id,ratedPower")
    assert [set(entity) for entity in json.loads(plain.stdout)] == [{"id", "ratedPower"}] * 3
    nothing = platform.command("query", "--type", "EVSE", "--q", "ratedPower>5000")
    assert "no entity matches" in nothing.stderr
    refused = platform.command("query", "--type", "EVSE", "--q", "ratedPower>")
    assert refused.returncode == 1
    assert "q:" in refused.stderr


def test_the_adapters_account_for_every_record(platform: Platform) -> None:
    listing = platform.command("adapters", "list", "--json", "--data", str(platform.folder / "data"))
    rows = {row["provider"]: row for row in json.loads(listing.stdout) if row["records"]}
    assert {name for name in rows if name.startswith("town-")} >= {"town-ampere-sessions", "town-brezza-sessions"}
    for row in rows.values():
        assert row["records"] == row["entities"] + row["updates"] + row["quarantined"] + row["duplicates"], row
    assert not [row for row in rows.values() if row["last_error"]]


def check_database(folder: Path) -> None:
    with sqlite3.connect(folder / "data" / "voltweave.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    database.close()


def test_ctrl_c_leaves_nothing_behind_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with up(tmp_path, speed=60) as first:
        wait_for(lambda: first.count(type="ChargingSession") > 100, 60)
        children = first.children()
        assert len(children) == 1
        before = first.count(type="ChargingSession")
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(timeout=30) == 0
        assert not any(map(alive, children))
    check_database(tmp_path)
    with up(tmp_path, speed=60) as second:
        assert second.count(type="ChargingSession") >= before
        wait_for(lambda: filled(second), 60)


def test_a_killed_parent_leaves_no_orphan_and_loses_nothing(tmp_path: Path) -> None:
    with up(tmp_path, speed=60) as first:
        wait_for(lambda: first.count(type="ChargingSession") > 100, 60)
        children = first.children()
        assert len(children) == 1
        before = first.count(type="ChargingSession")
        first.process.kill()
        first.process.wait()
        wait_for(lambda: not any(map(alive, children)), 20)
    check_database(tmp_path)
    with up(tmp_path, speed=60) as second:
        assert second.count(type="ChargingSession") >= before
        wait_for(lambda: filled(second), 60)
