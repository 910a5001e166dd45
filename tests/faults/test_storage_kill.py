"""kill -9 of a writing process at random moments: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

KILLS = 10
ATTRIBUTES = 5
#: Creates, updates and deletes with 16 writers; prints "<sequence> <outcome>" of an entity when that is acknowledged.
WRITER = """
import asyncio, sys, time
from dataclasses import replace
from context_api.settings import StorageSettings
from context_api.storage.port import Change, Outcome
from context_api.storage.sqlite.store import SqliteStore
from ngsild.entity import Entity

store = SqliteStore(StorageSettings(database=sys.argv[1]))
run = sys.argv[2]

def attributes(value):
    return {f"urn:a:{i}": {"type": "Property", "value": value + i} for i in range(int(sys.argv[3]))}

async def write(tenant, change):
    (outcome,) = await store.write(tenant, [change])
    assert outcome is Outcome.DONE, outcome

async def writer(tenant, number):
    count = 0
    while True:
        count += 1
        now = time.time_ns() // 1000
        made = attributes(count)
        entity = Entity(f"urn:e:{run}:{number}:{count}", ["urn:t:1"], made, created_at=now, modified_at=now)
        await write(tenant, Change(entity.id, None, entity, now, "create", frozenset(made)))
        print(entity.id, "created", flush=True)
        (before,) = await store.read(tenant, [entity.id])
        now += 1
        after = replace(before, attributes=attributes(-count), modified_at=now)
        await write(tenant, Change(entity.id, before, after, now, "update", frozenset(made)))
        print(entity.id, "updated", flush=True)
        if count % 3 == 0:
            (before,) = await store.read(tenant, [entity.id])
            await write(tenant, Change(entity.id, before, None, now + 1, "delete"))
            print(entity.id, "deleted", flush=True)

async def main():
    await store.start()
    tenant = await store.tenant(f"tenant{run}", create=True)
    await asyncio.gather(*(writer(tenant, number) for number in range(16)))

asyncio.run(main())
"""


def write_until_killed(database: Path, run: int, seconds: float) -> dict[str, str]:
    """Return what was acknowledged last of each entity."""
    command = [sys.executable, "-c", WRITER, f"sqlite:///{database}", str(run), str(ATTRIBUTES)]
    # Unbuffered: what the first line read ahead, the rest would lack.
    with subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        told, complaint = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, complaint
    lines = (first + told).decode().splitlines(keepends=True)
    return dict(line.split() for line in lines if line.endswith("\n"))


def check_whole(con: sqlite3.Connection) -> None:
    """Assert that every entity has all rows of its last write, and nothing else has any."""
    (sound,) = con.execute("PRAGMA integrity_check").fetchone()
    assert sound == "ok"
    log = con.execute(
        "SELECT k, operation, new_version FROM change WHERE id IN (SELECT max(id) FROM change GROUP BY k)"
    )
    last = {k: (operation, version) for k, operation, version in log}
    stored = dict(con.execute("SELECT k, version FROM entity"))
    assert stored == {k: version for k, (operation, version) in last.items() if operation != "delete"}
    for k, (operation, _) in last.items():
        expected = {"create": ATTRIBUTES + 1, "update": ATTRIBUTES, "delete": ATTRIBUTES + 1}[operation]
        rows = con.execute("SELECT count(*) FROM history WHERE k = ? AND version = ?", (k, last[k][1])).fetchone()
        assert rows == (expected,)
    values = dict(con.execute("SELECT k, count(*) FROM value GROUP BY k"))
    assert values == dict.fromkeys(stored, ATTRIBUTES)
    counted = con.execute("SELECT sum(count) FROM occurrence WHERE attr = 0").fetchone()
    assert counted == (len(stored),)


def test_acknowledged_writes_survive_kill_and_no_write_is_half(tmp_path: Path) -> None:
    database = tmp_path / "kill.db"
    rank = {"created": "create", "updated": "update", "deleted": "delete"}
    order = ["create", "update", "delete"]
    acknowledged = 0
    for run in range(KILLS):
        told = write_until_killed(database, run, random.uniform(0.0, 0.6))
        acknowledged += len(told)
        with closing(sqlite3.connect(database)) as con:
            check_whole(con)
            log = con.execute("SELECT entity_id, operation FROM change ORDER BY id")
            done: dict[str, str] = dict(log.fetchall())
        for entity, what in told.items():
            assert order.index(done[entity]) >= order.index(rank[what]), f"{entity} was {what}, found {done[entity]}"
    assert acknowledged > KILLS * 16
