"""The constraint components by the parameter that names them; components.ttl says what each means."""

from __future__ import annotations

from collections.abc import Mapping

from shapes.surroundings import clock, links, meters, sets, steps, windows
from shapes.surroundings.shape import Constraint

CONSTRAINTS: Mapping[str, type[Constraint]] = {
    "neverFalls": steps.NeverFalls,
    "neverFallsWithinDay": steps.NeverFallsWithinDay,
    "energyStep": steps.EnergyStep,
    "riseAtMost": steps.RiseAtMost,
    "withinPower": links.WithinPower,
    "onlyIfLinked": links.OnlyIfLinked,
    "otherThan": links.OtherThan,
    "exists": links.Exists,
    "equalsLinked": links.EqualsLinked,
    "energyOfRise": links.EnergyOfRise,
    "noOverlap": sets.NoOverlap,
    "uniqueAmong": sets.Unique,
    "sumOf": sets.SumOf,
    "spreadOf": sets.SpreadOf,
    "freeOf": sets.FreeOf,
    "logSpaced": sets.LogSpaced,
    "stale": windows.Stale,
    "interpolated": windows.Interpolated,
    "outlier": windows.Outlier,
    "jump": windows.Jump,
    "stagnantWhile": windows.Stagnant,
    "oneValue": windows.OneValue,
    "gap": windows.Gap,
    "metered": meters.Metered,
    "withinInput": meters.WithinInput,
    "emissionOf": meters.EmissionOf,
    "savingOf": meters.SavingOf,
    "costOf": meters.CostOf,
    "silentFor": clock.SilentFor,
    "silent": clock.Silent,
    "notCharging": clock.NotCharging,
    "overstay": clock.Overstay,
    "stayAtMost": clock.StayAtMost,
    "weeklyShift": clock.WeeklyShift,
}
