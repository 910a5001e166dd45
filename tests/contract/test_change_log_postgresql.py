"""The change log on PostgreSQL: numbers with gaps, several processes, and what wakes them (decisions 15 and 17)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from benchmarks.postgres import execute
from context_api import change_log
from context_api.leases import Leases
from context_api.storage.codec import entity_key
from context_api.storage.port import Store
from context_api.storage.postgres import announcing
from context_api.storage.postgres.changes import _LOOK, _SELECT
from context_api.storage.postgres.connection import Pool
from tests.contract.test_change_log import Seen, served, until

pytestmark = pytest.mark.anyio

_LISTENING = "application_name = 'voltweave listener' AND state = 'idle' AND query LIKE 'LISTEN%'"
_LISTENERS = f"SELECT pid FROM pg_stat_activity WHERE {_LISTENING}"  # noqa: S608
_END_LISTENERS = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_LISTENING}"  # noqa: S608


@pytest.fixture
def database(postgresql_database: Any) -> Any:
    return postgresql_database


@asynccontextmanager
async def transaction(url: str) -> AsyncIterator[Any]:
    """Give a connection in a transaction, which is committed when the block ends."""
    con = await asyncpg.connect(url)
    try:
        async with con.transaction():
            yield con
    finally:
        await con.close()


@asynccontextmanager
async def another_store(database: Any) -> AsyncIterator[Store]:
    """Give a store such as another process has."""
    store = database.store()
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def log_change(con: Any, entity_id: str, operation: str) -> None:
    """Write a row of the change log alone."""
    await con.execute(
        "INSERT INTO change (k, tenant, entity_id, operation, attributes, new_version, at) "
        "VALUES ($1, 1, $2, $3, '{}', 0, 0)",
        asyncpg.pgproto.pgproto.UUID(entity_key("", entity_id)),
        entity_id,
        operation,
    )


async def test_a_change_waits_for_those_with_lower_numbers(broker: Any) -> None:
    async with transaction(broker.database.url) as con:
        await log_change(con, "urn:e:slow", "first")
        await broker.create(broker.entity("1"))
        assert await broker.store.changes(0, 10) == []
    changes = await broker.store.changes(0, 10)
    assert [change.operation for change in changes] == ["first", "createEntity"]


async def test_numbers_settle_when_younger_transactions_have_ended_too(broker: Any) -> None:
    """The lower number belongs to the younger transaction, which the snapshot of a reader does not list."""
    async with transaction(broker.database.url) as younger:
        async with transaction(broker.database.url) as older:
            for con in (older, younger):
                await con.fetchval("SELECT pg_current_xact_id()")
            await log_change(younger, "urn:e:1", "first")
            await log_change(older, "urn:e:2", "second")
        assert await broker.store.changes(0, 10) == []
    changes = await broker.store.changes(0, 10)
    assert [change.operation for change in changes] == ["first", "second"]


async def test_a_change_does_not_wait_for_what_began_after_it(broker: Any) -> None:
    await broker.create(broker.entity("1"))
    assert len(await broker.store.changes(0, 10)) == 1
    async with transaction(broker.database.url) as con:
        await con.fetchval("SELECT pg_current_xact_id()")
        assert len(await broker.store.changes(0, 10)) == 1
        await broker.create(broker.entity("2"))
        assert await broker.store.changes(1, 10) == []
    assert len(await broker.store.changes(0, 10)) == 2


async def test_steady_transactions_hold_nothing_back_for_ever(broker: Any) -> None:
    """At every moment some transaction is under way."""
    stop = asyncio.Event()

    async def busy(delay: float) -> None:
        await asyncio.sleep(delay)
        while not stop.is_set():
            async with transaction(broker.database.url) as con:
                await con.fetchval("SELECT pg_current_xact_id()")
                await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(busy(delay)) for delay in (0.0, 0.1)]
    await asyncio.sleep(0.2)
    await broker.create(broker.entity("1"))
    found = await broker.store.changes(0, 10)
    stop.set()
    await asyncio.gather(*tasks)
    assert len(found) == 1


async def test_changes_of_an_entity_have_the_order_of_its_versions(broker: Any) -> None:
    """A transaction may have its id long before it comes to an entity: ids of transactions are another order."""
    entity = broker.entity("1")
    async with transaction(broker.database.url) as con:
        earlier = await con.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await broker.create(entity)
        await log_change(con, entity.id, "afterwards")
    changes = await broker.store.changes(0, 10)
    assert [change.operation for change in changes] == ["createEntity", "afterwards"]
    txns = [txn for (txn,) in broker.rows("SELECT txn::text::bigint FROM change ORDER BY id")]
    assert earlier == txns[1] < txns[0]


async def test_a_long_transaction_holds_a_consumer_up_no_longer_than_it_lasts(broker: Any) -> None:
    seen = Seen()
    async with served(broker.store, seen):
        async with transaction(broker.database.url) as con:
            await con.fetchval("SELECT pg_current_xact_id()")
            await broker.create(broker.entity("1"))
            await asyncio.sleep(2.5)
            assert seen.numbers == []
        await until(lambda: seen.numbers)


async def test_what_another_process_commits_is_announced(broker: Any) -> None:
    seen = Seen()
    async with another_store(broker.database) as reader, served(reader, seen):
        await until(lambda: broker.rows(_LISTENERS))
        await broker.create(*(broker.entity(str(i)) for i in range(60)))
        await until(lambda: len(seen.numbers) == 60)
        await broker.update(broker.entity("1").id, lambda e: replace(e, scope=["/a"]), touched=frozenset())
        await until(lambda: len(seen.numbers) == 61)
        await broker.delete(broker.entity("2").id)
        await until(lambda: len(seen.numbers) == 62)


async def test_many_commits_are_few_announcements(broker: Any) -> None:
    heard = 0

    def hear(*_: Any) -> None:
        nonlocal heard
        heard += 1

    con = await asyncpg.connect(broker.database.url)
    await con.add_listener(announcing._CHANNEL, hear)
    for i in range(100):
        await broker.create(broker.entity(str(i)))
    await asyncio.sleep(announcing._GATHER_SECONDS * 2)
    await con.close()
    assert len(broker.rows("SELECT DISTINCT txn FROM change")) == 100
    assert 1 <= heard <= 10


async def test_a_broken_connection_is_made_again(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "_RECONNECT_SECONDS", 0.05)
    seen = Seen()
    async with another_store(broker.database) as reader, served(reader, seen):
        await until(lambda: broker.rows(_LISTENERS))
        before = broker.rows(_LISTENERS)
        execute(broker.database.url, _END_LISTENERS)
        await broker.create(broker.entity("meanwhile"))
        await until(lambda: len(seen.numbers) == 1)
        await until(lambda: broker.rows(_LISTENERS) not in ([], before))
        await broker.create(broker.entity("afterwards"))
        await until(lambda: len(seen.numbers) == 2)


async def test_one_process_at_a_time_serves_a_consumer(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "_LEASE_SECONDS", 2.0)
    first, second = Seen(), Seen()
    async with another_store(broker.database) as other:
        leases = Leases(broker.store.records)
        async with served(broker.store, first, leases=leases):
            await broker.create(broker.entity("1"))
            await until(lambda: first.numbers)
            async with served(other, second):
                await broker.create(*(broker.entity(str(i)) for i in range(2, 30)))
                await until(lambda: len(first.numbers) == 29)
                assert second.numbers == []
        await leases.release()
        async with served(other, second):
            await broker.create(broker.entity("30"))
            await until(lambda: second.numbers)
            await until(lambda: len(first.numbers + second.numbers) >= 30)
    assert sorted({*first.numbers, *second.numbers}) == [n for (n,) in broker.rows("SELECT id FROM change ORDER BY id")]


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        (_SELECT, "Index Scan using change_pkey on change"),
        (_LOOK, "Index Only Scan Backward using change_pkey on change"),
    ],
)
async def test_the_log_is_read_through_its_key(broker: Any, statement: str, plan: str) -> None:
    await broker.create(*(broker.entity(str(i)) for i in range(300)))
    pool = Pool(broker.database.url, 2, 5)
    await pool.open()
    async with pool.connection() as con:
        await con.execute("ANALYZE change")
        values = ", ".join(["NULL"] * statement.count("$"))
        await con.execute(f"PREPARE asked AS {statement}")
        lines = await con.fetch(f"EXPLAIN (COSTS OFF) EXECUTE asked {f'({values})' if values else ''}")
    await pool.close()
    told = "\n".join(line for (line,) in lines)
    assert plan in told
    assert "Sort" not in told
