"""Geoqueries and distances (CIM 009 clause 4.10; docs/decisions/0021)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ngsild.entity import Entity
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query import EVERYTHING, EntityQuery, matches, parse_geo
from ngsild.query.geo import search_box
from ngsild.query.sphere import EARTH_RADIUS, bounds, distance, haversine

CIM = "https://w3id.org/voltweave/cim#"
SQUARE = [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]
HOLED = [*SQUARE, [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]]


class CimTerms:
    def expand(self, name: str) -> str:
        return name if ":" in name else CIM + name

    def compact(self, iri: str) -> str:
        return iri.removeprefix(CIM)


TERMS = CimTerms()


def finds(target: Any, georel: str, geometry: str, coordinates: Any, geoproperty: str | None = None) -> bool:
    """Tell whether an entity with these coordinates (a Point, or nested: type, coordinates) is found."""
    kind, at = target if isinstance(target, tuple) else ("Point", target)
    place = {"type": "GeoProperty", "value": {"type": kind, "coordinates": at}}
    query = EntityQuery(geo=parse_geo(georel, geometry, coordinates, geoproperty, TERMS))
    return matches(query, Entity("urn:e:1", ["t:T"], {CIM + "location": place}), EVERYTHING, lambda _: None, 0)


@pytest.mark.parametrize(
    ("target", "georel", "geometry", "coordinates", "found"),
    [
        ([8, 40], "near;maxDistance==1", "Point", "[8,40]", True),
        ([8.01, 40], "near;maxDistance==1000", "Point", [8, 40], True),
        ([8.02, 40], "near;maxDistance==1000", "Point", [8, 40], False),
        ([8.02, 40], "near;minDistance==1000", "Point", [8, 40], True),
        ([8, 40], "near;minDistance==1", "Point", [8, 40], False),
        ([179.999, 0], "near;maxDistance==1000", "Point", [-179.999, 0], True),
        ([10, 60.009], "near;maxDistance==2000", "LineString", [[0, 60], [10, 60]], True),
        ([10, 60.009], "near;maxDistance==2000", "LineString", [[0, 61], [10, 61]], False),
        (("LineString", [[1, 85], [0, 85.6]]), "near;maxDistance==20000", "Point", [0, 85], True),
        (("LineString", [[1, 85], [0, 85.6]]), "near;maxDistance==5000", "Point", [0, 85], False),
        ([5, 5], "near;maxDistance==1", "Polygon", SQUARE, True),
        ([5, 5], "near;maxDistance==1", "Polygon", HOLED, False),
        ([2, 2], "within", "Polygon", HOLED, True),
        ([5, 5], "within", "Polygon", HOLED, False),
        (("Polygon", SQUARE), "contains", "Point", [5, 5], True),
        (("Polygon", HOLED), "contains", "Point", [5, 5], False),
        (("Polygon", SQUARE), "intersects", "LineString", [[-5, 5], [5, 5]], True),
        ([11, 11], "intersects", "Polygon", SQUARE, False),
        ([11, 11], "disjoint", "Polygon", SQUARE, True),
        ([5, 5], "disjoint", "Polygon", SQUARE, False),
        ([5, 5], "equals", "Point", [5, 5], True),
        ([5, 5], "equals", "MultiPoint", [[5, 5]], True),
        ([5, 5.1], "equals", "Point", [5, 5], False),
        (("Polygon", SQUARE), "overlaps", "Polygon", [[[5, 5], [15, 5], [15, 15], [5, 5]]], True),
        (("Polygon", SQUARE), "overlaps", "Polygon", [[[1, 1], [2, 1], [2, 2], [1, 1]]], False),
        (("MultiLineString", [[[0, 0], [1, 1]]]), "within", "MultiPolygon", [SQUARE], True),
    ],
)
def test_relations(target: Any, georel: str, geometry: str, coordinates: Any, found: bool) -> None:
    assert finds(target, georel, geometry, coordinates) is found


def test_the_geoproperty_is_location_unless_named() -> None:
    assert finds([1, 1], "equals", "Point", [1, 1], "location")
    assert not finds([1, 1], "equals", "Point", [1, 1], "observationSpace")
    assert not finds([1, 1], "disjoint", "Point", [2, 2], "observationSpace")


@pytest.mark.parametrize(
    ("georel", "geometry", "coordinates", "parameter"),
    [
        (None, "Point", [1, 1], "georel"),
        ("near", "Point", [1, 1], "georel"),
        ("touches", "Point", [1, 1], "georel"),
        ("maxDistance", "Point", [1, 1], "georel"),
        ("near;maxDistance==0", "Point", [1, 1], "georel"),
        ("near;maxDistance==-5", "Point", [1, 1], "georel"),
        ("near;maxDistance==1e400", "Point", [1, 1], "georel"),
        ("near;maxDistance==inf", "Point", [1, 1], "georel"),
        ("near;maxDistance==5;minDistance==1", "Point", [1, 1], "georel"),
        ("within", None, [1, 1], "geometry"),
        ("within", "GeometryCollection", [1, 1], "geometry"),
        ("within", "Point", None, "coordinates"),
        ("within", "Point", "8,40", "coordinates"),
        ("within", "Point", "{}", "coordinates"),
        ("within", "Point", [181, 0], "coordinates"),
        ("within", "Point", [0, 91], "coordinates"),
        ("within", "Point", [[0, 1]], "coordinates"),
        ("within", "LineString", [[0, 1]], "coordinates"),
        ("within", "Polygon", [[[0, 0], [1, 0], [1, 1], [0, 1]]], "coordinates"),
    ],
)
def test_a_bad_geoquery_names_its_parameter(georel: Any, geometry: Any, coordinates: Any, parameter: str) -> None:
    with pytest.raises(BadRequestData, match=f"^{parameter}"):
        parse_geo(georel, geometry, coordinates, None, TERMS)


def test_a_reference_has_a_limit() -> None:
    with pytest.raises(TooComplexQuery, match="coordinates"):
        parse_geo("within", "MultiPoint", [[0, 0]] * 10_001, None, TERMS)


def test_known_distances() -> None:
    assert haversine(0, 0, 0, 90) == pytest.approx(EARTH_RADIUS * 3.141592653589793 / 2)
    # Berlin to Paris: 878 km on the sphere.
    assert haversine(13.4050, 52.5200, 2.3522, 48.8566) == pytest.approx(877_500, rel=0.002)
    line, point = shapely.LineString([(0, 0), (10, 0)]), shapely.Point(5, 1)
    assert distance(line, point) == pytest.approx(haversine(5, 0, 5, 1))
    assert distance(line, shapely.LineString([(5, -1), (5, 1)])) == 0


places = st.tuples(st.floats(-170, 170), st.floats(-80, 80))
#: Shapes of some degrees, whose edges take the short way round.
shapes = st.builds(
    lambda at, offsets: shapely.LineString([(at[0] + x, at[1] + y) for x, y in offsets]),
    places,
    st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=2, max_size=4),
)


def along(line: Any, parts: int = 40) -> list[Any]:
    """Return positions along the great circles of a line."""
    import numpy as np

    from ngsild.query.sphere import _vectors

    vectors = _vectors(np.array(line.coords))
    found = []
    for a, b in itertools.pairwise(vectors):
        for step in range(parts + 1):
            v = a * (1 - step / parts) + b * (step / parts)
            v /= np.linalg.norm(v)
            found.append(shapely.Point(np.degrees(np.arctan2(v[1], v[0])), np.degrees(np.arcsin(v[2]))))
    return found


@given(shapes, shapes)
def test_distance_is_that_of_the_nearest_positions(a: Any, b: Any) -> None:
    sampled = min(distance(p, q) for p in along(a, 12) for q in along(b, 12))
    step = max(a.length, b.length) / 12 * 111_200
    found = distance(a, b)
    assert found == pytest.approx(distance(b, a))
    assert sampled - step - 1 <= found <= sampled + 1e-3


@given(shapes)
def test_bounds_hold_the_arcs(line: Any) -> None:
    box = bounds(line)
    for p in along(line):
        assert box.min_y - 1e-9 <= p.y <= box.max_y + 1e-9
        assert box.min_x - 1e-9 <= p.x <= box.max_x + 1e-9


@given(shapes, shapes, st.floats(1, 5_000_000))
def test_the_search_box_meets_every_match(reference: Any, target: Any, metres: float) -> None:
    query = parse_geo(f"near;maxDistance=={metres!r}", "LineString", [list(p) for p in reference.coords], None, TERMS)
    box = search_box(query)
    assert box is not None
    if distance(target, reference) <= metres:
        held = bounds(target)
        assert held.min_y <= box.max_y and held.max_y >= box.min_y
        assert held.min_x <= box.max_x and held.max_x >= box.min_x
