"""Constraints that time alone may break: silence, blocked bays, changes of use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median
from typing import ClassVar

from ngsild.entity import Entity
from ngsild.names import parse_date_time
from shapes import terms
from shapes.surroundings.facts import (
    DATASET_ID,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    STATUS,
    Scalar,
    Series,
    Surroundings,
    held,
    moment,
    moment_of,
    number,
    observed,
    text,
)
from shapes.surroundings.meters import at_or_before
from shapes.surroundings.needs import Needs, SeriesNeed
from shapes.surroundings.shape import Constraint, Fault, SurroundingShape, term_of
from shapes.surroundings.windows import period

_OCCUPIED = "occupied"
_WEEK = 7 * DAY


class SilentFor(Constraint):
    """The newest value is no older than `silentFor` seconds; one that is a moment says itself how old it is."""

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._most = round(shape.number("silentFor") * SECOND)

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for each in held(about.entity, self.attribute):
            said = moment_of(each.get("value"))
            time = parse_date_time(each.get("observedAt")) if said is None else said
            if time is not None and time < about.now - self._most:
                yield Fault(_term(each.get("value")), each.get("datasetId"))


class Silent(Constraint):
    """The newest value is no older than `silent` times the period that the Dataset says, at `period` or `orElse`."""

    required = ("period", "orElse")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._times, self._period, self._default = shape.number("silent"), shape.text("period"), shape.text("orElse")
        self.needs = Needs(judged=True, links=frozenset({(DATASET_ID,)}))

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for each in held(about.entity, self.attribute):
            time, dataset = parse_date_time(each.get("observedAt")), each.get("datasetId")
            seconds = period(about, dataset, self.attribute, self._period, self._default)
            if time is not None and seconds is not None and about.now - time > self._times * seconds * 1e6:
                yield Fault(_term(each.get("value")), dataset)


def _term(value: object) -> str | None:
    if isinstance(value, dict) and "@value" in value:
        return terms.literal(str(value["@value"]), str(value.get("@type", "")))
    return term_of(value) if isinstance(value, int | float | str) else None


class Occupied(Constraint):
    """Something about a parking spot that is occupied, as somebody said less than `fresh` seconds ago."""

    required: ClassVar[tuple[str, ...]] = ("fresh",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._fresh = round(shape.number("fresh") * SECOND)

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        occupied = text(about.entity, self.attribute) == _OCCUPIED and self.is_fresh(about, about.entity)
        if occupied and self.is_wrong(about):
            yield Fault(term_of(_OCCUPIED))

    def is_fresh(self, about: Surroundings, entity: Entity) -> bool:
        """Tell whether the status of an entity was observed lately."""
        time = observed(entity, STATUS)
        return time is not None and time > about.now - self._fresh

    def is_wrong(self, about: Surroundings) -> bool:
        """Tell whether a spot must not be occupied as it is."""
        raise NotImplementedError


class NotCharging(Occupied):
    """A spot is not occupied for `notCharging` seconds while the EVSE at `link` is in one of `states` all that time."""

    required = ("fresh", "link", "states", "occupiedSince")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._grace, self._since = round(shape.number("notCharging") * SECOND), shape.text("occupiedSince")
        self._states, self._route = shape.text("states").split(), shape.route()
        need = SeriesNeed(0, HOUR)
        self.needs = Needs(
            judged=True,
            links=frozenset({self._route}),
            series={self.attribute: (need,)},
            histories={(self._route, STATUS): (need,)},
        )

    def is_wrong(self, about: Surroundings) -> bool:
        since = moment(about.entity, self._since)
        if since is None:
            since = _beginning(about.samples(self.attribute), lambda value: value == _OCCUPIED)
        if since is None or since > about.now - self._grace:
            return False
        for evse in about.along(self._route):
            idle = _beginning(about.linked_samples(evse, STATUS), lambda value: value in self._states)
            if idle is not None and idle <= about.now - self._grace and self.is_fresh(about, evse):
                return True
        return False


def _beginning(series: Series, holds: Callable[[Scalar], bool]) -> int | None:
    """Return when the run of samples began for which something holds up to the last; None where it does not now."""
    begin = None
    for each in reversed(series):
        if not holds(each.value):
            break
        begin = each.time
    return begin


class Overstay(Occupied):
    """A spot is not occupied `overstay` seconds after the charging of the session at `link` ended, at `charged`.

    Who came after that, by `occupiedSince`, did not charge then.
    """

    required = ("fresh", "link", "thenLink", "charged", "occupiedSince")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._most, self._charged = round(shape.number("overstay") * SECOND), shape.text("charged")
        self._since = shape.text("occupiedSince")
        self._route = shape.route()
        self.needs = Needs(judged=True, links=frozenset({self._route}))

    def is_wrong(self, about: Surroundings) -> bool:
        since = moment(about.entity, self._since)
        ends = [moment(session, self._charged) for session in about.along(self._route)]
        return any(end is not None and end < about.now - self._most and (since is None or since <= end) for end in ends)


class StayAtMost(Occupied):
    """A spot is occupied, from `occupiedSince` on, for no longer than its attribute `stayAtMost` says in minutes."""

    required = ("fresh", "occupiedSince")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._most, self._since = shape.text("stayAtMost"), shape.text("occupiedSince")

    def is_wrong(self, about: Surroundings) -> bool:
        most, since = number(about.entity, self._most), moment(about.entity, self._since)
        return most is not None and since is not None and about.now - since > most * MINUTE


class WeeklyShift(Constraint):
    """What a counter rises by in a week stays as it was: the last `weeks` weeks against the `before` weeks before them.

    It shifted where the medians differ by more than `weeklyShift` median absolute deviations of the weeks before, and
    by more than the share `share` of their median. Weeks end at the newest sample.
    """

    required = ("weeks", "before", "share")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._deviations, self._share = shape.number("weeklyShift"), shape.number("share")
        self._weeks, self._before = int(shape.number("weeks")), int(shape.number("before"))
        span = (self._weeks + self._before + 1) * _WEEK
        self.needs = Needs(judged=True, series={self.attribute: (SeriesNeed(0, span, every=DAY),)})

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        for dataset in about.datasets(self.attribute):
            series = about.samples(self.attribute, dataset)
            rises = weekly_rises(series, self._weeks + self._before)
            if rises is not None and shifted(rises, self._weeks, self._deviations, self._share):
                yield Fault(term_of(series[-1].value), dataset)


def weekly_rises(series: Series, weeks: int) -> list[float] | None:
    """Return what a counter rose by in each of the last weeks, the oldest first; None where it is not known of all."""
    if not series:
        return None
    ends = [at_or_before(series, series[-1].time - week * _WEEK) for week in range(weeks, -1, -1)]
    known = [each for each in ends if each is not None]
    if len(known) <= weeks:
        return None
    return [max(after - before, 0) for before, after in pairwise(known)]


def shifted(rises: list[float], weeks: int, deviations: float, share: float) -> bool:
    """Tell whether the last `weeks` of some rises differ from those before."""
    usual = median(rises[:-weeks])
    deviation = median(abs(each - usual) for each in rises[:-weeks])
    change = abs(median(rises[-weeks:]) - usual)
    return change > deviations * deviation and change > share * usual


__all__ = ["NotCharging", "Overstay", "Silent", "SilentFor", "StayAtMost", "WeeklyShift"]
