"""GeoJSON geometries as values of GeoProperties (CIM 009 clause 4.7.1; RFC 7946 section 3.1)."""

from __future__ import annotations

from typing import Any

from ngsild.problems import BadRequestData

#: Depth of the coordinates array of each geometry type: a Point is one position.
GEOMETRY_TYPES = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}


def is_geometry(value: Any) -> bool:
    """Tell whether a value looks like a GeoJSON geometry: it has the type of one, and coordinates."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str)
        and value["type"] in GEOMETRY_TYPES
        and "coordinates" in value
    )


def check_geometry(path: str, value: Any) -> None:
    """Refuse what is no GeoJSON geometry: wrong type, shape, number of positions, open ring or place off the globe."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str) or value["type"] not in GEOMETRY_TYPES:
        raise BadRequestData(f"{path}: a GeoJSON geometry ({', '.join(GEOMETRY_TYPES)}) is needed")
    kind = value["type"]
    coordinates = value.get("coordinates")
    if not isinstance(coordinates, list) or not coordinates:
        raise BadRequestData(f"{path}.coordinates: a {kind} needs them")
    _check_level(f"{path}.coordinates", kind, coordinates, GEOMETRY_TYPES[kind])


def _check_level(path: str, kind: str, coordinates: Any, depth: int) -> None:
    if depth == 0:
        _check_position(path, coordinates)
        return
    if not isinstance(coordinates, list) or not coordinates:
        raise BadRequestData(f"{path}: a {kind} needs an array nested {GEOMETRY_TYPES[kind]} deep around its positions")
    for item in coordinates:
        _check_level(path, kind, item, depth - 1)
    if depth == 1 and kind.endswith("LineString") and len(coordinates) < 2:
        raise BadRequestData(f"{path}: a line needs two positions")
    if depth == 1 and kind.endswith("Polygon") and (len(coordinates) < 4 or coordinates[0] != coordinates[-1]):
        raise BadRequestData(f"{path}: a ring needs four positions, the last equal to the first")


def _check_position(path: str, position: Any) -> None:
    if (
        not isinstance(position, list)
        or not 2 <= len(position) <= 3
        or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in position)
    ):
        raise BadRequestData(f"{path}: {position!r} is not a position [longitude, latitude, altitude?]")
    if not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
        raise BadRequestData(f"{path}: {position!r} is off the globe")
