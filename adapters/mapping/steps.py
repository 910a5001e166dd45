"""The closed library of steps: what a mapping may do to a value on its way from the record to an attribute.

Each step is declared once here: the name by which a mapping calls it, how its arguments become a function, and whether
the function may answer None. mapping.schema.json describes the same steps for editors; a test holds the two together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import re2

from adapters.mapping import times, units, values
from adapters.mapping.pseudonyms import pseudonymiser
from adapters.mapping.values import Unusable


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know when it is compiled."""

    schemes: Mapping[str, Mapping[Any, Any]]
    zone: str | None
    key: bytes | None
    dropped: Counter[str]
    unit: str | None = None
    """UCUM code of the unit of the attribute that the value is for."""
    place: str = ""
    functions: Callable[[Any], tuple[Callable[[Any], Any], bool]] | None = None
    """Compiles a step inside another one."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step: `make` turns its arguments into a function; `operands` names arguments that are expressions."""

    make: Callable[[Any, StepContext], Callable[..., Any]]
    nullable: bool = False
    operands: tuple[str, ...] = field(default=())


def _number(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    if arguments is None:
        return values.number
    decimal, thousands = arguments.get("decimal", "."), arguments.get("thousands", "")
    if decimal == thousands:
        raise ValueError("decimal and thousands are the same sign")
    return values.number_format(decimal, thousands)


def _scale(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    try:
        factor = Decimal(str(arguments))
    except InvalidOperation:
        raise ValueError(f"{arguments!r} is no number") from None
    if not factor.is_finite() or factor == 0:
        raise ValueError(f"{arguments!r} is no factor")
    return values.scaler(factor)


def _unit(arguments: Any, context: StepContext) -> Callable[[Any], Any]:
    source, target = (arguments, context.unit) if isinstance(arguments, str) else (arguments["from"], arguments["to"])
    if target is None:
        raise ValueError("the CIM gives the attribute no unit; write {from: ..., to: ...}")
    return units.converter(source, target)


def _layouts(arguments: Any) -> list[str]:
    written = arguments["format"] if isinstance(arguments, dict) else arguments
    return [written] if isinstance(written, str) else list(written)


def _datetime(arguments: Any, context: StepContext) -> Callable[..., Any]:
    name = arguments.get("zone", context.zone) if isinstance(arguments, dict) else context.zone
    return times.datetime_reader(_layouts(arguments), times.zone(name) if name else None)


def _time_of_day(arguments: Any, context: StepContext) -> Callable[..., Any]:
    name = arguments.get("zone", context.zone)
    if name is None:
        raise ValueError("a time of day needs a zone")
    local = times.zone(name)

    def at(value: Any, day: Any, clock: times.DayClock) -> Any:
        return clock.at(value, day, local)

    return at


def _lookup(arguments: Any, context: StepContext) -> Callable[[Any], Any]:
    name = arguments if isinstance(arguments, str) else arguments["scheme"]
    if name not in context.schemes:
        raise ValueError(f"there is no scheme {name!r}; there are {', '.join(sorted(context.schemes))}")
    found = context.schemes[name]
    strict = isinstance(arguments, str) or "otherwise" not in arguments
    otherwise = None if strict else arguments["otherwise"]

    def lookup(value: Any) -> Any:
        if value.__class__ in (str, int, bool) and value in found:
            return found[value]
        if strict:
            raise Unusable(f"lookup {name}", value, f"is not in the scheme {name}")
        return otherwise

    return lookup


def _null_values(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    nulls = frozenset(arguments)
    return lambda value: None if value.__class__ in (str, int, float) and value in nulls else value


def _extract(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    try:
        pattern = re2.compile(arguments)
    except re2.error as error:
        raise ValueError(f"the pattern {arguments!r} is wrong: {error}") from None
    if pattern.groups != 1:
        raise ValueError(f"the pattern {arguments!r} needs one group")

    def extract(value: Any) -> str | None:
        match = pattern.search(values.text(value))
        return match.group(1) if match else None

    return extract


def _replace(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    old, new = arguments["old"], arguments["new"]
    return lambda value: values.text(value).replace(old, new)


def _split(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    def split(value: Any) -> list[str] | None:
        return [part for part in (p.strip() for p in values.text(value).split(arguments)) if part] or None

    return split


def _item(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    def item(value: Any) -> Any:
        found = values.items(value)
        return found[arguments] if -len(found) <= arguments < len(found) else None

    return item


def _map(arguments: Any, context: StepContext) -> Callable[[Any], Any]:
    if context.functions is None:
        raise ValueError("a step map cannot stand here")
    functions = [context.functions(step)[0] for step in arguments]

    def one(value: Any) -> Any:
        for function in functions:
            if value is None:
                return None
            value = function(value)
        return value

    return lambda value: [found for found in map(one, values.items(value)) if found is not None] or None


def _join(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    return lambda value: arguments.join(map(values.text, values.items(value)))


def _boolean(arguments: Any, _: StepContext) -> Callable[[Any], Any]:
    if arguments is None:
        return values.boolean
    return values.boolean_words(arguments["trueWords"], arguments["falseWords"])


def _pseudonym(arguments: Any, context: StepContext) -> Callable[[Any], Any]:
    missing = "drop" if arguments is None else arguments["missing"]
    return pseudonymiser(context.key, missing, context.dropped, context.place)


def _unique(value: Any) -> list[Any]:
    found: list[Any] = []
    for item in values.items(value):
        if item not in found:
            found.append(item)
    return found


def _max(value: Any) -> Any:
    return max((values.number(item) for item in values.items(value)), default=None)


def _flatten(value: Any) -> list[Any]:
    return [inner for item in values.items(value) for inner in (item if item.__class__ is list else [item])]


def _plain(function: Callable[[Any], Any], nullable: bool = False) -> Step:
    """Return a step without arguments."""
    return Step(lambda _, __: function, nullable)


STEPS: Final[dict[str, Step]] = {
    "boolean": Step(_boolean),
    "date": Step(lambda arguments, _: times.date_reader(_layouts(arguments))),
    "datetime": Step(_datetime, operands=("notBefore",)),
    "duration": _plain(times.duration),
    "epoch": Step(lambda arguments, _: times.epoch_reader(arguments)),
    "extract": Step(_extract, nullable=True),
    "flatten": _plain(_flatten),
    "integer": _plain(values.integer),
    "item": Step(_item, nullable=True),
    "join": Step(_join),
    "lookup": Step(_lookup, nullable=True),
    "lower": _plain(lambda value: values.text(value).lower()),
    "map": Step(_map, nullable=True),
    "max": _plain(_max, nullable=True),
    "nullValues": Step(_null_values, nullable=True),
    "number": Step(_number),
    "pseudonym": Step(_pseudonym, nullable=True),
    "replace": Step(_replace),
    "round": Step(lambda arguments, _: values.rounder(arguments)),
    "scale": Step(_scale),
    "slug": _plain(values.slug),
    "split": Step(_split, nullable=True),
    "text": _plain(values.text),
    "timeOfDay": Step(_time_of_day, operands=("date",)),
    "trim": _plain(lambda value: values.text(value).strip() or None, nullable=True),
    "unique": _plain(_unique),
    "unit": Step(_unit),
    "upper": _plain(lambda value: values.text(value).upper()),
}
