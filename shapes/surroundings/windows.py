"""Constraints on a window of samples: runs, outliers, counters that stand still while another grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median

from shapes.surroundings.facts import (
    DATASET_ID,
    DAY,
    HOUR,
    SECOND,
    Sample,
    Series,
    Surroundings,
    as_number,
    held,
    moment,
    number,
    text,
)
from shapes.surroundings.needs import Needs, Related, SeriesNeed
from shapes.surroundings.shape import Constraint, Fault, SurroundingShape, term_of
from shapes.surroundings.steps import PAIR, StepConstraint, new_steps

#: A standard deviation in median absolute deviations, for values that are spread as in a normal distribution.
_DEVIATION = 0.6745


def runs(count: int, belongs: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """Yield first and last index of each run, as long as it can be, in which every index but the first belongs on."""
    begin = 0
    for at in range(1, count + 1):
        if at == count or not belongs(at):
            if at - begin > 1:
                yield begin, at - 1
            begin = at


def stale_runs(series: Series, samples: int, beyond: float) -> Iterator[tuple[int, int]]:
    """Yield the runs of more than `samples` equal numbers further from 0 than `beyond`."""
    values = [as_number(each.value) for each in series]
    for begin, end in runs(len(values), lambda at: values[at] is not None and values[at] == values[at - 1]):
        if end - begin >= samples and abs(values[begin] or 0) > beyond:
            yield begin, end


def interpolated_runs(series: Series, points: int, tolerance: float) -> Iterator[tuple[int, int]]:
    """Yield the runs of at least `points` samples on a straight line that is not level, slopes equal to a share."""
    slopes = [_slope(before, after) for before, after in pairwise(series)]

    def goes_on(at: int) -> bool:
        one, other = slopes[at - 1], slopes[at]
        return one is not None and other is not None and one != 0 and abs(other - one) <= tolerance * abs(one)

    for begin, end in runs(len(slopes), goes_on):
        if end - begin + 2 >= points:
            yield begin, end + 1


def _slope(before: Sample, after: Sample) -> float | None:
    was, becomes = as_number(before.value), as_number(after.value)
    if was is None or becomes is None or after.time <= before.time:
        return None
    return (becomes - was) / (after.time - before.time)


def score(window: list[float], value: float, least: float) -> float:
    """Return how far a value lies from the median of a window, in robust standard deviations of at least `least`."""
    middle = median(window)
    deviation = median(abs(each - middle) for each in window) / _DEVIATION
    return abs(value - middle) / max(deviation, least)


class Run(Constraint):
    """Judges the runs of a series that end at a new sample."""

    def runs(self, series: Series) -> Iterator[tuple[int, int]]:
        """Yield first and last index of each run that breaks the constraint."""
        raise NotImplementedError

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for dataset in about.datasets(self.attribute):
            series = about.samples(self.attribute, dataset)
            for _, end in self.runs(series):
                if end == len(series) - 1 if about.since is None else series[end].time > about.since:
                    yield Fault(term_of(series[end].value), dataset)


class Stale(Run):
    """No more than `stale` samples in a row have the same value, where it is further from 0 than `beyond`."""

    required = ("beyond",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._samples, self._beyond = int(shape.number("stale")), shape.number("beyond")
        self.needs = Needs(judged=True, series={self.attribute: (SeriesNeed(self._samples + 1),)})

    def runs(self, series: Series) -> Iterator[tuple[int, int]]:
        return stale_runs(series, self._samples, self._beyond)


class Interpolated(Run):
    """Fewer than `interpolated` samples in a row lie on a straight line; slopes within `tolerance` are equal."""

    required = ("tolerance",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._points, self._tolerance = int(shape.number("interpolated")), shape.number("tolerance")
        self.needs = Needs(judged=True, series={self.attribute: (SeriesNeed(self._points),)})

    def runs(self, series: Series) -> Iterator[tuple[int, int]]:
        return interpolated_runs(series, self._points, self._tolerance)


class Outlier(Constraint):
    """A new value is no further than `outlier` robust deviations from the median of the `window` values up to it.

    A deviation is at least `least`, so that a series that hardly moves may move again.
    """

    required = ("window", "least")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._most, self._least = shape.number("outlier"), shape.number("least")
        self._window = int(shape.number("window"))
        self.needs = Needs(judged=True, series={self.attribute: (SeriesNeed(self._window),)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for dataset in about.datasets(self.attribute):
            values = [(each.time, as_number(each.value)) for each in about.samples(self.attribute, dataset)]
            known = [(time, value) for time, value in values if value is not None]
            for at in range(len(known) - 1, self._window - 2, -1):
                time, value = known[at]
                if about.since is not None and time <= about.since:
                    break
                window = [each for _, each in known[at - self._window + 1 : at + 1]]
                if score(window, value, self._least) > self._most:
                    yield Fault(term_of(value), dataset)
                if about.since is None:
                    break


class Jump(StepConstraint):
    """A value changes by more than `jump` in less than `seconds` only in a session, or while `state` is one of `busy`.

    Sessions are entities of a type that name the entity in `by`, from `start` to `end`.
    """

    required = ("seconds", "state", "busy", "type", "by", "start", "end")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._most, self._seconds = shape.number("jump"), round(shape.number("seconds") * SECOND)
        self._state, self._busy = shape.text("state"), shape.text("busy").split()
        self._type, self._by = shape.text("type"), shape.text("by")
        self._start, self._end = shape.text("start"), shape.text("end")
        related = Related(self._type, self._by, (), (self._start, self._end), DAY)
        self.needs = Needs(judged=True, related=frozenset({related}), series={self.attribute: (PAIR,)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for step in self.steps(about):
            quick = step.end.time - step.begin.time < self._seconds
            if (
                quick
                and abs(step.becomes - step.was) > self._most
                and not self._in_session(about, step.begin, step.end)
            ):
                yield step.fault

    def _in_session(self, about: Surroundings, begin: Sample, end: Sample) -> bool:
        if text(about.entity, self._state) in self._busy:
            return True
        for session in about.related.get((self._type, self._by), ()):
            start, stop = moment(session, self._start), moment(session, self._end)
            if start is not None and start <= end.time and (stop is None or stop >= begin.time):
                return True
        return False


class Stagnant(Constraint):
    """A counter grows while another attribute, `stagnantWhile`, rises by more than `growth`.

    The rise counts from where the counter stood still, up to `settled` seconds before the newest sample of the counter.
    """

    required = ("growth", "settled", "days")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._other, self._growth = shape.text("stagnantWhile"), shape.number("growth")
        self._settled = round(shape.number("settled") * SECOND)
        need = SeriesNeed(0, round(shape.number("days") * DAY), every=HOUR)
        self.needs = Needs(judged=True, series={self.attribute: (need,), self._other: (need,)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for dataset in about.datasets(self.attribute):
            series = about.samples(self.attribute, dataset)
            if not series or as_number(series[-1].value) is None:
                continue
            begin = len(series) - 1
            while begin > 0 and series[begin - 1].value == series[begin].value:
                begin -= 1
            if self._rises(about.samples(self._other), series[begin].time, series[-1].time - self._settled):
                yield Fault(term_of(series[-1].value), dataset)

    def _rises(self, series: Series, begin: int, end: int) -> bool:
        lowest: float | None = None
        for each in series:
            value = as_number(each.value)
            if value is None or not begin <= each.time <= end:
                continue
            if lowest is not None and value - lowest > self._growth:
                return True
            lowest = value if lowest is None else min(lowest, value)
        return False


class OneValue(StepConstraint):
    """At one moment there is one value: `oneValue` is true."""

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for dataset in about.datasets(self.attribute):
            for before, after in new_steps(about.samples(self.attribute, dataset), about.since):
                if before.time == after.time and before.value != after.value:
                    yield Fault(term_of(after.value), dataset)


class Gap(StepConstraint):
    """Two samples lie no further apart than `gap` times the period that the Dataset says, at `period` or `orElse`."""

    required = ("period", "orElse")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._times, self._period, self._default = shape.number("gap"), shape.text("period"), shape.text("orElse")
        self.needs = Needs(judged=True, links=frozenset({(DATASET_ID,)}), series={self.attribute: (PAIR,)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for dataset in about.datasets(self.attribute):
            seconds = period(about, dataset, self.attribute, self._period, self._default)
            if seconds is None:
                continue
            for before, after in new_steps(about.samples(self.attribute, dataset), about.since):
                if after.time - before.time > self._times * seconds * 1e6:
                    yield Fault(term_of(after.value), dataset)


def period(about: Surroundings, dataset: str | None, attribute: str, name: str, default: str) -> float | None:
    """Return how often (seconds) a Dataset says that an attribute comes; None where on events, or not known."""
    entity = about.linked.get(dataset or "")
    if entity is None:
        return None
    for each in held(entity, name):
        value = each.get("value")
        if isinstance(value, dict) and attribute in value:
            return as_number(value[attribute])
    return number(entity, default)
