"""Constraints on the steps of a series: from one sample to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shapes.surroundings.facts import DAY, MINUTE, Sample, Series, Surroundings, as_number, number
from shapes.surroundings.needs import Needs, SeriesNeed
from shapes.surroundings.shape import Constraint, Fault, SurroundingShape, term_of

MADE_BY_SENSOR = "https://w3id.org/voltweave/cim#madeBySensor"
PAIR = SeriesNeed(samples=2)


def new_steps(series: Series, since: int | None) -> Iterator[tuple[Sample, Sample]]:
    """Yield the steps into the samples that are new, the newest first."""
    for at in range(len(series) - 1, 0, -1):
        if since is None:
            yield series[at - 1], series[at]
            return
        if series[at].time <= since:
            return
        yield series[at - 1], series[at]


class Step(NamedTuple):
    """A step from one number to the next."""

    dataset: str | None
    begin: Sample
    end: Sample
    was: float
    becomes: float

    @property
    def fault(self) -> Fault:
        """The fault that the step is."""
        return Fault(term_of(self.becomes), self.dataset)


class StepConstraint(Constraint):
    """Judges the steps into new samples, one by one."""

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self.needs = Needs(judged=True, series={self.attribute: (PAIR,)})

    def steps(self, about: Surroundings) -> Iterator[Step]:
        """Yield the steps from number to number into the samples that are new."""
        for dataset in about.datasets(self.attribute):
            for begin, end in new_steps(about.samples(self.attribute, dataset), about.since):
                was, becomes = as_number(begin.value), as_number(end.value)
                if was is not None and becomes is not None:
                    yield Step(dataset, begin, end, was, becomes)


class NeverFalls(StepConstraint):
    """A register falls by more than `neverFalls` only where it was reset, or another meter took over."""

    required = ("reset",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._slack = shape.number("neverFalls")
        self._reset = shape.text("reset")
        self.needs = Needs(judged=True, series={self.attribute: (PAIR,), self._reset: (PAIR,)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for step in self.steps(about):
            fell = step.becomes < step.was - self._slack
            if fell and not self._was_reset(about, step) and not another_meter(step):
                yield step.fault

    def _was_reset(self, about: Surroundings, step: Step) -> bool:
        resets = about.samples(self._reset)
        return any(each.value is True and step.begin.time < each.time <= step.end.time for each in resets)


def another_meter(step: Step) -> bool:
    """Tell whether the samples name different devices that made them."""
    one, other = (each.instance.get(MADE_BY_SENSOR) for each in (step.begin, step.end))
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    return "object" in one and "object" in other and one["object"] != other["object"]


class NeverFallsWithinDay(StepConstraint):
    """A counter that falls does so over midnight, which is somewhere in the span of `dayBegins` to `dayBegun`.

    Both are minutes of the UTC day; the span lies around midnight in the zones that stations may stand in.
    """

    required = ("dayBegins", "dayBegun")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._begins = int(shape.number("dayBegins")) * MINUTE
        self._width = int(shape.number("dayBegun")) * MINUTE - self._begins
        self._slack = shape.number("neverFallsWithinDay")

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for step in self.steps(about):
            # The span that begins last, at or before the end of the step, must reach its begin.
            span = step.end.time - (step.end.time - self._begins) % DAY
            if step.becomes < step.was - self._slack and span + self._width < step.begin.time:
                yield step.fault


class EnergyStep(StepConstraint):
    """An energy register rises by no more than a power in kW gives: times hours, `energyStep`, plus `resolution`.

    The power is the attribute `power` of the entity, or of the one at `link`; unknown power allows anything.
    """

    required = ("power", "resolution")
    optional = ("link", "thenLink")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._factor, self._resolution = shape.number("energyStep"), shape.number("resolution")
        self._power, self._route = shape.text("power"), shape.route()
        links = frozenset({self._route} if self._route else ())
        self.needs = Needs(judged=True, links=links, series={self.attribute: (PAIR,)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for holder in about.along(self._route):
            power = number(holder, self._power)
            if power is None:
                continue
            for step in self.steps(about):
                hours = (step.end.time - step.begin.time) / 3.6e9
                if step.becomes - step.was > power * hours * self._factor + self._resolution:
                    yield step.fault


class RiseAtMost(StepConstraint):
    """A value rises by no more than `riseAtMost` a day, plus `resolution`."""

    required = ("resolution",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._most, self._resolution = shape.number("riseAtMost"), shape.number("resolution")

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for step in self.steps(about):
            days = (step.end.time - step.begin.time) / 8.64e10
            if step.becomes - step.was > days * self._most + self._resolution:
                yield step.fault
