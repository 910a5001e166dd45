"""Threads with a read-only connection each, and the time limit of a statement on SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from context_api.storage.port import StorageError
from ngsild.problems import TooComplexQuery

T = TypeVar("T")

#: Steps of the database's machine between two looks at the clock: well under a millisecond.
_STEPS = 10_000


class Readers:
    """Runs queries beside the event loop."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], threads: int, time_limit: float) -> None:
        self._connect = connect
        self._time_limit = time_limit
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(threads, "voltweave-reader", initializer=self._open)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work on a reader's connection; raise TooComplexQuery when it takes longer than the time limit."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._limited, work)

    async def close(self) -> None:
        """Interrupt what runs and close the connections."""
        for con in self._connections:
            con.interrupt()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        for con in self._connections:
            con.close()

    def _open(self) -> None:
        self._own.con = self._connect()
        self._connections.append(self._own.con)

    def _limited(self, work: Callable[[sqlite3.Connection], T]) -> T:
        con: sqlite3.Connection = self._own.con
        deadline = time.monotonic() + self._time_limit
        con.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            return work(con)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise StorageError(str(error)) from error
            raise TooComplexQuery(f"the query takes longer than {self._time_limit:g} s; ask for less") from error
        finally:
            con.set_progress_handler(None, 0)
