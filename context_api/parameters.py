"""The query parameters of the NGSI-LD API: name, meaning, schema and parser of each (CIM 009 clauses 6.3 to 6.13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from context_api.operation import Parameter
from ngsild.names import date_time, is_uri
from ngsild.problems import BadRequestData, InvalidRequest

_FORMATS = ("normalized", "concise", "simplified", "keyValues")


def _text(name: str, text: str) -> str:
    if not text:
        raise BadRequestData(f"{name}: a value is needed")
    return text


def truth(name: str, text: str) -> bool:
    """Return a boolean parameter."""
    if text not in ("true", "false"):
        raise BadRequestData(f"{name}: {text[:80]!r} is neither true nor false")
    return text == "true"


def _number(minimum: int) -> Callable[[str, str], int]:
    def parse(name: str, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < minimum:
            raise BadRequestData(f"{name}: {text[:80]!r} is not a whole number of at least {minimum}")
        return int(text)

    return parse


def _names(name: str, text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise BadRequestData(f"{name}: a comma separated list without empty items is needed")
    return items


def _uris(name: str, text: str) -> list[str]:
    items = _names(name, text)
    for item in items:
        if not is_uri(item):
            raise BadRequestData(f"{name}: {item[:200]!r} is not a URI")
    return items


def _datasets(name: str, text: str) -> frozenset[str]:
    items = _names(name, text)
    for item in items:
        if item != "@none" and not is_uri(item):
            raise BadRequestData(f"{name}: {item[:200]!r} is neither a URI nor @none")
    return frozenset(items)


def _dataset(name: str, text: str) -> str:
    [found] = list(_datasets(name, text)) if "," not in text else [""]
    if not found:
        raise BadRequestData(f"{name}: one URI or @none is needed")
    return found


def _moment(name: str, text: str) -> str:
    date_time(text, name)
    return text


def one_of(*values: str) -> Callable[[str, str], str]:
    """Return a parser that takes one of these words."""

    def parse(name: str, text: str) -> str:
        if text not in values:
            raise InvalidRequest(f"{name}: {text[:80]!r} is none of {', '.join(values)}")
        return text

    return parse


def words_of(*values: str) -> Callable[[str, str], frozenset[str]]:
    """Return a parser that takes a list of these words (options, clause 6.3.20)."""

    def parse(name: str, text: str) -> frozenset[str]:
        found = text.split(",")
        for word in found:
            if word not in values:
                raise InvalidRequest(f"{name}: this operation does not know {word[:80]!r}")
        return frozenset(found)

    return parse


def options(*values: str) -> Parameter:
    """Return the options parameter of an operation that knows these words."""
    schema = {"type": "array", "items": {"type": "string", "enum": list(values)}}
    return Parameter("options", "Options of the operation.", schema, words_of(*values))


def _parameter(name: str, description: str, schema: dict[str, Any], parse: Any, deprecated: bool = False) -> Parameter:
    return Parameter(name, description, schema, parse, deprecated=deprecated)


_STRING: dict[str, Any] = {"type": "string", "minLength": 1}
_LIST = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_URI_LIST = {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 1}
_BOOLEAN = {"type": "boolean"}


def _like(example: str) -> dict[str, Any]:
    return _STRING | {"examples": [example]}


LOCAL = _parameter("local", "Only what this broker holds (clause 6.3.18).", _BOOLEAN, truth)
ID = _parameter("id", "Ids of entities.", _URI_LIST, _uris)
TYPE = _parameter("type", "Selection of entity types (clause 4.17).", _like("EVSE"), _text)
ID_PATTERN = _parameter("idPattern", "Regular expression (RE2) for entity ids.", _like("^urn:ngsi-ld:EVSE:"), _text)
ATTRS = _parameter("attrs", "Attributes that an entity has, and that are shown.", _LIST, _names, deprecated=True)
PICK = _parameter("pick", "Entity members to show (clause 4.21).", _like("id,type,ratedPower"), _text)
OMIT = _parameter("omit", "Entity members to leave out (clause 4.21).", _STRING, _text)
Q = _parameter("q", "Query over attribute values (clause 4.9).", _like("ratedPower>=11"), _text)
EXPAND_VALUES = _parameter("expandValues", "Attributes whose query values are names to expand.", _LIST, _names)
JSON_KEYS = _parameter("jsonKeys", "Attributes whose values are raw JSON.", _LIST, _names)
GEOMETRY = _parameter("geometry", "Type of the reference geometry (clause 4.10).", _like("Point"), _text)
GEOREL = _parameter(
    "georel", "Relation to the reference geometry (clause 4.10).", _like("near;maxDistance==1000"), _text
)
COORDINATES = _parameter(
    "coordinates", "Coordinates of the reference geometry, a JSON array.", _like("[8.5,47.4]"), _text
)
GEOPROPERTY = _parameter("geoproperty", "GeoProperty that the geo-query looks at; location.", _like("location"), _text)
GEOMETRY_PROPERTY = _parameter("geometryProperty", "GeoProperty that becomes the Feature's geometry.", _STRING, _text)
LANG = _parameter("lang", "Languages, best first, to show LanguageProperties in (clause 4.15).", _like("de,en"), _text)
SCOPE_Q = _parameter("scopeQ", "Scope query (clause 4.19).", _like("/town/#"), _text)
JOIN = _parameter(
    "join",
    "How linked entities are shown (clause 4.5.23).",
    {"type": "string", "enum": ["flat", "inline", "@none"]},
    one_of("flat", "inline", "@none"),
)
JOIN_LEVEL = _parameter("joinLevel", "Depth of linked entities.", {"type": "integer", "minimum": 1}, _number(1))
CONTAINED_BY = _parameter("containedBy", "Ids of entities met before.", _URI_LIST, _uris)
DATASET_IDS = _parameter("datasetId", "Instances to show, by datasetId or @none (clause 4.5.5).", _LIST, _datasets)
DATASET_ID = _parameter("datasetId", "The instance, by datasetId or @none (clause 4.5.5).", _STRING, _dataset)
ORDER_BY = _parameter("orderBy", "Members to order by (clause 4.23).", _like("ratedPower;desc"), _text)
COLLATION = _parameter("collation", "ICU collation of text (clause 4.23).", _like("de"), _text)
ORDER_FROM = _parameter("orderFrom", "Coordinates to order by distance from.", _STRING, _text)
ORDER_GEOMETRY = _parameter("orderGeometry", "Geometry type of orderFrom; Point.", _STRING, _text)
LIMIT = _parameter("limit", "Page size; 0 only with count.", {"type": "integer", "minimum": 0}, _number(0))
OFFSET = _parameter("offset", "Number of entities to pass over.", {"type": "integer", "minimum": 0}, _number(0))
COUNT = _parameter("count", "Ask for the total in NGSILD-Results-Count.", _BOOLEAN, truth)
DELETE_ALL = _parameter("deleteAll", "Remove all instances of the attribute.", _BOOLEAN, truth)
DETAILS = _parameter("details", "Ask for details.", _BOOLEAN, truth)
OBSERVED_AT = _parameter(
    "observedAt", "Common observedAt of merged attributes.", {"type": "string", "format": "date-time"}, _moment
)
KEEP = _parameter("keep", "Attributes to keep; the others are removed.", _LIST, _names)
DROP = _parameter("drop", "Attributes to remove.", _LIST, _names)
FORMAT = _parameter(
    "format",
    "Representation of entities (clause 6.3.7).",
    {"type": "string", "enum": list(_FORMATS)},
    one_of(*_FORMATS),
)
MERGE_FORMAT = _parameter(
    "format",
    "Representation of the body (clause 6.5.3.4).",
    {"type": "string", "enum": ["simplified", "keyValues"]},
    one_of("simplified", "keyValues"),
)
READ_OPTIONS = options("sysAttrs", "normalized", "concise", "simplified", "keyValues", "count")

CONSUMPTION = (
    ATTRS, PICK, OMIT, LANG, DATASET_IDS, GEOMETRY_PROPERTY, JOIN, JOIN_LEVEL, CONTAINED_BY, FORMAT, READ_OPTIONS,
    LOCAL,
)  # fmt: skip
SELECTION = (ID, TYPE, ID_PATTERN, Q, SCOPE_Q, GEOREL, GEOMETRY, COORDINATES, GEOPROPERTY)
PAGING = (LIMIT, OFFSET, COUNT)
ORDERING = (ORDER_BY, COLLATION, ORDER_FROM, ORDER_GEOMETRY)
PATCH_TYPES = ("application/json", "application/ld+json", "application/merge-patch+json")
