"""The stored @contexts in memory, kept in step with the database; how often they are used is written at intervals.

Where other processes use the database too, this one looks every second whether they changed something, and at once when
it is asked for an @context that it does not know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from context_api.contexts.entries import Entry, Kind, now
from context_api.contexts.storage import ContextStore
from context_api.intervals import every
from context_api.storage.port import Duplicate, StorageError
from ngsild.problems import BadRequestData

_FLUSH_SECONDS = 30.0
_REFRESH_SECONDS = 1.0
_OUTAGE = "stored @contexts are out of step with the database"


class StoredContexts:
    """Entries by id and by URL; a change of any of them raises `epoch`."""

    def __init__(self, store: ContextStore, limit: int, shared: bool) -> None:
        """Keep at most `limit` cached entries, and as many hosted and implicitly created ones.

        `shared` says that other processes may change what is stored.
        """
        self.epoch = 0
        self._store = store
        self._limit = limit
        self._by_id: dict[str, Entry] = {}
        self._by_url: dict[str, Entry] = {}
        self._used: Counter[str] = Counter()
        self._shared = shared
        self._seen = -1
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load what is stored and start to write usage at intervals."""
        await self._store.epoch.start()
        await self.refresh()
        self._tasks = [asyncio.create_task(every(_FLUSH_SECONDS, self._flush, _OUTAGE))]
        if self._shared:
            self._tasks.append(asyncio.create_task(every(_REFRESH_SECONDS, self.refresh, _OUTAGE)))

    async def close(self) -> None:
        """Write the usage that is not written yet, unless the database is away."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(StorageError):
                await self._flush()

    async def refresh(self) -> None:
        """Read anew what is stored, unless nothing changed since."""
        changes = await self._store.epoch.current()
        if changes == self._seen:
            return
        found = {entry.id: entry for entry in await self._store.load()}
        for entry in list(self._by_id.values()):
            if not entry.built_in and entry.id not in found:
                self._forget(entry)
        for entry in found.values():
            entry.hits += self._used[entry.id]
            self._remember(entry)
        self._seen = changes

    async def look_again(self) -> None:
        """Bring in what other processes stored, for an @context that is not known here."""
        if self._shared:
            await self.refresh()

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._by_id.values()))

    def get(self, name: str) -> Entry | None:
        """Return the entry with this id or, of a Cached one, with this URL."""
        return self._by_id.get(name) or self._by_url.get(name)

    def built_in(self, entry: Entry) -> None:
        """Add an entry that is part of the program: never stored, evicted or removed."""
        self._remember(entry)

    def count(self, entries: Iterable[Entry]) -> None:
        """Count that entries were found in the storage."""
        moment = now()
        for entry in entries:
            entry.hits += 1
            entry.last_usage = moment
            self._used[entry.id] += 1

    async def put(self, entry: Entry) -> None:
        """Store a new entry, or one in the place of that with its id; make room for it where the limit is reached."""
        if entry.id not in self._by_id:
            await self._make_room(entry.kind)
        try:
            await self._store.save(entry)
        except Duplicate:
            # Another process stored the same at this moment; what it has is as good.
            await self.refresh()
        else:
            self._remember(entry)

    async def prolong(self, entry: Entry) -> None:
        """Store when an entry, whose content stays, is to be asked for again."""
        await self._store.save(entry)

    async def remove(self, entry: Entry) -> None:
        """Remove an entry."""
        self._forget(entry)
        await self._store.delete([entry.id])

    async def _make_room(self, kind: Kind) -> None:
        alike = [e for e in self._by_id.values() if (e.kind is Kind.CACHED) is (kind is Kind.CACHED) and not e.built_in]
        if len(alike) < self._limit:
            return
        removable = [e for e in alike if e.kind is not Kind.HOSTED]
        if not removable:
            raise BadRequestData(f"@context: {self._limit} @contexts are hosted already, which is the limit")
        await self.remove(min(removable, key=lambda e: e.last_usage or e.created_at))

    def _remember(self, entry: Entry) -> None:
        self.epoch += 1
        self._by_id[entry.id] = entry
        if entry.url is not None:
            self._by_url[entry.url] = entry

    def _forget(self, entry: Entry) -> None:
        self.epoch += 1
        self._by_id.pop(entry.id, None)
        if entry.url is not None:
            self._by_url.pop(entry.url, None)
        self._used.pop(entry.id, None)

    async def _flush(self) -> None:
        used, self._used = self._used, Counter()
        entries = [(self._by_id[i], hits) for i, hits in used.items() if i in self._by_id]
        usages = [(e.id, hits, e.last_usage) for e, hits in entries if not e.built_in]
        if not usages:
            return
        try:
            await self._store.record_usage(usages)
        except StorageError:
            self._used.update(used)
            raise
