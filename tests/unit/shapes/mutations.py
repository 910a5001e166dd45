"""Each shape of the model dropped from the compiled set, one at a time: do the faulty entities of the tests tell?

A shape that may go without a word would be one that no test needs. `make test-oracle` runs this over all shapes;
`python -m tests.unit.shapes.mutations` says in words what it found.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.problems import Problem
from ontology import Kind, model
from shapes.compiler import Shapes
from shapes.shape import Shape, Targeted, Term
from tests.unit.shapes.generated_entities import EXAMPLES
from tests.unit.shapes.test_compiled_shapes import SHAPES, TARGETED, TERMS, other_faults, wrong_kinds
from tests.unit.shapes.test_mechanical_shapes import FAULTS
from tests.unit.shapes.test_rule_examples import EXAMPLES as OF_RULES

#: Entities that are tried to tell that a shape is gone.
_ENOUGH = 3


@dataclass(frozen=True)
class Outcome:
    """What became of the mutants."""

    dropped: list[Term]
    unnoticed: list[Term]


def measure(names: Iterable[Term] | None = None) -> Outcome:
    """Drop shapes one at a time, all that can have a result by default."""
    dropped = sorted(_names(TARGETED) if names is None else names)
    by_shape = defaultdict[Term, list[Entity]](list)
    for entity in cases():
        for result in SHAPES.judge(entity):
            by_shape[result.shape].append(entity)
    return Outcome(dropped, [name for name in dropped if not _noticed(name, by_shape[name])])


def cases() -> Iterator[Entity]:
    """Yield the entities of which the tests demand what they break, shape by shape."""
    faults = [fault.entity for fault in (*FAULTS, *wrong_kinds(), *other_faults())]
    for entity in faults + [each.fails for each in OF_RULES]:
        with suppress(Problem):
            yield expand_entity(entity, TERMS, 0)
    yield from _misplaced()


def _misplaced() -> Iterator[Entity]:
    """Yield locations that the broker takes from nobody, as they might stand in a database."""
    for class_ in model().classes.values():
        for use in class_.attributes.values():
            if use.attribute.kind is Kind.GEO_PROPERTY:
                made = expand_entity(EXAMPLES[class_.name], TERMS, 0)
                yield _with(made, use.attribute.iri, {"type": "Property", "value": 1})
                for point in ([181, 0], [0, 91]):
                    held = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": point}}
                    yield _with(made, use.attribute.iri, held)


def _with(entity: Entity, attribute: str, instance: dict[str, Any]) -> Entity:
    return replace(entity, attributes={**entity.attributes, attribute: instance})


def _noticed(name: Term, entities: list[Entity]) -> bool:
    """Tell whether a shape finds something in one of the entities, and nothing does once it is dropped."""
    for entity in entities[:_ENOUGH]:
        whole = [each for each in TARGETED if _is_about(each, entity)]
        found, left = (
            {result.shape for result in Shapes(shapes).judge(entity)}
            for shapes in (whole, [replace(each, shape=_without(each.shape, name)) for each in whole])
        )
        if name in found - left:
            return True
    return False


def _is_about(each: Targeted, entity: Entity) -> bool:
    types = {f"<{iri}>" for iri in entity.types}
    return any(target.kind != "class" or target.term in types for target in each.targets)


def _without(shape: Shape, name: Term) -> Shape:
    """Return a shape in which one, it or an inner one, asks nothing of its own."""
    constraints = tuple(
        replace(c, value=tuple(_without(inner, name) for inner in c.value)) if c.name == "property" else c
        for c in shape.constraints
        if shape.name != name or c.name == "property"
    )
    return replace(shape, constraints=constraints)


def _names(targeted: Iterable[Targeted]) -> set[Term]:
    """Return the names of the shapes that can have a result."""
    found, ahead = set(), [each.shape for each in targeted]
    while ahead:
        shape = ahead.pop()
        ahead += [inner for c in shape.constraints if c.name == "property" for inner in c.value]
        if any(c.name != "property" for c in shape.constraints):
            found.add(shape.name)
    return found


def main() -> int:
    """Run it over all shapes; 1 where one is not missed."""
    start = time.monotonic()
    outcome = measure()
    for name in outcome.unnoticed:
        sys.stdout.write(f"not missed: {name}\n")
    noticed = len(outcome.dropped) - len(outcome.unnoticed)
    sys.stdout.write(f"{noticed} of {len(outcome.dropped)} dropped shapes missed, {time.monotonic() - start:.0f} s\n")
    return 1 if outcome.unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
