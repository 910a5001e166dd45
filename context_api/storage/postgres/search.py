"""A query carried out on one connection, in one snapshot: pages, counts and keys of its matches.

What SQL decides alone comes from one statement. Otherwise a cursor walks the rows that SQL could not rule out, in their
order, and the plain evaluator judges those of which SQL is not sure (docs/decisions/0023).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from asyncpg.pgproto.pgproto import UUID

from context_api.storage.codec import decode, living_row
from context_api.storage.port import Row, Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.evaluation import Evaluation
from context_api.storage.postgres.lookup import prepare
from context_api.storage.postgres.names import Names
from context_api.storage.postgres.ordering import Order, order_of
from context_api.storage.postgres.query import Statement, Translation, Walk
from context_api.storage.postgres.reads import row_of
from context_api.storage.translation.driver import ByTypes
from context_api.storage.translation.scopes import FALSE, TRUE
from ngsild.query import EntityQuery, Restriction
from ngsild.query.evaluate import seen
from ngsild.query.order import Ordering, sort_key
from ngsild.query.target import View

Record = Sequence[Any]
"""The columns of a `Row`, then expires_at, next_expiry, whether SQL is unsure, k and id."""
_REST = "e.created_at, e.modified_at, e.version, e.owner, e.expires_at, e.next_expiry"
_UNSURE, KEY, ID = 8, 9, 10
#: Rows that are judged at once: some milliseconds, in which the event loop stands still.
_CHUNK = 200
#: Numbers that are looked at for each entity wanted in their order, before all matches are sorted.
_NUMBERS = 50


class Search:
    """One query of one caller at one moment."""

    def __init__(self, con: Connection, tenant: Tenant, translation: Translation, order_view: View) -> None:
        self.con = con
        self._translation = translation
        self._order_view = order_view
        self._evaluation = Evaluation(con, tenant, translation.residuals)

    @classmethod
    async def of(
        cls, con: Connection, names: Names, tenant: Tenant, query: EntityQuery, restriction: Restriction, now: int
    ) -> Search | None:
        """Return the search for a query, None where nothing of the tenant can match."""
        prepared = await prepare(con, names, tenant, query, restriction)
        translation = Translation(query, restriction, prepared, tenant, now)
        view = View(now, translation.restriction)
        if query.datasets is not None:
            view = view.in_datasets(query.datasets)
        return None if translation.empty else cls(con, tenant, translation, view)

    @property
    def by_sql(self) -> bool:
        """Tell whether SQL decides alone what matches."""
        return not self._translation.residuals

    @property
    def by_type(self) -> bool:
        """Tell whether the types alone drive the query."""
        return isinstance(self._translation.driver, ByTypes)

    async def found(self, ordering: Ordering | None, limit: int, offset: int) -> list[Record]:
        """Return a page of the matches; in a transaction, unless SQL decides alone and there is no ordering."""
        order = self._order(ordering)
        if ordering is not None and (order is None or order.partial != FALSE):
            numbered = await self._by_number(ordering, limit, offset)
            if len(numbered) == limit:
                return numbered
            keys = await self._ordered_keys(ordering, order, offset + limit)
            return await self._with_keys(keys[offset:])
        if self.by_sql:
            return await self._fetch(self._translation.rows(self._columns(True), order, page=(limit, offset)))
        found: list[Record] = []
        async for chunk in self.matches(order):
            found += chunk
            if len(found) >= offset + limit:
                break
        return found[offset : offset + limit]

    async def total(self) -> int:
        """Return the number of all matches; in a transaction, unless SQL decides alone."""
        if self.by_sql:
            return await self._count(TRUE)
        unsure = self._translation.unsure
        sure = 0 if unsure == TRUE else await self._count(f"NOT {unsure}")
        return sure + sum([len(chunk) async for chunk in self.matches(only=unsure, documents=False)])

    async def matches(
        self, order: Order | None = None, only: str = TRUE, documents: bool = True
    ) -> AsyncIterator[list[Record]]:
        """Yield all matches, in their order, in chunks; in a transaction."""
        statement, params = self._translation.rows(self._columns(documents), order, only)
        cursor = await self.con.cursor(statement, *params)
        while records := await cursor.fetch(_CHUNK):
            yield await self._meeting(records)

    async def ordered_keys(self, ordering: Ordering) -> list[UUID]:
        """Return the keys of all matches in an order; in a transaction."""
        return await self._ordered_keys(ordering, self._order(ordering), None)

    async def first_keys(self, most: int) -> list[UUID]:
        """Return the keys of the first rows that SQL cannot rule out."""
        return [k for (k,) in await self._fetch(self._translation.rows("e.k", page=(most, 0)))]

    async def among(self, keys: Sequence[UUID], documents: bool = True) -> list[Record]:
        """Return the matches among the entities with these keys, in the order of keys."""
        return await self._judged(self._translation.among(keys), documents)

    async def after(self, key: UUID, count: int, documents: bool) -> tuple[list[Record], UUID | None]:
        """Return the matches among so many entities that follow a key, and the last of their keys if more follow."""
        statement, params = self._translation.key_after(key, count)
        last = await self.con.fetchval(statement, *params)
        return await self._judged(self._translation.between(key, last), documents), last

    def _order(self, ordering: Ordering | None) -> Order | None:
        return None if ordering is None else order_of(ordering, self._translation.conditions, self._order_view)

    async def _by_number(self, ordering: Ordering, limit: int, offset: int) -> list[Record]:
        """Return a page ordered by a number, as far as the first numbers fill it and nothing comes before numbers."""
        key = ordering.keys[0]
        alone = len(ordering.keys) == 1 and key.path.is_attribute and not key.by_distance and ordering.collation is None
        attr = self._translation.conditions.attribute(key.path, self._order_view) if alone else None
        hidden = attr is None or self._translation.conditions.depends(key.path, self._order_view)
        if attr is None or hidden or not (self.by_sql and self.by_type):
            return []
        if key.descending and (await self._fetch(self._translation.has_but_numbers(attr)))[0][0]:
            return []
        most = _NUMBERS * (offset + limit)
        walk = self._translation.by_number(attr, self._order_view, key.descending, most)
        return await self._fetch(self._translation.rows(self._columns(True), page=(limit, offset), walk=walk))

    async def _ordered_keys(self, ordering: Ordering, order: Order | None, most: int | None) -> list[UUID]:
        """Return the keys of the first matches in an order: from index rows, unless one does not hold a whole value."""
        if order is not None and self.by_sql:
            page = None if most is None else (most, 0)
            found = await self._fetch(self._translation.rows(f"e.k, {order.partial}", order, page=page))
            if not found or not found[0][1]:
                return [k for k, _ in found]
        best: list[tuple[Any, UUID]] = []
        async for chunk in self.matches():
            best += [(self._sort_key(record, ordering), record[KEY]) for record in chunk]
            if most is not None and len(best) > 2 * most + _CHUNK:
                best.sort()
                del best[most:]
        best.sort()
        return [k for _, k in best[:most]]

    def _sort_key(self, record: Record, ordering: Ordering) -> tuple[Any, ...]:
        view = self._order_view
        entity = decode(row_of(record[:_UNSURE]))
        return sort_key(seen(entity, view.restriction, view.now) or entity, ordering, view)

    async def _with_keys(self, keys: Sequence[UUID]) -> list[Record]:
        columns = self._columns(True)
        found = {record[KEY]: record for record in await self._fetch(self._translation.keyed(columns, keys))}
        return [found[k] for k in keys]

    async def _judged(self, walk: Walk, documents: bool) -> list[Record]:
        records = await self._fetch(self._translation.rows(self._columns(documents), walk=walk))
        found: list[Record] = []
        for start in range(0, len(records), _CHUNK):
            found += await self._meeting(records[start : start + _CHUNK])
        return found

    async def _meeting(self, records: Sequence[Record]) -> list[Record]:
        """Return the records that SQL is sure of and those that meet what it could not judge."""
        if self.by_sql:
            return list(records)
        entities = [decode(row_of(record[:_UNSURE])) for record in records if record[_UNSURE]]
        met = iter(await self._evaluation.meeting(entities))
        return [record for record in records if not record[_UNSURE] or next(met)]

    async def _fetch(self, statement: Statement) -> list[Record]:
        text, params = statement
        found: list[Record] = await self.con.fetch(text, *params)
        return found

    async def _count(self, only: str) -> int:
        statement, params = self._translation.count(only)
        return int(await self.con.fetchval(statement, *params))

    def _columns(self, documents: bool) -> str:
        """Return the columns of a `Record`; without documents, those are there that the evaluator needs."""
        unsure = self._translation.unsure
        held = "e.doc, e.sys"
        if not documents:
            held = f"CASE WHEN {unsure} THEN e.doc END, CASE WHEN {unsure} THEN e.sys END"
        return f"{held}, {_REST}, {unsure}, e.k, e.id"


def living(records: Sequence[Record], now: int) -> list[Row]:
    """Return the rows of records less what has expired."""
    rows = (
        living_row((doc.encode(), None if sys is None else sys.encode(), *rest), now)
        for doc, sys, *rest in (record[:_UNSURE] for record in records)
    )
    return [row for row in rows if row is not None]
