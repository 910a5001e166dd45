"""The stored @contexts in memory, kept in step with the database; how often they are used is written at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import structlog

from context_api.contexts.entries import Entry, Kind, now
from context_api.contexts.storage import ContextStore
from ngsild.problems import BadRequestData

log = structlog.get_logger(__name__)

_FLUSH_SECONDS = 30.0


class StoredContexts:
    """Entries by id and by URL; a change of any of them raises `epoch`."""

    def __init__(self, store: ContextStore, limit: int) -> None:
        """Keep at most `limit` cached entries, and as many hosted and implicitly created ones."""
        self.epoch = 0
        self._store = store
        self._limit = limit
        self._by_id: dict[str, Entry] = {}
        self._by_url: dict[str, Entry] = {}
        self._used: set[str] = set()
        self._flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is stored and start to write usage at intervals."""
        for entry in await self._store.load():
            self._remember(entry)
        self._flushing = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Write the usage that is not written yet."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
            await self._flush()

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
            self._used.add(entry.id)

    async def put(self, entry: Entry) -> None:
        """Store a new entry, or one in the place of that with its id; make room for it where the limit is reached."""
        if entry.id not in self._by_id:
            await self._make_room(entry.kind)
        await self._store.save(entry)
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
        self._used.discard(entry.id)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self._flush()
            except Exception:
                log.exception("usage of @contexts could not be stored")

    async def _flush(self) -> None:
        used, self._used = self._used, set()
        entries = [self._by_id[i] for i in used if i in self._by_id]
        usages = [(e.id, e.hits, e.last_usage) for e in entries if not e.built_in]
        if usages:
            await self._store.record_usage(usages)
