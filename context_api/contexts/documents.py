"""The documents that @contexts refer to: ours, and those of others (CIM 009 clauses 5.5.6 and 5.13.1).

URLs of our own (hosted @contexts, built-in documents) resolve without a network. Any other document is downloaded once,
by one download at a time, and kept in the database until it expires; then it is asked for again, and the old copy stays
in use while that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import structlog

from context_api.contexts.entries import RESOURCE, Entry, Kind, id_of, new_id, now
from context_api.contexts.fetch import Download, Fetcher, check_url
from context_api.contexts.stored import StoredContexts
from context_api.security.egress import EgressGuard
from context_api.settings import Settings
from ngsild.context import check_local_context
from ngsild.problems import BadRequestData, LdContextNotAvailable, Problem

log = structlog.get_logger(__name__)

_FAILURES_IN_MEMORY = 1024


class Documents:
    """Finds a document by its URL, downloading it where that is needed."""

    def __init__(self, settings: Settings, stored: StoredContexts, guard: EgressGuard) -> None:
        self.origin = _origin(settings)
        """The base URL that clients see, without a slash at its end."""
        self._origins = _own_origins(settings)
        self._stored = stored
        self._fetcher = Fetcher(settings.contexts, guard)
        self._retry = int(settings.contexts.context_retry * 1_000_000)
        self._failed: dict[str, tuple[int, Problem]] = {}
        self._downloads: dict[str, asyncio.Task[Entry]] = {}

    async def close(self) -> None:
        """End the downloads and close their connections."""
        for download in list(self._downloads.values()):
            download.cancel()
        await self._fetcher.close()

    def register_builtin(self, url: str, document: Mapping[str, Any]) -> None:
        """Add a document of ours under its URL, or under a path of this server."""
        address = self.origin + url if url.startswith("/") else url
        entry = Entry(
            id=id_of(address),
            kind=Kind.CACHED,
            document={"@context": document["@context"]},
            created_at=now(),
            url=address,
            built_in=True,
        )
        self._stored.built_in(entry)

    async def get(self, url: str) -> Entry:
        """Return the document at a URL.

        Raises LdContextNotAvailable, naming the URL, when it cannot be retrieved, BadRequestData when it is no context.
        """
        entry = self._stored.get(url) or await self._own(url)
        if entry is not None and (entry.expires_at is None or entry.expires_at > now()):
            return entry
        if entry is None:
            failed = self._failed.get(url)
            if failed is not None and failed[0] > now():
                raise type(failed[1])(failed[1].detail)
            return await self._download(url, None)
        try:
            return await self._download(url, entry)
        except Problem as problem:
            log.warning("expired @context stays in use", url=url, reason=problem.detail)
            entry.expires_at = now() + self._retry
            return entry

    async def _own(self, url: str) -> Entry | None:
        """Return the entry behind a URL of this server; None for a URL elsewhere."""
        origin = next((o for o in self._origins if url.startswith(o + "/")), None)
        if origin is None:
            return None
        path = url.removeprefix(origin)
        entry = self._at(path)
        if entry is None:
            await self._stored.look_again()
            entry = self._at(path)
        if entry is None:
            raise LdContextNotAvailable(f"{url}: this broker has no such @context")
        return entry

    def _at(self, path: str) -> Entry | None:
        entry = self._stored.get(self.origin + path)
        if entry is None and path.startswith(RESOURCE + "/"):
            entry = self._stored.get(unquote(path.removeprefix(RESOURCE + "/")))
        return entry

    async def _download(self, url: str, old: Entry | None) -> Entry:
        """Download a document, together with all who want it at this moment."""
        download = self._downloads.get(url)
        if download is None:
            download = self._downloads[url] = asyncio.create_task(self._fetch(url, old))
            download.add_done_callback(lambda task: self._downloaded(url, task))
        return await asyncio.shield(download)

    def _downloaded(self, url: str, task: asyncio.Task[Entry]) -> None:
        del self._downloads[url]
        if not task.cancelled():
            task.exception()

    async def _fetch(self, url: str, old: Entry | None) -> Entry:
        try:
            download = await self._fetcher.fetch(check_url(url), old.validators if old else None)
            if download.document is not None:
                check_shape(url, download.document["@context"])
        except Problem as problem:
            if len(self._failed) >= _FAILURES_IN_MEMORY:
                self._failed.clear()
            self._failed[url] = (now() + self._retry, problem)
            raise
        self._failed.pop(url, None)
        if old is not None and download.document is None:
            old.expires_at = download.expires_at
            await self._stored.prolong(old)
            return old
        entry = old or Entry(new_id(), Kind.CACHED, {}, 0, url=url)
        await self.replace(entry, download)
        return entry

    async def fetch(self, url: str) -> Download:
        """Download a document anew, whatever is stored of it."""
        return await self._fetcher.fetch(url)

    async def replace(self, entry: Entry, download: Download) -> None:
        """Give an entry its downloaded content."""
        entry.document = download.document or {}
        entry.base, entry.expires_at, entry.validators = download.base, download.expires_at, download.validators
        entry.created_at = now()
        await self._stored.put(entry)


def check_shape(name: str, source: Any) -> None:
    """Refuse what cannot be an @context whatever it refers to: other than URLs and objects, scoped contexts."""
    for item in source if isinstance(source, list) else [source]:
        if isinstance(item, dict):
            check_local_context({k: v for k, v in item.items() if k != "@import"})
        elif item is not None and not isinstance(item, str):
            raise BadRequestData(f"{name}: {str(item)[:80]} is neither a URL nor an object")


def _origin(settings: Settings) -> str:
    return (settings.server.public_url or _address(settings.server.host, settings.server.port)).rstrip("/")


def _own_origins(settings: Settings) -> tuple[str, ...]:
    """Return the base URLs under which requests reach this server."""
    hosts = (settings.server.host, "localhost", "127.0.0.1", "::1")
    return (_origin(settings), *(_address(host, settings.server.port) for host in hosts))


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
