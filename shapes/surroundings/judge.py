"""Judges entities in their surroundings, and says beforehand what has to be read for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from shapes import terms
from shapes.shape import SEVERITIES, Result
from shapes.surroundings.components import CONSTRAINTS
from shapes.surroundings.facts import Surroundings
from shapes.surroundings.needs import NOTHING, WHENS, Needs, When, together
from shapes.surroundings.shape import Constraint, SurroundingShape

_Judge = tuple[SurroundingShape, Constraint]
#: Different writes that are remembered: types and changed attributes.
_REMEMBERED = 4096


class SurroundingShapes:
    """Shapes ready to judge; immutable, so that threads may share them."""

    def __init__(self, shapes: Iterable[SurroundingShape]) -> None:
        self.shapes: Sequence[SurroundingShape] = tuple(shapes)
        self._of_type: dict[When, dict[str, list[_Judge]]] = {when: {} for when in WHENS}
        for shape in self.shapes:
            judge = (shape, CONSTRAINTS[shape.component](shape))
            for each in shape.types:
                self._of_type[shape.when].setdefault(each, []).append(judge)
        self.names = frozenset(terms.text_of(shape.name) or "" for shape in self.shapes)
        """The IRIs of all shapes."""
        self._selected = lru_cache(_REMEMBERED)(self._select)
        self._needs = lru_cache(_REMEMBERED)(self._together)

    def needs(self, types: Iterable[str], changed: frozenset[str] = frozenset(), when: When = "write") -> Needs:
        """Return what must be read to judge an entity of these types after some of its attributes changed.

        It is false where nothing is to be judged. Time needs no change: `changed` is all one for "clock".
        """
        known = self._of_type[when]
        found = tuple([each for each in types if each in known])
        return self._needs(found, changed, when) if found else NOTHING

    def judge(self, about: Surroundings, when: When = "write") -> list[Result]:
        """Return what breaks the rules, the gravest first; pass what `needs` asked for, for the same `when`."""
        known = self._of_type[when]
        types = tuple([each for each in about.entity.types if each in known])
        if not types:
            return []
        focus = terms.iri(about.entity.id)
        found = [
            shape.result(focus, fault)
            for shape, constraint in self._selected(types, about.changed, when)
            for fault in dict.fromkeys(constraint.faults(about))
        ]
        return sorted(found, key=_gravity) if len(found) > 1 else found

    def judged(self, types: Iterable[str], changed: frozenset[str], when: When) -> frozenset[str]:
        """Return the IRIs of the shapes by which `judge` judges an entity of these types after such a change."""
        known = self._of_type[when]
        selected = self._selected(tuple([each for each in types if each in known]), changed, when)
        return frozenset(terms.text_of(shape.name) or "" for shape, _ in selected)

    def types(self, when: When) -> frozenset[str]:
        """Return the IRIs of the classes that have rules which are judged then."""
        return frozenset(self._of_type[when])

    def triggers(self, when: When) -> frozenset[str]:
        """Return the attributes of which one must change for anything to be judged."""
        return frozenset[str]().union(
            *(constraint.triggers for judges in self._of_type[when].values() for _, constraint in judges)
        )

    def _select(self, types: tuple[str, ...], changed: frozenset[str], when: When) -> tuple[_Judge, ...]:
        found = {judge[0].name: judge for each in types for judge in self._of_type[when][each]}
        return tuple(each for each in found.values() if when == "clock" or not changed.isdisjoint(each[1].triggers))

    def _together(self, types: tuple[str, ...], changed: frozenset[str], when: When) -> Needs:
        return together(constraint.needs for _, constraint in self._selected(types, changed, when))


def _gravity(found: Result) -> tuple[int, str]:
    return SEVERITIES.index(found.severity), found.shape
