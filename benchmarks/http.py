"""Voltweave over HTTP on each database: CPU time a request of server and database, beside floors and others.

Each figure is the median of three rounds. Beside it stand the goal; the same bytes from memory; the bare statement of
the row; the naive application; and, where the command line names one, another broker.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from benchmarks import bare
from benchmarks.client import Answer, UnexpectedAnswer, drive
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.scenarios import SCENARIOS, Requests, Scenario
from benchmarks.targets import Target, databases, from_memory, naive, peer, voltweave

ENTITIES = 10_000
ROUNDS = 3
FLOOR_REQUESTS = 2_000
#: Others need so much that a tenth of the requests is enough to count.
OTHERS_SHARE = 10
_WARM_UP = 10


def measure(options: Options) -> Iterator[Row]:
    """Yield CPU milliseconds a request, or an entity where it writes many, for each operation and database."""
    entities = options.entities or ENTITIES
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = stack.enter_context(databases(folder))
        floors = {database.what: bare.cpu_milliseconds(database, folder, entities) for database in found}
        ours = [stack.enter_context(voltweave(database)) for database in found]
        others = [stack.enter_context(naive(folder)), *peer(options.url, options.pids)]
        requests = Requests(entities)
        for target in (*ours, *others):
            drive(target.url, requests.fill(), 1, {200, 201, 204})
        for scenario in SCENARIOS:
            measured = _all(ours, scenario, requests)
            beside = {} if scenario.goal is None else {"goal": scenario.goal}
            for _, answer in list(measured.values())[:1]:
                beside["memory"] = _from_memory(folder, scenario, requests, answer)
            fewer = replace(scenario, requests=max(1, scenario.requests // OTHERS_SHARE))
            theirs = {what: value for what, (value, _) in _all(others, fewer, requests).items()}
            for what, (value, _) in measured.items():
                figures = beside | {"bare statement": floors[what][scenario.statement]} | theirs
                yield Row(f"{scenario.what}; {what}", value, "CPU ms", figures)


def cpu_milliseconds(target: Target, scenario: Scenario, requests: Requests) -> tuple[float, Answer]:
    """Measure CPU time a request or entity, median of the rounds, and keep an answer.

    Raises:
        UnexpectedAnswer: the target does not do this operation.
    """
    _send(target, scenario, requests, max(1, scenario.requests // _WARM_UP))
    rounds = []
    for _ in range(ROUNDS):
        before = target.cpu_seconds()
        answer = _send(target, scenario, requests, scenario.requests)
        rounds.append((target.cpu_seconds() - before) * 1000 / scenario.requests / scenario.entities)
    return statistics.median(rounds), answer


def _send(target: Target, scenario: Scenario, requests: Requests, times: int) -> Answer:
    calls = (scenario.call(requests) for _ in repeat(None, times))
    return drive(target.url, calls, scenario.connections, scenario.statuses)


def _from_memory(folder: Path, scenario: Scenario, requests: Requests, answer: Answer) -> float:
    """Measure a server that gives the answer from memory; one request is sent again and again."""
    same = scenario.call(requests)
    if not isinstance(same.body, bytes):
        same = replace(same, body=b"".join(same.body))
    times = min(FLOOR_REQUESTS, scenario.requests * 10)
    again = replace(scenario, requests=times, call=lambda _: same, statuses=frozenset({answer.status}))
    with from_memory(folder, answer) as target:
        return cpu_milliseconds(target, again, requests)[0]


def _all(targets: list[Target], scenario: Scenario, requests: Requests) -> dict[str, tuple[float, Answer]]:
    """Measure several targets; one that does not do the operation is left out, and this is said."""
    found = {}
    for target in targets:
        try:
            found[target.what] = cpu_milliseconds(target, scenario, requests)
        except UnexpectedAnswer as error:
            print(f"{target.what} is left out of {scenario.what}: {error}", file=sys.stderr)
    return found
