"""Conversion of units: from what a source sends to the one unit that the CIM gives an attribute, exact in decimals.

Units are named by their UCUM code. Each stands with its dimension and its size in that dimension's base as a ratio of
two decimals; temperatures have an offset as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from adapters.mapping.values import exact, scaler, shortest


@dataclass(frozen=True, slots=True)
class _Unit:
    dimension: str
    factor: Decimal
    divisor: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)


def _unit(dimension: str, factor: str, divisor: str = "1", offset: str = "0") -> _Unit:
    return _Unit(dimension, Decimal(factor), Decimal(divisor), Decimal(offset))


_UNITS: Final = {
    "W.h": _unit("energy", "1"),
    "kW.h": _unit("energy", "1000"),
    "MW.h": _unit("energy", "1000000"),
    "kJ": _unit("energy", "1000", "3600"),
    "MJ": _unit("energy", "1000000", "3600"),
    "W": _unit("power", "1"),
    "kW": _unit("power", "1000"),
    "MW": _unit("power", "1000000"),
    "mV": _unit("voltage", "0.001"),
    "V": _unit("voltage", "1"),
    "kV": _unit("voltage", "1000"),
    "mA": _unit("current", "0.001"),
    "A": _unit("current", "1"),
    "s": _unit("time", "1"),
    "ms": _unit("time", "0.001"),
    "min": _unit("time", "60"),
    "h": _unit("time", "3600"),
    "d": _unit("time", "86400"),
    "m": _unit("length", "1"),
    "mm": _unit("length", "0.001"),
    "km": _unit("length", "1000"),
    "[mi_i]": _unit("length", "1609.344"),
    "m2": _unit("area", "1"),
    "[sft_i]": _unit("area", "0.09290304"),
    "g": _unit("mass", "0.001"),
    "kg": _unit("mass", "1"),
    "t": _unit("mass", "1000"),
    "%": _unit("share", "1"),
    "1": _unit("share", "100"),
    "Cel": _unit("temperature", "1"),
    "K": _unit("temperature", "1", offset="-273.15"),
    "[degF]": _unit("temperature", "5", "9", offset="-32"),
    "m.s-1": _unit("speed", "1"),
    "km.h-1": _unit("speed", "1000", "3600"),
    "[kn_i]": _unit("speed", "1852", "3600"),
    "Pa": _unit("pressure", "0.01"),
    "hPa": _unit("pressure", "1"),
    "kPa": _unit("pressure", "10"),
    "kW.h/(100.km)": _unit("consumption", "1"),
    "W.h.km-1": _unit("consumption", "0.1"),
    "W.m-2": _unit("irradiance", "1"),
    "kW.m-2": _unit("irradiance", "1000"),
}


def converter(source: str, target: str) -> Callable[[Any], int | float]:
    """Return a function from one unit to another; raises ValueError where there is none."""
    for name in (source, target):
        if name not in _UNITS:
            raise ValueError(f"the unit {name!r} is not known; known are {', '.join(_UNITS)}")
    old, new = _UNITS[source], _UNITS[target]
    if old.dimension != new.dimension:
        raise ValueError(f"{source} is a unit of {old.dimension}, {target} of {new.dimension}")
    factor, divisor = old.factor * new.divisor, old.divisor * new.factor
    if old.offset == new.offset == 0:
        return scaler(*_lowest(factor, divisor))
    shift, back = old.offset, new.offset
    return lambda value: shortest((exact(value) + shift) * factor / divisor - back)


def _lowest(factor: Decimal, divisor: Decimal) -> tuple[Decimal, Decimal]:
    """Return the ratio with divisor 1 where the quotient is exact, so that no digit is lost."""
    quotient = factor / divisor
    return (quotient, Decimal(1)) if quotient * divisor == factor else (factor, divisor)
