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

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import orjson

from context_api.storage.codec import microseconds
from ngsild.entity import Entity, Instance, instances
from ngsild.names import parse_date, parse_date_time, parse_time
from ngsild.query.geo import shape_of
from ngsild.query.sphere import bounds
from ngsild.query.target import Element, instance_target
from ngsild.query.target import Kind as TargetKind

MAX_TEXT_BYTES = 256
#: A longer text keeps at least this many bytes: a UTF-8 character has up to four.
MIN_PREFIX_BYTES = MAX_TEXT_BYTES - 3
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


class ValueRow(NamedTuple):
    """A row of table `value`, names not yet interned."""

    attr: str
    dataset: str | None
    seq: int
    kind: int
    num: float | None
    txt: str | None
    tim: int | None
    expires_at: int | None


class GeometryRow(NamedTuple):
    """A row of table `geometry`; `box` is (min_x, max_x, min_y, max_y) in degrees."""

    attr: str
    dataset: str | None
    seq: int
    geojson: str
    box: tuple[float, float, float, float]


class IndexRows(NamedTuple):
    values: list[ValueRow]
    geometries: list[GeometryRow]


_Columns = tuple[int, float | None, str | None, int | None]
_MOMENTS = ((Kind.DATE_TIME, parse_date_time), (Kind.DATE, parse_date), (Kind.TIME, parse_time))


def index_rows(entity: Entity) -> IndexRows:
    """Return the value and geometry rows of an entity."""
    rows = IndexRows([], [])
    for attr, found in entity.attributes.items():
        for instance in instances(found):
            dataset = instance.get("datasetId")
            expires = instance.get("expiresAt")
            expires_at = None if expires is None else microseconds(expires)
            for seq, columns in enumerate(_columns(instance)):
                rows.values.append(ValueRow(attr, dataset, seq, *columns, expires_at))
            if instance["type"] == "GeoProperty":
                rows.geometries.extend(_geometry(attr, dataset, instance))
    return rows


def _columns(instance: Instance) -> list[_Columns]:
    """Return (kind, num, txt, tim) of each row of an instance."""
    target = instance_target(instance)
    if target is None or len(target.members) + len(target.scalars) > MAX_MEMBERS:
        return [(Kind.UNINDEXED, None, None, UNINDEXED_MARK)]
    rows = [_element(element, 0) for element in target.scalars]
    rows += [_element(element, MEMBER) for element in target.members]
    return rows or [(Kind.OTHER + MEMBER, None, None, None)]


def _element(element: Element, flag: int) -> _Columns:
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


def _text(text: str, short: Kind, long: Kind, flag: int) -> _Columns:
    raw = text.encode()
    if len(raw) > MAX_TEXT_BYTES:
        return long + flag, None, raw[:MAX_TEXT_BYTES].decode(errors="ignore"), None
    if short is Kind.STRING and text[:1].isdigit():
        for kind, parse in _MOMENTS:
            moment = parse(text)
            if moment is not None:
                return kind + flag, None, text, moment
    return short + flag, None, text, None


def _geometry(attr: str, dataset: str | None, instance: Instance) -> Iterator[GeometryRow]:
    shape = shape_of(instance["value"])
    if shape is not None and not shape.is_empty:
        box = bounds(shape)
        geojson = orjson.dumps(instance["value"]).decode()
        yield GeometryRow(attr, dataset, 0, geojson, (box.min_x, box.max_x, box.min_y, box.max_y))
