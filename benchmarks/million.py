"""A million entities loaded by one body of JSON lines into each database: rate, CPU, memory, and a query on them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from benchmarks.client import drive
from benchmarks.http import cpu_milliseconds
from benchmarks.options import Options
from benchmarks.processes import anonymous_mib, proportional_mib, resident_mib
from benchmarks.rows import Row
from benchmarks.scenarios import LOAD, QUERY, RETRIEVE, Requests
from benchmarks.targets import Target, databases, voltweave

ENTITIES = 1_000_000
#: The query may cost twice what it does on 10,000 entities.
_FACTOR = 2
_SAMPLE_S = 2


def measure(options: Options) -> Iterator[Row]:
    """Yield the figures of the load, then those of reads on what was loaded."""
    entities = options.entities or ENTITIES
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as found:
        for database in found:
            with voltweave(database) as target:
                requests = Requests(entities)
                yield from load(target, requests)
                yield _read(target, RETRIEVE.what, cpu_milliseconds(target, RETRIEVE, requests)[0], RETRIEVE.goal)
                goal = None if QUERY.goal is None else QUERY.goal * _FACTOR
                yield _read(target, QUERY.what, cpu_milliseconds(target, QUERY, requests)[0], goal)


def load(target: Target, requests: Requests) -> Iterator[Row]:
    """Create the vehicles and yield what it took.

    Raises:
        RuntimeError: not all of them were created.
    """
    before, began = target.cpu_seconds(), time.monotonic()
    with _sampled(target) as (own, database):
        answer = drive(target.url, iter([requests.fill_by_lines()]), 1, {200})
    elapsed, used = time.monotonic() - began, target.cpu_seconds() - before
    created = orjson.loads(answer.body.splitlines()[-1])["created"]
    if created != requests.entities:
        raise RuntimeError(f"{created} of {requests.entities} entities were created: {answer.body[:500]!r}")
    goal = {} if LOAD.goal is None else {"goal": LOAD.goal}
    yield Row(f"load by NDJSON; {target.what}", created / elapsed, "entities/s")
    yield Row(f"load by NDJSON, an entity; {target.what}", used * 1000 / created, "CPU ms", goal)
    peak = resident_mib(target.servers, peak=True)
    yield Row(f"peak of the server's largest process; {target.what}", peak, "MiB", {"without mapped files": max(own)})
    if target.databases:
        yield Row(f"peak of the database's processes; {target.what}", max(database), "MiB")


def _read(target: Target, what: str, value: float, goal: float | None) -> Row:
    return Row(f"{what}; {target.what}", value, "CPU ms", {} if goal is None else {"goal": goal})


@contextmanager
def _sampled(target: Target) -> Iterator[tuple[list[float], list[float]]]:
    """Sample the memory in MiB of the server, without mapped files, and of the database while the block runs."""
    own: list[float] = []
    database: list[float] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.is_set():
            own.append(anonymous_mib(target.servers))
            database.append(proportional_mib(target.databases))
            ended.wait(_SAMPLE_S)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield own, database
    finally:
        ended.set()
        thread.join()
