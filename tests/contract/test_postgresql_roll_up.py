"""The roll-up on PostgreSQL: sums stay exact beside writers and other roll-ups, and when the server dies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest

from benchmarks.postgres import PostgresServer, query
from context_api.settings import StorageSettings
from context_api.storage.discovery import Occurrence
from context_api.storage.port import Change, Outcome, StorageError, Tenant
from context_api.storage.postgres.store import PostgresStore
from ngsild.entity import Entity
from ngsild.query import EVERYTHING

pytestmark = pytest.mark.anyio

STAYS, GOES = "urn:t:stays", "urn:t:goes"
SOC = "urn:a:soc"
WRITERS = 6
ROUNDS = 60
KILLS = 5
DELTAS = 12_000
FILL = """
    INSERT INTO occurrence_delta (tenants, typesets, attrs, types, counts)
    SELECT array_fill(1, ARRAY[20]), array_fill(i % 7, ARRAY[20]), ARRAY(SELECT generate_series(1, 20)),
        array_fill('Property'::text, ARRAY[20]), array_fill(1 + i % 3::bigint, ARRAY[20])
    FROM generate_series(1, ?::int) i
"""


async def opened(stack: AsyncExitStack, url: str) -> PostgresStore:
    store = PostgresStore(StorageSettings(database=url))
    await store.start()
    stack.push_async_callback(store.close)
    return store


async def write(store: PostgresStore, tenant: Tenant, writer: int) -> int:
    """Create entities with two instances each, and delete those that do not stay; return how many stayed."""
    chance = random.Random(writer)
    stayed = 0
    for number in range(ROUNDS):
        kept = chance.random() < 0.5
        instances = [{"type": "Property", "value": 1}, {"type": "Property", "value": 2, "datasetId": "urn:d:2"}]
        entity = Entity(f"urn:e:{writer}:{number}", [STAYS if kept else GOES], {SOC: instances}, created_at=1)
        outcomes = await store.write(tenant, [Change(entity.id, None, entity, 1, "create")])
        if not kept:
            (before,) = await store.read(tenant, [entity.id])
            outcomes += await store.write(tenant, [Change(entity.id, before, None, 2, "delete")])
        assert set(outcomes) == {Outcome.DONE}
        stayed += kept
    return stayed


async def test_sums_are_exact_beside_writers_and_other_roll_ups(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        stores = [await opened(stack, postgres_url) for _ in range(3)]
        tenant = await stores[0].tenant(None, create=False)
        done = asyncio.Event()
        looks: list[int] = []

        async def again(work: Callable[[], Awaitable[None]]) -> None:
            while not done.is_set():
                await work()

        async def look() -> None:
            found = await stores[2].occurrences(tenant, EVERYTHING)
            entities = sum(o.instances for o in found if not o.attribute)
            assert sum(o.instances for o in found if o.attribute) == 2 * entities
            looks.append(sum(o.instances for o in found if not o.attribute and o.types == (STAYS,)))

        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(write(stores[n % 2], tenant, n)) for n in range(WRITERS)]
            for work in (stores[0].roll_up, stores[1].roll_up, look):
                group.create_task(again(work))
            await asyncio.gather(*writers)
            done.set()
        stayed = sum(writer.result() for writer in writers)
        # What stays is never counted short, at whatever moment of a roll-up one looks.
        assert looks == sorted(looks)
        assert len(set(looks)) > 10
        await stores[0].roll_up()
        assert sorted(await stores[0].occurrences(tenant, EVERYTHING)) == [
            Occurrence((STAYS,), "", "", stayed),
            Occurrence((STAYS,), SOC, "Property", 2 * stayed),
        ]
    assert query(postgres_url, "SELECT count(*) FROM occurrence_delta") == [(0,)]
    assert query(postgres_url, "SELECT count FROM occurrence ORDER BY attr") == [(stayed,), (2 * stayed,)]


async def test_one_process_rolls_up_at_a_time(postgres_url: str) -> None:
    query(postgres_url, FILL, 1)
    left = "SELECT count(*) FROM occurrence_delta"
    async with AsyncExitStack() as stack:
        store = await opened(stack, postgres_url)
        other = await asyncpg.connect(postgres_url)
        stack.push_async_callback(other.close)
        await other.execute("BEGIN")
        await other.execute("SELECT pg_advisory_xact_lock(hashtextextended('voltweave.roll_up', 0))")
        await store.roll_up()
        assert query(postgres_url, left) == [(1,)]
        await other.execute("ROLLBACK")
        await store.roll_up()
    assert query(postgres_url, left) == [(0,)]


async def test_what_sums_to_nothing_leaves_no_row(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        store = await opened(stack, postgres_url)
        tenant = await store.tenant(None, create=False)
        entity = Entity("urn:e:1", [STAYS], {SOC: {"type": "Property", "value": 1}}, created_at=1)
        await store.write(tenant, [Change(entity.id, None, entity, 1, "create")])
        await store.roll_up()
        assert query(postgres_url, "SELECT count FROM occurrence") == [(1,), (1,)]
        (before,) = await store.read(tenant, [entity.id])
        await store.write(tenant, [Change(entity.id, before, None, 2, "delete")])
        await store.roll_up()
    assert query(postgres_url, "SELECT count(*) FROM occurrence") == [(0,)]


async def test_sums_are_exact_after_the_death_of_the_server(postgres_url: str, postgres_server: PostgresServer) -> None:
    query(postgres_url, FILL, DELTAS)
    expected = 20 * sum(1 + i % 3 for i in range(1, DELTAS + 1))
    chance = random.Random(1)
    left: list[int] = []
    for _ in range(KILLS):
        await roll_up_until_killed(postgres_url, postgres_server, chance.uniform(0.0, 0.15))
        postgres_server.start()
        found = query(
            postgres_url,
            "SELECT (SELECT coalesce(sum(count), 0) FROM occurrence)"
            " + (SELECT coalesce(sum(n), 0) FROM occurrence_delta CROSS JOIN unnest(counts) n)",
        )
        assert found == [(expected,)]
        left += query(postgres_url, "SELECT count(*)::int FROM occurrence_delta")[0]
    assert any(0 < number < DELTAS for number in left)


async def roll_up_until_killed(url: str, server: PostgresServer, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        store = await opened(stack, url)
        rolling = asyncio.create_task(store.roll_up())
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.kill)
        try:
            await rolling
        except StorageError:
            return
