"""Entities a second that one core judges by the shapes of the model: compiled checks beside pySHACL."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import ontology
from benchmarks.options import Options
from benchmarks.rows import Row
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


def measure(options: Options) -> Iterator[Row]:
    """Yield the figures: entities that conform, the same with a value out of bounds, and pySHACL's."""
    terms = compile_terms([ontology.context("cim")["@context"]])
    count = options.entities or _ENTITIES
    shapes = model_shapes()
    for name in CLASSES:
        example = json.loads((Path(ontology.__file__).parent / "examples" / f"{name}.json").read_text(encoding="utf-8"))
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


def _judged(judge: Callable[[Entity], object], entity: Entity, count: int) -> float:
    return median(_rate(lambda: [judge(entity) for _ in range(count)], count) for _ in range(_ROUNDS))


def _rate(work: Callable[[], object], count: int) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return count / (time.process_time() - start)
