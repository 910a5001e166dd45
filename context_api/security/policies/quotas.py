"""Quotas of permissions: how much each caller has used of each, counted by every process and added up by the database.

A count belongs to one permission, one caller and one window: a minute, or a day of UTC. A process counts at once what
it serves itself, and learns within about a second what others did.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import uuid4

from sqlalchemy import and_, bindparam, delete, func, insert, select

from context_api.intervals import every
from context_api.security.policies.model import Constraints
from context_api.storage.port import StorageError, Store
from context_api.storage.records import ForEach, Statement
from context_api.storage.tables import quota_use

_SECOND: Final = 1_000_000
_FLUSH_SECONDS: Final = 1.0


class Unit(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    ENTITIES = "entities"
    BYTES = "bytes"


_WINDOWS: Final = {Unit.REQUESTS: 60 * _SECOND, Unit.ENTITIES: 86_400 * _SECOND, Unit.BYTES: 86_400 * _SECOND}
_WORDS: Final = {
    Unit.REQUESTS: "requests a minute",
    Unit.ENTITIES: "entities a day",
    Unit.BYTES: "bytes a day",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one caller may use by one permission in each window."""

    meter: str
    """Names permission, caller and unit, as a hash."""
    unit: Unit
    most: int

    def ends_at(self, now: int) -> int:
        """Return the end of the present window in microseconds since 1970 UTC."""
        window = _WINDOWS[self.unit]
        return (now // window + 1) * window

    @property
    def words(self) -> str:
        """The quota in words."""
        return f"{self.most} {_WORDS[self.unit]}"


def quotas_of(constraints: Constraints, *permission_and_caller: str) -> tuple[Quota, ...]:
    """Return the quotas that a permission gives a caller; none where it has no limit."""
    limits = (
        (Unit.REQUESTS, constraints.requests_per_minute),
        (Unit.ENTITIES, constraints.entities_per_day),
        (Unit.BYTES, constraints.bytes_per_day),
    )
    return tuple(Quota(_meter(*permission_and_caller, unit), unit, most) for unit, most in limits if most is not None)


def _meter(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


_Window = tuple[str, int]
"""A meter, and the end of a window."""


class Meters:
    """What all callers have used in the windows that have not ended.

    Each process has rows of its own, so none waits for another and a sum that is written twice is the same.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = uuid4().hex
        self._own: Counter[_Window] = Counter()
        self._others: dict[_Window, int] = {}
        self._changed: set[_Window] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self, now: int) -> None:
        """Learn what was used before, and exchange counts with other processes from then on."""
        await self._read(now)
        self._task = asyncio.create_task(
            every(_FLUSH_SECONDS, self._exchange, "what quotas allow is counted by each process alone")
        )

    async def close(self) -> None:
        """Write what is counted, if the database can be used, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            with suppress(StorageError):
                await self._write()

    def is_spent(self, quota: Quota, now: int) -> bool:
        """Tell whether nothing is left of a quota until its window ends."""
        window = quota.meter, quota.ends_at(now)
        return self._own[window] + self._others.get(window, 0) >= quota.most

    def add(self, quota: Quota, amount: int, now: int) -> None:
        """Count what a caller uses."""
        if amount > 0:
            window = quota.meter, quota.ends_at(now)
            self._own[window] += amount
            self._changed.add(window)

    async def exchange(self, now: int) -> None:
        """Write what this process counted, learn what others did, and forget windows that have ended."""
        await self._write()
        ended = {window for window in self._own if window[1] <= now}
        if ended:
            for window in ended:
                del self._own[window]
            await self._store.records.execute(delete(quota_use).where(quota_use.c.ends_at <= now))
        if self._store.shared:
            await self._read(now)

    async def _exchange(self) -> None:
        await self.exchange(time.time_ns() // 1000)

    async def _write(self) -> None:
        windows, self._changed = self._changed, set()
        if not windows:
            return
        try:
            await self._store.records.execute(*self._statements(windows))
        except StorageError:
            self._changed |= windows
            raise

    def _statements(self, windows: set[_Window]) -> Iterable[Statement]:
        c = quota_use.c
        found = sorted(windows)
        that = and_(c.meter == bindparam("of"), c.ends_at == bindparam("until"), c.process == bindparam("by"))
        yield ForEach(
            delete(quota_use).where(that),
            [{"of": meter, "until": ends_at, "by": self._process} for meter, ends_at in found],
        )
        rows = [
            {"meter": meter, "ends_at": ends_at, "process": self._process, "used": self._own[meter, ends_at]}
            for meter, ends_at in found
        ]
        yield ForEach(insert(quota_use), rows)

    async def _read(self, now: int) -> None:
        c = quota_use.c
        used = (
            select(c.meter, c.ends_at, func.sum(c.used))
            .where(c.ends_at > now, c.process != self._process)
            .group_by(c.meter, c.ends_at)
        )
        rows = await self._store.records.fetch(used)
        self._others = {(meter, ends_at): int(total) for meter, ends_at, total in rows}


class Use:
    """What one request uses of the quotas of the permissions that it was given, and which ones are spent."""

    __slots__ = ("_meters", "_quotas", "bytes", "entities", "spent")

    def __init__(self, meters: Meters, quotas: tuple[Quota, ...], spent: tuple[Quota, ...], now: int) -> None:
        """Count the request."""
        self._meters = meters
        self._quotas = quotas
        self.spent = spent
        self.entities = 0
        """Those of the answer, or that a write names; a request counts as one at least."""
        self.bytes = 0
        """Those of the bodies of request and answer."""
        for quota in quotas:
            if quota.unit is Unit.REQUESTS:
                meters.add(quota, 1, now)

    def settle(self, now: int) -> None:
        """Count the volume, when the answer has been sent."""
        for quota in self._quotas:
            if quota.unit is not Unit.REQUESTS:
                self._meters.add(quota, max(1, self.entities) if quota.unit is Unit.ENTITIES else self.bytes, now)
