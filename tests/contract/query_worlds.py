"""Databases that are asked the same queries: entities go in as every write does, ids come out as a query finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

from context_api.storage.codec import entity_key
from context_api.storage.port import Change, Tenant
from context_api.storage.postgres import writing
from context_api.storage.postgres.connection import Pool
from context_api.storage.postgres.names import Names as PostgresNames
from context_api.storage.postgres.reading import Reading
from context_api.storage.sqlite.batch import Batch, Counters
from context_api.storage.sqlite.file import connect, prepare_schema
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.sqlite.names import Names as SqliteNames
from context_api.storage.sqlite.query import compile_count, compile_query
from ngsild.entity import Entity
from ngsild.query import EntityQuery, Restriction

ALL = 1_000
"""More than any world holds of a tenant."""


class World(Protocol):
    """A database in which each set of entities has a tenant of its own."""

    def store(self, found: Sequence[Entity]) -> Tenant:
        """Store entities for a new tenant."""

    def ids(
        self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int, limit: int = ALL, offset: int = 0
    ) -> list[str]:
        """Return the ids of a page of the matches."""

    def count(self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int) -> int:
        """Return the number of all matches."""


class SqliteWorld:
    """A file."""

    def __init__(self, path: Path) -> None:
        self.con = connect(path, read_only=False, synchronous="OFF")
        prepare_schema(self.con, path)
        self.names = SqliteNames()
        self.tenants = 1

    def store(self, found: Sequence[Entity]) -> Tenant:
        self.tenants += 1
        tenant = Tenant(self.tenants, f"t{self.tenants}")
        self.con.execute("BEGIN")
        batch = Batch(self.con, self.names, Counters.load(self.con))
        for entity in found:
            batch.add(tenant, entity_key(tenant.name, entity.id), creation(entity), None)
        batch.flush()
        self.con.execute("COMMIT")
        self.names.committed()
        return tenant

    def lookup(self, tenant: Tenant) -> Lookup:
        return Lookup(self.con, self.names, tenant)

    def ids(
        self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int, limit: int = ALL, offset: int = 0
    ) -> list[str]:
        statement = compile_query(query, rights, self.lookup(tenant), now, "e.id", limit, offset)
        return [entity_id for (entity_id,) in statement.execute(self.con)]

    def count(self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int) -> int:
        ((count,),) = compile_count(query, rights, self.lookup(tenant), now).execute(self.con)
        return int(count)


class PostgresWorld:
    """A database on a server, asked through a pool as the store does."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self.pool = Pool(url, 1, 60)
        self.names = PostgresNames()
        self.tenants = 1
        self.run(self.pool.open())

    def close(self) -> None:
        self.run(self.pool.close())

    def store(self, found: Sequence[Entity]) -> Tenant:
        self.tenants += 1
        tenant = Tenant(self.tenants, f"t{self.tenants}")
        group = [writing.Keyed(tenant, entity_key(tenant.name, entity.id), creation(entity)) for entity in found]
        self.run(self._write(group))
        return tenant

    async def _write(self, group: Sequence[writing.Keyed]) -> None:
        needed = writing.needed(group)
        async with self.pool.connection() as con:
            await con.execute("SET synchronous_commit = off")
            names = await self.names.ensure(con, needed.iris, needed.typesets)
            await writing.write(con, group, writing.gather(group, names), swept=False)

    def ids(
        self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int, limit: int = ALL, offset: int = 0
    ) -> list[str]:
        page = self.run(self._page(tenant, query, rights, now, limit, offset, False))
        return [orjson.loads(row.doc)["id"] for row in page.rows]

    def count(self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int) -> int:
        return int(self.run(self._page(tenant, query, rights, now, 0, 0, True)).total)

    async def _page(self, tenant: Tenant, query: EntityQuery, rights: Restriction, now: int, *page: Any) -> Any:
        async with self.pool.connection() as con:
            return await Reading(con, self.names, tenant, rights, 60, now).page(query, *page)


def creation(entity: Entity) -> Change:
    return Change(entity.id, None, entity, entity.modified_at, "create")


@contextmanager
def sqlite_world(path: Path) -> Iterator[SqliteWorld]:
    """Give a world in a new file."""
    world = SqliteWorld(path)
    with closing(world.con):
        yield world


@contextmanager
def postgres_world(url: str) -> Iterator[PostgresWorld]:
    """Give a world in an empty database that has the schema."""
    with asyncio.Runner() as runner, closing(PostgresWorld(url, runner)) as world:
        yield world
