"""An adapter that is killed at random moments, again and again, delivers the same entities as one that is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from adapters.state import AdapterState, Counts
from tests.receiver import Entity, Receiver, receiving

KILLS = int(os.environ.get("ADAPTER_KILLS", "10"))
ROWS_PER_KILL = 300
CHUNK = 25
HEADER = (
    "Station_Name,Address,City,State_Province,Zip_Postal_Code,Start_Date___Time,Start_Time_Zone,End_Date___Time,"
    "End_Time_Zone,Total_Duration__hh_mm_ss_,Charging_Time__hh_mm_ss_,Energy__kWh_,GHG_Savings__kg_,"
    "Gasoline_Savings__gallons_,Port_Type,ObjectId"
)


def row(number: int, end_hour: int) -> str:
    return (
        f"EXAMPLE / STATION {number % 7},1 Sample Ave,Boulder,Colorado,80300,2020/02/03 10:00:00+00,MST,"
        f"2020/02/03 {end_hour:02}:00:00+00,MST,1:00:00,1:00:00,{number % 50}.5,1,1,Level 2,{number}"
    )


def write_sessions(path: Path, count: int) -> Counts:
    """Write sessions, every 50th one twice and every 70th one ending before it starts; return what becomes of them."""
    lines = [HEADER]
    duplicates = rejected = 0
    for number in range(count):
        backwards = number % 70 == 69
        lines.append(row(number, 9 if backwards else 12))
        rejected += backwards
        if number % 50 == 49 and not backwards:
            lines.append(lines[-1])
            duplicates += 1
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Counts(len(lines) - 1, count - rejected, 0, rejected, duplicates)


def start(url: str, path: Path, data: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "voltweave", "ingest", "--provider", "boulder-sessions"]
    environment = os.environ | {
        "VOLTWEAVE_CHUNK_RECORDS": str(CHUNK),
        "VOLTWEAVE_BATCH_ENTITIES": "10",
        "VOLTWEAVE_BACK_OFF_SECONDS": "0.01",
        # A small spool holds the reading back, so that it, too, is killed half-way.
        "VOLTWEAVE_SPOOL_BYTES": "150000",
    }
    return subprocess.Popen(
        [*command, "--url", url, "--data", str(data), str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def stumbling(chance: random.Random) -> Receiver:
    """Return a receiver that is slow and sometimes fails, before or after it stored what it got."""
    receiver = Receiver()

    def refuse(entities: list[Entity]) -> tuple[int, dict[str, str]] | None:
        time.sleep(0.003)
        fate = chance.random()
        if fate < 0.03:
            return 503, {"title": "not now"}
        if fate < 0.06:
            for entity in entities:
                receiver.entities[entity["id"]] = {**receiver.entities.get(entity["id"], {}), **entity}
                receiver.deliveries.append(entity["id"])
            return 504, {"title": "stored, but nobody will know"}
        return None

    def refuse_records(records: list[Entity]) -> tuple[int, dict[str, str]] | None:
        if chance.random() < 0.2:
            for record in records:
                receiver.quarantined.setdefault(record["id"], record)
            return 504, {"title": "kept, but nobody will know"}
        return None

    receiver.refuse = refuse
    receiver.refuse_records = refuse_records
    return receiver


def kill_after(process: subprocess.Popen[bytes], receiver: Receiver, deliveries: int, seconds: float) -> bool:
    """Kill the process once that many more entities arrived and some time went by; say whether it still ran."""
    target = len(receiver.deliveries) + deliveries
    limit = time.monotonic() + 60
    while len(receiver.deliveries) < target and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.001)
    time.sleep(seconds)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive


def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    path, data = tmp_path / "sessions.csv", tmp_path / "data"
    expected = write_sessions(path, KILLS * ROWS_PER_KILL)
    killed = 0
    with receiving(stumbling(chance)) as receiver:
        for _ in range(KILLS):
            early = chance.random() < 0.2
            process = start(receiver.url, path, data)
            deliveries = 0 if early else chance.randrange(ROWS_PER_KILL)
            killed += kill_after(process, receiver, deliveries, chance.random() * (0.8 if early else 0.02))
        last = start(receiver.url, path, data)
        output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output.decode()
    assert killed >= KILLS - 1, "the adapter ended before it was killed: the test tried nothing"
    assert b"duplicates" in output

    sessions = {i for i in receiver.entities if ":ChargingSession:" in i}
    wanted = {f"urn:ngsi-ld:ChargingSession:boulder:{n}" for n in range(KILLS * ROWS_PER_KILL) if n % 70 != 69}
    assert sessions == wanted
    others = set(receiver.entities) - sessions
    assert len(others) == 7 + 7 + 1, "each EVSE, station and site once"
    for identifier in sessions:
        number = int(identifier.rpartition(":")[2])
        assert receiver.entities[identifier]["energyDelivered"]["value"] == number % 50 + 0.5

    state = AdapterState(data)
    try:
        (status,) = state.streams()
        rejects = state.set_aside("boulder-sessions", limit=10_000)
    finally:
        state.close()
    assert status.counts == expected
    assert status.counts.balanced()
    assert status.waiting == 0
    assert len(rejects) == len({reject.number for reject in rejects}) == expected.quarantined
    assert receiver.quarantined.keys() == {reject.id for reject in rejects}
    assert not [reject for reject in rejects if reject.refusal]
    numbers = {int(record["record"]["ObjectId"]) for record in receiver.quarantined.values()}
    assert numbers == {n for n in range(KILLS * ROWS_PER_KILL) if n % 70 == 69}
