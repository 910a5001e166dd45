"""Each rule has examples: an entity that breaks one of its shapes, and one that just passes.

Compiled checks, the engine and pySHACL agree on them; every shape that is written by hand has one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.rdf import triples_of
from ngsild.render import Representation
from shapes import NAMESPACE, example_files, model_rules
from shapes.engine import Data, judge
from shapes.reference import NOTES, counts
from tests.unit.shapes.test_compiled_shapes import SHAPES, TARGETED, TERMS, all_shapes, by_pyshacl
from tests.unit.shapes.test_mechanical_shapes import mechanical_shapes


@dataclass(frozen=True)
class Example:
    """A rule and one of its shapes, by the last parts of their IRIs, with two entities."""

    rule: str
    shape: str
    passes: dict[str, Any]
    fails: dict[str, Any]


EXAMPLES = [
    Example(each["rule"], each["shape"], each["passes"], each["fails"])
    for file in example_files()
    for each in json.loads(file.read_text(encoding="utf-8"))
]


def read(entity: dict[str, Any], number: int) -> Entity:
    return expand_entity(entity | {"id": f"{entity['id']}:{number}"}, TERMS, 0)


@cache
def found_by_pyshacl() -> dict[str, set[str]]:
    """Return by its id what shapes an entity breaks, for all examples at once."""
    entities = [read(e, 2 * n + k) for n, each in enumerate(EXAMPLES) for k, e in enumerate((each.passes, each.fails))]
    triples = triples_of(entities, Representation())
    data, broken = Data(triples), defaultdict[str, set[str]](set)
    for focus, _, _, shape, _ in by_pyshacl(triples):
        broken[data.root(focus)].add(shape)
    return broken


@pytest.mark.parametrize(("number", "each"), list(enumerate(EXAMPLES)), ids=[each.shape for each in EXAMPLES])
def test_one_entity_breaks_the_shape_and_one_passes_the_rule(number: int, each: Example) -> None:
    rule, shape = NAMESPACE + each.rule, f"<{NAMESPACE}{each.shape}>"
    good, bad = read(each.passes, 2 * number), read(each.fails, 2 * number + 1)
    assert [r for r in SHAPES.judge(good) if r.rule == rule] == []
    assert {r.rule for r in SHAPES.judge(bad) if r.shape == shape} == {rule}
    for entity, broken in ((good, False), (bad, True)):
        data = Data(triples_of([entity], Representation()))
        exact = {
            r.shape
            for t in TARGETED
            for node in {n for target in t.targets for n in data.targets(target)}
            for r in judge(data, t.shape, node)
        }
        assert (shape in exact) is broken
        assert found_by_pyshacl()[f"<{entity.id}>"] == exact == {r.shape for r in SHAPES.judge(entity)}


def test_every_rule_with_shapes_and_every_shape_by_hand_has_an_example() -> None:
    with_shapes = {r.rule for r in shapes_of_the_model()}
    assert {NAMESPACE + each.rule for each in EXAMPLES} == with_shapes <= set(model_rules())
    assert all_shapes() - mechanical_shapes() == {NAMESPACE + each.shape for each in EXAMPLES} - mechanical_shapes()


def test_every_rule_is_accounted_for() -> None:
    """Rules on one attribute or one entity have shapes, or the page says why they have none."""
    on_entity, around, added = counts()
    others = {14, 16, 18, 21, 22, 23, 24, 25, *range(30, 36), 38, 40, 42, 45, 46, 54, 55}
    for number in range(1, 58):
        name = f"C{number:02}"
        judged = on_entity[NAMESPACE + name] or added[NAMESPACE + name]
        assert judged or number in others or "udged" in NOTES[name], name
        assert not (judged and number in others), name
    assert NOTES.keys() <= {rule.rpartition("#")[2] for rule in model_rules()}
    assert sum(around.values()) > 0


def shapes_of_the_model() -> list[Any]:
    found, ahead = [], [each.shape for each in TARGETED]
    while ahead:
        shape = ahead.pop()
        ahead += [inner for c in shape.constraints if c.name == "property" for inner in c.value]
        if shape.rule is not None:
            found.append(shape)
    return found
