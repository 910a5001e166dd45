"""SQL finds what the plain evaluator finds, in the same order, on every database (decision 20)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from context_api.storage.port import Tenant
from ngsild.entity import Entity, attribute_of, instances
from ngsild.query import EVERYTHING, EntityQuery, Restriction, matches, parse_geo, parse_order_by, parse_q
from ngsild.query.geo import shape_of
from ngsild.query.order import sort_entities
from ngsild.query.target import View
from tests.contract.query_cases import (
    CIM,
    LONG,
    NOW,
    SHORT,
    TERMS,
    TIMES,
    TYPES,
    VALUES,
    entities,
    literal,
    queries,
    restrictions,
    seen,
    shown,
    square,
)
from tests.contract.query_worlds import ALL, PostgresWorld, SqliteWorld, World, postgres_world, sqlite_world
from tests.postgres import postgres_database

#: Three queries are asked in each.
EXAMPLES: dict[type[World], int] = {SqliteWorld: 1_000, PostgresWorld: 700}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if request.param == "sqlite":
        with sqlite_world(tmp_path_factory.mktemp("parity") / "parity.db") as found:
            yield found
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("postgres_template")
    with postgres_database(server, template) as url, postgres_world(url) as asked:
        yield asked


def check(world: World, tenant: Tenant, found: list[Entity], query: EntityQuery, rights: Restriction) -> None:
    left = {entity.id: what for entity in found if (what := shown(entity, rights)) is not None}
    expected = [entity for entity in left.values() if matches(query, entity, EVERYTHING, left.get, NOW)]
    by_id = {entity.id: entity for entity in found}
    assert {e.id for e in found if matches(query, e, rights, by_id.get, NOW)} == {e.id for e in expected}
    ids = world.ids(tenant, query, rights, NOW)
    assert sorted(ids) == sorted(entity.id for entity in expected)
    if query.order is not None:
        view = View(NOW, EVERYTHING, query.datasets)
        assert ids == [entity.id for entity in sort_entities(expected, query.order, view)]
    assert world.count(tenant, query, rights, NOW) == len(ids)
    assert world.ids(tenant, query, rights, NOW, limit=2, offset=1) == ids[1:3]
    seen["some" if ids else "none"] += 1


def record(found: list[Entity]) -> None:
    for entity in found:
        seen["multi-type"] += len(entity.types) > 1
        for attribute in entity.attributes.values():
            seen["multi-attribute"] += isinstance(attribute, list)
            for instance in instances(attribute):
                seen[instance["type"]] += 1
                if instance["type"] == "GeoProperty":
                    seen[instance["value"]["type"]] += 1


def test_sql_finds_what_the_evaluator_finds(world: World) -> None:
    seen.clear()
    examples = EXAMPLES[type(world)]

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(entities(), st.lists(st.tuples(queries(), restrictions()), min_size=3, max_size=3))
    def same_answers(found: list[Entity], asked: list[tuple[EntityQuery, Restriction]]) -> None:
        record(found)
        tenant = world.store(found)
        for query, rights in asked:
            check(world, tenant, found, query, rights)

    same_answers()
    operators = ["exists", "==", "!=", "<", "<=", ">", ">=", "~=", "!~=", "linked", "path"]
    relations = ["within", "contains", "intersects", "equals", "disjoint", "overlaps"]
    relations += ["near;maxDistance", "near;minDistance"]
    others = ["ids", "types", "idPattern", "scope", "attrs", "datasets", "order", "dist", "collation", "restriction"]
    kinds = ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"]
    everything = [*operators, *relations, *others, *VALUES, *kinds, "multi-type", "multi-attribute"]
    assert {what: seen[what] for what in everything if seen[what] < 5} == {}
    assert seen["some"] > examples / 2
    assert seen["none"] > examples / 2


@pytest.mark.parametrize("form", ["{}", "{},1", '"r"..{}', '{}.."xz"'])
def test_texts_of_every_length_compare(world: World, form: str) -> None:
    held = [*SHORT, *TIMES, *LONG, LONG, [], 5, True]
    found = [
        Entity(f"urn:e:{n}", [CIM + "Car"], {CIM + "a": {"type": "Property", "value": value}}, created_at=NOW)
        for n, value in enumerate(held)
    ]
    tenant = world.store(found)
    for text in [*SHORT, *TIMES, *LONG]:
        for operator in ["==", "!=", "<", "<=", ">", ">="] if form == "{}" else ["==", "!="]:
            query = EntityQuery(q=parse_q("a" + operator + form.format(literal(text)), TERMS))
            check(world, tenant, found, query, EVERYTHING)


@pytest.mark.parametrize("value", ["1", "120", "149.5", "1..3", "-1,149", '"red"', "true"])
@pytest.mark.parametrize("operator", ["==", "!="])
def test_arrays_too_long_for_index_rows_are_read(world: World, operator: str, value: str) -> None:
    held: list[Any] = [[*range(150)], [*range(100)], [120, 1], 1, 149, "red", [*["red"] * 101, True]]
    found = [
        Entity(f"urn:e:{n}", [CIM + "Car"], {CIM + "a": {"type": "ListProperty", "valueList": value}}, created_at=NOW)
        if isinstance(value, list)
        else Entity(f"urn:e:{n}", [CIM + "Car"], {CIM + "a": {"type": "Property", "value": value}}, created_at=NOW)
        for n, value in enumerate(held)
    ]
    query = EntityQuery(q=parse_q(f"a{operator}{value}", TERMS), order=parse_order_by("a;desc", TERMS))
    check(world, world.store(found), found, query, EVERYTHING)


def line(*positions: tuple[int, int]) -> list[list[int]]:
    return [list(position) for position in positions]


SHAPES: list[dict[str, Any]] = [
    *({"type": "Point", "coordinates": [x, y]} for x, y in [(0, 0), (1, 1), (2, 1), (3, 3), (1, 0), (4, 2)]),
    {"type": "Point", "coordinates": [2, 1, 40]},
    {"type": "MultiPoint", "coordinates": line((1, 1), (3, 3))},
    {"type": "MultiPoint", "coordinates": line((1, 1), (1, 1))},
    {"type": "LineString", "coordinates": line((0, 0), (2, 2))},
    {"type": "LineString", "coordinates": line((0, 1), (2, 1), (4, 1))},
    {"type": "LineString", "coordinates": line((1, 1), (1, 1))},
    {"type": "LineString", "coordinates": line((0, 0), (2, 2), (0, 2), (2, 0))},
    {"type": "MultiLineString", "coordinates": [line((0, 0), (1, 1)), line((1, 1), (2, 0))]},
    *({"type": "Polygon", "coordinates": square(list(c), n)} for c, n in [((0, 0), 2), ((0, 0), 4), ((1, 1), 2)]),
    {"type": "Polygon", "coordinates": [square([0, 0], 4)[0], square([1, 1], 2)[0][::-1]]},
    {"type": "Polygon", "coordinates": [line((0, 0), (2, 2), (2, 0), (0, 2), (0, 0))]},
    {"type": "MultiPolygon", "coordinates": [square([0, 0], 1), square([2, 2], 1)]},
    {"type": "MultiPolygon", "coordinates": [square([0, 0], 2), square([1, 1], 2)]},
]
RELATIONS = ["within", "contains", "intersects", "equals", "disjoint", "overlaps", "near;maxDistance==1"]
RELATIONS += [f"near;{limit}Distance=={metres}" for limit in ("max", "min") for metres in (111000, 112000, 250000)]


def is_valid(geometry: dict[str, Any]) -> bool:
    shape = shape_of(geometry)
    return shape is not None and shape.is_valid


def test_geometries_of_every_kind_relate(world: World) -> None:
    found = [
        Entity(f"urn:e:{n}", [CIM + "Car"], {CIM + "location": {"type": "GeoProperty", "value": shape}}, created_at=NOW)
        for n, shape in enumerate(SHAPES)
    ]
    valid = [entity for entity, shape in zip(found, SHAPES, strict=True) if is_valid(shape)]
    for entities_held in (found, valid):
        tenant = world.store(entities_held)
        for relation, shape in product(RELATIONS, SHAPES):
            geo = parse_geo(relation, shape["type"], shape["coordinates"], None, TERMS)
            check(world, tenant, entities_held, EntityQuery(geo=geo), EVERYTHING)


HELD: list[Any] = [3, -1, 2.5, 3, 0, True, False, "b", "B", "", "é", "10:00:00Z", "2020-01-01", "2020-01-01T00:00:00Z"]
HELD += ["2020-01-01T01:00:00+01:00", [1, 2], [], ["a"], {"x": 1}, "x" * 300, "x" * 300 + "y", [*range(150)]]


@pytest.mark.parametrize(
    "held",
    [HELD, HELD[:-3], HELD[:15], HELD[:5], [*HELD[:5], [7]], [*HELD[:5], True], [*HELD[:5], {"x": 1}]],
    ids=["all", "whole", "scalars", "numbers", "arrays", "booleans", "objects"],
)
def test_values_of_every_datatype_are_ordered(world: World, held: list[Any]) -> None:
    found = []
    for n, value in enumerate([*held, None]):
        held_here = [{"type": "Property", "value": value}] if value is not None else []
        if n % 3 == 0:
            other = {"type": "Property", "value": held[-n % len(held)], "datasetId": "urn:d:1"}
            held_here.append(other | ({"expiresAt": "2010-01-01T00:00:00Z"} if n % 2 else {}))
        attributes = {CIM + "a": attribute_of(held_here)} if held_here else {}
        attributes[CIM + "b"] = {"type": "Property", "value": n % 2}
        found.append(Entity(f"urn:e:{n:02}", [CIM + TYPES[n % 2]], attributes, created_at=NOW + n % 3))
    tenant = world.store(found)
    view = View(NOW, EVERYTHING)
    for order in ["a", "a;desc", "b,a", "b;desc,a;desc", "a,createdAt;desc", "createdAt,a", "b", "b;desc"]:
        ordering = parse_order_by(order, TERMS)
        expected = [entity.id for entity in sort_entities(found, ordering, view)]
        for limit, offset in [(ALL, 0), (2, 0), (3, 1), (4, 3)]:
            query = EntityQuery(order=ordering)
            assert world.ids(tenant, query, EVERYTHING, NOW, limit, offset) == expected[offset : offset + limit]
