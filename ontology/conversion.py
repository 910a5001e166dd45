"""Conversion of units: from any that sources use to the one unit that the model gives an attribute, exact in decimals.

Units are named by their UCUM code. Each stands with its dimension and its size in that dimension's base as a ratio of
two decimals; temperatures have an offset as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Final

from ontology import model


@dataclass(frozen=True, slots=True)
class _Scale:
    dimension: str
    factor: Decimal
    divisor: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)


def _scale(dimension: str, factor: str, divisor: str = "1", offset: str = "0") -> _Scale:
    return _Scale(dimension, Decimal(factor), Decimal(divisor), Decimal(offset))


_SCALES: Final = {
    "W.h": _scale("energy", "1"),
    "kW.h": _scale("energy", "1000"),
    "MW.h": _scale("energy", "1000000"),
    "kJ": _scale("energy", "1000", "3600"),
    "MJ": _scale("energy", "1000000", "3600"),
    "W": _scale("power", "1"),
    "kW": _scale("power", "1000"),
    "MW": _scale("power", "1000000"),
    "mV": _scale("voltage", "0.001"),
    "V": _scale("voltage", "1"),
    "kV": _scale("voltage", "1000"),
    "mA": _scale("current", "0.001"),
    "A": _scale("current", "1"),
    "s": _scale("time", "1"),
    "ms": _scale("time", "0.001"),
    "min": _scale("time", "60"),
    "h": _scale("time", "3600"),
    "d": _scale("time", "86400"),
    "m": _scale("length", "1"),
    "mm": _scale("length", "0.001"),
    "km": _scale("length", "1000"),
    "[mi_i]": _scale("length", "1609.344"),
    "m2": _scale("area", "1"),
    "[sft_i]": _scale("area", "0.09290304"),
    "g": _scale("mass", "0.001"),
    "kg": _scale("mass", "1"),
    "t": _scale("mass", "1000"),
    "%": _scale("share", "1"),
    "1": _scale("share", "100"),
    "Cel": _scale("temperature", "1"),
    "K": _scale("temperature", "1", offset="-273.15"),
    "[degF]": _scale("temperature", "5", "9", offset="-32"),
    "m.s-1": _scale("speed", "1"),
    "km.h-1": _scale("speed", "1000", "3600"),
    "[kn_i]": _scale("speed", "1852", "3600"),
    "Pa": _scale("pressure", "0.01"),
    "hPa": _scale("pressure", "1"),
    "kPa": _scale("pressure", "10"),
    "kW.h/(100.km)": _scale("consumption", "1"),
    "W.h.km-1": _scale("consumption", "0.1"),
    "W.m-2": _scale("irradiance", "1"),
    "kW.m-2": _scale("irradiance", "1000"),
}
#: UN/CEFACT Rec 20 codes of units that the model does not use itself.
_FOREIGN_CODES: Final = {
    "2Z": "mV", "3B": "MJ", "4K": "mA", "C26": "ms", "DAY": "d", "FAH": "[degF]", "FTK": "[sft_i]", "HUR": "h",
    "KEL": "K", "KJO": "kJ", "KNT": "[kn_i]", "KPA": "kPa", "KVT": "kV", "MAW": "MW", "MWH": "MW.h", "PAL": "Pa",
    "SMI": "[mi_i]", "TNE": "t",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a number of one unit becomes one of another: (number + shift) * factor / divisor - back."""

    factor: Decimal
    divisor: Decimal
    shift: Decimal
    back: Decimal

    def __call__(self, number: Decimal) -> Decimal:
        """Return a number in the other unit."""
        return (number + self.shift) * self.factor / self.divisor - self.back


def conversion(source: str, target: str) -> Conversion:
    """Return the conversion from one unit to another, by their UCUM codes; raises ValueError where there is none."""
    for name in (source, target):
        if name not in _SCALES:
            raise ValueError(f"the unit {name!r} is not known; known are {', '.join(_SCALES)}")
    old, new = _SCALES[source], _SCALES[target]
    if old.dimension != new.dimension:
        raise ValueError(f"{source} is a unit of {old.dimension}, {target} of {new.dimension}")
    factor, divisor = _lowest(old.factor * new.divisor, old.divisor * new.factor)
    return Conversion(factor, divisor, old.offset, new.offset)


def conversion_of_codes(source: str, target: str) -> Conversion | None:
    """Return the conversion from one unit to another, by their Rec 20 codes; None where there is none."""
    codes = _codes()
    if source not in codes or target not in codes:
        return None
    try:
        return conversion(codes[source], codes[target])
    except ValueError:
        return None


def _lowest(factor: Decimal, divisor: Decimal) -> tuple[Decimal, Decimal]:
    """Return the ratio with divisor 1 where the quotient is exact, so that no digit is lost."""
    quotient = factor / divisor
    return (quotient, Decimal(1)) if quotient * divisor == factor else (factor, divisor)


@cache
def _codes() -> dict[str, str]:
    """Return the UCUM codes of units by their Rec 20 codes."""
    own = {unit.unit_code: unit.ucum for unit in model().units.values() if unit.unit_code and unit.ucum}
    return own | _FOREIGN_CODES
