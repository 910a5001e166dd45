"""The part of a check that looks at several attributes at once: constraints with components on instances."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ngsild.rdf import is_plain_name
from shapes.certainty import Certainty
from shapes.components import COMPONENTS
from shapes.components.component import Operand, Scope
from shapes.shape import OWN, Constraint, Shape, Step, Term

_NAME = re.compile(r"\b[vti][0-9]+\b")


def is_relation(constraint: Constraint) -> bool:
    """Tell whether a constraint is judged by several attributes, or by the entity as a whole."""
    return constraint.name.startswith(OWN) and COMPONENTS[constraint.name.removeprefix(OWN)].sure is not None


class Relations:
    """Text for the relations among shapes; each attribute that they speak of has names of its own."""

    def __init__(self, shapes: Sequence[Shape], certainty: Certainty) -> None:
        self._certainty = certainty
        self._numbers: dict[str, int] = {}
        self._texts = [(number, self._sure(shape)) for number, shape in enumerate(shapes) if _relations(shape)]
        self._used = {name for _, text in self._texts for name in _NAME.findall(text)}

    @property
    def attributes(self) -> list[str]:
        """The IRIs of the attributes that the text speaks of."""
        return list(self._numbers)

    def absent(self, attribute: str) -> Iterator[str]:
        """Yield what to do where an attribute is absent."""
        names = self._names(attribute)
        if names:
            yield f"  {' = '.join(names)} = None"

    def present(self, attribute: str) -> Iterator[str]:
        """Yield what to do after the instances of an attribute were looked at, the last being `x`."""
        names = self._names(attribute)
        if names:
            held = {"v": "v", "t": "float if t is int else t", "i": "a"}
            yield "  if x is a and 'datasetId' not in a:"
            if {"v", "t"} & {name[0] for name in names}:
                yield "   if t is dict: v = untyped(v); t = type(v)"
            yield "   " + "; ".join(f"{name} = {held[name[0]]}" for name in names)
            yield f"  else: {' = '.join(names)} = MANY"

    def lines(self) -> Iterator[str]:
        """Yield the tests."""
        for number, text in self._texts:
            yield f" if not ({text}): found.append({number})"

    def _names(self, attribute: str) -> list[str]:
        number = self._numbers.get(attribute)
        return [name for kind in "vti" if (name := f"{kind}{number}") in self._used]

    def _sure(self, shape: Shape) -> str:
        """Return when an entity surely meets the relations of a shape."""
        tests = []
        unsure = shape.path is not None and not isinstance(shape.path, Step)
        for constraint in _relations(shape):
            component = COMPONENTS[constraint.name.removeprefix(OWN)]
            if component.sure is None or unsure or component.on_entity is (shape.path is not None):
                return "False"
            own = Operand("", "", "") if component.on_entity else self._operand(shape.path.predicate)  # type: ignore[union-attr]
            scope = Scope(own, self._operand, self._certainty.name)
            tests.append(component.sure(dict(constraint.value), scope))
        if not all(map(is_plain_name, self._numbers)):
            return "False"
        return " and ".join(f"({test})" for test in tests)

    def _operand(self, attribute: Term) -> Operand:
        number = self._numbers.setdefault(attribute[1:-1], len(self._numbers))
        return Operand(f"v{number}", f"t{number}", f"i{number}")


def _relations(shape: Shape) -> list[Constraint]:
    return [constraint for constraint in shape.constraints if is_relation(constraint)]
