"""Consumers of the change log: what follows a write reads it here, at least once and in order (decision 15).

A consumer gets every change of every tenant, those of one entity in their order. One process at a time serves it. How
far it came is kept in the database, and moves in one transaction with what it keeps there itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from sqlalchemy import insert, select, update

from context_api.leases import Leases
from context_api.outage import Outage
from context_api.storage.port import Duplicate, LoggedChange, StorageError, Store
from context_api.storage.records import Statement
from context_api.storage.tables import change_consumer

log = structlog.get_logger(__name__)

Receive = Callable[[Sequence[LoggedChange]], Awaitable[Sequence[Statement]]]
"""Deals with changes, some of them perhaps a second time; returns statements to carry out with the move past them."""

#: Changes that a consumer gets at once.
_BATCH = 500
#: After a wake more is awaited, so that many writes make one batch.
_GATHER_SECONDS = 0.05
#: Wakes can be missed.
_POLL_SECONDS = 5.0
#: A position is kept with what a consumer keeps, else so often: changes that nobody minds cost no commit each.
_KEEP_SECONDS = 1.0
#: As long as other leases, for the same clocks.
_LEASE_SECONDS = 60.0
#: Parts of its duration after which a lease is prolonged.
_ASKS = 4
#: After a first failure and, twice as long each time, at most.
_LEAST_BACK_OFF, _MOST_BACK_OFF = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Consumer:
    """What reads the change log under a name of its own; a new one starts at the beginning."""

    name: str
    receive: Receive


async def serve(consumer: Consumer, store: Store, leases: Leases, outage: Outage) -> None:
    """Feed a consumer until cancelled, whatever fails."""
    woken = asyncio.Event()
    store.watch(woken.set)
    reading = _Reading(consumer, store, leases)
    failures = _Failures(consumer.name, outage)
    while True:
        woken.clear()
        try:
            await reading.catch_up()
        except Exception as error:
            reading.forget()
            await asyncio.sleep(failures.met(error))
            continue
        failures.over()
        if not reading.held:
            await asyncio.sleep(_POLL_SECONDS)
            continue
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await woken.wait()
        except TimeoutError:
            continue
        await asyncio.sleep(_GATHER_SECONDS)


class _Reading:
    """How far one consumer is, as long as this process serves it."""

    def __init__(self, consumer: Consumer, store: Store, leases: Leases) -> None:
        self._consumer = consumer
        self._store = store
        self._leases = leases
        #: Whether this process serves the consumer; a database of one process needs no lease.
        self.held = not store.shared
        self._asked_at = float("-inf")
        self._position: int | None = None
        self._kept = 0
        self._kept_at = 0.0

    def forget(self) -> None:
        """Believe no more what was known of lease and position."""
        self._asked_at, self._position = float("-inf"), None

    async def catch_up(self) -> None:
        """Deal with all changes that are there, where no other process does."""
        while await self._hold():
            if self._position is None:
                self._position = self._kept = await self._stored()
            changes = await self._store.changes(self._position, _BATCH)
            statements: Sequence[Statement] = ()
            if changes:
                statements = await self._consumer.receive(changes)
                self._position = changes[-1].number
            await self._keep(self._position, statements)
            if not changes:
                return
            if len(changes) < _BATCH:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _hold(self) -> bool:
        now = time.monotonic()
        since = now - self._asked_at
        if self._store.shared and (not self.held or since >= _LEASE_SECONDS / _ASKS):
            self.held = await self._leases.hold(f"consumer {self._consumer.name}", _LEASE_SECONDS)
            self._asked_at = now
            if not self.held or since >= _LEASE_SECONDS:
                # Another process may have gone on.
                self._position = None
        return self.held

    async def _stored(self) -> int:
        c = change_consumer.c
        records = self._store.records
        with suppress(Duplicate):
            found = await records.fetch(select(c.position).where(c.name == self._consumer.name))
            if found:
                return int(found[0][0])
            await records.execute(insert(change_consumer).values(name=self._consumer.name, position=0))
        return 0

    async def _keep(self, position: int, statements: Sequence[Statement]) -> None:
        now = time.monotonic()
        if not statements and (position == self._kept or now - self._kept_at < _KEEP_SECONDS):
            return
        c = change_consumer.c
        mine = (c.name == self._consumer.name, c.position < position)
        await self._store.records.execute(*statements, update(change_consumer).where(*mine).values(position=position))
        self._kept, self._kept_at = position, now


class _Failures:
    """The failures of one consumer in the log: the first of several, and the end of them."""

    def __init__(self, name: str, outage: Outage) -> None:
        self._name = name
        self._outage = outage
        self._met = 0
        self._told = False

    def met(self, error: Exception) -> float:
        """Count a failure; return how many seconds to wait before the next try."""
        if isinstance(error, StorageError) and not isinstance(error, Duplicate):
            self._outage.met(error, f"consumer {self._name}")
        elif not self._told:
            log.error("consumer failed, and is tried again", consumer=self._name, exc_info=error)
            self._told = True
        self._met += 1
        return min(_LEAST_BACK_OFF * 2.0 ** min(self._met - 1, 10), _MOST_BACK_OFF)

    def over(self) -> None:
        """Say that the consumer does not fail."""
        if self._told:
            log.warning("consumer works again", consumer=self._name, failures=self._met)
        self._met, self._told = 0, False
