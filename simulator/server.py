"""The simulator as a server: one loopback port for every HTTP source, one folder for the operators that drop files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.clock import Clock
from simulator.dirt import parse_dirt
from simulator.feeds.writing import PageMissing, to_json, utc
from simulator.fitted import DAY
from simulator.simulation import Simulation
from simulator.town import NAME

MAX_PAGE_SIZE = 1000
TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """What a run of the simulator is given."""

    start: int
    """First instant of the town's records, Unix seconds."""
    history_days: float = 14.0
    """How much of the past is there at once when the clock starts."""
    speed: float = 1.0
    seed: int = 1
    dirt: str = "none"
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free port."""
    drop: Path | None = None
    """Folder for the operators that drop files; None drops none."""
    state: Path | None = None
    """File that keeps the start and the instant reached, so that a later run goes on where this one ended."""


class Sources:
    """A running town: moves with its clock, drops files, answers requests."""

    def __init__(self, config: SimulatorConfig) -> None:
        start, reached = _resume(config)
        self._config = config
        self.start = start
        self.clock = Clock(reached, config.speed)
        self.simulation = Simulation.build(config.seed, start, parse_dirt(config.dirt, config.seed))
        self.tick()

    def tick(self) -> None:
        """Bring the town to the clock's instant and leave the files that are due."""
        self.simulation.advance(self.clock.now())
        for file in self.simulation.take_dropped():
            if self._config.drop is not None:
                _write(self._config.drop / file.path, file.content)

    def save(self) -> None:
        """Keep the instant reached, where a state file is named."""
        if self._config.state is not None:
            kept = {"seed": self._config.seed, "start": self.start, "reached": self.simulation.world.now}
            _write(self._config.state, json.dumps(kept).encode())

    def application(self) -> Starlette:
        """Return the HTTP side of the sources."""
        return Starlette(routes=[self._route(path, answer) for path, answer in self._answers().items()])

    def _answers(self) -> dict[str, Callable[[Request], Any]]:
        """Return what each path answers."""
        town = self.simulation
        fleet = town.emotion
        return {
            "/": lambda request: self._index(),
            "/clock": lambda request: self._clock(),
            "/ampere/api/locations": lambda request: town.ampere.locations(),
            "/ampere/api/status": lambda request: town.ampere.status(),
            "/ampere/api/sessions": lambda request: town.ampere.sessions(*_paging(request)),
            "/parking/bays": lambda request: town.bays.snapshot(),
            "/parking/lots": lambda request: town.bays.lots(),
            "/emotion/vehicles": lambda request: fleet.vehicles(),
            "/emotion/vehicles/{id:int}": lambda request: fleet.vehicle(_id(request)),
            "/emotion/vehicles/{id:int}/charges": lambda request: fleet.charge_ids(_id(request), *_paging(request)),
            "/emotion/charges": lambda request: fleet.charges(*_paging(request)),
            "/emotion/charges/{id:int}": lambda request: fleet.charge(_id(request)),
            "/emotion/states": lambda request: fleet.states(*_paging(request)),
            "/works/building": lambda request: town.building.describe(),
            "/works/building/readings": lambda request: town.building.readings(*_paging(request)),
            "/works/plant": lambda request: town.plant.describe(),
        }

    def _route(self, path: str, answer: Callable[[Request], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            self.tick()
            try:
                body = to_json(answer(request))
            except PageMissing as problem:
                return Response(to_json({"detail": str(problem)}), 404, media_type="application/json")
            except ValueError as problem:
                return Response(to_json({"detail": str(problem)}), 400, media_type="application/json")
            return _tagged(request, body)

        return Route(path, endpoint)

    def _index(self) -> dict[str, Any]:
        return {"town": NAME, "sources": list(self._answers())[1:], "drops": ["brezza", "corrente", "pv"]}

    def _clock(self) -> dict[str, Any]:
        return {"start": utc(self.start), "now": utc(self.simulation.world.now), "speed": self._config.speed}


async def serve(
    config: SimulatorConfig, ready: Callable[[str], None] | None = None, until: asyncio.Event | None = None
) -> None:
    """Serve a town until `until` is set (for ever without one); `ready` is called once with the base URL.

    Raises OSError where the port cannot be had.
    """
    sources = Sources(config)
    listener = socket.create_server((config.host, config.port), backlog=128)
    server = uvicorn.Server(
        uvicorn.Config(sources.application(), log_level="warning", access_log=False, lifespan="off", ws="none")
    )
    tasks = [asyncio.create_task(server.serve([listener])), asyncio.create_task(_beat(sources))]
    if until is not None:
        tasks.append(asyncio.create_task(until.wait()))
    if ready is not None:
        host, port = listener.getsockname()[:2]
        ready(f"http://{host}:{port}")
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        server.should_exit = True
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks)
        sources.save()


async def _beat(sources: Sources) -> bool:
    """Move the town with its clock, for ever."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        sources.tick()
        sources.save()


def _resume(config: SimulatorConfig) -> tuple[int, int]:
    """Return the start of the records and the instant at which the clock starts."""
    fresh = config.start, config.start + round(config.history_days * DAY)
    if config.state is None or not config.state.exists():
        return fresh
    kept = json.loads(config.state.read_bytes())
    return (kept["start"], kept["reached"]) if kept["seed"] == config.seed else fresh


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees it whole or not at all; an equal one is left alone."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _id(request: Request) -> int:
    return int(request.path_params["id"])


def _paging(request: Request) -> tuple[int, int, str]:
    """Return page number, page size and the URL without its query; raises ValueError for what is no whole number."""
    number = int(request.query_params.get("page", "1"))
    size = int(request.query_params.get("page_size", "100"))
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise ValueError(f"page_size is not between 1 and {MAX_PAGE_SIZE}")
    return number, size, str(request.url.replace(query=""))


def _tagged(request: Request, body: bytes) -> Response:
    """Return a body with its ETag, or 304 where the client has it already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag, "Cache-Control": "no-cache"})
