"""Which index rows an entity has (decision 5): the one truth that the writer and the query translation share.

Every instance of a first-level attribute has at least one value row; the members of an array and the texts of a
languageMap have one each, counted by `seq`. Columns by kind:

    NUMBER, BOOLEAN              num (a boolean as 0 or 1)
    STRING, URI                  txt
    DATE_TIME, DATE, TIME        strings in that form: txt, and tim in microseconds since 1970 UTC, or since midnight
    LONG_STRING, LONG_URI        txt holds the first bytes only
    OTHER, NULL                  nothing: compound values and geometries; a null inside JSON
    UNINDEXED                    tim is UNINDEXED_MARK: an array with too many members, to be read in the document

`kind` has MEMBER added where the row is of a member of an array, for only a scalar can be compared by order.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from context_api.storage.codec import json_text
from ngsild.entity import Instance
from ngsild.names import parse_date, parse_date_time, parse_time
from ngsild.query.geo import shape_of
from ngsild.query.sphere import bounds
from ngsild.query.target import Element, instance_target
from ngsild.query.target import Kind as TargetKind

MAX_TEXT_BYTES = 256
#: A longer text keeps at least this many bytes: a UTF-8 character has up to four.
MIN_PREFIX_BYTES = MAX_TEXT_BYTES - 3
#: Characters of a text that has not more bytes in any language.
_SURELY_SHORT = MAX_TEXT_BYTES // 4
MAX_MEMBERS = 100
MEMBER = 16
UNINDEXED_MARK = -(1 << 63)


class Kind(IntEnum):
    """`value.kind`; a stored number, so it never changes its meaning."""

    OTHER = 0
    NUMBER = 1
    BOOLEAN = 2
    STRING = 3
    DATE_TIME = 4
    DATE = 5
    TIME = 6
    URI = 7
    LONG_STRING = 8
    LONG_URI = 9
    UNINDEXED = 10
    NULL = 11


Columns = tuple[int, float | None, str | None, int | None]
"""(kind, num, txt, tim) of a row of table `value`."""
Box = tuple[float, float, float, float]
"""(min_x, max_x, min_y, max_y) in degrees."""

_MOMENTS = ((Kind.DATE_TIME, parse_date_time), (Kind.DATE, parse_date), (Kind.TIME, parse_time))
_NUMBER = int(Kind.NUMBER)


def value_columns(instance: Instance) -> list[Columns]:
    """Return what is stored of each value row of an instance, in the order of `seq`."""
    # Nearly every value is one string or number of a Property or one URI of a Relationship: those go the short way.
    value: Any = instance.get("value")
    kind = type(value)
    if kind is str:
        return [_text(value, Kind.STRING, Kind.LONG_STRING, 0)]
    if kind is float or kind is int:
        return [(_NUMBER, float(value), None, None)]
    if value is None and type(uri := instance.get("object")) is str:
        return [_text(uri, Kind.URI, Kind.LONG_URI, 0)]
    target = instance_target(instance)
    if target is None or len(target.members) + len(target.scalars) > MAX_MEMBERS:
        return [(Kind.UNINDEXED, None, None, UNINDEXED_MARK)]
    rows = [_element(element, 0) for element in target.scalars]
    rows += [_element(element, MEMBER) for element in target.members]
    return rows or [(Kind.OTHER + MEMBER, None, None, None)]


def _element(element: Element, flag: int) -> Columns:
    match element.kind:
        case TargetKind.NUMBER:
            return Kind.NUMBER + flag, element.value, None, None
        case TargetKind.BOOLEAN:
            return Kind.BOOLEAN + flag, float(element.value), None, None
        case TargetKind.STRING:
            return _text(element.value, Kind.STRING, Kind.LONG_STRING, flag)
        case TargetKind.URI:
            return _text(element.value, Kind.URI, Kind.LONG_URI, flag)
        case TargetKind.NULL:
            return Kind.NULL + flag, None, None, None
    return Kind.OTHER + flag, None, None, None


def _text(text: str, short: Kind, long: Kind, flag: int) -> Columns:
    if len(text) > _SURELY_SHORT and len(raw := text.encode()) > MAX_TEXT_BYTES:
        return long + flag, None, raw[:MAX_TEXT_BYTES].decode(errors="ignore"), None
    if short is Kind.STRING and (text[4:5] == "-" or text[2:3] == ":"):
        for kind, parse in _MOMENTS:
            moment = parse(text)
            if moment is not None:
                return kind + flag, None, text, moment
    return short + flag, None, text, None


def geometry_columns(instance: Instance) -> tuple[str, Box] | None:
    """Return GeoJSON and bounding box of a GeoProperty, None where there is nothing to find by its place."""
    geometry = instance["value"]
    if geometry["type"] == "Point":
        x, y = map(float, geometry["coordinates"][:2])
        return json_text(geometry), (x, x, y, y)
    shape = shape_of(geometry)
    if shape is None or shape.is_empty:
        return None
    box = bounds(shape)
    return json_text(geometry), (box.min_x, box.max_x, box.min_y, box.max_y)
