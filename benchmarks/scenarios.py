"""The requests that every broker is measured with: those of the tool that peers were measured with.

An entity has ten attributes: five numbers with unit and time, three texts, a relationship and a point. Requests need no
@context, so that any NGSI-LD broker answers them.
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from benchmarks.client import Call

BASE = "/ngsi-ld/v1"
BATCH = 1_000
LINES = 10_000
CONNECTIONS = 16
NUMBERS = ("temperature", "humidity", "pressure", "speed", "fuelLevel")
TEXTS = ("name", "brand", "status")
BRANDS = 50
OBSERVED = "2024-01-01T00:00:00Z"
NDJSON = "application/x-ndjson"
_SEED = 7
_LINES_A_PIECE = 100


def entity(run: str, kind: str, number: int, chance: random.Random) -> dict[str, Any]:
    """Make the n-th entity of a type in a run."""
    document: dict[str, Any] = {"id": f"urn:ngsi-ld:{kind}:{run}:{number}", "type": kind}
    for name in NUMBERS:
        value = round(chance.random() * 100, 2)
        document[name] = {"type": "Property", "value": value, "unitCode": "CEL", "observedAt": OBSERVED}
    for name in TEXTS:
        document[name] = {"type": "Property", "value": f"{name}-{number % BRANDS}"}
    document["isPartOf"] = {"type": "Relationship", "object": f"urn:ngsi-ld:Fleet:{number % 10}"}
    place = [round(8 + chance.random(), 5), round(49 + chance.random(), 5)]
    document["location"] = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": place}}
    return document


class Requests:
    """The requests of one run: those that read find the vehicles that `fill` created, no two create the same entity."""

    def __init__(self, entities: int, run: str | None = None) -> None:
        """Take how many vehicles there are, and what tells this run's entities from others' in the same broker."""
        self.entities = entities
        self._run = uuid.uuid4().hex[:8] if run is None else run
        self._chance = random.Random(_SEED)
        self._numbers = itertools.count()

    def fill(self) -> Iterator[Call]:
        """Create the vehicles in batches."""
        for first in range(0, self.entities, BATCH):
            yield self._batch("LoadVehicle", first, min(BATCH, self.entities - first))

    def fill_by_lines(self) -> Call:
        """Create the vehicles by one body of JSON lines, made as it is sent."""
        return self._lines("LoadVehicle", 0, self.entities)

    def retrieve(self) -> Call:
        """Read a vehicle."""
        return Call("GET", f"{BASE}/entities/{self._vehicle()}")

    def create(self) -> Call:
        """Create an entity of ten attributes."""
        document = entity(self._run, "LoadCreate", next(self._numbers), self._chance)
        return Call("POST", f"{BASE}/entities", orjson.dumps(document))

    def patch(self) -> Call:
        """Give one attribute of a vehicle another value."""
        body = {"type": "Property", "value": next(self._numbers), "observedAt": OBSERVED}
        return Call("PATCH", f"{BASE}/entities/{self._vehicle()}/attrs/temperature", orjson.dumps(body))

    def query(self) -> Call:
        """Ask for twenty vehicles of a brand above a speed."""
        q = f'speed>{self._chance.randrange(20, 80)};brand=="brand-{self._chance.randrange(BRANDS)}"'
        return Call("GET", f"{BASE}/entities?type=LoadVehicle&q={quote(q, safe='')}&limit=20")

    def query_count(self) -> Call:
        """Ask for the same and for the number of all."""
        call = self.query()
        return Call(call.method, f"{call.path}&count=true")

    def batch_create(self) -> Call:
        """Create a thousand entities."""
        return self._batch("LoadBatchCreate", next(self._numbers) * BATCH, BATCH)

    def lines(self) -> Call:
        """Create entities by JSON lines."""
        return self._lines("LoadLines", next(self._numbers) * LINES, LINES)

    def _vehicle(self) -> str:
        return quote(f"urn:ngsi-ld:LoadVehicle:{self._run}:{self._chance.randrange(self.entities)}", safe="")

    def _batch(self, kind: str, first: int, count: int) -> Call:
        documents = [entity(self._run, kind, number, self._chance) for number in range(first, first + count)]
        return Call("POST", f"{BASE}/entityOperations/create", orjson.dumps(documents))

    def _lines(self, kind: str, first: int, count: int) -> Call:
        def pieces() -> Iterator[bytes]:
            for start in range(first, first + count, _LINES_A_PIECE):
                numbers = range(start, min(start + _LINES_A_PIECE, first + count))
                yield b"".join(orjson.dumps(entity(self._run, kind, n, self._chance)) + b"\n" for n in numbers)

        return Call("POST", f"{BASE}/entityOperations/create", pieces(), NDJSON)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One operation, sent often enough for CPU time to count."""

    what: str
    goal: float | None
    """CPU ms that server and database may use together; of a request, or of an entity where it carries several."""
    requests: int
    """Requests of a round."""
    call: Callable[[Requests], Call]
    statuses: frozenset[int]
    statement: str
    """What `bare.py` does for it."""
    connections: int = CONNECTIONS
    entities: int = 1
    """Entities that a request writes; the figure is for one."""


_READ, _CREATED, _CHANGED = frozenset({200}), frozenset({200, 201}), frozenset({204})
RETRIEVE = Scenario("retrieve", 0.22, 4_000, Requests.retrieve, _READ, "read")
CREATE = Scenario("create, 10 attributes", 0.43, 2_000, Requests.create, _CREATED, "insert")
PATCH = Scenario("patch one attribute", 0.58, 2_000, Requests.patch, _CHANGED, "update")
QUERY = Scenario("query type and q, limit 20", 2.3, 400, Requests.query, _READ, "page")
COUNT = Scenario("the same with count", None, 200, Requests.query_count, _READ, "page")
BATCH_CREATE = Scenario(
    "batch create of 1,000, an entity", 0.15, 8, Requests.batch_create, _CREATED, "insert many", 4, BATCH
)
LOAD = Scenario("load by NDJSON, an entity", 0.12, 1, Requests.lines, _CREATED, "insert many", 1, LINES)
SCENARIOS = (RETRIEVE, QUERY, COUNT, PATCH, CREATE, BATCH_CREATE, LOAD)
