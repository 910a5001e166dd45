"""The store on PostgreSQL with PostGIS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from context_api.settings import StorageSettings
from context_api.storage.codec import decode, entity_key
from context_api.storage.discovery import Counts, Discovery, Occurrence, count, counted_occurrences
from context_api.storage.port import (
    DEFAULT_TENANT,
    Change,
    Compute,
    LoggedChange,
    Outcome,
    Page,
    Past,
    Row,
    Span,
    StorageError,
    Tenant,
)
from context_api.storage.postgres.announcing import Announcements
from context_api.storage.postgres.changes import ChangeLog
from context_api.storage.postgres.committer import Committer
from context_api.storage.postgres.connection import Pool
from context_api.storage.postgres.expiry import expired_changes
from context_api.storage.postgres.names import Names
from context_api.storage.postgres.occurrences import roll_up, stored_occurrences
from context_api.storage.postgres.past import read_spans
from context_api.storage.postgres.preparing import Preparation
from context_api.storage.postgres.reading import Reading, Stream, limited
from context_api.storage.postgres.reads import Reads
from context_api.storage.postgres.records import PostgresRecords
from context_api.storage.postgres.revision import check_replica, check_revision
from context_api.storage.postgres.transaction import Locked
from context_api.storage.postgres.writing import Keyed
from ngsild.entity import Entity
from ngsild.problems import NonexistentTenant
from ngsild.query import EntityQuery, Restriction

_CREATE_TENANT = "INSERT INTO tenant (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_TENANT = "SELECT id FROM tenant WHERE name = $1"


class PostgresStore(Discovery):
    """`port.Store` on a PostgreSQL database, which other processes may use at the same time."""

    shared = True

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._reading = Pool(settings.database, settings.postgres_readers, settings.query_time_limit)
        self._writing = Pool(settings.database, settings.postgres_writers, settings.write_time_limit)
        # Queries and discovery; what they answer may lag behind where a replica answers it.
        self._querying = self._reading
        if settings.database_replica is not None:
            self._querying = Pool(settings.database_replica, settings.postgres_readers, settings.query_time_limit)
        self._names = Names()
        self._reads = Reads(self._reading)
        preparation = Preparation(self._reading, self._names)
        self._announcements = Announcements(self._writing, settings.database)
        committed = self._announcements.committed
        self._locked = Locked(self._writing, preparation, committed)
        self._committer = Committer(self._writing, preparation, self._locked, settings.max_queued_writes, committed)
        self._log = ChangeLog(self._reading, self._announcements.wake_later)
        self._tenants: dict[str, Tenant] = {}
        self.records = PostgresRecords(self._writing)

    async def start(self) -> None:
        """Connect; raise StorageError where a database cannot be reached or `voltweave migrate` is due."""
        try:
            await self._reading.open()
            async with self._reading.connection() as con:
                await check_revision(con)
            if self._querying is not self._reading:
                await self._open_replica()
            await self._writing.open()
        except BaseException:
            await self._disconnect()
            raise

    async def _open_replica(self) -> None:
        try:
            await self._querying.open()
        except StorageError as error:
            raise StorageError(f"the replica cannot be reached: {error}") from error
        async with self._querying.connection() as con:
            await check_replica(con)

    async def close(self) -> None:
        """Commit what is queued and close the connections."""
        await self._committer.close()
        await self._announcements.close()
        await self._disconnect()

    async def _disconnect(self) -> None:
        await self._writing.close()
        await self._querying.close()
        await self._reading.close()

    async def tenant(self, name: str | None, create: bool) -> Tenant:
        """Return a tenant, the default one for None; raise NonexistentTenant unless it exists or may be created."""
        name = DEFAULT_TENANT if name is None else name
        known = self._tenants.get(name)
        if known is not None:
            return known
        async with self._reading.connection() as con:
            number = await con.fetchval(_TENANT, name)
            if number is None:
                if not create:
                    raise NonexistentTenant(f"tenant {name!r} does not exist")
                await con.execute(_CREATE_TENANT, name, time.time_ns() // 1000)
                number = await con.fetchval(_TENANT, name)
        found = self._tenants[name] = Tenant(number, name)
        return found

    async def write(self, tenant: Tenant, changes: Sequence[Change], atomic: bool = False) -> list[Outcome]:
        """Commit changes with their history, index rows and change log; with `atomic`, all of them or none."""
        if not changes:
            return []
        if atomic or len({change.entity_id for change in changes}) < len(changes):
            keyed = [Keyed(tenant, entity_key(tenant.name, change.entity_id), change) for change in changes]
            return await self._locked.apply(keyed, atomic)
        return await self._committer.write(tenant, changes)

    async def write_locked(self, tenant: Tenant, ids: Sequence[str], compute: Compute) -> list[Outcome]:
        """Read entities, compute their changes and commit these with no other write in between (decision 12)."""
        return await self._locked.compute(tenant, ids, compute)

    async def changes(self, after: int, limit: int) -> list[LoggedChange]:
        """Return the changes of all tenants that follow a number, the first `limit` of them in the order of numbers."""
        return await self._log.read(after, limit)

    def watch(self, wake: Callable[[], None]) -> None:
        """Have a function called, on the event loop, soon after changes were committed, by whatever process."""
        self._announcements.watch(wake)

    async def retrieve(self, tenant: Tenant, entity_id: str) -> Row | None:
        """Return the stored columns of one entity, less what has expired."""
        return await self._reads.row(entity_key(tenant.name, entity_id))

    async def read(self, tenant: Tenant, ids: Sequence[str]) -> list[Entity | None]:
        """Return entities in the stored form, None where there is none; what has expired is absent."""
        rows = await self._reads.rows([entity_key(tenant.name, entity_id) for entity_id in ids])
        return [None if row is None else decode(row) for row in rows]

    async def history(self, tenant: Tenant, spans: Sequence[Span]) -> list[list[Past]]:
        """Return what the history holds of each span, oldest first; deletions are left out."""
        async with self._reading.connection() as con:
            return await read_spans(con, self._names, tenant, spans)

    async def query(
        self, tenant: Tenant, query: EntityQuery, restriction: Restriction, limit: int, offset: int, count: bool
    ) -> Page:
        """Return the entities that match; raise TooComplexQuery where that takes longer than the time limit."""
        time_limit = self._settings.query_time_limit
        async with self._querying.connection() as con:
            return await Reading(con, self._names, tenant, restriction, time_limit).page(query, limit, offset, count)

    def query_ids(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> AsyncIterator[list[str]]:
        """Yield the ids of all matching entities in chunks."""
        return self._stream(tenant, query, restriction).ids()

    def stream(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> AsyncIterator[list[Row]]:
        """Yield all matching rows in chunks, each entity once."""
        return self._stream(tenant, query, restriction).rows()

    def _stream(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> Stream:
        lend, time_limit = self._querying.connection, self._settings.query_time_limit
        return Stream(lend, self._names, tenant, query, restriction, time_limit)

    async def expire(self, now: int) -> int:
        """Delete the entities and attribute instances that expired before `now`; return how many entities changed."""
        swept = 0
        while True:
            async with self._reading.connection() as con:
                found = await expired_changes(con, now)
            done = 0
            for tenant, changes in found.items():
                keyed = [Keyed(tenant, entity_key(tenant.name, change.entity_id), change) for change in changes]
                done += (await self._locked.apply(keyed)).count(Outcome.DONE)
            if done == 0:
                return swept
            swept += done

    async def roll_up(self) -> None:
        """Bring the sums that writes left apart into those that discovery reads."""
        await roll_up(self._writing)

    async def occurrences(self, tenant: Tenant, restriction: Restriction) -> list[Occurrence]:
        """Return the occurrences of those entities that a caller may see, less what has expired."""
        # The sums know no time.
        now = time.time_ns() // 1000
        await self.expire(now)
        async with self._querying.connection() as con:
            if restriction.typed:
                return await stored_occurrences(con, tenant)
            counts: Counts = Counter()
            time_limit = self._settings.query_time_limit
            async with limited(time_limit):
                async for entities in Reading(con, self._names, tenant, restriction, time_limit).entities():
                    count(counts, entities, restriction, now)
            return counted_occurrences(counts)
