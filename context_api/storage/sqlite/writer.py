"""The one thread that writes to an SQLite database, with group commit (decision 11).

All writes that are queued at a moment go in one transaction, one statement a table; where that fails, each write gets a
transaction of its own, so that one bad write fails alone. Results reach the event loop in one call per commit.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from context_api.storage.codec import entity_key
from context_api.storage.port import Change, Compute, Outcome, StorageError, Tenant
from context_api.storage.sqlite.batch import Counters
from context_api.storage.sqlite.names import Names
from context_api.storage.sqlite.transaction import Transaction

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Changes in one transaction: enough to make a commit cheap, few enough that the first is not kept waiting.
_GROUP = 2_000


@dataclass(slots=True)
class _Job:
    """One piece of work for a transaction; `keys` are the entities that it judges, `size` its weight."""

    work: Callable[[Transaction], Any]
    keys: Collection[bytes]
    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """Commits changes in the order in which they are submitted."""

    def __init__(self, con: sqlite3.Connection, names: Names, max_queued: int, committed: Callable[[], None]) -> None:
        """Take, beside what it writes with, what is called on the event loop after changes of entities."""
        self._con = con
        self._committed = committed
        self._names = names
        self._max_queued = max_queued
        self._queued = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="voltweave-writer", daemon=True)
        self._counters = Counters.load(con)
        self._closed = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def write(self, tenant: Tenant, changes: Sequence[Change], atomic: bool) -> list[Outcome]:
        """Commit changes and return what became of each."""
        keys = [entity_key(tenant.name, change.entity_id) for change in changes]
        outcomes: list[Outcome] = await self._submit(lambda t: t.apply(tenant, keys, changes, atomic), keys, len(keys))
        return outcomes

    async def write_locked(self, tenant: Tenant, ids: Sequence[str], compute: Compute) -> list[Outcome]:
        """Read, compute and commit in one piece of the writer's transaction."""
        keys = [entity_key(tenant.name, entity_id) for entity_id in ids]
        outcomes: list[Outcome] = await self._submit(lambda t: t.compute(tenant, keys, compute), keys, len(keys))
        return outcomes

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do other work on the writer's connection, in its transaction."""
        result: T = await self._submit(lambda transaction: work(transaction.con), (), 1)
        return result

    async def _submit(self, work: Callable[[Transaction], Any], keys: Collection[bytes], size: int) -> Any:
        """Queue work and wait for its commit; wait before that while too much is queued."""
        loop = asyncio.get_running_loop()
        while self._queued >= self._max_queued:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        if self._closed:
            raise StorageError("the database has been closed")
        self._queued += size
        job = _Job(work, keys, size, loop, loop.create_future())
        self._jobs.put(job)
        # A caller that goes away does not undo what is queued, and must not lose the count of it.
        return await asyncio.shield(job.future)

    async def close(self) -> None:
        """Commit what is queued and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        running = True
        while running:
            job = self._jobs.get()
            group: list[_Job] = []
            size = 0
            while job is not None:
                group.append(job)
                size += job.size
                if size >= _GROUP or self._jobs.empty():
                    break
                job = self._jobs.get_nowait()
            running = job is not None
            if group:
                self._commit(group)
        self._con.close()

    def _commit(self, group: list[_Job]) -> None:
        try:
            self._transact(group)
        except Exception as error:
            if len(group) == 1:
                group[0].error = _as_told(error)
            else:
                _log.warning("group of %d writes failed, trying each alone: %s", len(group), error)
                for job in group:
                    self._commit_alone(job)
        try:
            group[0].loop.call_soon_threadsafe(self._deliver, group)
        except RuntimeError:
            _log.info("the event loop closed before %d writes could be answered", len(group))

    def _commit_alone(self, job: _Job) -> None:
        try:
            self._transact([job])
        except Exception as error:
            job.error = _as_told(error)

    def _deliver(self, group: list[_Job]) -> None:
        for job in group:
            self._queued -= job.size
            if job.future.cancelled():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if any(job.keys for job in group):
            self._committed()
        # All that wait look again: were only one woken and then cancelled, the others would sleep for ever.
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()

    def _transact(self, group: list[_Job]) -> None:
        con = self._con
        con.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(con, self._names, self._counters)
            transaction.load({key for job in group for key in job.keys})
            for job in group:
                job.result = job.work(transaction)
            transaction.flush()
            con.execute("COMMIT")
        except BaseException:
            if con.in_transaction:
                con.execute("ROLLBACK")
            self._names.rolled_back()
            raise
        self._names.committed()


def _as_told(error: Exception) -> Exception:
    """Return the error as callers know it: what the database cannot do now (full, locked) is a StorageError."""
    if not isinstance(error, sqlite3.OperationalError):
        return error
    told = StorageError(str(error))
    told.__cause__ = error
    return told
