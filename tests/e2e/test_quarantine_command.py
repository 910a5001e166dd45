"""`voltweave quarantine` against a real server and a real ingest: what fails is kept, mended, replayed, purged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.providers import FOLDER
from tests.platform import ENVIRONMENT, Broker, broker

HEADER = (
    "Station_Name,Address,City,State_Province,Zip_Postal_Code,Start_Date___Time,Start_Time_Zone,End_Date___Time,"
    "End_Time_Zone,Total_Duration__hh_mm_ss_,Charging_Time__hh_mm_ss_,Energy__kWh_,GHG_Savings__kg_,"
    "Gasoline_Savings__gallons_,Port_Type,ObjectId"
)
STREAM = "boulder-sessions"


def row(number: int, end_hour: int = 12, energy: str = "7.5") -> str:
    return (
        f"EXAMPLE / A,1 Sample Ave,Boulder,Colorado,80300,2020/02/03 10:00:00+00,MST,"
        f"2020/02/03 {end_hour:02}:00:00+00,MST,1:00:00,1:00:00,{energy},1,1,Level 2,{number}"
    )


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Give good sessions, one that ends before it starts, one with a negative energy, and one cut short."""
    path = tmp_path / "sessions.csv"
    rows = [row(1), row(2, end_hour=9), row(3, energy="-4"), row(4), row(5)[:60]]
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path / "broker") as running:
        yield running


