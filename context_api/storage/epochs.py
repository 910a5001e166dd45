"""Numbers that count the changes of what processes keep in memory, so that all of them notice each (decision 17)."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import and_, insert, select, update

from context_api.storage.port import Duplicate
from context_api.storage.records import Records, Statement
from context_api.storage.tables import epoch


class Epoch:
    """What counts the changes of one kind of record, such as "context"."""

    def __init__(self, records: Records, kind: str) -> None:
        self._records = records
        self._kind = kind
        self._row = and_(epoch.c.kind == kind, epoch.c.tenant == 0)

    async def start(self) -> None:
        """Make the number where it is absent."""
        with suppress(Duplicate):
            await self._records.execute(insert(epoch).values(kind=self._kind, tenant=0, epoch=0))

    async def current(self) -> int:
        """Return the number, which every change raises, by whatever process."""
        [(found,)] = await self._records.fetch(select(epoch.c.epoch).where(self._row))
        return int(found)

    def raised(self) -> Statement:
        """Return the statement that goes with a change."""
        return update(epoch).where(self._row).values(epoch=epoch.c.epoch + 1)
