"""The registry of @contexts: turns the @context of a request into a term map (CIM 009 clauses 5.5.6, 5.13 and 6.3.5).

Compiled maps are kept by content, so that equal @contexts share one; the map of an @context that was met before costs a
look-up, as long as nothing changed or expired of what it refers to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urldefrag, urljoin

import orjson

from context_api.contexts.documents import Documents, check_shape
from context_api.contexts.entries import Entry, Kind, id_of, new_id, now
from context_api.contexts.storage import ContextStore
from context_api.contexts.stored import StoredContexts
from context_api.security.egress import EgressGuard
from context_api.settings import Settings
from ngsild.context import LocalContext, TermMap, compile_terms, content_key
from ngsild.core_context import CORE_CONTEXT_URL, core_document, is_core_context
from ngsild.problems import BadRequestData, LdContextNotAvailable

_MEMORY = 1024
_TERMS_IN_MEMORY = 500_000
_NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A term map with the entries it came from and how long they hold."""

    terms: TermMap
    entries: tuple[Entry, ...]
    until: int
    epoch: int


@dataclass(slots=True)
class _Loading:
    """The local contexts found so far on the way through an @context and all that it refers to."""

    contexts: list[LocalContext | None] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


class ContextRegistry:
    """All @contexts that the broker knows."""

    def __init__(self, settings: Settings, store: ContextStore, shared: bool, guard: EgressGuard | None = None) -> None:
        """Keep @contexts in a store, which is `shared` where other processes change it too."""
        self._settings = settings.contexts
        self._stored = StoredContexts(store, settings.contexts.context_max_stored, shared)
        self._documents = Documents(settings, self._stored, guard or EgressGuard(settings.contexts.egress_allow))
        self._resolved: dict[Any, _Resolved] = {}
        self._compiled: dict[str, TermMap] = {}
        self.register_builtin(CORE_CONTEXT_URL, core_document())

    @property
    def origin(self) -> str:
        """The base URL that clients see, without a slash at its end."""
        return self._documents.origin

    async def start(self) -> None:
        """Load what is stored."""
        await self._stored.start()

    async def close(self) -> None:
        """Store usage and close the connections."""
        await self._documents.close()
        await self._stored.close()

    def register_builtin(self, url: str, document: Mapping[str, Any]) -> None:
        """Add a document of ours under its URL, or under a path of this server; it resolves without a network call."""
        self._documents.register_builtin(url, document)

    async def resolve(self, source: Any, base: str | None = None) -> TermMap:
        """Return the term map of an @context: a URL, an object, or an array of both.

        `base` is what relative URLs are relative to, by default this server. Raises LdContextNotAvailable, naming the
        URL, for what cannot be retrieved, BadRequestData for what is no valid @context or goes over a limit.
        """
        key = (base, source if isinstance(source, str) else sha256(self._measured(source)).digest())
        found = self._resolved.get(key)
        if found is None or found.epoch != self._stored.epoch or found.until <= now():
            found = await self._resolve(source, base)
            if len(self._resolved) >= _MEMORY:
                self._resolved.clear()
            self._resolved[key] = found
        self._stored.count(found.entries)
        return found.terms

    async def _resolve(self, source: Any, base: str | None) -> _Resolved:
        epoch = self._stored.epoch
        loading = _Loading()
        await self._load(source, base, (), loading)
        entries = tuple(dict.fromkeys(loading.entries))
        until = min((e.expires_at for e in entries if e.expires_at is not None), default=_NEVER)
        terms = await self._compile(loading.contexts)
        return _Resolved(terms, entries, until, epoch)

    async def local_contexts(self, source: Any) -> list[LocalContext | None]:
        """Return an @context with all that it refers to, in its order and without references.

        The core @context is left out. Raises what `resolve` raises.
        """
        self._measured(source)
        loading = _Loading()
        await self._load(source, None, (), loading)
        return loading.contexts

    async def _compile(self, contexts: list[LocalContext | None]) -> TermMap:
        key = content_key(contexts)
        terms = self._compiled.get(key)
        if terms is None:
            terms = await asyncio.to_thread(compile_terms, contexts)
            if sum(t.size for t in self._compiled.values()) >= _TERMS_IN_MEMORY:
                self._compiled.clear()
                self._resolved.clear()
            self._compiled[key] = terms
        return terms

    async def _load(self, source: Any, base: str | None, chain: tuple[str, ...], loading: _Loading) -> None:
        """Add the local contexts of an @context, in their order; the core @context is left out, as it comes last."""
        for item in source if isinstance(source, list) else [source]:
            if isinstance(item, str):
                await self._load_url(self._absolute(item, base), chain, loading)
            elif isinstance(item, dict) and "@import" in item:
                loading.contexts.append(await self._imported(item, base, chain, loading))
            elif item is None or isinstance(item, dict):
                loading.contexts.append(item)
            else:
                raise BadRequestData(f"@context: {str(item)[:80]} is neither a URL nor an object")

    async def _load_url(self, url: str, chain: tuple[str, ...], loading: _Loading) -> None:
        if is_core_context(url):
            return
        entry = await self._referred(url, chain, loading)
        await self._load(entry.document["@context"], entry.base or url, (*chain, url), loading)

    async def _imported(
        self, context: dict[str, Any], base: str | None, chain: tuple[str, ...], loading: _Loading
    ) -> dict[str, Any]:
        """Return a local context with what it imports (JSON-LD 1.1, clause 4.1.10)."""
        url = context["@import"]
        if not isinstance(url, str):
            raise BadRequestData("@context: @import must be a URL")
        entry = await self._referred(self._absolute(url, base), chain, loading)
        imported = entry.document["@context"]
        if not isinstance(imported, dict) or "@import" in imported:
            raise BadRequestData(f"@context: {url} cannot be imported, for it is not one object without @import")
        return imported | {k: v for k, v in context.items() if k != "@import"}

    async def _referred(self, url: str, chain: tuple[str, ...], loading: _Loading) -> Entry:
        if url in chain:
            raise BadRequestData(f"@context: {url} refers to itself")
        if len(chain) >= self._settings.context_max_depth:
            raise BadRequestData(f"@context: {url} lies deeper than {self._settings.context_max_depth} references")
        if len(loading.entries) >= self._settings.context_max_imports:
            raise BadRequestData(f"@context: more than {self._settings.context_max_imports} documents are referred to")
        entry = await self._documents.get(url)
        loading.entries.append(entry)
        return entry

    def _measured(self, source: Any) -> bytes:
        """Return an @context as canonical JSON; refuse one that is larger than a document may be."""
        text = orjson.dumps(source, option=orjson.OPT_SORT_KEYS)
        if len(text) > self._settings.context_max_bytes:
            raise BadRequestData(f"@context: it is larger than {self._settings.context_max_bytes} bytes")
        return text

    def _absolute(self, reference: str, base: str | None = None) -> str:
        """Return the URL that a reference means; without a base it is relative to this server."""
        if base is None and reference.startswith("/"):
            return self.origin + reference
        try:
            return urldefrag(urljoin(base or self.origin + "/", reference)).url
        except ValueError as error:
            raise BadRequestData(f"@context: {reference!r} is not a URL") from error

    async def add(self, source: Any, tenant: int) -> Entry:
        """Store an @context of a client (clause 5.13.2); what it refers to is downloaded when it is used."""
        self._measured(source)
        check_shape("@context", source)
        items = source if isinstance(source, list) else [source]
        if all(item is None or (isinstance(item, dict) and "@import" not in item) for item in items):
            await self._compile(items)
        entry = Entry(new_id(), Kind.HOSTED, {"@context": source}, now(), tenant)
        await self._stored.put(entry)
        return entry

    def stored(self, tenant: int | None, kind: Kind | None = None) -> list[Entry]:
        """Return what a tenant may see: its own @contexts and the cached ones, which all share (clause 5.13.3)."""
        visible = (e for e in self._stored if e.kind is Kind.CACHED or (e.tenant == tenant and tenant is not None))
        return [e for e in visible if kind is None or e.kind is kind]

    async def find(self, name: str, tenant: int | None) -> Entry | None:
        """Return the @context with this id or, for a Cached one, URL (clause 5.13.4)."""
        wanted = CORE_CONTEXT_URL if is_core_context(name) else name
        entry = self._stored.get(wanted)
        if entry is None:
            await self._stored.look_again()
            entry = self._stored.get(wanted)
        return entry if entry is not None and entry.tenant in (None, tenant) else None

    def count(self, entry: Entry) -> None:
        """Count that an @context was found in the storage."""
        self._stored.count([entry])

    async def remove(self, entry: Entry) -> None:
        """Remove an @context (clause 5.13.5); what it refers to stays."""
        if entry.built_in:
            raise BadRequestData(f"{entry.url}: this @context is part of the broker and cannot be removed")
        await self._stored.remove(entry)

    async def reload(self, entry: Entry) -> None:
        """Download a Cached @context again; the old copy stays when that fails (clause 5.13.5.4)."""
        if entry.kind is not Kind.CACHED or entry.url is None:
            raise BadRequestData(f"{entry.id}: only a Cached @context can be reloaded, this one is {entry.kind.value}")
        if entry.built_in:
            return
        try:
            download = await self._documents.fetch(entry.url)
            loading = _Loading()
            await self._load((download.document or {})["@context"], download.base, (entry.url,), loading)
            await self._compile(loading.contexts)
        except BadRequestData as problem:
            raise LdContextNotAvailable(problem.detail) from problem
        await self._documents.replace(entry, download)

    async def link(self, source: Any, tenant: int | None = None) -> str:
        """Return a URL that serves an @context: its own, or that of an ImplicitlyCreated one (clause 5.13.1)."""
        items = [c for c in (source if isinstance(source, list) else [source]) if c != CORE_CONTEXT_URL]
        if not items:
            return CORE_CONTEXT_URL
        if len(items) == 1 and isinstance(items[0], str):
            return self._absolute(items[0])
        name = id_of(tenant, source)
        entry = self._stored.get(name)
        if entry is None:
            entry = Entry(name, Kind.IMPLICITLY_CREATED, {"@context": source}, now(), tenant)
            await self._stored.put(entry)
        return entry.address(self.origin)
