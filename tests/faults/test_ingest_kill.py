"""Adapter and broker, killed at random moments while a file goes in, end with what an undisturbed run makes of it.

VOLTWEAVE_KILLS says how often. 20 kills take the whole of a published file; fewer, so much of its beginning.
"""

from __future__ import annotations

import csv
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from adapters.providers import load_provider
from adapters.samples import sample_files
from adapters.state import AdapterState, Counts
from tests.platform import Balance, Broker, broker, ingest, start_ingest

KILLS = int(os.environ.get("VOLTWEAVE_KILLS", "3"))
ROWS_PER_KILL = 1205
#: A kill may wait for a second and a half; a fast machine must not be done before the last of a few.
FEWEST_ROWS = 12_000
PROVIDER = "boulder-sessions"
KEY, START = "ObjectId", "Start_Date___Time"
TYPES = "ChargingSession,EVSE,ChargingStation,ChargingSite"
#: Small steps and a small spool: reading, spooling and delivering are all under way when a kill comes.
SMALL_STEPS = {
    "VOLTWEAVE_CHUNK_RECORDS": "50",
    "VOLTWEAVE_BATCH_ENTITIES": "40",
    "VOLTWEAVE_SPOOL_BYTES": "300000",
    "VOLTWEAVE_BACK_OFF_SECONDS": "0.05",
    "VOLTWEAVE_BACK_OFF_LIMIT_SECONDS": "0.5",
}


