"""The geoquery language (CIM 009 clause 4.10): parameters -> GeoQuery, and what its relations mean.

Topological relations are planar in degrees, as PostGIS computes them for type geometry; `near` and ordering by distance
measure on the sphere (`sphere`).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final, get_args

import orjson
import shapely
from shapely.geometry.base import BaseGeometry

from ngsild.context import Terms
from ngsild.geometry import GEOMETRY_TYPES, check_geometry
from ngsild.names import is_name
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query import sphere
from ngsild.query.ast import GeoQuery, GeoRelation

MAX_POSITIONS = 10_000
DEFAULT_GEOPROPERTY = "location"
_NEAR = re.compile(r"near;(maxDistance|minDistance)==((?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)", re.ASCII)
#: How a shape of an entity relates to the reference.
_TOPOLOGICAL: Final = {
    "within": shapely.within,
    "contains": shapely.contains,
    "intersects": shapely.intersects,
    "equals": shapely.equals,
    "disjoint": shapely.disjoint,
    "overlaps": shapely.overlaps,
}


def parse_geo(
    georel: str | None, geometry: str | None, coordinates: Any, geoproperty: str | None, terms: Terms
) -> GeoQuery:
    """Return a geoquery; `coordinates` is an array or its JSON text. BadRequestData names the parameter at fault."""
    for parameter, given in (("georel", georel), ("geometry", geometry), ("coordinates", coordinates)):
        if given is None:
            raise BadRequestData(f"{parameter}: a geoquery needs it")
    relation, metres = _relation(str(georel))
    name = geoproperty or DEFAULT_GEOPROPERTY
    if not is_name(name):
        raise BadRequestData(f"geoproperty: {name!r} is not a valid attribute name")
    return GeoQuery(terms.expand(name), relation, parse_reference(geometry, coordinates), metres)


def parse_reference(
    geometry: str | None, coordinates: Any, prefix: tuple[str, str] = ("geometry", "coordinates")
) -> str:
    """Return a reference geometry as GeoJSON text; `prefix` names the two parameters in errors."""
    of_type, of_coordinates = prefix
    if geometry not in GEOMETRY_TYPES:
        raise BadRequestData(f"{of_type}: {geometry!r} is not one of {', '.join(GEOMETRY_TYPES)}")
    if isinstance(coordinates, str):
        try:
            coordinates = orjson.loads(coordinates)
        except orjson.JSONDecodeError:
            raise BadRequestData(f"{of_coordinates}: not a JSON array") from None
    reference = {"type": geometry, "coordinates": coordinates}
    try:
        check_geometry("", reference)
    except BadRequestData as error:
        raise BadRequestData(f"{of_coordinates}{error.detail.removeprefix('.coordinates')}") from None
    text = orjson.dumps(reference).decode()
    if shapely.get_num_coordinates(reference_shape(text)) > MAX_POSITIONS:
        raise TooComplexQuery(f"{of_coordinates}: more than {MAX_POSITIONS} positions")
    return text


def _relation(georel: str) -> tuple[GeoRelation, float]:
    near = _NEAR.fullmatch(georel)
    if near is not None:
        metres = float(near[2])
        if not 0 < metres < math.inf:
            raise BadRequestData(f"georel: {near[1]} must be a number of metres above 0")
        return ("maxDistance" if near[1] == "maxDistance" else "minDistance"), metres
    for relation in get_args(GeoRelation):
        if georel == relation and relation in _TOPOLOGICAL:
            return relation, 0.0
    raise BadRequestData(
        f"georel: {georel!r} is none of near;maxDistance==METRES, near;minDistance==METRES, {', '.join(_TOPOLOGICAL)}"
    )


@lru_cache(maxsize=256)
def reference_shape(geojson: str) -> BaseGeometry:
    """Return the shape of a reference geometry, which one query needs many times."""
    shape = shapely.from_geojson(geojson)
    shapely.prepare(shape)
    return shape


def shape_of(geometry: Any) -> BaseGeometry | None:
    """Return the shape of a stored geometry; None for one that GEOS cannot read."""
    return shape_of_text(orjson.dumps(geometry).decode())


def shape_of_text(geojson: str) -> BaseGeometry | None:
    """Return the shape of a stored geometry given as GeoJSON text."""
    try:
        shape = shapely.from_geojson(geojson)
    except shapely.GEOSException:
        return None
    return None if shape.is_empty else shape


def relates(query: GeoQuery, shape: BaseGeometry) -> bool:
    """Tell whether a shape of an entity is in the relation of a geoquery to its reference."""
    reference = reference_shape(query.geometry)
    if query.relation == "maxDistance":
        return sphere.distance(shape, reference) <= query.distance
    if query.relation == "minDistance":
        return sphere.distance(shape, reference) > query.distance
    try:
        return bool(_TOPOLOGICAL[query.relation](shape, reference))
    except shapely.GEOSException:
        return False


def search_box(query: GeoQuery) -> sphere.Box | None:
    """Return the box that the bounds of every match meet; None where matches may lie anywhere."""
    if query.relation in ("minDistance", "disjoint"):
        return None
    reference = reference_shape(query.geometry)
    if query.relation == "maxDistance":
        return sphere.buffered(sphere.bounds(reference), query.distance)
    return sphere.Box(*reference.bounds)
