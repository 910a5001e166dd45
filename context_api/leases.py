"""Leases: what only one process may do at a time, such as the sweep (decision 18).

A holder that dies keeps its lease until it runs out. Clocks of machines may differ by less than a lease lasts, and what
is done under one must do no harm when it is done twice.
"""

from __future__ import annotations

import time
from contextlib import suppress
from uuid import uuid4

from sqlalchemy import delete, insert, or_, select, update

from context_api.storage.port import Duplicate, StorageError
from context_api.storage.records import Records
from context_api.storage.tables import lease


class Leases:
    """The leases that this process asks for."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._holder = uuid4().hex

    async def hold(self, name: str, seconds: float) -> bool:
        """Take or prolong a lease; tell whether this process has it from now on."""
        now = time.time_ns() // 1000
        until = now + int(seconds * 1_000_000)
        free = or_(lease.c.holder == self._holder, lease.c.until < now)
        taken = update(lease).where(lease.c.name == name, free).values(holder=self._holder, until=until)
        await self._records.execute(taken)
        found = await self._records.fetch(select(lease.c.holder).where(lease.c.name == name))
        if found:
            return found == [(self._holder,)]
        try:
            await self._records.execute(insert(lease).values(name=name, holder=self._holder, until=until))
        except Duplicate:
            return False
        return True

    async def release(self) -> None:
        """Give back all that this process holds; what the database cannot take back now runs out."""
        with suppress(StorageError):
            await self._records.execute(delete(lease).where(lease.c.holder == self._holder))
