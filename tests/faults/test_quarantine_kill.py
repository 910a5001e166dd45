"""Adapter, replay and broker are killed again and again: every record is an entity or in quarantine, once."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from adapters.state import AdapterState, Counts
from tests.faults.test_adapter_kill import HEADER, row
from tests.platform import ENVIRONMENT, Broker, broker, start_ingest

KILLS = int(os.environ.get("ADAPTER_KILLS", "6"))
ROWS = 100 * KILLS
STREAM = "boulder-sessions"
SMALL_STEPS = {
    "VOLTWEAVE_CHUNK_RECORDS": "10",
    "VOLTWEAVE_BATCH_ENTITIES": "5",
    "VOLTWEAVE_BACK_OFF_SECONDS": "0.01",
    "VOLTWEAVE_SPOOL_BYTES": "20000",
}


def is_bad(number: int) -> bool:
    return number % 4 == 3


def write_sessions(path: Path) -> None:
    """Write sessions of which every fourth ends before it starts."""
    lines = [HEADER, *(row(number, 9 if is_bad(number) else 12) for number in range(ROWS))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def start_replay(platform: Broker, data: Path) -> subprocess.Popen[str]:
    command = ["quarantine", "replay", "--stream", STREAM, "--server", platform.url, "--data", str(data)]
    return subprocess.Popen(
        [sys.executable, "-m", "voltweave", *command],
        env=os.environ | ENVIRONMENT | SMALL_STEPS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def disturb(start: Callable[[], subprocess.Popen[str]], platform: Broker, progress: str, most: int) -> int:
    """Start a process and kill it, or the broker under it, again and again; return how often it ran still."""
    killed = 0
    process = start()
    try:
        for number in range(KILLS):
            target = platform.select(progress)[0][0] + random.randrange(1, most)
            limit = time.monotonic() + 60
            while platform.select(progress)[0][0] < target and process.poll() is None and time.monotonic() < limit:
                time.sleep(0.002)
            killed += process.poll() is None
            if number % 2:
                platform.end(signal.SIGKILL)
                platform.start()
                platform.wait_until_ready()
            else:
                process.send_signal(signal.SIGKILL)
            if process.poll() is not None or not number % 2:
                process.communicate()
                process = start()
        output, _ = process.communicate(timeout=300)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, output
    return killed


def counts(data: Path) -> Counts:
    state = AdapterState(data)
    try:
        [status] = state.streams()
        assert status.waiting == 0
        return status.counts
    finally:
        state.close()


def held(platform: Broker) -> list[dict[str, Any]]:
    answer = httpx.get(f"{platform.url}/quarantine", params={"limit": "1000"})
    found: list[dict[str, Any]] = answer.json()
    return found


def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201
    random.seed(seed)
    path, data = tmp_path / "sessions.csv", tmp_path / "data"
    write_sessions(path)
    bad = {number for number in range(ROWS) if is_bad(number)}
    with broker(tmp_path / "broker") as platform:
        arrived = "SELECT count(*) FROM quarantine"
        killed = disturb(lambda: start_ingest(STREAM, path, platform.url, data, SMALL_STEPS), platform, arrived, 25)
        assert killed >= KILLS // 2, "it ended before it was killed: the test tried nothing"
        found = held(platform)
        assert {each["number"] - 1 for each in found} == bad
        assert len(found) == len(bad)
        assert {each["state"] for each in found} == {"open"}
        assert counts(data) == Counts(ROWS, ROWS - len(bad), 0, len(bad), 0)
        assert platform.count(type="ChargingSession") == ROWS - len(bad)

        mend_all(platform, found)
        done = "SELECT count(*) FROM quarantine WHERE state = 'replayed'"
        assert disturb(lambda: start_replay(platform, data), platform, done, 25), "no replay was killed"
        assert {each["state"] for each in held(platform)} == {"replayed"}
        assert counts(data) == Counts(ROWS, ROWS, 0, 0, 0)
        assert platform.count(type="ChargingSession") == ROWS
        created = "SELECT count(*) FROM change WHERE entity_id LIKE '%:ChargingSession:%'"
        assert platform.select(created) == [(ROWS,)], "a session that is delivered again is not changed again"


def mend_all(platform: Broker, found: list[dict[str, Any]]) -> None:
    with httpx.Client(base_url=platform.url) as client:
        for each in found:
            path = f"/quarantine/{each['id']}"
            record = client.get(path).json()["record"]
            record["End_Date___Time"] = re.sub(r" 09:", " 12:", record["End_Date___Time"])
            assert client.patch(path, json={"record": record}).status_code == 204
