"""Constraints that compare an entity with the entities that it refers to."""

from __future__ import annotations

from collections.abc import Iterator

from shapes import terms
from shapes.surroundings.facts import Surroundings, as_number, held, instance_of, number, targets, targets_of, text
from shapes.surroundings.needs import Needs
from shapes.surroundings.shape import Constraint, Fault, SurroundingShape, term_of


class WithinPower(Constraint):
    """An energy (kWh) is at most what a linked power (kW) gives in `duration` + `grace` (s), times `withinPower`."""

    required = ("link", "power", "duration", "grace")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._factor = shape.number("withinPower")
        self._grace = shape.number("grace")
        self._power, self._duration, self._route = shape.text("power"), shape.text("duration"), shape.route()
        self.needs = Needs(judged=True, links=frozenset({self._route}))
        self.triggers |= {self._duration, self._route[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        duration = number(about.entity, self._duration)
        if duration is None:
            return
        for other in about.along(self._route):
            power = number(other, self._power)
            if power is None:
                continue
            most = power * self._factor * (duration + self._grace) / 3.6e3
            for value, dataset in numbers(about, self.attribute):
                if value > most:
                    yield Fault(term_of(value), dataset)


class OnlyIfLinked(Constraint):
    """A number above `onlyIfLinked`, or the boolean true, is a fault where the boolean `able` at `link` is false."""

    required = ("link", "able")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._above = shape.number("onlyIfLinked")
        self._able, self._route = shape.text("able"), shape.route()
        self.needs = Needs(judged=True, links=frozenset({self._route}))
        self.triggers |= {self._route[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        if not any((instance_of(other, self._able) or {}).get("value") is False for other in about.along(self._route)):
            return
        for each in held(about.entity, self.attribute):
            value = each.get("value")
            found = as_number(value)
            if value is True or (found is not None and found > self._above):
                yield Fault(term_of(each["value"]), each.get("datasetId"))


class OtherThan(Constraint):
    """A Relationship names another entity than the Relationship `otherThan`."""

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._other = shape.text("otherThan")
        self.triggers |= {self._other}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        others = set(targets(about.entity, self._other))
        for each in targets(about.entity, self.attribute):
            if each in others:
                yield Fault(terms.iri(each))


class Exists(Constraint):
    """The entities that a Relationship names exist; `exists` is true."""

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self.needs = Needs(judged=True, links=frozenset({(self.attribute,)}))

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        if not about.whole:
            return
        for each in held(about.entity, self.attribute):
            for target in targets_of(each):
                if target not in about.linked:
                    yield Fault(terms.iri(target), each.get("datasetId"))


class EqualsLinked(Constraint):
    """A text is the same as the attribute `equalsLinked` of the entity at `link`, where that is known."""

    required = ("link",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._other, self._route = shape.text("equalsLinked"), shape.route()
        self.needs = Needs(judged=True, links=frozenset({self._route}))
        self.triggers |= {self._route[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        expected = [found for other in about.along(self._route) if (found := text(other, self._other)) is not None]
        for each in held(about.entity, self.attribute):
            value = each.get("value")
            if isinstance(value, str) and any(value != other for other in expected):
                yield Fault(term_of(value), each.get("datasetId"))


class EnergyOfRise(Constraint):
    """An energy fits the rise of a state of charge (%) times the energy of the battery at `link`.

    It lies between `energyOfRise` and `most` times that; rises below `leastRise` say too little.
    """

    required = ("most", "leastRise", "rise", "riseTo", "capacity", "link")
    optional = ("thenLink",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._least, self._most = shape.number("energyOfRise"), shape.number("most")
        self._least_rise, self._capacity = shape.number("leastRise"), shape.text("capacity")
        self._from, self._to, self._route = shape.text("rise"), shape.text("riseTo"), shape.route()
        self.needs = Needs(judged=True, links=frozenset({self._route}))
        self.triggers |= {self._from, self._to, self._route[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        begin, end = number(about.entity, self._from), number(about.entity, self._to)
        if begin is None or end is None or end - begin < self._least_rise:
            return
        for other in about.along(self._route):
            capacity = number(other, self._capacity)
            if capacity is None:
                continue
            stored = (end - begin) * capacity / 1e2
            for value, dataset in numbers(about, self.attribute):
                if not stored * self._least <= value <= stored * self._most:
                    yield Fault(term_of(value), dataset)


def numbers(about: Surroundings, attribute: str) -> Iterator[tuple[float, str | None]]:
    """Yield the instances of an attribute that are numbers, with their datasetIds."""
    for each in held(about.entity, attribute):
        value = as_number(each.get("value"))
        if value is not None:
            yield value, each.get("datasetId")
