"""The small tables beside the entities: statements in SQLAlchemy Core on every database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Executable, bindparam, delete, func, insert, select, update

from context_api.contexts.tables import jsonld_context
from context_api.storage.port import Duplicate, Outcome
from context_api.storage.records import ForEach
from context_api.storage.tables import epoch

pytestmark = pytest.mark.anyio


def row(kind: str, tenant: int = 1, number: int = 1) -> Executable:
    return insert(epoch).values(kind=kind, tenant=tenant, epoch=number)


async def test_statements_are_one_transaction_and_are_seen_at_once(broker: Any) -> None:
    records = broker.store.records
    await records.execute(row("a"), row("b", number=2), update(epoch).where(epoch.c.kind == "a").values(epoch=7))
    assert await records.fetch(select(epoch.c.kind, epoch.c.epoch).order_by(epoch.c.kind)) == [("a", 7), ("b", 2)]
    await records.execute(delete(epoch).where(epoch.c.kind.in_(["a", "b", "c"])), row("d"))
    assert await records.fetch(select(epoch.c.kind).where(epoch.c.kind.in_(["a", "d"]))) == [("d",)]
    await records.execute()


async def test_a_statement_can_be_carried_out_for_many_rows(broker: Any) -> None:
    records = broker.store.records
    rows = [{"kind": "many", "tenant": i, "epoch": -i} for i in range(300)]
    await records.execute(row("one"), ForEach(insert(epoch), rows), ForEach(insert(epoch), []))
    assert len(await records.fetch(select(epoch).where(epoch.c.tenant == -epoch.c.epoch))) == 300
    those = (epoch.c.kind == bindparam("what"), epoch.c.tenant == bindparam("whose"))
    await records.execute(ForEach(delete(epoch).where(*those), [{"whose": i, "what": "many"} for i in range(1, 300)]))
    assert sorted(await records.fetch(select(epoch.c.kind, epoch.c.tenant))) == [("many", 0), ("one", 1)]
    with pytest.raises(Duplicate):
        await records.execute(ForEach(insert(epoch), rows[:2]))
    assert len(await records.fetch(select(epoch))) == 2


async def test_duplicate_key_undoes_all_statements_of_its_call(broker: Any) -> None:
    records = broker.store.records
    await records.execute(row("a"))
    with pytest.raises(Duplicate):
        await records.execute(row("before"), row("a", number=2), row("behind"))
    assert await records.fetch(select(epoch)) == [("a", 1, 1)]


async def test_duplicate_unique_value_is_told_as_well(broker: Any) -> None:
    def context(name: str) -> Executable:
        values = {"id": name, "kind": "Cached", "url": "https://example.org/", "document": "{}"}
        return insert(jsonld_context).values(**values, created_at=1, hits=0)

    await broker.store.records.execute(context("one"))
    with pytest.raises(Duplicate):
        await broker.store.records.execute(context("two"))


async def test_concurrent_inserts_of_one_key_have_one_winner_and_hurt_no_other_write(broker: Any) -> None:
    records = broker.store.records
    entities = [broker.entity(str(i)) for i in range(20)]
    results = await asyncio.gather(
        *(records.execute(row("a", number=i), row(f"own {i}")) for i in range(20)),
        *(broker.create(entity) for entity in entities),
        return_exceptions=True,
    )
    told, outcomes = results[:20], results[20:]
    assert sorted(type(r).__name__ for r in told) == ["Duplicate"] * 19 + ["NoneType"]
    assert outcomes == [[Outcome.DONE]] * 20
    assert await records.fetch(select(func.count()).select_from(epoch)) == [(2,)]
