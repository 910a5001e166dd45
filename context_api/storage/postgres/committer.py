"""Group commit on PostgreSQL (decision 11): writes that come while a group is stored make the next one.

A group is one transaction, all or nothing, and holds each call of `write` whole. Where a condition does not hold, the
changes are judged against what is stored, those that fail are told so, and the others are written again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from asyncpg.pgproto.pgproto import UUID

from context_api.storage.codec import entity_key
from context_api.storage.judging import Stored, judge
from context_api.storage.port import Change, Outcome, StorageError, Tenant
from context_api.storage.postgres.connection import Pool
from context_api.storage.postgres.copying import FEWEST, copy
from context_api.storage.postgres.preparing import Preparation
from context_api.storage.postgres.transaction import Locked
from context_api.storage.postgres.writing import Keyed, LostRace, write

_log = logging.getLogger(__name__)

#: Changes in a transaction above which it takes no further call: enough to make a commit cheap, few enough that the
#: first is not kept waiting.
_GROUP = 2_000
#: Times that a group is judged and written again before its changes are applied one after the other under locks.
_TRIES = 3
_STORED = "SELECT k, version, expires_at, next_expiry FROM entity WHERE k = ANY($1)"


@dataclass(slots=True, eq=False)
class _Job:
    """The changes of one call of `write`."""

    outcomes: list[Outcome | None]
    future: asyncio.Future[list[Outcome]]
    open: int
    items: dict[bytes, _Item] = field(default_factory=dict)
    """By key; a call has one change of an entity."""

    def settle(self, position: int, outcome: Outcome) -> None:
        self.outcomes[position] = outcome
        self.open -= 1
        if self.open == 0 and not self.future.done():
            self.future.set_result([outcome for outcome in self.outcomes if outcome is not None])

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Item(Keyed):
    job: _Job = field(repr=False)
    position: int = 0

    def settle(self, outcome: Outcome) -> None:
        self.job.settle(self.position, outcome)


class Committer:
    """Commits changes; those of one entity in the order in which they are submitted."""

    def __init__(
        self, pool: Pool, preparation: Preparation, locked: Locked, max_queued: int, committed: Callable[[], None]
    ) -> None:
        """Take, beside what it writes with, what is called after each commit."""
        self._pool = pool
        self._committed = committed
        self._preparation = preparation
        self._locked = locked
        self._max_queued = max_queued
        self._queue: deque[_Job] = deque()
        self._queued = 0
        self._room = asyncio.Condition()
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, tenant: Tenant, changes: Sequence[Change]) -> list[Outcome]:
        """Commit changes and return what became of each; wait before that while too much is queued."""
        async with self._room:
            await self._room.wait_for(lambda: self._closed or self._queued < self._max_queued)
        if self._closed:
            raise StorageError("the database has been closed")
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        job = _Job([None] * len(changes), future, len(changes))
        for position, change in enumerate(changes):
            k = entity_key(tenant.name, change.entity_id)
            job.items[k] = _Item(tenant, k, change, job, position)
        self._queue.append(job)
        self._queued += len(changes)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        # A caller that goes away does not undo what is queued.
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Commit what is queued and take no more."""
        self._closed = True
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        async with self._room:
            self._room.notify_all()

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._commit(self._take())
                async with self._room:
                    self._room.notify_all()
        finally:
            self._running = None

    def _take(self) -> list[_Item]:
        """Take the next calls, each whole; one with an entity of a call before it waits for the group after."""
        group: dict[bytes, _Item] = {}
        later: list[_Job] = []
        before: set[bytes] = set()
        while self._queue and len(group) < _GROUP:
            job = self._queue.popleft()
            if job.items.keys().isdisjoint(before):
                group |= job.items
                self._queued -= len(job.items)
            else:
                later.append(job)
            before.update(job.items)
        self._queue.extendleft(reversed(later))
        # All writers touch entities in one order, so that two of them never wait for each other; and neighbours in the
        # tables are written together.
        return [group[k] for k in sorted(group)]

    async def _commit(self, group: list[_Item]) -> None:
        for tried in range(_TRIES):
            try:
                await self._write(group, copied=tried == 0 and _can_be_copied(group))
            except LostRace:
                group = await self._judged(group)
                continue
            except StorageError as error:
                _fail(group, error)
            except Exception as error:
                await self._commit_alone(group, error)
            return
        await self._apply_locked(group)

    async def _write(self, group: list[_Item], copied: bool) -> None:
        if not group:
            return
        async with self._pool.connection() as con:
            if copied:
                await copy(con, group, self._preparation)
            else:
                await write(con, group, await self._preparation.rows(group), swept=False)
        self._committed()
        for item in group:
            item.settle(Outcome.DONE)

    async def _judged(self, group: list[_Item]) -> list[_Item]:
        """Settle the changes that fail, and the calls that need a transaction of their own; return the others."""
        try:
            async with self._pool.connection() as con:
                records = await con.fetch(_STORED, [UUID(item.k) for item in group])
        except Exception as error:
            _fail(group, error)
            return []
        stored = {k.bytes: Stored(*columns) for k, *columns in records}
        left: list[_Item] = []
        swept: set[_Job] = set()
        for item in group:
            found = stored.get(item.k)
            outcome = judge(item.change, found)
            if outcome is not Outcome.DONE:
                item.settle(outcome)
                continue
            left.append(item)
            if found is not None and found.holds_expired(item.change.at):
                swept.add(item.job)
        await self._apply_locked([item for item in left if item.job in swept])
        return [item for item in left if item.job not in swept]

    async def _apply_locked(self, group: list[_Item]) -> None:
        if not group:
            return
        try:
            outcomes = await self._locked.apply(group)
        except Exception as error:
            _fail(group, error)
            return
        for item, outcome in zip(group, outcomes, strict=True):
            item.settle(outcome)

    async def _commit_alone(self, group: list[_Item], error: Exception) -> None:
        """Find out which write cannot be stored: it shall fail alone."""
        jobs: dict[_Job, list[_Item]] = {}
        for item in group:
            jobs.setdefault(item.job, []).append(item)
        if len(jobs) == 1:
            _fail(group, error)
            return
        _log.warning("group of %d writes failed, trying each alone: %s", len(jobs), error)
        for items in jobs.values():
            await self._commit(items)


def _can_be_copied(group: Sequence[_Item]) -> bool:
    return len(group) >= FEWEST and all(item.change.before is None for item in group)


def _fail(group: Sequence[_Item], error: Exception) -> None:
    for item in group:
        item.job.fail(error)
