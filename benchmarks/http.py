"""The broker over HTTP: CPU time a request, beside its floor and beside the naive application.

CPU time is user and system time of the server's process tree, divided by the requests; each figure is the median of
three rounds. The floor is the same server returning the same bytes from memory.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks.processes import Server, free_port, server
from benchmarks.rows import Row

ENTITIES = 10_000
BATCH = 1_000
CONNECTIONS = 8
ROUNDS = 3
FLOOR_REQUESTS = 2_000
BASE = "/ngsi-ld/v1"
LINK = (
    '<https://w3id.org/voltweave/contexts/cim.jsonld>; rel="http://www.w3.org/ns/json-ld#context"; '
    'type="application/ld+json"'
)
HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Link": LINK}
HOP_HEADERS = {"date", "server", "content-length", "connection", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation to measure: `call(n)` is its n-th request, no two of which write the same entity anew."""

    what: str
    requests: int
    status: int
    call: Callable[[int], Call]


def entity_id(number: int) -> str:
    """Name the n-th station."""
    return f"urn:ngsi-ld:ChargingStation:bench:{number:07}"


def entity(number: int) -> dict[str, Any]:
    """Make the n-th station, with ten attributes."""
    observed = "2026-01-01T12:00:00Z"
    values: dict[str, Any] = {
        "stationId": {"value": f"{number:07}"},
        "model": {"value": "Column 2"},
        "vendorName": {"value": "Example"},
        "serialNumber": {"value": f"SN{number:07}"},
        "powerOutputConfiguration": {"value": number % 350, "unitCode": "KWT"},
        "internalTemperature": {"value": 20 + number % 100 / 10, "unitCode": "CEL", "observedAt": observed},
        "errorCount": {"value": number % 7, "unitCode": "C62", "observedAt": observed},
        "warningCount": {"value": number % 13, "unitCode": "C62", "observedAt": observed},
        "connectivityStatus": {"value": "online", "observedAt": observed},
        "operationalStatus": {"value": "operational"},
    }
    attributes = {name: {"type": "Property", **value} for name, value in values.items()}
    return {"id": entity_id(number), "type": "ChargingStation", **attributes}


def batch(first: int) -> Call:
    """Create the stations from the n-th on in one request."""
    documents = [entity(number) for number in range(first, first + BATCH)]
    return Call("POST", f"{BASE}/entityOperations/create", json.dumps(documents).encode())


def retrieve(number: int) -> Call:
    """Read one station of those that are there."""
    return Call("GET", f"{BASE}/entities/{quote(entity_id(number * 7919 % ENTITIES))}")


def create(number: int) -> Call:
    """Create a station that is not there."""
    return Call("POST", f"{BASE}/entities", json.dumps(entity(ENTITIES + number)).encode())


def patch(number: int) -> Call:
    """Give one attribute of a station another value."""
    body = json.dumps({"value": number % 350 + 0.5, "unitCode": "KWT"}).encode()
    path = f"{BASE}/entities/{quote(entity_id(number * 7919 % ENTITIES))}/attrs/powerOutputConfiguration"
    return Call("PATCH", path, body)


def query(number: int) -> Call:
    """Ask for twenty stations above a bound."""
    wanted = {"type": "ChargingStation", "q": f"powerOutputConfiguration>={300 + number % 40}", "limit": "20"}
    return Call("GET", f"{BASE}/entities?{urlencode(wanted)}")


OPERATIONS = (
    Operation("retrieve", 4_000, 200, retrieve),
    Operation("query type and q, 20 of 10,000", 400, 200, query),
    Operation("patch one attribute", 2_000, 204, patch),
    Operation("create, 10 attributes", 2_000, 201, create),
    Operation("batch create of 1,000", 4, 201, lambda number: batch(10 * ENTITIES + number * BATCH)),
)


def send(connection: http.client.HTTPConnection, call: Call, status: int) -> Answer:
    """Send one request.

    Raises:
        RuntimeError: the answer has another status.
    """
    connection.request(call.method, call.path, call.body or None, HEADERS)
    response = connection.getresponse()
    answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    if answer.status != status:
        raise RuntimeError(f"{call.method} {call.path} gave {answer.status}: {answer.body[:500]!r}")
    return answer


def drive(target: Server, calls: list[Call], status: int) -> Answer:
    """Send requests over several connections and give the last answer."""

    def share(calls: list[Call]) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)) as connection:
            return [send(connection, call, status) for call in calls][-1]

    shares = [calls[start::CONNECTIONS] for start in range(min(CONNECTIONS, len(calls)))]
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(share, shares))[-1]


def cpu_milliseconds(target: Server, operation: Operation) -> tuple[float, Answer]:
    """Measure CPU time a request, median of the rounds, and keep an answer."""
    numbers = itertools.count()
    rounds = []
    for _ in range(ROUNDS):
        calls = [operation.call(next(numbers)) for _ in range(operation.requests)]
        before = target.cpu_seconds()
        answer = drive(target, calls, operation.status)
        rounds.append((target.cpu_seconds() - before) / operation.requests * 1000)
    return statistics.median(rounds), answer


def fill(target: Server) -> None:
    """Put the stations in that the operations work on."""
    for first in range(0, ENTITIES, BATCH):
        drive(target, [batch(first)], 201)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[Server]:
    """Run Voltweave on an empty database."""
    port = free_port()
    program = str(Path(sys.executable).parent / "voltweave")
    command = [program, "serve", "--port", str(port), "--database", f"sqlite:///{folder / 'broker.db'}"]
    with server(command, port, "/q/health/ready") as running:
        yield running


@contextlib.contextmanager
def naive(folder: Path) -> Iterator[Server]:
    """Run the naive application on an empty database."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.naive", str(port), str(folder / "naive.db")]
    with server(command, port, "/openapi.json") as running:
        yield running


@contextlib.contextmanager
def floor(folder: Path, answer: Answer) -> Iterator[Server]:
    """Run a server that gives one answer from memory."""
    port = free_port()
    headers = {name: value for name, value in answer.headers.items() if name not in HOP_HEADERS}
    stored = {"status": answer.status, "headers": headers, "body": answer.body.decode()}
    (folder / "answer.json").write_text(json.dumps(stored), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.floor", str(port), str(folder / "answer.json")]
    with server(command, port, "/") as running:
        yield running


def repeated(operation: Operation) -> Operation:
    """Send one and the same request often enough for the floor's small times to count."""
    same = operation.call(0)
    return replace(operation, requests=FLOOR_REQUESTS, call=lambda _: same)


def measure() -> Iterator[Row]:
    """Yield CPU milliseconds a request of each operation, beside the floor and the naive application."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with broker(folder) as ours, naive(folder) as theirs:
            fill(ours)
            fill(theirs)
            for operation in OPERATIONS:
                value, answer = cpu_milliseconds(ours, operation)
                with floor(folder, answer) as bottom:
                    lowest, _ = cpu_milliseconds(bottom, repeated(operation))
                slow, _ = cpu_milliseconds(theirs, operation)
                yield Row(operation.what, value, "CPU ms/request", {"floor": lowest, "naive": slow})
