"""A million entities loaded by one body of JSON lines into each database: rate, CPU, memory, reads, and plans."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import orjson

from benchmarks.client import drive
from benchmarks.http import cpu_milliseconds
from benchmarks.options import Options
from benchmarks.plans import on_postgresql, on_sqlite
from benchmarks.postgres import installed, postgres
from benchmarks.processes import anonymous_mib, proportional_mib, resident_mib
from benchmarks.rows import Row
from benchmarks.scenarios import LOAD, QUERY, RETRIEVE, Requests
from benchmarks.statements import operations, section, write_page
from benchmarks.targets import Target, postgresql, sqlite, voltweave
from context_api.storage.url import is_postgresql

ENTITIES = 1_000_000
#: The query may cost twice what it does on 10,000 entities.
_FACTOR = 2
_SAMPLE_S = 2


def measure(options: Options) -> Iterator[Row]:
    """Yield the figures of the load and of reads on what was loaded, and write the page of statements.

    Raises:
        RuntimeError: PostgreSQL is not installed.
    """
    programs = installed()
    if programs is None:
        raise RuntimeError("the page needs PostgreSQL with PostGIS")
    entities = options.entities or ENTITIES
    sections = []
    # Names get their numbers in the order of a set: the same in every run.
    same = mock.patch.dict(os.environ, PYTHONHASHSEED="0")
    with same, tempfile.TemporaryDirectory() as folder, postgres(programs) as running:
        for database in (sqlite(Path(folder)), postgresql(running, "voltweave")):
            requests = Requests(entities, "million")
            with voltweave(database) as target:
                yield from _load(target, requests)
                yield from _reads(target, requests)
            hot = operations(requests)
            makes = list(hot.values())
            on_server = is_postgresql(database.url)
            found = on_postgresql(running, database, makes) if on_server else on_sqlite(database, makes)
            sections.append(section(database, dict(zip(hot, found, strict=True))))
    write_page(entities, sections)


def _load(target: Target, requests: Requests) -> Iterator[Row]:
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


def _reads(target: Target, requests: Requests) -> Iterator[Row]:
    for scenario, factor in ((RETRIEVE, 1), (QUERY, _FACTOR)):
        goal = {} if scenario.goal is None else {"goal": scenario.goal * factor}
        milliseconds, _ = cpu_milliseconds(target, scenario, requests)
        yield Row(f"{scenario.what}; {target.what}", milliseconds, "CPU ms", goal)


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
