"""The change log on PostgreSQL, where numbers have gaps that transactions under way may still fill.

A change gets its number while its transaction holds the row of the entity, so the numbers of one entity have the order
of its versions. Ids of transactions have not: a transaction may have one long before it comes to an entity.

So changes are read by number, up to one that is settled. What a statement sees as the last number, L, is settled when
all transactions have ended that had an id then, for they gave out all numbers up to L, and later ones are greater.
These are the transactions below an id that the same statement takes, X: they have ended when `pg_snapshot_xmin` has
come to X. (The upper end of a snapshot does not do for X: it leaves out transactions under way that are younger than
the last one that ended.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from context_api.storage.port import LoggedChange, Tenant
from context_api.storage.postgres.connection import Pool

#: An id of a transaction is taken where the last number is beyond $1.
_LOOK = """
    SELECT last, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
        CASE WHEN last > $1 THEN pg_current_xact_id()::text::bigint END
    FROM (SELECT max(id) AS last FROM change) x
"""
_SELECT = """
    SELECT id, tenant, k, entity_id, operation, attributes, old_version, new_version, at, report
    FROM change WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3
"""
_TENANTS = "SELECT id, name FROM tenant"
_NEVER = (1 << 63) - 1
#: How long to wait for transactions under way: most take a few milliseconds; a long one is left for another call.
_WAITS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


class ChangeLog:
    """Reads the changes of all tenants."""

    def __init__(self, pool: Pool, look_again: Callable[[], None]) -> None:
        """Take what is called when there is something that settles later."""
        self._pool = pool
        self._look_again = look_again
        self._tenants: dict[int, Tenant] = {}
        self._settled = 0
        #: A number, and the id of the transaction below which all must have ended before it is settled.
        self._pending: tuple[int, int] | None = None

    async def read(self, after: int, limit: int) -> list[LoggedChange]:
        """Return the settled changes that follow a number, the first `limit` of them.

        Where there are later ones that are not settled, this waits for them up to a second.
        """
        last = await self._look()
        for wait in _WAITS:
            if self._settled > after or last <= after:
                break
            await asyncio.sleep(wait)
            await self._look()
        if self._settled <= after:
            if last > after:
                self._look_again()
            return []
        async with self._pool.connection() as con:
            rows = await con.fetch(_SELECT, after, self._settled, limit)
            if not all(row[1] in self._tenants for row in rows):
                self._tenants = {number: Tenant(number, name) for number, name in await con.fetch(_TENANTS)}
        tenants = self._tenants
        return [LoggedChange(number, tenants[tenant], k.bytes, *columns) for number, tenant, k, *columns in rows]

    async def _look(self) -> int:
        """Learn which numbers are settled by now; return the last one that can be seen, 0 where there is none."""
        known = self._settled if self._pending is None else _NEVER
        async with self._pool.connection() as con:
            last, oldest, taken = await con.fetchrow(_LOOK, known)
        if self._pending is not None and oldest >= self._pending[1]:
            self._settled, self._pending = max(self._settled, self._pending[0]), None
        elif self._pending is None and taken is not None:
            self._pending = last, taken
        return int(last or 0)