def voltweave(
    folder: Path, *arguments: str | Path, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with what is typed into it."""
    return subprocess.run(
        [sys.executable, "-m", "voltweave", *map(str, arguments)],
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path.cwd())} | environment,
        cwd=folder, capture_output=True, text=True, timeout=120, check=False, input=typed,
    )  # fmt: skip


def ingest(folder: Path, platform: Broker, sample: Path) -> str:
    done = voltweave(folder, "ingest", "--provider", STREAM, "--url", platform.url, "--data", "d", sample)
    assert done.returncode == 0, done.stderr
    return done.stdout


def quarantined(folder: Path, platform: Broker, *options: str) -> list[dict[str, Any]]:
    done = voltweave(folder, "quarantine", "list", "--server", platform.url, "-o", "json", *options)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def sessions(platform: Broker) -> dict[int, Any]:
    found = platform.all(type="ChargingSession", format="simplified")
    return {int(each["id"].rpartition(":")[2]): each["energyDelivered"] for each in found}


def test_what_fails_is_listed_shown_mended_replayed_and_purged(tmp_path: Path, platform: Broker, sample: Path) -> None:
    def command(*arguments: str, code: int = 0, typed: str = "") -> str:
        done = voltweave(tmp_path, "quarantine", *arguments, "--server", platform.url, typed=typed)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "5 rows = 2 entities + 3 quarantined + 0 duplicates" in ingest(tmp_path, platform, sample)
    by_number = {each["number"]: each for each in quarantined(tmp_path, platform, "--stream", STREAM)}
    assert {n: each["stage"] for n, each in by_number.items()} == {2: "map", 3: "check", 5: "read"}
    backwards, negative, cut = (by_number[n]["id"] for n in (2, 3, 5))
    listed = command("list")
    assert f"{negative}  open  {STREAM} sessions.csv#" in listed
    assert "3 records" in listed
    assert command("list", "--rule", by_number[3]["rule"]).endswith("1 record\n")
    shown = command("show", negative)
    assert "made: ChargingSession urn:ngsi-ld:ChargingSession:boulder:3" in shown
    assert "Violation: urn:ngsi-ld:ChargingSession:boulder:3" in shown
    assert '"Energy__kWh_": "-4"' in shown

    for number in ("NaN", "-Infinity", "1e999", '{"a": [NaN]}'):
        assert "the record is no JSON" in command("mend", negative, "--set", f"/Energy__kWh_={number}", code=3)
    command("mend", negative, "--set", '/Energy__kWh_="4"')
    assert '"Energy__kWh_": "4"' in command("show", negative)
    assert f"{STREAM}: 1 replayed" in command("replay", negative, "--data", "d")
    assert sessions(platform) == {1: 7.5, 3: 4, 4: 7.5}
    assert "was replayed" in command("mend", negative, "--set", '/Energy__kWh_="5"', code=1)

    assert "no record to change" in command("mend", cut, "--set", "/ObjectId=5", code=3)
    whole = dict(zip(HEADER.split(","), row(5).split(","), strict=True))
    command("mend", cut, "-", typed=json.dumps(whole))
    assert f"{STREAM}: 1 replayed, 1 stay in quarantine" in command("replay", "--stream", STREAM, "--data", "d", code=1)
    assert sessions(platform).keys() == {1, 3, 4, 5}
    [left] = quarantined(tmp_path, platform, "--state", "open")
    assert (left["id"], left["version"]) == (backwards, 3)

    listed = voltweave(tmp_path, "adapters", "list", "--data", "d", "--json").stdout
    [counters] = [each for each in json.loads(listed) if each["provider"] == STREAM]
    assert [counters[name] for name in ("records", "entities", "quarantined", "duplicates")] == [5, 4, 1, 0]
    assert sum(counters["findings"]["Violation"].values()) == 1
    [kept] = voltweave(tmp_path, "adapters", "rejects", STREAM, "--data", "d").stdout.splitlines()
    assert json.loads(kept)["id"] == backwards
    assert "5 rows = 0 entities + 0 quarantined + 5 duplicates" in ingest(tmp_path, platform, _again(sample))

    metrics = httpx.get(f"{platform.url}/metrics").text
    assert f'stream="{STREAM}",tenant=""}} 1.0' in metrics
    assert "2 records deleted" in command("purge", "--state", "replayed")
    assert "1 record deleted" in command("purge", backwards)
    assert "0 records deleted" in command("purge", "--older-than", "0")
    assert quarantined(tmp_path, platform) == []


def _again(sample: Path) -> Path:
    """Write the same rows again, under another hash."""
    path = sample.with_name("again.csv")
    path.write_text(sample.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    return path


def test_what_fails_while_the_server_is_away_is_kept_later(tmp_path: Path, platform: Broker, sample: Path) -> None:
    platform.end()
    command = ["ingest", "--provider", STREAM, "--url", platform.url, "--data", "d", str(sample)]
    away = voltweave(tmp_path, *command, VOLTWEAVE_DELIVERY_PATIENCE="0.1")
    assert away.returncode == 4, away.stderr
    platform.start()
    platform.wait_until_ready()
    assert quarantined(tmp_path, platform) == []
    assert "5 rows = 2 entities + 3 quarantined" in ingest(tmp_path, platform, sample)
    assert len(quarantined(tmp_path, platform)) == 3
    assert sessions(platform).keys() == {1, 4}


def test_a_running_adapter_replays_at_its_next_round(tmp_path: Path, platform: Broker, sample: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sample.rename(folder / sample.name)
    command = ["ingest", "--follow", "--provider", STREAM, "--url", platform.url, "--data", "d", str(folder)]
    following = subprocess.Popen(
        [sys.executable, "-m", "voltweave", *command],
        env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        _until(lambda: len(quarantined(tmp_path, platform)) == 3)
        [negative] = [each["id"] for each in quarantined(tmp_path, platform) if each["stage"] == "check"]
        voltweave(tmp_path, "quarantine", "mend", negative, "--server", platform.url, "--set", '/Energy__kWh_="4"')
        asked = voltweave(tmp_path, "quarantine", "replay", negative, "--server", platform.url, "--data", "d")
        assert "its running adapter tries them at its next round" in asked.stderr
        _until(lambda: 3 in sessions(platform))
        _until(lambda: not quarantined(tmp_path, platform, "--state", "replayRequested"))
        following.send_signal(signal.SIGINT)
        output, _ = following.communicate(timeout=30)
    finally:
        following.kill()
        following.communicate()
    assert "5 rows = 3 entities + 2 quarantined" in output
    assert "1 replayed from quarantine" in output


def test_what_the_server_refuses_comes_to_quarantine_with_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Path
) -> None:
    own = tmp_path / "providers" / STREAM
    shutil.copytree(FOLDER / STREAM, own)
    with (own / "manifest.yaml").open("a", encoding="utf-8") as manifest:
        manifest.write("validation: {mode: off}\n")
    monkeypatch.setenv("VOLTWEAVE_PROVIDERS", str(own.parent))
    monkeypatch.setenv("VOLTWEAVE_VALIDATION", "enforce")
    with broker(tmp_path / "broker") as platform:
        assert "5 rows = 2 entities + 3 quarantined" in ingest(tmp_path, platform, sample)
        [refused] = [each for each in quarantined(tmp_path, platform) if each["stage"] == "deliver"]
        assert (refused["number"], refused["field"]) == (3, "energyDelivered")
        whole = httpx.get(f"{platform.url}/quarantine/{refused['id']}").json()
        assert whole["report"][0]["severity"] == "Violation"
        assert whole["report"][0]["rule"].endswith(refused["rule"])
        assert sessions(platform).keys() == {1, 4}


def _until(condition: Any) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.2)


ERRORS: list[tuple[list[str], int, str]] = [
    (["show", "0" * 32], 1, "no such record"),
    (["mend", "0" * 32], 3, "the record as it should be is needed"),
    (["mend", "0" * 32, "nowhere.json"], 3, "nowhere.json"),
    (["mend", "0" * 32, "--set", "kwh=1"], 1, "no such record"),
    (["replay"], 3, "which records?"),
    (["replay", "--stream", "nobody"], 0, "no record is to be replayed"),
    (["purge"], 3, "which records?"),
    (["list", "--state", "gone"], 2, "gone"),
]


def test_errors_say_what_to_do(tmp_path: Path, platform: Broker) -> None:
    for arguments, code, says in ERRORS:
        done = voltweave(tmp_path, "quarantine", *arguments, "--server", platform.url)
        assert done.returncode == code, (arguments, done.stderr)
        assert says in done.stderr, arguments
        assert "Traceback" not in done.stderr


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    done = voltweave(tmp_path, "quarantine", "list", "--server", "http://127.0.0.1:9")
    assert done.returncode == 4
    assert "does not answer" in done.stderr
