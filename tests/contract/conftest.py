"""What the tests of the store share: they run on each database, a parameter of the fixture `database`."""

from __future__ import annotations

import re
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks.postgres import query
from context_api.settings import StorageSettings
from context_api.storage.port import Change, Outcome, Store, Tenant
from context_api.storage.postgres.store import PostgresStore
from context_api.storage.sqlite.store import SqliteStore
from ngsild.entity import Attribute, Entity

CIM = "https://w3id.org/voltweave/cim#"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def now() -> int:
    return time.time_ns() // 1000


class Database(ABC):
    """An empty database that can be opened, and looked into beside the store."""

    names_roll_back: ClassVar[bool]
    """Whether names that only a failed write used are not kept."""

    @abstractmethod
    def store(self, **settings: Any) -> Store:
        """Return a store on it that has not been started."""

    @abstractmethod
    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query with `?` for its values, in words that every database understands."""


@dataclass
class SqliteDatabase(Database):
    path: Path
    names_roll_back = True

    def store(self, **settings: Any) -> Store:
        return SqliteStore(StorageSettings(database=f"sqlite:///{self.path}", **settings))

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as con:
            return con.execute(sql, values).fetchall()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> SqliteDatabase:
    return SqliteDatabase(tmp_path / "test.db")


@dataclass
class PostgresDatabase(Database):
    url: str
    names_roll_back = False

    def store(self, **settings: Any) -> Store:
        return PostgresStore(StorageSettings(database=self.url, **settings))

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        numbers = count(1)
        return query(self.url, re.sub(r"\?", lambda _: f"${next(numbers)}", sql), *values)


@pytest.fixture
def postgresql_database(postgres_url: str) -> PostgresDatabase:
    return PostgresDatabase(postgres_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """Give each database in turn; a module about one of them puts a fixture of its own in the place of this one."""
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@dataclass
class Broker:
    """A store with one tenant and the writes that the API would make of it."""

    store: Store
    tenant: Tenant
    database: Database

    def entity(self, name: str, attributes: dict[str, Attribute] | None = None, **members: Any) -> Entity:
        at = members.pop("at", None) or now()
        given = {f"{CIM}{key}": value for key, value in (attributes or {}).items()}
        members.setdefault("types", [f"{CIM}Vehicle"])
        return Entity(f"urn:ngsi-ld:Vehicle:test:{name}", attributes=given, created_at=at, modified_at=at, **members)

    def creation(self, entity: Entity) -> Change:
        return Change(entity.id, None, entity, entity.created_at, "createEntity", touched=frozenset(entity.attributes))

    async def create(self, *entities: Entity) -> list[Outcome]:
        return await self.store.write(self.tenant, [self.creation(entity) for entity in entities])

    async def get(self, entity_id: str) -> Entity:
        (found,) = await self.store.read(self.tenant, [entity_id])
        assert found is not None
        return found

    async def update(self, entity_id: str, change: Callable[[Entity], Entity], **members: Any) -> Outcome:
        """Read, change and write as an update at this moment does; `change` may give the entity stamps."""
        before = await self.get(entity_id)
        at = members.pop("at", None) or now()
        after = replace(change(before), modified_at=at)
        members.setdefault(
            "touched", frozenset(a for a in after.attributes if after.attributes[a] != before.attributes.get(a))
        )
        stamps = dict(after.stamps)
        for attribute in members["touched"]:
            stamps[f"{attribute} "] = (stamps.get(f"{attribute} ", (before.created_at, 0))[0], at)
        (outcome,) = await self.store.write(
            self.tenant, [Change(entity_id, before, replace(after, stamps=stamps), at, "updateAttributes", **members)]
        )
        return outcome

    async def delete(self, entity_id: str) -> Outcome:
        (outcome,) = await self.store.write(
            self.tenant, [Change(entity_id, await self.get(entity_id), None, now(), "deleteEntity")]
        )
        return outcome

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.database.rows(sql, *values)

    def history(self, entity: Entity, attribute: str) -> list[tuple[Any, ...]]:
        """Return (time, deleted, num) of an attribute's history, oldest first; "" asks for the entity's own life."""
        iri = f"{CIM}{attribute}" if attribute else ""
        return self.rows(
            "SELECT time, deleted, num FROM history JOIN name ON name.id = attr "
            "WHERE iri = ? AND k IN (SELECT k FROM change WHERE entity_id = ?) ORDER BY time, deleted",
            iri,
            entity.id,
        )


@pytest.fixture
async def broker(database: Database) -> AsyncIterator[Broker]:
    store = database.store()
    await store.start()
    yield Broker(store, await store.tenant(None, create=False), database)
    await store.close()