@pytest.fixture(params=["published", "generated"])
def table(request: pytest.FixtureRequest) -> list[dict[str, str]]:
    """Return rows of the published file, or rows made of the provider's sample."""
    wanted = max(KILLS * ROWS_PER_KILL, FEWEST_ROWS)
    if request.param == "generated":
        return generated(wanted)
    shared_data: Path = request.getfixturevalue("shared_data")
    path = shared_data / "sessions/ev-load-open-data/boulder_2018_2021.csv"
    return rows_of(path)[:wanted]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def generated(count: int) -> list[dict[str, str]]:
    [sample] = sample_files(load_provider(PROVIDER).folder)
    # Samples lie in the future, where nothing can have been measured yet.
    good = [{name: text.replace("2030/", "2020/") for name, text in row.items()} for row in rows_of(sample)[:3]]
    # A station moves to another site and back every few hundred rows: what is said of it last must win.
    return [{**good[n // 150 % 3], "Station_Name": f"STATION {n % 40}", KEY: str(n)} for n in range(count)]


def write_dirty(path: Path, rows: list[dict[str, str]]) -> Counts:
    """Write rows, some twice and some again without a start, under keys of their own; return what becomes of them."""
    duplicates = rejected = 0
    with path.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, list(rows[0]))
        table.writeheader()
        for number, row in enumerate(rows):
            table.writerow(row)
            if number % 50 == 49:
                table.writerow(rows[number - number % 120])
                duplicates += 1
            if number % 70 == 69:
                table.writerow({**row, KEY: f"no-start-{number}", START: ""})
                rejected += 1
    return Counts(len(rows) + duplicates + rejected, len(rows), 0, rejected, duplicates)


class Trial:
    """An ingest into a broker, either of which may be killed and started again."""

    def __init__(self, platform: Broker, path: Path, data: Path) -> None:
        self.platform = platform
        self.path = path
        self.data = data
        self.adapter = self.start_adapter()
        self.killed: Counter[str] = Counter()

    def start_adapter(self) -> subprocess.Popen[str]:
        return start_ingest(PROVIDER, self.path, self.platform.url, self.data, SMALL_STEPS)

    def changes(self) -> int:
        """Return how far the broker is."""
        [(last,)] = self.platform.select("SELECT coalesce(max(id), 0) FROM change")
        return int(last)

    def wait(self, changes: int, seconds: float) -> None:
        """Wait until the broker stored that many more entities, and some time more."""
        target, limit = self.changes() + changes, time.monotonic() + 60
        while self.changes() < target and self.adapter.poll() is None:
            assert time.monotonic() < limit, self.platform.log()
            time.sleep(0.002)
        time.sleep(seconds)

    def kill(self, victim: Literal["adapter", "broker"]) -> None:
        """Kill one of the processes and start it again."""
        assert self.adapter.poll() is None, f"the ingest ended before the kill: {self.adapter.communicate()[0]}"
        if victim == "adapter":
            self.adapter.send_signal(signal.SIGKILL)
            self.adapter.communicate()
            assert self.adapter.returncode == -signal.SIGKILL
            self.adapter = self.start_adapter()
        else:
            self.platform.end(signal.SIGKILL)
            self.platform.start()
        self.killed[victim] += 1

    def finish(self) -> Balance:
        """Let the ingest run to its end."""
        output, _ = self.adapter.communicate(timeout=300)
        assert self.adapter.returncode == 0, output
        assert re.search("waiting: .* does not answer", output) or self.killed["adapter"], output
        return Balance.of(output)


def disturb(trial: Trial, chance: random.Random) -> None:
    """Kill one process after the other; a quarter of the kills come while something still starts."""
    for number in range(KILLS):
        if chance.random() < 0.25:
            trial.wait(0, chance.random() * 1.5)
        else:
            trial.wait(chance.randrange(1, ROWS_PER_KILL * 3 // 4), chance.random() * 0.05)
        trial.kill("adapter" if number % 2 else "broker")


def content(platform: Broker) -> dict[str, dict[str, Any]]:
    """Return all entities, normalized and without system times."""
    found = list(platform.all(type=TYPES))
    by_id = {entity["id"]: entity for entity in found}
    assert len(by_id) == len(found)
    return by_id


def history_of_sessions(platform: Broker) -> Iterator[tuple[Any, ...]]:
    """Yield what history says of sessions, without the times at which that was written."""
    yield from platform.select(
        "SELECT e.id, n.iri, h.dataset, hex(h.hash), h.deleted FROM history h"
        " JOIN entity e ON e.k = h.k LEFT JOIN name n ON n.id = h.attr"
        " WHERE e.id LIKE 'urn:ngsi-ld:ChargingSession:%' ORDER BY 1, 2, 3, 4"
    )


def check_database(platform: Broker, sessions: int) -> None:
    """Check that the file is sound and every entity is whole: history, change rows, one creation."""
    assert platform.select("PRAGMA integrity_check") == [("ok",)]
    for kept in ("history", "change"):
        missing = platform.select(f"SELECT id FROM entity WHERE k NOT IN (SELECT k FROM {kept}) LIMIT 3")  # noqa: S608
        assert missing == []
    twice = "SELECT entity_id FROM change WHERE operation = 'createEntity' GROUP BY entity_id HAVING count(*) > 1"
    assert platform.select(twice) == []
    of_sessions = "SELECT count(*) FROM change WHERE entity_id LIKE 'urn:ngsi-ld:ChargingSession:%'"
    assert platform.select(of_sessions) == [(sessions,)], "a session that is delivered again is not changed again"


def test_kills_of_adapter_and_broker_leave_no_trace(table: list[dict[str, str]], tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}, {KILLS} kills, {len(table)} sessions")  # noqa: T201
    path, data = tmp_path / "sessions.csv", tmp_path / "data"
    expected = write_dirty(path, table)
    with broker(tmp_path / "undisturbed") as platform:
        told = ingest(PROVIDER, path, platform.url, tmp_path / "undisturbed")
        assert (told.rows, told.entities, told.quarantined, told.duplicates) == (
            expected.records, expected.entities, expected.quarantined, expected.duplicates,
        )  # fmt: skip
        wanted, history = content(platform), list(history_of_sessions(platform))

    with broker(tmp_path / "disturbed") as platform:
        trial = Trial(platform, path, data)
        try:
            disturb(trial, random.Random(seed))
            assert trial.killed == {"broker": (KILLS + 1) // 2, "adapter": KILLS // 2}
            assert trial.changes() < len(wanted), "all was stored before the last kill"
            last = trial.finish()
        finally:
            trial.adapter.kill()
            trial.adapter.communicate()
        platform.wait_until_ready()
        found = content(platform)
        assert found.keys() == wanted.keys()
        assert found == wanted
        assert list(history_of_sessions(platform)) == history
        check_database(platform, expected.entities)
    assert (last.rows, last.updates) == (expected.records, 0)
    state = AdapterState(data)
    try:
        (status,) = state.streams()
        rejects = state.set_aside(PROVIDER, limit=100_000)
    finally:
        state.close()
    assert status.counts == expected
    assert status.counts.balanced()
    assert (status.waiting, status.refused) == (0, 0)
    assert len(rejects) == len({reject.number for reject in rejects}) == expected.quarantined
