"""Leases between processes on PostgreSQL: one at a time, and on to the next when the holder is killed (decision 18)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

LEASE_SECONDS = 2.0
#: How late an heir may be: it asks every 20 ms, on a machine that does other things.
LATE_SECONDS = 1.0
#: Works under a lease again and again; prints begin and end of each work by the clock that all processes share. With a
#: third argument it gives the lease back after each.
WORKER = """
import asyncio, sys, time
from context_api.leases import Leases
from context_api.settings import StorageSettings
from context_api.storage.postgres.store import PostgresStore

async def main():
    store = PostgresStore(StorageSettings(database=sys.argv[1]))
    await store.start()
    leases = Leases(store.records)
    print("ready", flush=True)
    while True:
        if await leases.hold("work", float(sys.argv[2])):
            began = time.monotonic()
            await asyncio.sleep(0.01)
            print(began, time.monotonic(), flush=True)
            if len(sys.argv) > 3:
                await leases.release()
        await asyncio.sleep(0.02)

asyncio.run(main())
"""


@contextmanager
def worker(url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a worker until the block ends."""
    command = [sys.executable, "-c", WORKER, url, str(LEASE_SECONDS), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def spans(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    """Kill a worker and return when it worked."""
    process.send_signal(signal.SIGKILL)
    told, _ = process.communicate(timeout=30)
    lines = [line.split() for line in told.splitlines(keepends=True) if line.endswith("\n")]
    return [(float(began), float(ended)) for began, ended in lines]


def test_two_processes_never_work_at_once(postgres_url: str) -> None:
    with worker(postgres_url, "back") as first, worker(postgres_url, "back") as second:
        time.sleep(3)
        found = [spans(process) for process in (first, second)]
    assert all(len(each) > 5 for each in found), "they did not take turns"
    merged = sorted(span for each in found for span in each)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(merged))


def test_the_lease_of_a_killed_holder_passes_on_when_it_runs_out(postgres_url: str) -> None:
    with worker(postgres_url) as holder:
        time.sleep(0.5)
        with worker(postgres_url) as heir:
            time.sleep(1)
            held = spans(holder)
            time.sleep(LEASE_SECONDS + LATE_SECONDS)
            inherited = spans(heir)
    last, _ = held[-1]
    # The lease counts from the moment at which it was asked for, just before the work began.
    assert LEASE_SECONDS - 0.2 < inherited[0][0] - last < LEASE_SECONDS + LATE_SECONDS
