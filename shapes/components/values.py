"""Components on scalars at any path: times that can be, steps, check digits; and positions of instances."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor, isfinite
from typing import Any

from ngsild.rdf import COORDINATES, FIRST, REST
from shapes import terms
from shapes.components.component import Asked, Component, Fault, Given, Parameter, Scope
from shapes.components.nodes import members, moment, number, values
from shapes.components.sparql import duration
from shapes.components.sparql import moment as moment_text
from shapes.shape import Term

_IT = "\0"
_NUMBERS, _MOMENTS = frozenset({"int", "float"}), frozenset({"str", "moment"})
#: Geometries of several positions, of which none is asked where it is.
_EXTENDED = frozenset({"MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"})
_COUNTRY = "<https://schema.org/addressCountry>"


def _each(wrong: Callable[[Term, Given], bool]) -> Callable[[Asked], Iterator[Fault]]:
    def faults(asked: Asked) -> Iterator[Fault]:
        return (Fault(value) for value in asked.values if wrong(value, asked.given))

    return faults


# Times that can be


def _impossible(value: Term, given: Given) -> bool:
    seconds = moment(terms.text_of(value) or "")
    if seconds is None:
        return False
    ahead, earliest = float(given["notAfterNow"]), str(given.get("notBefore", ""))
    return seconds > time.time() + ahead or (terms.text_of(value) or "")[:10] < earliest


def _surely_possible(given: Given, name: Callable[..., str]) -> tuple[frozenset[str], str]:
    soon = name(Soon(given["notAfterNow"]))
    earliest = f"{given['notBefore']!r} <= " if "notBefore" in given else ""
    return _MOMENTS, f"{earliest}{_IT} < {soon}"


@dataclass(frozen=True, slots=True)
class Soon:
    """What comes some seconds after now; in compiled text its name stands for the text."""

    ahead: float

    def text(self, now: float) -> str:
        """Return a text that comes after all moments that are not too late; an older one only says less."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + self.ahead))


POSSIBLE_TIME = Component(
    "PossibleTime",
    "A moment is not in the future, nor before another.",
    (
        Parameter("notAfterNow", "number", "seconds after now that it may be"),
        Parameter("notBefore", "text", "the earliest date, such as 2010-01-01", optional=True),
    ),
    f"""  $this $PATH ?value .
  BIND({moment_text("?value")} AS ?t)
  FILTER(?t > NOW() + {duration("notAfterNow")} || SUBSTR(STR(?t), 1, 10) < $notBefore)""",
    _each(_impossible),
    scalar=_surely_possible,
)


# Steps


def _between_steps(value: Term, given: Given) -> bool:
    found = number(value)
    return found is not None and not _is_multiple(found, given["multipleOf"], 1e-6)


def _is_multiple(value: float, step: float, slack: float) -> bool:
    steps = value / step
    return isfinite(steps) and abs(steps - floor(steps + 0.5)) * step <= slack


def _surely_multiple(given: Given, name: Callable[..., str]) -> tuple[frozenset[str], str]:
    step = float(given["multipleOf"])

    def test(value: float) -> bool:
        return _is_multiple(value, step, 1e-7)

    return _NUMBERS, f"{name(test, ('multiple', step))}({_IT})"


MULTIPLE_OF = Component(
    "MultipleOf",
    "A number is a multiple of a step, within a millionth.",
    (Parameter("multipleOf", "number", "the step", positive=True),),
    """  $this $PATH ?value .
  FILTER(isNumeric(?value))
  BIND(xsd:double(?value) / xsd:double($multipleOf) AS ?steps)
  FILTER(!(ABS(?steps - FLOOR(?steps + 0.5e0)) * xsd:double($multipleOf) <= 1e-6))""",
    _each(_between_steps),
    scalar=_surely_multiple,
)


# Check digits

_DIGITS = re.compile("[0-9]{2,24}")


def _misspelt(value: Term, given: Given) -> bool:
    text = terms.text_of(value) or ""
    return bool(given["checkDigit"]) and _DIGITS.fullmatch(text) is not None and not _has_check_digit(text)


