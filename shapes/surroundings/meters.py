"""Constraints that hold energies, costs and emissions of an entity against meters, prices and factors elsewhere."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ngsild.entity import Entity
from shapes.surroundings.facts import DAY, SECOND, Series, Surroundings, as_number, moment, number, observed, targets
from shapes.surroundings.links import numbers
from shapes.surroundings.needs import Needs, Related, Route, SeriesNeed
from shapes.surroundings.shape import Constraint, Fault, SurroundingShape, term_of
from shapes.surroundings.steps import PAIR, StepConstraint

_CIM = "https://w3id.org/voltweave/cim#"
TO_SITE: Route = (f"{_CIM}evse", f"{_CIM}station", f"{_CIM}site")
TO_CARBON_INTENSITY: Route = (*TO_SITE, f"{_CIM}gridConnection", f"{_CIM}carbonIntensity")
_START, _END, _ENERGY = f"{_CIM}startDateTime", f"{_CIM}endDateTime", f"{_CIM}energyDelivered"
_CONTRACT, _SITE = f"{_CIM}EnergySupplyContract", f"{_CIM}site"


def at_or_before(series: Series, time: int) -> float | None:
    """Return the number that a series had at a time: of the last sample up to it."""
    at = bisect_right(series, time, key=lambda each: each.time)
    return as_number(series[at - 1].value) if at else None


class Metered(Constraint):
    """An energy is what the register `metered` of the entity at `link` rose by from `start` to `end` (+ `grace` s).

    It may differ by `absolute` or the share `relative`. Judged where the register was read up to the start, and again
    after it, and did not fall.
    """

    required = ("link", "start", "end", "grace", "absolute", "relative")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._register, self._route = shape.text("metered"), shape.route()
        self._start, self._end = shape.text("start"), shape.text("end")
        self._grace = round(shape.number("grace") * SECOND)
        self._absolute, self._relative = shape.number("absolute"), shape.number("relative")
        need = SeriesNeed(0, between=(self._start, self._end))
        histories = {(self._route, self._register): (need,)}
        self.needs = Needs(judged=True, links=frozenset({self._route}), histories=histories)
        self.triggers |= {self._start, self._end, self._route[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        start, end = moment(about.entity, self._start), moment(about.entity, self._end)
        if start is None or end is None:
            return
        for meter in about.along(self._route):
            series = about.linked_samples(meter, self._register)
            was, becomes = at_or_before(series, start), at_or_before(series, end + self._grace)
            read_again = any(start < each.time <= end + self._grace for each in series)
            if was is None or becomes is None or not read_again or becomes < was:
                continue
            for value, dataset in numbers(about, self.attribute):
                if abs(value - (becomes - was)) > max(self._absolute, self._relative * abs(value)):
                    yield Fault(term_of(value), dataset)


class WithinInput(StepConstraint):
    """What a register of output rises by, the register `withinInput` of input rises by at least, but for `resolution`.

    Judged where the input was read up to the begin of the step and from its end on.
    """

    required = ("resolution",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._input, self._resolution = shape.text("withinInput"), shape.number("resolution")
        self.needs = Needs(judged=True, series={self.attribute: (PAIR,), self._input: (SeriesNeed(0, DAY),)})
        self.triggers |= {self._input}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        taken = about.samples(self._input)
        for step in self.steps(about):
            was = at_or_before(taken, step.begin.time)
            becomes = next((as_number(each.value) for each in taken if each.time >= step.end.time), None)
            if was is None or becomes is None:
                continue
            if step.becomes - step.was > becomes - was + self._resolution:
                yield step.fault


class EmissionOf(Constraint):
    """An emission (kg) is the energy of a session times the carbon intensity (g/kWh) while it lasted, ± `emissionOf`.

    Where the intensity changed meanwhile, the emission lies between the least and the greatest.
    """

    required = ("intensity",)

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._share, self._intensity = shape.number("emissionOf"), shape.text("intensity")
        histories = {(TO_CARBON_INTENSITY, self._intensity): (SeriesNeed(0, between=(_START, _END)),)}
        self.needs = Needs(judged=True, links=frozenset({TO_CARBON_INTENSITY}), histories=histories)
        self.triggers |= {_ENERGY, _START, _END, TO_SITE[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        energy = number(about.entity, _ENERGY)
        start, end = moment(about.entity, _START), moment(about.entity, _END)
        if energy is None or start is None or end is None:
            return
        for grid in about.along(TO_CARBON_INTENSITY):
            series = about.linked_samples(grid, self._intensity)
            if not series:
                continue
            later = [each.time for each in series[1:]] + [end + 1]
            in_force = [
                energy * value / 1e3
                for each, following in zip(series, later, strict=True)
                if each.time <= end and following > start and (value := as_number(each.value)) is not None
            ]
            if not in_force:
                continue
            least, most = min(in_force) * (1 - self._share), max(in_force) * (1 + self._share)
            for value, dataset in numbers(about, self.attribute):
                if not least <= value <= most:
                    yield Fault(term_of(value), dataset)


class SavingOf(Constraint):
    """A saving (kg) is what a combustion car emits on the way that the energy makes, less the `emission`, ± `savingOf`.

    The car's emission (g/km) and the consumption of an electric one (kWh/100 km) stand beside the carbon intensity.
    """

    required = ("emission", "carEmission", "consumption")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._share, self._emission = shape.number("savingOf"), shape.text("emission")
        self._car, self._consumption = shape.text("carEmission"), shape.text("consumption")
        self.needs = Needs(judged=True, links=frozenset({TO_CARBON_INTENSITY}))
        self.triggers |= {_ENERGY, self._emission, TO_SITE[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        energy, emission = number(about.entity, _ENERGY), number(about.entity, self._emission)
        if energy is None or emission is None:
            return
        for grid in about.along(TO_CARBON_INTENSITY):
            car, consumption = number(grid, self._car), number(grid, self._consumption)
            if car is None or not consumption:
                continue
            expected = energy * 1e2 / consumption * car / 1e3 - emission
            for value, dataset in numbers(about, self.attribute):
                if abs(value - expected) > self._share * abs(expected):
                    yield Fault(term_of(value), dataset)


class CostOf(Constraint):
    """A cost is the energy times the `price` of a contract of the site that held when the session began.

    It may differ by the share `costOf` or by `absolute`. A price that was set after that is not known to have held.
    """

    required = ("price", "absolute", "validFrom", "validTo")

    def __init__(self, shape: SurroundingShape) -> None:
        super().__init__(shape)
        self._share, self._absolute, self._price = shape.number("costOf"), shape.number("absolute"), shape.text("price")
        self._from, self._to = shape.text("validFrom"), shape.text("validTo")
        related = Related(_CONTRACT, _SITE, TO_SITE)
        self.needs = Needs(judged=True, links=frozenset({TO_SITE}), related=frozenset({related}))
        self.triggers |= {_ENERGY, _START, TO_SITE[0]}

    def faults(self, about: Surroundings) -> Iterator[Fault]:
        energy, start = number(about.entity, _ENERGY), moment(about.entity, _START)
        if energy is None or start is None:
            return
        sites = {site.id for site in about.along(TO_SITE)}
        contracts = about.related.get((_CONTRACT, _SITE), ())
        known = [each for each in contracts if not sites.isdisjoint(targets(each, _SITE)) and self._held(each, start)]
        costs = [energy * price for each in known if (price := number(each, self._price)) is not None]
        for value, dataset in numbers(about, self.attribute):
            if costs and all(abs(value - cost) > max(self._absolute, self._share * abs(cost)) for cost in costs):
                yield Fault(term_of(value), dataset)

    def _held(self, contract: Entity, start: int) -> bool:
        begin, end = moment(contract, self._from), moment(contract, self._to)
        changed = observed(contract, self._price)
        in_force = begin is not None and begin <= start and (end is None or start < end)
        return in_force and (changed is None or changed <= start)
