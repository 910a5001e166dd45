"""How PostgreSQL carries a query out: through the index of the driving condition, in its order (decision 21)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.postgres import PostgresServer
from context_api.storage.port import Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.lookup import prepare
from context_api.storage.postgres.ordering import order_of
from context_api.storage.postgres.query import Translation
from ngsild.query import EVERYTHING, EntityQuery, parse_geo, parse_order_by, parse_scope_q
from ngsild.query.target import View
from tests.contract.cars import NOW, TERMS, car, query
from tests.contract.query_worlds import PostgresWorld, postgres_world
from tests.postgres import postgres_database

BY_KEY = "Index Scan using entity_pkey on entity x"
NUM = "Index Scan using value_by_num on value d"
TXT = "Index Scan using value_by_txt on value d"


class Cars:
    """A database of cars, asked for its plans."""

    def __init__(self, world: PostgresWorld) -> None:
        self._world = world
        self._tenant = world.store([car(number) for number in range(300)])

    def plan(self, asked: EntityQuery) -> str:
        """Return the plan of a page of five, made without looking at the values of parameters, as in operation."""
        return self._world.run(self._plan(asked, self._tenant))

    async def _plan(self, asked: EntityQuery, tenant: Tenant) -> str:
        async with self._world.pool.connection() as con:
            await con.execute("ANALYZE")
            prepared = await prepare(con, self._world.names, tenant, asked, EVERYTHING)
            found = Translation(asked, EVERYTHING, prepared, tenant, NOW)
            order = order_of(asked.order, found.conditions, View(NOW, EVERYTHING)) if asked.order else None
            sql, params = found.rows("e.id", order, page=(5, 0))
            return await explained(con, sql, len(params))


async def explained(con: Connection, sql: str, params: int) -> str:
    """Return the plan that a connection of the store keeps for a statement."""
    await con.execute(f"PREPARE asked AS {sql}")
    try:
        rows = await con.fetch(f"EXPLAIN (COSTS OFF) EXECUTE asked({', '.join(['NULL'] * params)})")
    finally:
        await con.execute("DEALLOCATE asked")
    return "\n".join(line for (line,) in rows)


@pytest.fixture(scope="module")
def cars(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Cars]:
    with postgres_database(postgres_server, postgres_template) as url, postgres_world(url) as world:
        yield Cars(world)


@pytest.mark.parametrize(
    ("asked", "access", "condition"),
    [
        (query("speed>990"), NUM, "(typeset = 1) AND (num > $"),
        (query("speed==990..995"), NUM, "(num >= $"),
        (query('name=="car 001"'), TXT, "(txt = $"),
        (query('speed;name>="car 290"'), TXT, "(txt >= $"),
        (query(), "Index Scan using entity_by_type on entity e", "(typeset = 1)"),
        (query("speed!=5|name"), "Index Scan using entity_by_type on entity e", "(typeset = 1)"),
        (query(scope=parse_scope_q("/S/s1")), "entity_scope_by_scope on entity_scope s", "(scope >= $"),
        (
            query(geo=parse_geo("near;maxDistance==1000", "Point", [1, 1], None, TERMS)),
            "Index Scan using geometry_by_box on entity_geometry g",
            "Order By: (box <-> $",
        ),
    ],
)
def test_the_driving_condition_is_walked_in_its_order(
    cars: Cars, asked: EntityQuery, access: str, condition: str
) -> None:
    plan = cars.plan(asked)
    assert access in plan
    assert condition in plan
    assert "Seq Scan" not in plan
    assert "->  Sort" not in plan


@pytest.mark.parametrize("q", ["speed>990", 'name=="car 001"'])
def test_type_sets_are_merged_and_entities_found_by_key(cars: Cars, q: str) -> None:
    plan = cars.plan(query(q, types=None))
    assert plan.count("value d") == 2
    assert "Merge Append" in plan
    assert BY_KEY in plan
    assert "Seq Scan" not in plan


def test_a_sort_is_seen_in_the_plan(cars: Cars) -> None:
    assert "->  Sort" in cars.plan(query(order=parse_order_by("name", TERMS)))
