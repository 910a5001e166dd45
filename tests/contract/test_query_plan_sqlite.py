"""How SQLite carries a query out: through the index of the driving condition, in its order (decision 21)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from context_api.storage.codec import entity_key
from context_api.storage.port import Tenant
from context_api.storage.sqlite.batch import Batch, Counters
from context_api.storage.sqlite.file import connect, prepare_schema
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.sqlite.names import Names
from context_api.storage.sqlite.query import Statement, compile_count, compile_query
from ngsild.query import EVERYTHING, EntityQuery, parse_geo, parse_order_by, parse_scope_q
from tests.contract.cars import NOW, TENANT, TERMS, creations, query


@pytest.fixture(scope="module")
def lookup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lookup]:
    path: Path = tmp_path_factory.mktemp("plan") / "plan.db"
    with closing(connect(path, read_only=False, synchronous="OFF")) as con:
        prepare_schema(con, path)
        names = Names()
        con.execute("BEGIN")
        batch = Batch(con, names, Counters.load(con))
        for change in creations():
            batch.add(TENANT, entity_key(TENANT.name, change.entity_id), change, None)
        batch.flush()
        con.execute("COMMIT")
        names.committed()
        yield Lookup(con, names, TENANT)


def compiled(lookup: Lookup, asked: EntityQuery, **page: Any) -> Statement:
    return compile_query(asked, EVERYTHING, lookup, NOW, "e.id", **page)


def ids(lookup: Lookup, asked: EntityQuery, **page: Any) -> list[str]:
    return [entity_id for (entity_id,) in compiled(lookup, asked, **page).execute(lookup.con)]


def plan(lookup: Lookup, statement: Statement) -> str:
    statement.functions.register(lookup.con)
    rows = lookup.con.execute("EXPLAIN QUERY PLAN " + statement.sql, statement.params)
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("asked", "access"),
    [
        (query("speed>990"), "SEARCH d USING INDEX value_by_num (tenant=? AND attr=? AND typeset=? AND num>?)"),
        (
            query("speed==990..995"),
            "SEARCH d USING INDEX value_by_num (tenant=? AND attr=? AND typeset=? AND num>? AND num<?)",
        ),
        (query('name=="car 001"'), "SEARCH d USING INDEX value_by_txt (tenant=? AND attr=? AND typeset=? AND txt=?)"),
        (
            query('speed;name>="car 290"'),
            "SEARCH d USING INDEX value_by_txt (tenant=? AND attr=? AND typeset=? AND txt>?)",
        ),
        (query(), "SEARCH e USING INDEX entity_by_type (tenant=? AND typeset=?)"),
        (query("speed!=5|name"), "SEARCH e USING INDEX entity_by_type (tenant=? AND typeset=?)"),
        (
            query(scope=parse_scope_q("/S/s1")),
            "SEARCH s USING COVERING INDEX entity_scope_by_scope (tenant=? AND scope=?)",
        ),
        (
            query(geo=parse_geo("near;maxDistance==1000", "Point", [1, 1], None, TERMS)),
            "SCAN b VIRTUAL TABLE INDEX",
        ),
    ],
)
def test_the_driving_condition_is_walked_in_its_order(lookup: Lookup, asked: EntityQuery, access: str) -> None:
    found = plan(lookup, compiled(lookup, asked, limit=5))
    assert access in found
    assert "TEMP B-TREE" not in found
    assert "SCAN d" not in found
    assert "SCAN e" not in found


def test_a_sort_is_seen_in_the_plan(lookup: Lookup) -> None:
    assert "TEMP B-TREE" in plan(lookup, compiled(lookup, query(order=parse_order_by("name", TERMS))))


def test_entities_come_by_driving_value_and_once(lookup: Lookup) -> None:
    found = ids(lookup, query("speed>0"))
    assert found == [f"urn:e:{n:03}" for n in range(299, 0, -2)]
    assert ids(lookup, query("speed>0"), limit=3, offset=2) == found[2:5]
    assert ids(lookup, query("speed>2000"))[:1] != []
    ((count,),) = compile_count(query("speed>0"), EVERYTHING, lookup, NOW).execute(lookup.con)
    assert count == len(found) == 150


def test_without_a_type_all_type_sets_are_searched(lookup: Lookup) -> None:
    assert len(ids(lookup, query("speed>0", types=None))) == 300
    assert ids(lookup, query("speed>0", types="Bus")) == []


def test_another_tenant_sees_nothing(lookup: Lookup) -> None:
    other = Lookup(lookup.con, lookup.names, Tenant(3, "other"))
    assert ids(other, query("speed>0", types=None)) == []
    assert ids(other, query(None, types=None)) == []


def test_values_are_parameters(lookup: Lookup) -> None:
    statement = compiled(lookup, query('name=="x\' OR 1=1 --"'))
    assert "OR 1=1" not in statement.sql
    assert list(statement.execute(lookup.con)) == []
