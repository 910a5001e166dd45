"""Entities a second that one core judges by the shapes of the model, and what that adds to a create.

The compiled checks stand beside pySHACL; creates in the modes warn and enforce beside creates of the same entities with
validation off, on the same server, in turns: once the write alone, and once with the jobs that judge afterwards by
neighbours and earlier values, and keep the issues.
"""

from __future__ import annotations

import gc
import itertools
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import orjson

import ontology
from benchmarks.client import Call, drive
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.targets import Target, databases, voltweave
from context_api.answers import JSON_LD
from ngsild.context import compile_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from shapes import model_shapes
from shapes.oracle import to_graph, validate

CLASSES: Final = ("ChargingSession", "ElectricVehicle", "Battery")
_ENTITIES: Final = 20_000
_BY_PYSHACL: Final = 50
_ROUNDS: Final = 3
_GOAL: Final = 50_000
_CREATES: Final = 2_000
_CREATE_ROUNDS: Final = 3
_CONNECTIONS: Final = 16
#: Chargers of the sessions that are created: each has one a day.
_CHARGERS: Final = 200
#: Issues are made of what was found after the answer, which belongs to the cost too: until a server is quiet, a second
#: long.
_SETTLED: Final = 1.0
_QUIET: Final = 0.02
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def measure(options: Options) -> Iterator[Row]:
    """Yield the figures: entities that conform, the same with a value out of bounds, and pySHACL's."""
    terms = compile_terms([ontology.context("cim")["@context"]])
    count = options.entities or _ENTITIES
    shapes = model_shapes()
    for name in CLASSES:
        example = json.loads(_example(name))
        entity = expand_entity(example, terms, 0)
        wrong = replace(entity, attributes=dict(entity.attributes))
        wrong.attributes.popitem()
        number = next(a for a, i in wrong.attributes.items() if isinstance(i, dict) and type(i.get("value")) is float)
        wrong.attributes[number] = {**wrong.attributes[number], "value": -1e12}  # type: ignore[dict-item]
        what = f"{name} with {len(entity.attributes)} attributes"
        graph = to_graph(example | {"id": f"{example['id']}{number}"} for number in range(_BY_PYSHACL))
        slow = _rate(partial(validate, graph), _BY_PYSHACL)
        beside = {"pySHACL": slow} | ({"goal": _GOAL} if name == CLASSES[0] else {})
        yield Row(what, _judged(shapes.judge, entity, count), "entities/s a core", beside)
        yield Row(f"{what}, one wrong", _judged(shapes.judge, wrong, count // 20), "entities/s a core")
    for what, roles in (("the write", "api"), ("with all that follows", "api,jobs")):
        with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as found:
            for database in found:
                with voltweave(database, "--roles", roles) as target:
                    yield from _creates(target, what)


def _creates(target: Target, what: str) -> Iterator[Row]:
    """Yield CPU time of a create of a charging session in each mode, server and database together."""
    sessions = map(_session, itertools.count())
    rounds: dict[str, list[float]] = {mode: [] for mode in ("off", "warn", "enforce")}

    def create() -> Call:
        return Call("POST", "/ngsi-ld/v1/entities", orjson.dumps(next(sessions)), JSON_LD)

    chargers = [_charger(name, number) for name in ("EVSE", "Connector") for number in range(_CHARGERS)]
    upsert = Call("POST", "/ngsi-ld/v1/entityOperations/upsert", orjson.dumps(chargers), JSON_LD)
    drive(target.url, iter([upsert]), 1, frozenset({201}))
    for number in range(_CREATE_ROUNDS + 1):
        # The database grows, and what comes later costs more: each mode has each turn once.
        first = number % len(rounds)
        for mode, measured in [*rounds.items()][first:] + [*rounds.items()][:first]:
            httpx.patch(f"{target.url}/validation", json={"mode": mode}, timeout=10).raise_for_status()
            before = target.cpu_seconds()
            drive(target.url, (create() for _ in range(_CREATES)), _CONNECTIONS, frozenset({201}))
            _settle(target)
            measured.append((target.cpu_seconds() - before) * 1000 / _CREATES)
    off, *judged = ((mode, median(measured[1:])) for mode, measured in rounds.items())
    for mode, value in judged:
        yield Row(f"create of a ChargingSession, {mode}, {what}; {target.what}", value, "CPU ms", {"off": off[1]})


def _session(number: int) -> dict[str, Any]:
    """Return a session of its own: each charger has one a day."""
    days = timedelta(days=number // _CHARGERS)

    def moved(found: re.Match[str]) -> str:
        return f"{datetime.fromisoformat(found[0]) - days:%Y-%m-%dT%H:%M:%SZ}"

    session: dict[str, Any] = json.loads(_MOMENT.sub(moved, _example("ChargingSession")))
    # In the examples every entity of a class is the same one, and no car supplies itself.
    del session["supplyingVehicle"]
    for attribute, name in (("evse", "EVSE"), ("connector", "Connector")):
        session[attribute]["object"] = f"urn:ngsi-ld:{name}:{number % _CHARGERS}"
    return session | {"id": f"urn:ngsi-ld:ChargingSession:{number}"}


def _charger(name: str, number: int) -> dict[str, Any]:
    charger: dict[str, Any] = json.loads(_example(name))
    return charger | {"id": f"urn:ngsi-ld:{name}:{number}"}


def _settle(target: Target) -> None:
    """Wait until a server has nothing more to do."""
    used = target.cpu_seconds()
    while True:
        time.sleep(_SETTLED)
        before, used = used, target.cpu_seconds()
        if used - before < _QUIET:
            return


@cache
def _example(name: str) -> str:
    return (Path(ontology.__file__).parent / "examples" / f"{name}.json").read_text(encoding="utf-8")


def _judged(judge: Callable[[Entity], object], entity: Entity, count: int) -> float:
    return median(_rate(lambda: [judge(entity) for _ in range(count)], count) for _ in range(_ROUNDS))


def _rate(work: Callable[[], object], count: int) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return count / (time.process_time() - start)
