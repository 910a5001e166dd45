"""What must be there before a group of changes is written: numbers of names, partitions of history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import overload

from asyncpg.pgproto.pgproto import UUID

from context_api.storage.postgres.connection import Pool
from context_api.storage.postgres.names import Names
from context_api.storage.postgres.partitions import Partitions
from context_api.storage.postgres.writing import Keyed, gather, gather_keyed, needed
from context_api.storage.rows import Rows

#: Above this many changes rows are gathered beside the event loop, which would stand still for milliseconds.
_INLINE = 20


class Preparation:
    """Makes names and partitions on connections of its own: what a transaction that waits holds cannot block it."""

    def __init__(self, pool: Pool, names: Names) -> None:
        self._pool = pool
        self._names = names
        self._partitions = Partitions()

    @overload
    async def rows(self, group: Sequence[Keyed]) -> Rows[int]: ...
    @overload
    async def rows(self, group: Sequence[Keyed], versions: Sequence[int]) -> Rows[UUID]: ...
    async def rows(self, group: Sequence[Keyed], versions: Sequence[int] | None = None) -> Rows[int] | Rows[UUID]:
        """Return the rows of a group, ready to be written.

        They have the new versions of entities and their keys or, where the database gives the versions, the number of
        the change, from 1 on, in the place of both.
        """
        found = needed(group) if len(group) <= _INLINE else await asyncio.to_thread(needed, group)
        names = self._names.interned(found.iris, found.typesets)
        if names is None:
            async with self._pool.connection() as con:
                names = await self._names.ensure(con, found.iris, found.typesets)
        gathering = partial(gather, group, names) if versions is None else partial(gather_keyed, group, names, versions)
        rows = gathering() if len(group) <= _INLINE else await asyncio.to_thread(gathering)
        absent = self._partitions.absent(line[3] for line in rows.history)
        if absent:
            async with self._pool.connection() as con:
                await self._partitions.make(con, absent)
        return rows
