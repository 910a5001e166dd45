"""Queries through the store: pages, counts, ids in chunks, what has expired, and the time limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from context_api.storage.codec import decode
from context_api.storage.port import Page
from ngsild.problems import TooComplexQuery
from ngsild.query import EVERYTHING, EntityQuery, HasType, Restriction, Selector
from ngsild.query.ast import Exists, Or, Path
from ngsild.query.restriction import Rule

pytestmark = pytest.mark.anyio

CIM = "https://w3id.org/voltweave/cim#"
VEHICLES = EntityQuery(selectors=(Selector(types=HasType((frozenset({f"{CIM}Vehicle"}),))),))


def number(value: float, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **members}


def ids(page: Page) -> list[str]:
    return [orjson.loads(row.doc)["id"] for row in page.rows]


async def test_pages_are_disjoint_and_complete(broker: Any) -> None:
    entities = [broker.entity(str(i), {"soc": number(i)}) for i in range(25)]
    await broker.create(*entities, broker.entity("bay", types=[f"{CIM}ParkingBay"]))
    pages = [await broker.store.query(broker.tenant, VEHICLES, EVERYTHING, 10, o, True) for o in (0, 10, 20, 30)]
    assert [page.total for page in pages] == [25] * 4
    assert [len(page.rows) for page in pages] == [10, 10, 5, 0]
    found = [entity_id for page in pages for entity_id in ids(page)]
    assert sorted(found) == sorted(entity.id for entity in entities)
    assert (await broker.store.query(broker.tenant, VEHICLES, EVERYTHING, 0, 0, True)) == Page([], 25)
    assert (await broker.store.query(broker.tenant, VEHICLES, EVERYTHING, 100, 0, False)).total is None
    assert decode(pages[0].rows[0]) == await broker.get(found[0])


async def test_other_tenants_and_hidden_entities_are_not_found(broker: Any) -> None:
    town = await broker.store.tenant("town", create=True)
    await broker.create(broker.entity("1"), broker.entity("2", types=[f"{CIM}Vehicle", f"{CIM}Bus"]))
    assert await broker.store.query(town, VEHICLES, EVERYTHING, 10, 0, True) == Page([], 0)
    buses = Restriction((Rule(HasType((frozenset({f"{CIM}Bus"}),))),))
    page = await broker.store.query(broker.tenant, VEHICLES, buses, 10, 0, True)
    assert (ids(page), page.total) == (["urn:ngsi-ld:Vehicle:test:2"], 1)


async def test_what_expired_is_neither_found_nor_counted(broker: Any) -> None:
    past = "2020-01-01T00:00:00Z"
    await broker.create(
        broker.entity("1", {"soc": number(1, expiresAt=past), "range": number(2)}),
        broker.entity("2", {"soc": number(2)}, expires_at=past),
    )
    page = await broker.store.query(broker.tenant, VEHICLES, EVERYTHING, 10, 0, True)
    assert page.total == 1
    assert f"{CIM}soc" not in orjson.loads(page.rows[0].doc)


async def test_ids_come_in_chunks_while_entities_go(broker: Any) -> None:
    entities = [broker.entity(str(i), {"soc": number(i)}) for i in range(2_500)]
    await broker.create(*entities)
    found: list[str] = []
    async for chunk in broker.store.query_ids(broker.tenant, VEHICLES, EVERYTHING):
        assert 0 < len(chunk) <= 1_000
        found += chunk
        if len(found) == len(chunk):
            late = next(entity.id for entity in entities if entity.id not in chunk)
            await broker.delete(late)
    assert sorted([*found, late]) == sorted(entity.id for entity in entities)
    assert [c async for c in broker.store.query_ids(broker.tenant, EntityQuery(selectors=()), EVERYTHING)]


async def test_a_query_that_takes_too_long_is_refused_and_harms_no_other(broker: Any, database: Any) -> None:
    await broker.create(*(broker.entity(str(i), {"soc": number(i)}) for i in range(1_500)))
    # Of sub-attributes only the document tells, and every one is read.
    paths = (Path(f"{CIM}soc", sub_attributes=(f"{CIM}x{n}",)) for n in range(200))
    slow = replace(VEHICLES, q=Or(tuple(map(Exists, paths))))
    await broker.store.close()
    store = database.store(query_time_limit=0.05)
    await store.start()
    with pytest.raises(TooComplexQuery, match=r"0\.05 s"):
        await store.query(broker.tenant, slow, EVERYTHING, 1_000, 0, True)
    few = EntityQuery(selectors=(Selector(ids=frozenset({"urn:ngsi-ld:Vehicle:test:7"})),))
    assert len((await store.query(broker.tenant, few, EVERYTHING, 10, 0, False)).rows) == 1
    await store.close()
    await broker.store.start()
