"""A read-only replica of a PostgreSQL database: it answers queries and discovery, the primary the rest."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from benchmarks.postgres import PostgresServer, execute, query
from benchmarks.processes import free_port
from context_api.settings import StorageSettings
from context_api.storage.codec import decode
from context_api.storage.migrations import HEAD
from context_api.storage.port import Change, Outcome, StorageError
from context_api.storage.postgres.store import PostgresStore
from ngsild.entity import Entity
from ngsild.query import EVERYTHING, EntityQuery

pytestmark = pytest.mark.anyio

LONGEST_S = 30


async def create(store: PostgresStore, number: int) -> None:
    entity = Entity(f"urn:e:{number}", [f"urn:t:{number}"], {}, created_at=1)
    tenant = await store.tenant(None, create=False)
    assert await store.write(tenant, [Change(entity.id, None, entity, 1, "create")]) == [Outcome.DONE]


async def types(store: PostgresStore) -> set[str]:
    return set(await store.types(await store.tenant(None, create=False), EVERYTHING))


async def queried(store: PostgresStore) -> list[str]:
    page = await store.query(await store.tenant(None, create=False), EntityQuery(), EVERYTHING, 10, 0, True)
    return sorted(decode(row).id for row in page.rows)


async def arrived(store: PostgresStore, number: int) -> None:
    """Wait until the replica has a type."""
    deadline = time.monotonic() + LONGEST_S
    while f"urn:t:{number}" not in await types(store):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def replica_url(replica: PostgresServer, url: str) -> str:
    return replica.url(url.rpartition("/")[2])


async def test_queries_and_discovery_are_answered_by_the_replica(
    postgres_url: str, postgres_replica: PostgresServer
) -> None:
    url = replica_url(postgres_replica, postgres_url)
    store = PostgresStore(StorageSettings(database=postgres_url, database_replica=url))
    await store.start()
    try:
        await create(store, 1)
        await arrived(store, 1)
        execute(url, "SELECT pg_wal_replay_pause()")
        await create(store, 2)
        await store.roll_up()
        tenant = await store.tenant(None, create=False)
        assert await types(store) == {"urn:t:1"}
        assert await queried(store) == ["urn:e:1"]
        assert await store.read(tenant, ["urn:e:2"]) != [None]
        execute(url, "SELECT pg_wal_replay_resume()")
        await arrived(store, 2)
        assert await queried(store) == ["urn:e:1", "urn:e:2"]

        await asyncio.to_thread(postgres_replica.kill)
        for ask in (types, queried):
            with pytest.raises(StorageError):
                await ask(store)
        await create(store, 3)
        await asyncio.to_thread(postgres_replica.start)
        await arrived(store, 3)
    finally:
        await store.close()


async def refusal(**settings: Any) -> str:
    store = PostgresStore(StorageSettings(**settings))
    with pytest.raises(StorageError) as refused:
        await store.start()
    return str(refused.value)


async def test_a_replica_that_cannot_be_read_is_refused_at_the_start(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    away = f"postgresql://me@127.0.0.1:{free_port()}/x"
    assert "the replica cannot be reached" in await refusal(database=postgres_url, database_replica=away)
    empty = postgres_server.url("postgres")
    assert "the replica is empty" in await refusal(database=postgres_url, database_replica=empty)
    name = f"{postgres_url.rpartition('/')[2]}_old"
    query(postgres_server.url(), f"CREATE DATABASE {name} TEMPLATE {postgres_url.rpartition('/')[2]}")
    try:
        old = postgres_server.url(name)
        execute(old, "UPDATE alembic_version SET version_num = '0000'")
        told = await refusal(database=postgres_url, database_replica=old)
        assert f"the replica has schema 0000; this version of Voltweave needs schema {HEAD}: it lags behind" in told
        connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'voltweave' AND datname = ?"
        assert query(postgres_server.url(), connections, postgres_url.rpartition("/")[2]) == [(0,)]
    finally:
        query(postgres_server.url(), f"DROP DATABASE {name} WITH (FORCE)")
