"""The constraint components by the parameter that names them; components.ttl says what each means."""

from __future__ import annotations

from collections.abc import Mapping

from shapes.surroundings.links import OnlyIfLinked, OtherThan, WithinPower
from shapes.surroundings.shape import Constraint
from shapes.surroundings.steps import EnergyStep, NeverFalls, NeverFallsWithinDay, RiseAtMost

CONSTRAINTS: Mapping[str, type[Constraint]] = {
    "neverFalls": NeverFalls,
    "neverFallsWithinDay": NeverFallsWithinDay,
    "energyStep": EnergyStep,
    "riseAtMost": RiseAtMost,
    "withinPower": WithinPower,
    "onlyIfLinked": OnlyIfLinked,
    "otherThan": OtherThan,
}