def _has_check_digit(digits: str) -> bool:
    """Tell whether the last digit is the one of ISO/IEC 7812-1, annex B (Luhn)."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(each - 9 if each > 9 else each for each in doubled)) % 10 == 0


def _surely_spelt(given: Given, name: Callable[..., str]) -> tuple[frozenset[str], str]:
    def test(text: str) -> bool:
        return not _DIGITS.fullmatch(text) or _has_check_digit(text)

    return frozenset({"str"}), f"{name(test, 'check digit')}({_IT})"


def _digit(place: int) -> str:
    digit = f"xsd:integer(SUBSTR(?digits, {place}, 1))"
    if place % 2 == 0:
        return digit
    return f"IF({digit} > 4, 2 * {digit} - 9, 2 * {digit})"


CHECK_DIGIT = Component(
    "CheckDigit",
    "The last digit of a number of up to 24 digits is its check digit after Luhn (ISO/IEC 7812-1).",
    (Parameter("checkDigit", "flag", "whether it is asked"),),
    """  $this $PATH ?value .
  FILTER($checkDigit && REGEX(STR(?value), "^[0-9]{2,24}$"))
  BIND(SUBSTR(CONCAT("000000000000000000000000", STR(?value)), STRLEN(STR(?value)) + 1, 24) AS ?digits)
  BIND("""
    + "\n    + ".join(_digit(place) for place in range(1, 25))
    + """ AS ?sum)
  FILTER(?sum - 10 * FLOOR(?sum / 10) != 0)""",
    _each(_misspelt),
    scalar=_surely_spelt,
)


# Positions


def _misplaced(asked: Asked) -> Iterator[Fault]:
    data, given = asked.data, asked.given
    if "inCountry" in given and not any(
        terms.text_of(country) == given["inCountry"]
        for address in data.values(asked.focus, given["byAddress"])
        for country in members(data, address, _COUNTRY)
    ):
        return
    for node in asked.values:
        heads = [head for value in values(data, node) for head in data.values(value, COORDINATES)]
        if any(_out_of_place(asked, head, given) for head in heads):
            yield Fault(node)


def _out_of_place(asked: Asked, head: Term, given: Given) -> bool:
    data = asked.data
    longitudes = [found for term in data.values(head, FIRST) if (found := number(term)) is not None]
    latitudes = [
        found
        for rest in data.values(head, REST)
        for term in data.values(rest, FIRST)
        if (found := number(term)) is not None
    ]
    return any(
        _in_box(longitude, latitude, given) is bool(given.get("outside"))
        for longitude in longitudes
        for latitude in latitudes
    )


def _in_box(longitude: float, latitude: float, given: Given) -> bool:
    return bool(given["west"] <= longitude <= given["east"] and given["south"] <= latitude <= given["north"])


def _surely_placed(given: Given, scope: Scope) -> str:
    value, kind, _ = scope.own
    key = tuple(sorted(given.items()))
    held = f"{kind} is dict and {scope.name(_point(given), ('point', key))}({value})"
    if "inCountry" not in given:
        return f"{value} is None or {held}"
    address = scope.operand(given["byAddress"])
    elsewhere = scope.name(_elsewhere(given["inCountry"]), ("elsewhere", given["inCountry"]))
    return f"{value} is None or {address.value} is None or {elsewhere}({address.value}) or {held}"


def _point(given: Given) -> Callable[[dict[str, Any]], bool]:
    def test(value: dict[str, Any]) -> bool:
        if value.get("type") in _EXTENDED and len(value) == 2:
            return True
        if value.get("type") != "Point" or len(value) != 2:
            return False
        longitude, latitude = value["coordinates"][:2]
        return _in_box(longitude, latitude, given) is not bool(given.get("outside"))

    return test


def _elsewhere(country: str) -> Callable[[Any], bool]:
    def test(address: Any) -> bool:
        held = address.get(_COUNTRY[1:-1]) if type(address) is dict else None
        return type(held) is str and held != country

    return test


BOX = Component(
    "Box",
    "A point lies in a box of longitudes and latitudes, or outside it; perhaps only in one country.",
    (
        Parameter("west", "number", "the least longitude, in degrees"),
        Parameter("south", "number", "the least latitude"),
        Parameter("east", "number", "the greatest longitude"),
        Parameter("north", "number", "the greatest latitude"),
        Parameter("outside", "flag", "it lies outside", optional=True),
        Parameter("byAddress", "iri", "the attribute with the address", optional=True),
        Parameter("inCountry", "text", "only where the address is in this country (ISO 3166-1)", optional=True),
    ),
    """  $this $PATH ?value .
  ?value ngsi-ld:hasValue/geojson:coordinates ?point .
  ?point rdf:first ?longitude .
  ?point rdf:rest/rdf:first ?latitude .
  FILTER(isNumeric(?longitude) && isNumeric(?latitude))
  BIND(xsd:double(?longitude) AS ?x)
  BIND(xsd:double(?latitude) AS ?y)
  FILTER((?x >= xsd:double($west) && ?x <= xsd:double($east) && ?y >= xsd:double($south) && ?y <= xsd:double($north))
    = COALESCE($outside, false))
  FILTER(IF(BOUND($inCountry), EXISTS {
    $this $byAddress ?address .
    ?address ngsi-ld:hasValue/<https://schema.org/addressCountry> ?country .
    FILTER(STR(?country) = $inCountry)
  }, true))""",
    _misplaced,
    _surely_placed,
)
