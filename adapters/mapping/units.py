"""Conversion of units in mappings: values of any kind that is a number become numbers of another unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.mapping.values import exact, scaler, shortest
from ontology.conversion import conversion


def converter(source: str, target: str) -> Callable[[Any], int | float]:
    """Return a function from one unit to another, by their UCUM codes; raises ValueError where there is none."""
    found = conversion(source, target)
    if found.shift == found.back == 0:
        return scaler(found.factor, found.divisor)
    return lambda value: shortest(found(exact(value)))
