"""The functions that turn one value into another: numbers, text, booleans, ids.

A function takes a value that is present and returns one, or None where that is what the mapping asks for. What it
cannot read raises Unusable, which says which rule was broken and by what; the compiled mapping adds the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

_PLAIN_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_SAFE_KEY: Final = re.compile(r"[A-Za-z0-9._*-]+")
_NOT_SLUG: Final = re.compile(r"[^a-z0-9]+")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_INT64: Final = 2**63
_SHOWN: Final = 80


class Unusable(Exception):
    """A value breaks the rule that reads it."""

    def __init__(self, rule: str, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.value = value
        self.reason = reason


def shown(value: Any) -> str:
    """Return a value as an error message shows it: short, and quoted where it is text."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def number(value: Any) -> int | float:
    """Return a number: itself, or a text of digits with a decimal point, exactly as the shortest int or float."""
    kind = value.__class__
    if kind is str:
        return _number_of_text(value)
    if kind is float:
        if value - value != 0:
            raise Unusable("number", value, "is not finite")
        return value  # type: ignore[no-any-return]
    if kind is int:
        return _int64(value)
    if kind is Decimal:
        return shortest(value)
    raise Unusable("number", value, "is no number")


def _number_of_text(value: str) -> int | float:
    if not _PLAIN_NUMBER.fullmatch(value):
        raise Unusable("number", value, "is no number")
    if "." in value or "e" in value or "E" in value:
        found = float(value)
        if found - found != 0:
            raise Unusable("number", value, "is too large")
        return found if not found.is_integer() or abs(found) >= _INT64 else int(found)
    return _int64(int(value))


def _int64(value: int) -> int:
    if not -_INT64 <= value < _INT64:
        raise Unusable("number", value, "does not fit 64 bits")
    return value


def number_format(decimal: str, thousands: str) -> Callable[[Any], int | float]:
    """Return a reader of numbers with this decimal sign and this separator of thousands ("" for none)."""

    def read(value: Any) -> int | float:
        if value.__class__ is not str:
            return number(value)
        text = value.strip()
        if thousands:
            whole, _, rest = text.partition(decimal)
            groups = whole.lstrip("+-").split(thousands)
            if len(groups) > 1 and (not 1 <= len(groups[0]) <= 3 or any(len(g) != 3 for g in groups[1:])):
                raise Unusable("number", value, f"has thousands that {thousands!r} does not part by three")
            text = whole.replace(thousands, "") + (decimal + rest if rest else "")
        if decimal != "." and "." in text:
            raise Unusable("number", value, f"has a point where {decimal!r} is the decimal sign")
        return number(text.replace(decimal, "."))

    return read


def exact(value: Any) -> Decimal:
    """Return a number as the decimal that its shortest text says, so that no binary rounding enters."""
    if value.__class__ is float:
        return Decimal(repr(value))
    if value.__class__ is str and not _PLAIN_NUMBER.fullmatch(value):
        raise Unusable("number", value, "is no number")
    if value.__class__ not in (int, str, Decimal):
        raise Unusable("number", value, "is no number")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise Unusable("number", value, "is no number") from None


def shortest(value: Decimal) -> int | float:
    """Return a decimal as an int where it is whole, else as the float whose shortest text it is."""
    if not value.is_finite():
        raise Unusable("number", str(value), "is not finite")
    if value == value.to_integral_value():
        return _int64(int(value))
    return float(value)


def scaler(factor: Decimal, divisor: Decimal = Decimal(1)) -> Callable[[Any], int | float]:
    """Return a function that multiplies by `factor` / `divisor` in decimal arithmetic."""
    if divisor == 1:
        return lambda value: shortest(exact(value) * factor)
    return lambda value: shortest(exact(value) * factor / divisor)


def rounder(places: int) -> Callable[[Any], int | float]:
    """Return a function that rounds to so many decimal places, half to even."""
    step = Decimal(1).scaleb(-places)

    def rounded(value: Any) -> int | float:
        try:
            return shortest(exact(value).quantize(step, ROUND_HALF_EVEN))
        except InvalidOperation:
            raise Unusable("round", value, "is too large to round") from None

    return rounded


def integer(value: Any) -> int:
    """Return a whole number: an int, or a number or text without a fraction ("6332.0" is 6332)."""
    if value.__class__ is int:
        return _int64(value)
    found = number(value)
    if found.__class__ is float:
        if not found.is_integer():
            raise Unusable("integer", value, "is no whole number")
        return _int64(int(found))
    return int(found)


