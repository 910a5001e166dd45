"""The store on SQLite: one file, one writing process, reads beside it."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from context_api.settings import StorageSettings
from context_api.storage.codec import entity_key
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
    Tenant,
)
from context_api.storage.sqlite import reads
from context_api.storage.sqlite.changes import ChangeLog
from context_api.storage.sqlite.expiry import expired_changes
from context_api.storage.sqlite.file import WriterLock, connect, database_path, prepare_schema, storage_errors
from context_api.storage.sqlite.inline import InlineReads
from context_api.storage.sqlite.names import Names
from context_api.storage.sqlite.occurrences import stored_occurrences
from context_api.storage.sqlite.past import read_spans
from context_api.storage.sqlite.readers import Readers
from context_api.storage.sqlite.reads import Reading
from context_api.storage.sqlite.records import SqliteRecords
from context_api.storage.sqlite.writer import Writer
from ngsild.entity import Entity
from ngsild.problems import NonexistentTenant
from ngsild.query import EntityQuery, Restriction

#: Entities that are read without leaving the event loop; more would keep it from others.
_INLINE = 32
#: Ids in one piece of a long answer.
_CHUNK = 1_000
#: Rows in one piece of a long answer: their rendering keeps the event loop from others for some milliseconds.
_ROWS = 100


class SqliteStore(Discovery):
    """`port.Store` on an SQLite file."""

    shared = False

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        self._path = database_path(settings.database)
        self._lock = WriterLock(self._path)
        self._names = Names()
        self._tenants: dict[str, Tenant] = {}
        self._log = ChangeLog()
        self._wakes: list[Callable[[], None]] = []
        self._records = SqliteRecords(lambda: self._writer, lambda: self._inline)

    @property
    def records(self) -> SqliteRecords:
        """The small tables beside the entities; usable from `start` to `close`."""
        return self._records

    async def start(self) -> None:
        """Open the database, making its tables where there are none."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            writing = connect(self._path, read_only=False, synchronous=self._settings.sqlite_synchronous)
            prepare_schema(writing, self._path)
        except BaseException:
            self._lock.release()
            raise
        self._writer = Writer(writing, self._names, self._settings.max_queued_writes, self._committed)
        self._writer.start()
        self._inline = self._read_only()
        self._few = InlineReads(self._inline)
        self._readers = Readers(self._read_only, self._settings.sqlite_readers, self._settings.query_time_limit)

    async def close(self) -> None:
        """Commit what is queued and close the database."""
        await self._writer.close()
        await self._readers.close()
        self._inline.close()
        self._lock.release()

    async def tenant(self, name: str | None, create: bool) -> Tenant:
        """Return a tenant, the default one for None; raise NonexistentTenant unless it exists or may be created."""
        name = DEFAULT_TENANT if name is None else name
        known = self._tenants.get(name)
        if known is not None:
            return known
        with storage_errors():
            row = self._inline.execute("SELECT id FROM tenant WHERE name = ?", (name,)).fetchone()
        if row is None:
            if not create:
                raise NonexistentTenant(f"tenant {name!r} does not exist")
            row = await self._writer.run(partial(_create_tenant, name))
        found = self._tenants[name] = Tenant(int(row[0]), name)
        return found

    async def write(self, tenant: Tenant, changes: Sequence[Change], atomic: bool = False) -> list[Outcome]:
        """Commit changes with their history, index rows and change log; with `atomic`, all of them or none."""
        return await self._writer.write(tenant, changes, atomic) if changes else []

    async def write_locked(self, tenant: Tenant, ids: Sequence[str], compute: Compute) -> list[Outcome]:
        """Read entities, compute their changes and commit these with no other write in between (decision 12)."""
        return await self._writer.write_locked(tenant, ids, compute)

    async def changes(self, after: int, limit: int) -> list[LoggedChange]:
        """Return the changes of all tenants that follow a number, the first `limit` of them in the order of numbers."""
        return await self._readers.run(partial(self._log.read, after=after, limit=limit))

    def watch(self, wake: Callable[[], None]) -> None:
        """Have a function called, on the event loop, soon after changes were committed."""
        self._wakes.append(wake)

    def _committed(self) -> None:
        for wake in self._wakes:
            wake()

    async def retrieve(self, tenant: Tenant, entity_id: str) -> Row | None:
        """Return the stored columns of one entity, less what has expired."""
        with storage_errors():
            return reads.retrieve(self._inline, tenant, entity_id)

    async def read(self, tenant: Tenant, ids: Sequence[str]) -> list[Entity | None]:
        """Return entities in the stored form, None where there is none; what has expired is absent."""
        keys = [entity_key(tenant.name, entity_id) for entity_id in ids]
        if len(keys) <= _INLINE:
            return await self._few.entities(keys)
        return await self._readers.run(partial(reads.read, keys=keys))

    async def history(self, tenant: Tenant, spans: Sequence[Span]) -> list[list[Past]]:
        """Return what the history holds of each span, oldest first; deletions are left out."""
        return await self._readers.run(lambda con: read_spans(con, self._names, tenant, spans))

    async def query(
        self, tenant: Tenant, query: EntityQuery, restriction: Restriction, limit: int, offset: int, count: bool
    ) -> Page:
        """Return the entities that match; raise TooComplexQuery where that takes longer than the time limit."""
        return await self._readers.run(
            lambda con: Reading(con, self._names, tenant, restriction).page(query, limit, offset, count)
        )

    async def query_ids(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> AsyncIterator[list[str]]:
        """Yield the ids of all matching entities in chunks; those of one moment, less what has gone meanwhile."""
        keys = await self._readers.run(lambda con: Reading(con, self._names, tenant, restriction).keys(query))
        for chunk in keys.chunks(_CHUNK):
            yield await self._readers.run(partial(reads.ids_of, keys=chunk))

    async def stream(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> AsyncIterator[list[Row]]:
        """Yield all matching rows in chunks: the matches of one moment, as they are when their turn comes."""
        keys = await self._readers.run(lambda con: Reading(con, self._names, tenant, restriction).keys(query))
        for chunk in keys.chunks(_ROWS):
            yield await self._readers.run(partial(reads.rows, keys=chunk))

    async def expire(self, now: int) -> int:
        """Delete the entities and attribute instances that expired before `now`; return how many entities changed."""
        swept = 0
        while found := expired_changes(self._inline, now):
            done = 0
            for tenant, changes in found.items():
                done += (await self.write(tenant, changes)).count(Outcome.DONE)
            if done == 0:
                break
            swept += done
        return swept

    async def roll_up(self) -> None:
        """Do nothing: the one writer leaves nothing apart."""

    async def occurrences(self, tenant: Tenant, restriction: Restriction) -> list[Occurrence]:
        """Return the occurrences of those entities that a caller may see, less what has expired."""
        # The sums know no time.
        now = time.time_ns() // 1000
        await self.expire(now)
        if restriction.typed:
            return await self._readers.run(partial(stored_occurrences, tenant=tenant))
        counts: Counts = Counter()
        await self._readers.run(
            lambda con: count(counts, Reading(con, self._names, tenant, restriction).entities(), restriction, now)
        )
        return counted_occurrences(counts)

    def _read_only(self) -> sqlite3.Connection:
        return connect(self._path, read_only=True)


def _create_tenant(name: str, con: sqlite3.Connection) -> tuple[int]:
    con.execute("INSERT OR IGNORE INTO tenant (name, created_at) VALUES (?, ?)", (name, time.time_ns() // 1000))
    row: tuple[int] = con.execute("SELECT id FROM tenant WHERE name = ?", (name,)).fetchone()
    return row
