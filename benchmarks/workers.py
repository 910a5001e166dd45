"""CPU time a request, and the memory of the largest process, with one, two and four workers on PostgreSQL.

Requests that come together share statements and commits. So there are three figures: with one connection, where nothing
is shared; with the connections of all other benchmarks spread over the workers; and with as many for each worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.client import drive
from benchmarks.http import ENTITIES, cpu_milliseconds
from benchmarks.options import Options
from benchmarks.postgres import PostgresServer, installed, postgres
from benchmarks.processes import resident_mib
from benchmarks.rows import Row
from benchmarks.scenarios import CONNECTIONS, CREATE, PATCH, QUERY, RETRIEVE, Requests
from benchmarks.targets import postgresql, voltweave

WORKERS = (1, 2, 4)
#: (what, unit)
Measured = tuple[str, str]


def measure(options: Options) -> Iterator[Row]:
    """Yield the figure of one worker with those of several beside it, each on a database of its own.

    Raises:
        RuntimeError: PostgreSQL is not installed.
    """
    programs = installed()
    if programs is None:
        raise RuntimeError("several workers need PostgreSQL with PostGIS")
    with postgres(programs) as running:
        found = {workers: _with(workers, running, options.entities or ENTITIES) for workers in WORKERS}
    for (what, unit), value in found[1].items():
        beside = {f"{workers} workers": found[workers][what, unit] for workers in WORKERS[1:]}
        yield Row(f"{what}; 1 worker", value, unit, beside)


def _with(workers: int, running: PostgresServer, entities: int) -> dict[Measured, float]:
    requests = Requests(entities)
    with voltweave(postgresql(running, f"workers_{workers}"), "--workers", str(workers)) as target:
        found = {("largest process at rest", "MiB"): resident_mib(target.servers)}
        drive(target.url, requests.fill(), 1, {201})
        for scenario in (RETRIEVE, QUERY, PATCH, CREATE):
            # Every connection of every worker plans each statement once; that is done before.
            cpu_milliseconds(target, scenario, requests)
            single = replace(scenario, connections=1, requests=scenario.requests // 2)
            found[f"{scenario.what}, 1 connection", "CPU ms"], _ = cpu_milliseconds(target, single, requests)
            spread, _ = cpu_milliseconds(target, scenario, requests)
            found[f"{scenario.what}, {CONNECTIONS} connections", "CPU ms"] = spread
            many = replace(scenario, connections=CONNECTIONS * workers, requests=scenario.requests * workers)
            each = spread if workers == 1 else cpu_milliseconds(target, many, requests)[0]
            found[f"{scenario.what}, {CONNECTIONS} connections a worker", "CPU ms"] = each
        found["largest process after load", "MiB"] = resident_mib(target.servers)
    return found
