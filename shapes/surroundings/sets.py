"""Constraints that compare an entity with those that refer to it, or to the same thing as it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ngsild.entity import Entity
from shapes import terms
from shapes.surroundings.facts import (
    SECOND,
    STATUS,
    Scalar,
    Surroundings,
    held,
    moment,
    number,
    observed,
    targets,
    targets_of,
    text,
)
from shapes.surroundings.links import numbers
from shapes.surroundings.needs import Needs, Related
from shapes.surroundings.shape import Constraint, Fault, SurroundingShape, term_of

_OPEN = 1 << 62
_SCALAR = (str, int, float)


def others(about: Surroundings, type_: str, by: str) -> Iterator[Entity]:
    """Yield the related entities but the entity itself."""
    return (each for each in about.related.get((type_, by), ()) if each.id != about.entity.id)


class NoOverlap(Constraint):
    """Two entities of a type that name the same target do not overlap in time by more than `noOverlap` seconds.

    Without an end the time is open, where `openStatus` is given only while the status is that. An entity that has the
    attribute `unless` is judged by that one instead.
    """

    required = ("type", "start", "end")
    optional = ("openStatus", "unless")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._grace = round(shape.number("noOverlap") * SECOND)
        self._type, self._start, self._end = shape.text("type"), shape.text("start"), shape.text("end")
        self._open, self._unless = shape.given("openStatus"), shape.given("unless")
        related = Related(
            self._type,
            self.attribute,
            (self.attribute,),
            (self._start, self._end),
            open_status=self._open,
            unless=self._unless,
        )
        if self._open is None:
            # What is in force until it ends, such as a contract, may be so for years.
            related = related._replace(longest=0)
        self.needs = Needs(judged=True, related=frozenset({related}))
        self.triggers |= {self._start, self._end} | ({STATUS} if self._open else set())

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        own = self._time(about.entity)
        if own is None or self._unless in about.entity.attributes:
            return
        for other in others(about, self._type, self.attribute):
            time = self._time(other)
            if time is None or not self._overlap(own, time):
                continue
            shared = set(targets(other, self.attribute))
            for each in held(about.entity, self.attribute):
                if not shared.isdisjoint(targets_of(each)):
                    yield Fault(terms.iri(other.id), each.get("datasetId"))

    def _overlap(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return one[0] < other[1] - self._grace and other[0] < one[1] - self._grace

    def _time(self, entity: Entity) -> tuple[int, int] | None:
        start, end = moment(entity, self._start), moment(entity, self._end)
        if start is None:
            return None
        if end is None and self._end not in entity.attributes:
            return (start, _OPEN) if self._open is None or text(entity, STATUS) == self._open else None
        return None if end is None else (start, end)


class Unique(Constraint):
    """No other entity of the type `uniqueAmong` has the same value, among those with the same `by` and `sameTarget`."""

    required = ("by",)
    optional = ("sameTarget",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._type, self._by, self._same = shape.text("uniqueAmong"), shape.text("by"), shape.given("sameTarget")
        self.needs = Needs(judged=True, related=frozenset({Related(self._type, self._by, (self._by,))}))
        self.triggers |= {self._by} | ({self._same} if self._same else set())

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for each in held(about.entity, self.attribute):
            for other in others(about, self._type, self._by):
                if self._is_same(about.entity, other, each.get("value")):
                    yield Fault(terms.iri(other.id), each.get("datasetId"))

    def _is_same(self, entity: Entity, other: Entity, value: object) -> bool:
        if not isinstance(value, _SCALAR) or value not in _scalars(other, self.attribute):
            return False
        if _scalars(entity, self._by).isdisjoint(_scalars(other, self._by)):
            return False
        return self._same is None or not set(targets(entity, self._same)).isdisjoint(targets(other, self._same))


def _scalars(entity: Entity, attribute: str) -> set[Scalar]:
    return {value for each in held(entity, attribute) if isinstance(value := each.get("value"), _SCALAR)}


class SumOf(Constraint):
    """A number is the sum of the numbers `sumOf` of its parts, within `absolute` or the share `relative`.

    Parts are the entities of a type that refer to it. It is judged where each part has a value that is not newer, and
    older by no more than `within` seconds.
    """

    required = ("type", "by", "absolute", "relative", "within")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._part, self._type, self._by = shape.text("sumOf"), shape.text("type"), shape.text("by")
        self._absolute, self._relative = shape.number("absolute"), shape.number("relative")
        self._within = round(shape.number("within") * SECOND)
        self.needs = Needs(judged=True, related=frozenset({Related(self._type, self._by, ())}))

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        total, time = number(about.entity, self.attribute), observed(about.entity, self.attribute)
        parts = list(others(about, self._type, self._by))
        if total is None or time is None or not parts:
            return
        values = [number(each, self._part) for each in parts]
        times = [observed(each, self._part) for each in parts]
        known = [value for value in values if value is not None]
        if len(known) < len(parts) or not all(each and time - self._within <= each <= time for each in times):
            return
        if abs(sum(known) - total) > max(self._absolute, self._relative * abs(total)):
            yield Fault(term_of(total))


class SpreadOf(Constraint):
    """The numbers `spreadOf` of the parts differ by no more than `most` while `rest` is within ± `restAtMost`.

    It is judged where all of them were observed within `within` seconds.
    """

    required = ("type", "by", "most", "rest", "restAtMost", "within")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._part, self._type, self._by = shape.text("spreadOf"), shape.text("type"), shape.text("by")
        self._most, self._rest, self._still = shape.number("most"), shape.text("rest"), shape.number("restAtMost")
        self._within = round(shape.number("within") * SECOND)
        self.needs = Needs(judged=True, related=frozenset({Related(self._type, self._by, ())}))
        self.triggers |= {self._rest}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        rest, time = number(about.entity, self._rest), observed(about.entity, self._rest)
        if rest is None or abs(rest) > self._still or time is None:
            return
        parts = [(number(each, self._part), observed(each, self._part)) for each in others(about, self._type, self._by)]
        values = [value for value, at in parts if value is not None and at and abs(at - time) <= self._within]
        if len(values) == len(parts) > 1 and max(values) - min(values) > self._most:
            for value, dataset in numbers(about, self.attribute):
                yield Fault(term_of(value), dataset)


class FreeOf(Constraint):
    """A number is how many of the parts have the status `freeOf`, where all `total` parts are known, and none newer.

    A part whose status is `unknown` is not known.
    """

    required = ("type", "by", "total", "unknown")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._free, self._type, self._by = shape.text("freeOf"), shape.text("type"), shape.text("by")
        self._total, self._unknown = shape.text("total"), shape.text("unknown")
        self.needs = Needs(judged=True, related=frozenset({Related(self._type, self._by, ())}))
        self.triggers |= {self._total}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        said, time = number(about.entity, self.attribute), observed(about.entity, self.attribute)
        parts = list(others(about, self._type, self._by))
        if said is None or time is None or not parts or number(about.entity, self._total) != len(parts):
            return
        states = [text(each, STATUS) for each in parts]
        if None in states or self._unknown in states:
            return
        if any((observed(each, STATUS) or 0) > time for each in parts):
            return
        if said != states.count(self._free):
            yield Fault(term_of(said))


class LogSpaced(Constraint):
    """The points of a spectrum are at least `points`, spaced as a logarithm: no step over `logSpaced` times another.

    Points are the entities of a type that share `by` and `sameTarget`; it is judged `settled` seconds after the last
    one was `added`.
    """

    required = ("type", "by", "sameTarget", "points", "added", "settled")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._factor, self._points = shape.number("logSpaced"), int(shape.number("points"))
        self._type, self._by, self._same = shape.text("type"), shape.text("by"), shape.text("sameTarget")
        self._added, self._settled = shape.text("added"), round(shape.number("settled") * SECOND)
        self.needs = Needs(judged=True, related=frozenset({Related(self._type, self._by, (self._by,))}))

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        own = number(about.entity, self.attribute)
        group, cells = text(about.entity, self._by), set(targets(about.entity, self._same))
        if group is None or not cells:
            return
        found = [
            each
            for each in (*others(about, self._type, self._by), about.entity)
            if text(each, self._by) == group and not cells.isdisjoint(targets(each, self._same))
        ]
        if own is None or any((moment(each, self._added) or about.now) > about.now - self._settled for each in found):
            return
        frequencies = sorted(
            {value for each in found if (value := number(each, self.attribute)) is not None and value > 0}
        )
        ratios = [after / before for before, after in pairwise(frequencies)]
        if len(frequencies) < self._points or max(ratios) > self._factor * min(ratios):
            yield Fault(term_of(own))
