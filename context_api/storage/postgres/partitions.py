"""The monthly partitions of history: made before the first row that belongs there (decision 6)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from context_api.storage.postgres.connection import Connection

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_FIRST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * _SECOND


class Partitions:
    """The partitions that this process knows to be there.

    Rows before the year 2000 or more than a day ahead stay in the default partition: their times are mistakes, and a
    partition for each would be too many.
    """

    def __init__(self) -> None:
        self._there: list[tuple[int, int]] = []

    def absent(self, times: Iterable[int]) -> set[tuple[int, int]]:
        """Return year and month of the partitions that rows of these times need and that are not known."""
        last = time.time_ns() // 1000 + _DAY
        months: set[tuple[int, int]] = set()
        for moment in set(times):
            if _FIRST <= moment < last and not self._known(moment):
                found = datetime.fromtimestamp(moment / _SECOND, UTC)
                months.add((found.year, found.month))
        return months

    async def make(self, con: Connection, months: Iterable[tuple[int, int]]) -> None:
        """Make partitions that are not there."""
        for year, month in sorted(months):
            low = _start(year, month)
            high = _start(year + month // 12, month % 12 + 1)
            await con.execute("SELECT vw_history_partition($1, $2, $3)", f"history_{year}_{month:02}", low, high)
            self._there.insert(0, (low, high))

    def _known(self, moment: int) -> bool:
        """Look among the months known, those met last first: times of one moment come together."""
        return any(low <= moment < high for low, high in self._there)


def _start(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * _SECOND