def boolean(value: Any) -> bool:
    """Return a boolean: itself, or the text true or false."""
    if value is True or value is False:
        return bool(value)
    if value == "true":
        return True
    if value == "false":
        return False
    raise Unusable("boolean", value, "is no boolean")


def boolean_words(true: list[Any], false: list[Any]) -> Callable[[Any], bool]:
    """Return a reader of booleans written with these words."""

    def read(value: Any) -> bool:
        if value in true:
            return True
        if value in false:
            return False
        raise Unusable("boolean", value, "is none of " + ", ".join(map(repr, true + false)))

    return read


def text(value: Any) -> str:
    """Return text: itself, or a whole number's digits."""
    if value.__class__ is str:
        return value
    if value.__class__ is int:
        return str(value)
    if value.__class__ is float and value.is_integer():
        return str(int(value))
    if value.__class__ is float:
        return repr(value)
    raise Unusable("text", value, "is no text")


def uri(value: Any) -> str:
    """Return an absolute URI."""
    if value.__class__ is str and _URI.fullmatch(value):
        return value
    raise Unusable("uri", value, "is no absolute URI")


def slug(value: Any) -> str:
    """Return text as lower-case words of letters and digits joined by hyphens, for a key made of a name."""
    found = _slug_of(text(value))
    if not found:
        raise Unusable("slug", value, "has no letter or digit")
    return found


@lru_cache(4096)
def _slug_of(written: str) -> str:
    return _NOT_SLUG.sub("-", written.lower()).strip("-")


def urn(prefix: str, parts: tuple[Any, ...]) -> str | None:
    """Return an entity id: the parts percent-encoded and joined by colons; None where a part is absent."""
    encoded = []
    for part in parts:
        if part is None or part == "":
            return None
        key = part if part.__class__ is str else text(part)
        encoded.append(key if _SAFE_KEY.fullmatch(key) else quote(key, safe="*", errors="surrogatepass"))
    return prefix + ":".join(encoded)


def dig(document: Any, parts: tuple[tuple[str, int], ...]) -> Any:
    """Return the value below `document` at a path; each part is a member's name and its number as an array index."""
    for name, index in parts:
        if document.__class__ is dict:
            document = document.get(name)
        elif document.__class__ is list and 0 <= index < len(document):
            document = document[index]
        else:
            return None
    return document


def items(value: Any) -> list[Any]:
    """Return the items of an array; one that is absent has none."""
    if value is None:
        return []
    if value.__class__ is list:
        return value
    raise Unusable("each", value, "is no array")


def without_nulls(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return an object without its absent members, or None where nothing is left."""
    return {k: v for k, v in value.items() if v is not None} or None


def list_without_nulls(value: list[Any]) -> list[Any] | None:
    """Return an array without its absent items, or None where nothing is left."""
    return [v for v in value if v is not None] or None


def point(longitude: Any, latitude: Any) -> dict[str, Any] | None:
    """Return a GeoJSON Point in WGS 84, or None where both coordinates are absent."""
    if longitude is None and latitude is None:
        return None
    if longitude is None or latitude is None:
        raise Unusable("point", [longitude, latitude], "has only one coordinate")
    lon, lat = number(longitude), number(latitude)
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise Unusable("point", [lon, lat], "lies outside longitude -180..180, latitude -90..90")
    return {"type": "Point", "coordinates": [lon, lat]}


def geometry(value: Any) -> dict[str, Any]:
    """Return a GeoJSON geometry as it was sent."""
    if value.__class__ is dict and isinstance(value.get("type"), str) and isinstance(value.get("coordinates"), list):
        return value
    raise Unusable("geometry", value, "is no GeoJSON geometry")


def less(left: Any, right: Any) -> bool:
    """Return whether both are present and the first is the smaller one."""
    if left is None or right is None:
        return False
    try:
        return bool(left < right)
    except TypeError:
        raise Unusable("less", [left, right], "cannot be compared") from None


def among(value: Any, choices: list[Any]) -> bool:
    """Return whether a value is one of the choices."""
    return value in choices


def joined(parts: tuple[Any, ...]) -> str | None:
    """Return the parts of a template as one text, or None where one is absent."""
    for part in parts:
        if part is None:
            return None
    return "".join([part if part.__class__ is str else text(part) for part in parts])


def cleaner(nulls: frozenset[tuple[type, Any]], trim: bool) -> Callable[[Any], Any]:
    """Return a function that makes a source's own words for "no value" None, and trims text if asked."""

    def clean(value: Any) -> Any:
        if trim and value.__class__ is str:
            value = value.strip()
        if value.__class__ in _SCALARS and (value.__class__, value) in nulls:
            return None
        return value

    return clean


_SCALARS: Final = (str, int, float, bool)
