"""Rows read by key. Reads that come while another is under way are sent together as the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from asyncpg.pgproto.pgproto import UUID

from context_api.storage.codec import living_row
from context_api.storage.port import Row
from context_api.storage.postgres.connection import Pool

#: The columns of `living_row`.
COLUMNS = "doc, sys, created_at, modified_at, version, owner, expires_at, next_expiry"
_BY_KEY = f"""
    SELECT x.i, {COLUMNS} FROM unnest($1::uuid[]) WITH ORDINALITY AS x(k, i) JOIN entity e ON e.k = x.k
"""  # noqa: S608 - columns of ours
#: Keys in one statement.
_MOST = 1_000
#: Statements under way at a time: one is sent while the answer of the other is read.
_LANES = 2


class Reads:
    """Reads entities by key."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[bytes, asyncio.Future[Sequence[Any] | None]]] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def row(self, k: bytes) -> Row | None:
        """Return the row with a key, less what has expired."""
        found = await self._ask(k)
        return None if found is None else _living(found)

    async def rows(self, keys: Sequence[bytes]) -> list[Row | None]:
        """Return the rows with these keys, in their order, less what has expired."""
        found = await asyncio.gather(*map(self._ask, keys))
        return [None if columns is None else _living(columns) for columns in found]

    def _ask(self, k: bytes) -> asyncio.Future[Sequence[Any] | None]:
        future: asyncio.Future[Sequence[Any] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((k, future))
        if len(self._lanes) < _LANES:
            self._lanes.add(asyncio.create_task(self._run()))
        return future

    async def _run(self) -> None:
        lane = asyncio.current_task()
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                try:
                    await self._answer(group)
                except Exception as error:
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)
        finally:
            # At once and not when the task is done: who asks in between would wait for a lane that looks no more.
            self._lanes.discard(cast("asyncio.Task[None]", lane))

    async def _answer(self, group: list[tuple[bytes, asyncio.Future[Sequence[Any] | None]]]) -> None:
        async with self._pool.connection() as con:
            records = await con.fetch(_BY_KEY, [UUID(k) for k, _ in group])
        found = {record[0]: record for record in records}
        for number, (_, future) in enumerate(group, 1):
            if not future.done():
                record = found.get(number)
                future.set_result(None if record is None else record[1:])


def _living(columns: Sequence[Any]) -> Row | None:
    doc, sys, *rest = columns
    return living_row((doc.encode(), None if sys is None else sys.encode(), *rest), None)


def row_of(columns: Sequence[Any]) -> Row:
    """Return the row of `COLUMNS`, with what has expired."""
    doc, sys, *rest, _, _ = columns
    return Row(doc.encode(), None if sys is None else sys.encode(), *rest)
