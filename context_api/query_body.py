"""The Query data type: a query in a body, read to the values that the parameters of GET have (CIM 009 5.2.23)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from context_api.parameters import COLLATION, JOIN, LANG
from ngsild.names import is_uri
from ngsild.problems import BadRequestData

_Read = Callable[[str, Any], Any]


def read_query_body(body: Any) -> dict[str, Any]:
    """Return the values of a Query under the names of the parameters of GET; unknown members are refused."""
    if not isinstance(body, dict):
        raise BadRequestData("a Query is a JSON object")
    if body.get("type", body.get("@type")) != "Query":
        raise BadRequestData('type: it must be "Query"')
    given: dict[str, Any] = {}
    for name, value in body.items():
        if name in ("type", "@type", "@context"):
            continue
        if name not in _MEMBERS:
            raise BadRequestData(f"{name}: a Query has no such member")
        given |= _MEMBERS[name](name, value)
    return given


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequestData(f"{name}: a string is needed")
    return value


def _texts(name: str, value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise BadRequestData(f"{name}: an array of strings with at least one item is needed")
    return items


def _uris(name: str, value: Any) -> list[str]:
    items = _texts(name, value)
    for item in items:
        if not is_uri(item):
            raise BadRequestData(f"{name}: {item!r} is not a URI")
    return items


def _same(read: _Read) -> _Read:
    return lambda name, value: {name: read(name, value)}


def _joined(name: str, value: Any) -> dict[str, Any]:
    return {name: ",".join(_texts(name, value))}


def _names(name: str, value: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else ",".join(_texts(name, value))
    return {name: [item.strip() for item in _text(name, text).split(",")]}


def _level(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequestData(f"{name}: a whole number of at least 1 is needed")
    return {name: value}


def _datasets(name: str, value: Any) -> dict[str, Any]:
    items = _texts(name, value)
    for item in items:
        if item != "@none" and not is_uri(item):
            raise BadRequestData(f"{name}: {item!r} is neither a URI nor @none")
    return {name: frozenset(items)}


def _object(name: str, value: Any, members: Mapping[str, _Read]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequestData(f"{name}: an object is needed")
    given: dict[str, Any] = {}
    for member, item in value.items():
        if member in ("type", "@type") and member not in members:
            continue
        if member not in members:
            raise BadRequestData(f"{name}.{member}: there is no such member")
        given |= members[member](member, item)
    return given


def _geo(name: str, value: Any) -> dict[str, Any]:
    given = _object(name, value, _GEO_QUERY)
    for member in ("georel", "geometry", "coordinates"):
        if member not in given:
            raise BadRequestData(f"{name}.{member}: a GeoQuery needs it")
    return given


def _selectors(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not value:
        raise BadRequestData(f"{name}: an array of EntitySelectors with at least one item is needed")
    selectors = [_object(f"{name}[{i}]", item, _SELECTOR) for i, item in enumerate(value)]
    for i, selector in enumerate(selectors):
        if "type" not in selector:
            raise BadRequestData(f"{name}[{i}].type: an EntitySelector needs it (clause 5.2.33)")
    return {name: selectors}


def _coordinates(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, list | str):
        raise BadRequestData(f"{name}: an array, or its text, is needed")
    return {name: value}


def _ordering(name: str, value: Any) -> dict[str, Any]:
    given = _object(name, value, _ORDERING)
    if "orderBy" not in given:
        raise BadRequestData(f"{name}.orderBy: it is needed")
    return given


_SELECTOR: dict[str, _Read] = {"id": _same(_uris), "type": _same(_text), "idPattern": _same(_text)}
_GEO_QUERY: dict[str, _Read] = {
    "georel": _same(_text),
    "geometry": _same(_text),
    "coordinates": _coordinates,
    "geoproperty": _same(_text),
}
_ORDERING: dict[str, _Read] = {
    "orderBy": _joined,
    "collation": lambda name, value: {name: COLLATION.parse(name, _text(name, value))},
    "coordinates": lambda name, value: {"orderFrom": _coordinates(name, value)[name]},
    "geometry": lambda name, value: {"orderGeometry": _text(name, value)},
}
_MEMBERS: dict[str, _Read] = {
    "entities": _selectors,
    "q": _same(_text),
    "geoQ": _geo,
    "scopeQ": _same(_text),
    "attrs": _same(_texts),
    "pick": _joined,
    "omit": _joined,
    "containedBy": lambda name, value: {name: _uris(name, value.split(",") if isinstance(value, str) else value)},
    "datasetId": _datasets,
    "expandValues": _names,
    "jsonKeys": _names,
    "join": lambda name, value: {name: JOIN.parse(name, _text(name, value))},
    "joinLevel": _level,
    "lang": lambda name, value: {name: LANG.parse(name, _text(name, value))},
    "ordering": _ordering,
}
