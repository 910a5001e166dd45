"""Distances between geometries on the sphere, in metres.

The earth is a sphere of the WGS 84 mean radius and edges are arcs of great circles: what PostGIS computes for type
geography with use_spheroid false. A polygon that encloses a pole is not covered.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

EARTH_RADIUS = 6371008.771415059
_ROWS = 256
"""Arcs of the first geometry taken at once, to bound memory."""

Floats = NDArray[np.float64]


class Box(NamedTuple):
    """Degrees of longitude and latitude."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float


def distance(a: BaseGeometry, b: BaseGeometry) -> float:
    """Return the smallest distance between two geometries, 0 where they touch."""
    if isinstance(a, Point) and isinstance(b, Point):
        return haversine(a.x, a.y, b.x, b.y)
    if _covers_part(a, b) or _covers_part(b, a):
        return 0.0
    first, second = _arcs(a), _arcs(b)
    nearest = math.inf
    for row in range(0, len(first[0]), _ROWS):
        part = first[0][row : row + _ROWS], first[1][row : row + _ROWS]
        if _cross(part, second):
            return 0.0
        nearest = min(nearest, _ends_to_arcs(part, second), _ends_to_arcs(second, part))
    return nearest * EARTH_RADIUS


def haversine(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Return the distance of two positions given in degrees."""
    y1, y2 = math.radians(lat1), math.radians(lat2)
    h = math.sin((y2 - y1) / 2) ** 2 + math.cos(y1) * math.cos(y2) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(min(1.0, math.sqrt(h)))


def bounds(geometry: BaseGeometry) -> Box:
    """Return a box that holds a geometry whether its edges are straight in degrees or arcs of great circles."""
    box = Box(*geometry.bounds)
    if isinstance(geometry, Point):
        return box
    starts, ends = _edges(geometry)
    if len(starts) == 0:
        return box
    if np.abs(ends[:, 0] - starts[:, 0]).max() > 180:
        box = box._replace(min_x=-180.0, max_x=180.0)
    a, b = _vectors(starts), _vectors(ends)
    normals = np.cross(a, b)
    length = np.linalg.norm(normals, axis=1)
    normals = normals[length > 0] / length[length > 0, None]
    a, b = a[length > 0], b[length > 0]
    tops = np.array([0.0, 0.0, 1.0]) - normals * normals[:, 2:3]
    for sign in (1.0, -1.0):
        on_arc = (_dot(np.cross(normals, a), sign * tops) > 0) & (_dot(np.cross(b, normals), sign * tops) > 0)
        if on_arc.any():
            latitudes = np.degrees(np.arccos(np.clip(np.abs(normals[on_arc, 2]), 0, 1))) * sign
            box = box._replace(min_y=min(box.min_y, latitudes.min()), max_y=max(box.max_y, latitudes.max()))
    return box


def buffered(box: Box, metres: float) -> Box:
    """Return a box that holds every position within a distance of a box."""
    angle = metres / EARTH_RADIUS
    margin = math.degrees(angle) + 1e-6
    low, high = box.min_y - margin, box.max_y + margin
    farthest = math.radians(max(abs(box.min_y), abs(box.max_y)))
    if low <= -90 or high >= 90 or farthest + angle >= math.pi / 2:
        return Box(-180.0, max(low, -90.0), 180.0, min(high, 90.0))
    sideways = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(farthest)))) + 1e-6
    west, east = box.min_x - sideways, box.max_x + sideways
    if west < -180 or east > 180:
        west, east = -180.0, 180.0
    return Box(west, low, east, high)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray((a * b).sum(axis=1))


def _vectors(positions: Floats) -> Floats:
    lon, lat = np.radians(positions[:, 0]), np.radians(positions[:, 1])
    return np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))


def _lines(geometry: BaseGeometry) -> list[Floats]:
    """Return the positions of every line and ring of a geometry."""
    parts = shapely.get_parts(geometry)
    rings = [
        ring for part in parts for ring in ([part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part])
    ]
    return [shapely.get_coordinates(ring) for ring in rings]


def _edges(geometry: BaseGeometry) -> tuple[Floats, Floats]:
    lines = [line for line in _lines(geometry) if len(line) > 1]
    if not lines:
        return np.empty((0, 2)), np.empty((0, 2))
    return np.concatenate([line[:-1] for line in lines]), np.concatenate([line[1:] for line in lines])


def _arcs(geometry: BaseGeometry) -> tuple[Floats, Floats]:
    """Return the edges of a geometry as unit vectors of their ends; points are edges of no length."""
    starts, ends = _edges(geometry)
    points = [line for line in _lines(geometry) if len(line) == 1]
    return _vectors(np.concatenate([starts, *points])), _vectors(np.concatenate([ends, *points]))


def _cross(first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> bool:
    (a, b), (c, d) = first, second
    n1, n2 = np.cross(a, b), np.cross(c, d)
    signs = np.sign(np.stack([-(n1 @ c.T), n1 @ d.T, -(b @ n2.T), a @ n2.T]))
    return bool((np.abs(signs.sum(axis=0)) == 4).any())


def _ends_to_arcs(points_of: tuple[Floats, Floats], arcs: tuple[Floats, Floats]) -> float:
    """Return the smallest angle between an end of the one and an arc of the other."""
    points = np.concatenate(points_of)
    a, b = arcs
    normals = np.cross(a, b)
    length = np.linalg.norm(normals, axis=1)
    inner = (points @ np.cross(normals, a).T > 0) & (points @ np.cross(b, normals).T > 0) & (length > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        across = np.abs(np.arcsin(np.clip((points @ normals.T) / length, -1, 1)))
    chords = np.minimum(
        np.linalg.norm(points[:, None, :] - a[None, :, :], axis=2),
        np.linalg.norm(points[:, None, :] - b[None, :, :], axis=2),
    )
    return float(np.where(inner, across, 2 * np.arcsin(np.clip(chords / 2, 0, 1))).min())


def _covers_part(area: BaseGeometry, other: BaseGeometry) -> bool:
    """Tell whether the first position of a part of `other` lies inside a polygon."""
    if not isinstance(area, Polygon | MultiPolygon):
        return False
    starts, ends = _edges(area)
    return any(_inside(line[0], starts, ends) for line in _lines(other))


def _inside(position: Floats, starts: Floats, ends: Floats) -> bool:
    """Count the edges that the meridian from a position to the north pole crosses."""
    turn = (ends[:, 0] - starts[:, 0] + 180) % 360 - 180
    a = np.radians((starts[:, 0] - position[0] + 180) % 360 - 180)
    b = a + np.radians(turn)
    meets = ((a <= 0) & (b > 0)) | ((b <= 0) & (a > 0))
    a, b = a[meets], b[meets]
    south, north = np.tan(np.radians(starts[meets, 1])), np.tan(np.radians(ends[meets, 1]))
    crossing = np.arctan((south * np.sin(b) - north * np.sin(a)) / np.sin(b - a))
    return bool(np.count_nonzero(crossing > math.radians(position[1])) % 2)
