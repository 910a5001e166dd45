"""kill -9 of a process that writes and keeps issues: afterwards they are what the change log says, on each database."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.postgres import query
from context_api import change_log
from context_api.leases import Leases
from context_api.outage import Outage
from context_api.quality.consumer import quality_consumer
from context_api.quality.issue import STATUS, findings, issue_id
from context_api.settings import StorageSettings
from context_api.storage.port import Store
from context_api.storage.postgres.store import PostgresStore
from context_api.storage.sqlite.store import SqliteStore

KILLS = 6
LEASE_SECONDS = 1.0
MAX_REPORT = 100
#: Writes entities with and without faults and serves the consumer, in batches so small that a kill falls between them.
PROCESS = """
import asyncio, random, sys, time
from dataclasses import replace
import orjson
from context_api import change_log
from context_api.storage.port import Change
from ngsild.entity import Entity
from tests.faults import test_quality_kill as test

async def writer(store, tenant, number):
    before = None
    while True:
        now = time.time_ns() // 1000
        entity_id = f"urn:e:{sys.argv[2]}:{number}"
        values = {f"urn:a:{i}": {"type": "Property", "value": random.randrange(3)} for i in range(3)}
        odd = {"constraint": "In", "severity": "Warning", "message": "odd"}
        report = [odd | {"attribute": a, "shape": a, "value": str(i["value"])} for a, i in values.items() if i["value"]]
        (before,) = await store.read(tenant, [entity_id])
        if before is not None and random.random() < 0.1:
            change = Change(entity_id, before, None, now, "deleteEntity")
        else:
            at = now if before is None else max(now, before.modified_at)
            created = at if before is None else before.created_at
            after = Entity(entity_id, ["urn:t"], values, created_at=created, modified_at=at)
            change = Change(entity_id, before, after, at, "write", report=orjson.dumps(report).decode())
        await store.write(tenant, [change])
        if number == 0:
            print(now, flush=True)

async def main():
    change_log._BATCH, change_log._GATHER_SECONDS, change_log._LEASE_SECONDS = 5, 0.001, test.LEASE_SECONDS
    store = test.store_of(sys.argv[1])
    await store.start()
    tenant = await store.tenant(None, create=False)
    await asyncio.gather(test.serve(store), *(writer(store, tenant, number) for number in range(4)))

asyncio.run(main())
"""


def store_of(url: str) -> Store:
    settings = StorageSettings(database=url)
    return SqliteStore(settings) if url.startswith("sqlite") else PostgresStore(settings)


async def serve(store: Store) -> None:
    consumer = quality_consumer(store, MAX_REPORT)
    await change_log.serve(consumer, store, Leases(store.records), Outage(store))


def run_until_killed(url: str, run: int, seconds: float) -> None:
    command = [sys.executable, "-c", PROCESS, url, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and first, complaint


async def expected(store: Store) -> dict[str, str]:
    """Return the status of every issue as the change log has it."""
    statuses: dict[str, str] = {}
    by_entity: dict[str, set[str]] = {}
    position = 0
    while changes := await store.changes(position, 1000):
        position = changes[-1].number
        for change in changes:
            if change.report is None and not change.gone:
                continue
            now = {issue_id(i) for i in findings(change.entity_id, orjson.loads(change.report or "[]"))}
            statuses |= dict.fromkeys(by_entity.get(change.entity_id, set()) - now, "resolved")
            statuses |= dict.fromkeys(now, "open")
            by_entity[change.entity_id] = now
    return statuses


async def caught_up(url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, str], dict[str, Any]]:
    """Serve what is left; return what the issues should be and what they are."""
    monkeypatch.setattr(change_log, "_LEASE_SECONDS", LEASE_SECONDS)
    store = store_of(url)
    await store.start()
    serving = asyncio.create_task(serve(store))
    try:
        wanted = await expected(store)
        tenant = await store.tenant(None, create=False)
        deadline = time.monotonic() + 30
        while True:
            found = await store.read(tenant, list(wanted))
            issues: dict[str, Any] = {e.id: e.attributes[STATUS] for e in found if e is not None}
            statuses = {issue: status["value"] for issue, status in issues.items()}
            if statuses == wanted or time.monotonic() > deadline:
                return wanted, statuses
            await asyncio.sleep(0.1)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_issues_are_what_the_change_log_says(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/kill.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    for run in range(KILLS):
        run_until_killed(url, run, random.uniform(0.2, 1.0) + (LEASE_SECONDS if database == "postgresql" else 0))
    wanted, found = asyncio.run(caught_up(url, monkeypatch))
    assert found == wanted
    assert set(wanted.values()) == {"open", "resolved"}
    assert len(wanted) == KILLS * 12
    if database == "postgresql":
        assert query(url, "SELECT count(*) FROM open_issue") == [(list(wanted.values()).count("open"),)]
