"""What one request reads of a database by a query: pages on a connection, streams on connections lent for a moment."""

from __future__ import annotations

import time
from asyncio import timeout
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
from asyncpg.pgproto.pgproto import UUID

from context_api.storage.codec import decode
from context_api.storage.port import Page, Row, Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.names import Names
from context_api.storage.postgres.search import ID, KEY, Record, Search, living
from ngsild.entity import Entity
from ngsild.problems import TooComplexQuery
from ngsild.query import EntityQuery, Restriction

#: Keys of matches that a stream keeps in memory; where there are more, it walks all entities of the types instead.
_FEW = 10_000
#: Entities that one statement of a stream looks at.
_WALKED = 2_000
#: Rows in one piece of a long answer, and ids in one.
_ROWS = 200
_IDS = 1_000

Lend = Callable[[], AbstractAsyncContextManager[Connection]]
"""Lends a connection."""


class Reading:
    """What a query needs beside its text: connection, tenant, the rights of the caller, the time limit, the moment."""

    def __init__(
        self,
        con: Connection,
        names: Names,
        tenant: Tenant,
        restriction: Restriction,
        time_limit: float,
        now: int | None = None,
    ) -> None:
        self._con = con
        self._names = names
        self._tenant = tenant
        self._restriction = restriction
        self._time_limit = time_limit
        self._now = time.time_ns() // 1000 if now is None else now

    async def page(self, query: EntityQuery, limit: int, offset: int, count: bool) -> Page:
        """Return a page of matches and, where asked for, the number of all; both of one moment.

        Raises TooComplexQuery where that takes longer than the time limit.
        """
        async with limited(self._time_limit):
            search = await self.search(query)
            if search is None:
                return Page([], 0 if count else None)
            if search.by_sql and query.order is None and not count:
                return Page(living(await search.found(None, limit, offset), self._now), None)
            async with snapshot(self._con):
                found = await search.found(query.order, limit, offset) if limit else []
                if not count:
                    total = None
                elif limit and len(found) < limit and (found or not offset):
                    total = offset + len(found)
                else:
                    total = await search.total()
            return Page(living(found, self._now), total)

    async def entities(self) -> AsyncIterator[list[Entity]]:
        """Yield all entities that the caller may see, of one moment, in chunks."""
        search = await self.search(EntityQuery())
        if search is not None:
            async with snapshot(self._con):
                async for records in search.matches():
                    yield [decode(row) for row in living(records, self._now)]

    async def search(self, query: EntityQuery) -> Search | None:
        """Return the search for a query, None where nothing of the tenant can match."""
        return await Search.of(self._con, self._names, self._tenant, query, self._restriction, self._now)


class Stream:
    """All matches of a query, each entity once, in pieces; between them neither a connection nor a transaction is held.

    In the order of the query's ordering, else in no order. Where few entities may match or an ordering is asked for,
    they are the matches of the first moment that still match when their turn comes; otherwise the entities are walked
    by key, which never changes. So an entity that stays as it is, is not missed. The time limit is that of a piece.
    """

    def __init__(
        self, lend: Lend, names: Names, tenant: Tenant, query: EntityQuery, restriction: Restriction, time_limit: float
    ) -> None:
        self._lend = lend
        self._names = names
        self._tenant = tenant
        self._query = query
        self._restriction = restriction
        self._time_limit = time_limit

    async def rows(self) -> AsyncIterator[list[Row]]:
        """Yield the matching rows."""
        async for records, now in self._records(True):
            for start in range(0, len(records), _ROWS):
                piece = living(records[start : start + _ROWS], now)
                if piece:
                    yield piece

    async def ids(self) -> AsyncIterator[list[str]]:
        """Yield the ids of the matching entities."""
        async for records, _ in self._records(False):
            for start in range(0, len(records), _IDS):
                yield [record[ID] for record in records[start : start + _IDS]]

    async def _records(self, documents: bool) -> AsyncIterator[tuple[list[Record], int]]:
        keys = await self._keys()
        if keys is None:
            last: UUID | None = UUID(bytes(16))
            while last is not None:
                async with self._search() as (search, now):
                    found, last = await search.after(last, _WALKED, documents) if search else ([], None)
                yield found, now
            return
        for start in range(0, len(keys), _IDS):
            chunk = keys[start : start + _IDS]
            async with self._search() as (search, now):
                found = await search.among(chunk, documents) if search else []
            place = {k: n for n, k in enumerate(chunk)}
            yield sorted(found, key=lambda record: place[record[KEY]]), now

    async def _keys(self) -> list[UUID] | None:
        """Return the keys of what may match, None where there are too many to keep and no ordering is asked for."""
        async with self._search() as (search, _):
            if search is None:
                return []
            if self._query.order is not None:
                async with snapshot(search.con):
                    return await search.ordered_keys(self._query.order)
            if search.by_type:
                return None
            keys = await search.first_keys(_FEW + 1)
            return keys if len(keys) <= _FEW else None

    @asynccontextmanager
    async def _search(self) -> AsyncIterator[tuple[Search | None, int]]:
        async with self._lend() as con, limited(self._time_limit):
            now = time.time_ns() // 1000
            yield await Search.of(con, self._names, self._tenant, self._query, self._restriction, now), now


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    """Raise TooComplexQuery where what is done takes longer than the time limit of queries."""
    try:
        async with timeout(seconds):
            yield
    except (TimeoutError, asyncpg.QueryCanceledError) as error:
        raise TooComplexQuery(f"the query takes longer than {seconds:g} s; ask for less") from error


@asynccontextmanager
async def snapshot(con: Connection) -> AsyncIterator[None]:
    """Read from one moment."""
    async with con.transaction(isolation="repeatable_read", readonly=True):
        yield
