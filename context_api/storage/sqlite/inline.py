"""Few entities read by key on the event loop; what is asked for in one turn of it is read by one statement.

A statement costs more than the rows that it finds: each commit makes a connection forget the pages that it has read.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

from context_api.storage.codec import decode
from context_api.storage.port import Row
from context_api.storage.sqlite import reads
from context_api.storage.sqlite.file import storage_errors
from ngsild.entity import Entity

#: Keys in one statement; more would keep the event loop from others.
_MOST = 64


class InlineReads:
    """Reads entities by key."""

    def __init__(self, con: sqlite3.Connection) -> None:
        self._con = con
        self._waiting: list[tuple[bytes, asyncio.Future[Row | None]]] = []

    async def entities(self, keys: Sequence[bytes]) -> list[Entity | None]:
        """Return entities in the stored form, in the order of their keys; None where there is none."""
        loop = asyncio.get_running_loop()
        if keys and not self._waiting:
            loop.call_soon(self._answer, loop)
        asked = [(key, loop.create_future()) for key in keys]
        self._waiting += asked
        rows = [await future for _, future in asked]
        return [None if row is None else decode(row) for row in rows]

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        if self._waiting:
            loop.call_soon(self._answer, loop)
        open_ = [(key, future) for key, future in group if not future.done()]
        try:
            with storage_errors():
                rows = reads.rows_by_key(self._con, list(dict.fromkeys(key for key, _ in open_)))
        except Exception as error:
            for _, future in open_:
                future.set_exception(error)
        else:
            for key, future in open_:
                future.set_result(rows.get(key))
