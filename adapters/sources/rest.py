"""The REST source: paged JSON over HTTP, read oldest first and read again from where it grew.

A reading walks the manifest's steps: each is a collection whose items the next step is asked for, and the items of the
last step are the records. A collection that is read only once through has a checkpoint: its last page, how many of the
items there are safe, and a hash of those. The page is fetched again (with If-None-Match and If-Modified-Since); where
the hash still fits, what follows those items is new, otherwise the whole page is taken again and the runner finds the
duplicates.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.errors import AdapterError, PermanentError, SettingError
from adapters.pointer import resolve
from adapters.raw import RawStore
from adapters.settings import AdapterSettings
from adapters.sources.chunk import Checkpoint, Chunk, Unreadable
from adapters.sources.formats import unreadable
from adapters.sources.http_pull import Answer, Gone, Puller, authorization_headers

_GATHER_SECONDS = 1.0
_COUNT = "rest#records"


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Authorization(_Options):
    """How the source is told who asks."""

    environment: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="Environment variable with the secret.")
    header: str = Field("Authorization", description="Header that carries it.")
    scheme: str = Field("Bearer", description="Word before the secret; empty for none.")


class Paging(_Options):
    """How a collection is cut into pages."""

    kind: Literal["next", "number", "none"] = Field(
        "next", description="next: a page links to the next one; number: pages are counted; none: one page."
    )
    next: str = Field("next", description="Member or JSON Pointer of the link to the next page.")
    parameter: str = Field("page", description="Query parameter of the page number.")
    first: int = Field(1, ge=0, description="Number of the first page.")
    size: int | None = Field(None, ge=1, description="Records in a full page; fewer means that it is the last.")


class Step(_Options):
    """One request of the way to the records: a collection, or a single object."""

    path: str = Field(description="Path below url; {name} stands for a value that an earlier step bound.")
    items: str = Field("", description="Member or JSON Pointer of the array in the answer; empty: the answer itself.")
    paging: Paging = Field(default_factory=lambda: Paging(kind="none"))
    bind: dict[str, str] = Field(
        default_factory=dict,
        description="Names for later steps and for the record: name -> member of the item; empty for the item itself.",
    )
    descend: Literal["always", "new"] = Field(
        "always",
        description="Which items the next step is asked for: all each time, or only new ones.",
    )


class RestOptions(_Options):
    """What a manifest says about a REST source."""

    pause_seconds: ClassVar[float] = 300.0

    protocol: Literal["rest"]
    url: str = Field(pattern=r"^https?://", description="Where the API is; the caller may give another address.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers sent with each request; no secrets.")
    authorization: Authorization | None = None
    steps: list[Step] = Field(min_length=1, max_length=5, description="The way to the records, the last step's items.")

    @model_validator(mode="after")
    def _bound(self) -> RestOptions:
        names: set[str] = set()
        for step in self.steps:
            try:
                step.path.format_map(dict.fromkeys(names, "x"))
            except (KeyError, ValueError, IndexError, AttributeError) as error:
                raise ValueError(f"steps: {step.path}: {error} is bound by no earlier step") from error
            names |= set(step.bind)
        return self

    def secret_names(self) -> list[str]:
        """Return the environment variables that the source reads."""
        return [self.authorization.environment] if self.authorization else []


Item = Mapping[str, Any] | Unreadable
Found = tuple[list[Item], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of a collection: its address, its number and what the source answered."""

    target: str
    number: int
    answer: Answer


class RestSource:
    """Reads a REST API; one instance may be asked for chunks again and again."""

    def __init__(
        self,
        options: RestOptions,
        raw: RawStore,
        *,
        url: str | None = None,
        settings: AdapterSettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._options = options
        self._raw = raw
        self._url = (url or options.url).rstrip("/")
        self._settings = settings
        self._transport = transport
        if urlsplit(self._url).scheme not in ("http", "https"):
            raise SettingError(f"{self._url} is no address of an API: give http://HOST or https://HOST")

    async def chunks(self, checkpoint: Checkpoint) -> AsyncGenerator[Chunk, None]:
        """Yield what is new; small answers are gathered into one chunk."""
        headers = dict(self._options.headers)
        if (auth := self._options.authorization) is not None:
            headers |= authorization_headers(auth.header, auth.scheme, auth.environment)
        puller = Puller(self._url, headers, self._raw, self._settings, self._transport)
        gathered = _Gathered(urlsplit(self._url).path + self._options.steps[-1].path, checkpoint)
        since = time.monotonic()
        failure: AdapterError | None = None
        try:
            async for found in self._walk(puller, 0, {}, checkpoint):
                gathered.add(found)
                full = len(gathered.records) >= self._settings.chunk_records
                if full or time.monotonic() - since > _GATHER_SECONDS:
                    yield gathered.take()
                    since = time.monotonic()
        except AdapterError as error:
            failure = error
        finally:
            await puller.aclose()
        if gathered:
            yield gathered.take()
        if failure is not None:
            raise failure

    async def _walk(
        self, puller: Puller, depth: int, bound: dict[str, str], checkpoint: Checkpoint
    ) -> AsyncIterator[Found]:
        """Yield records, each group with the checkpoint entries that follow it, from one step on."""
        step = self._options.steps[depth]
        path = step.path.format_map({name: quote(value, safe="") for name, value in bound.items()})
        last = depth == len(self._options.steps) - 1
        once = last or step.descend == "new"
        collection = _Collection(f"rest:{path}", checkpoint.get(f"rest:{path}") if once else None)
        async for page in self._pages(puller, step, path, collection.entry):
            for fresh in collection.fresh(page, step, self._settings.chunk_records if last else 1):
                if last:
                    yield [_record(item, bound) for item in fresh], collection.moved(page, fresh)
                    continue
                below: dict[str, Any] = {}
                async for found in self._descend(puller, depth, bound, fresh[0], checkpoint):
                    below |= dict.fromkeys(found[1])
                    yield found
                if once:
                    # The item is done with, and so are the checkpoints of all that was below it.
                    yield [], below | collection.moved(page, fresh)
            if once:
                yield [], collection.finished(page, step)

    async def _descend(
        self, puller: Puller, depth: int, bound: dict[str, str], item: Any, checkpoint: Checkpoint
    ) -> AsyncIterator[Found]:
        """Yield what the next step has for one item; an item of which there is nothing has an empty collection."""
        step = self._options.steps[depth]
        names = {name: resolve(item, member) for name, member in step.bind.items()}
        absent = [name for name, value in names.items() if value is None or isinstance(value, dict | list)]
        if absent:
            yield [unreadable(orjson.dumps(item), f"the item has no {step.bind[absent[0]]!r}", "bind")], {}
            return
        try:
            inner = bound | {name: str(value) for name, value in names.items()}
            async for found in self._walk(puller, depth + 1, inner, checkpoint):
                yield found
        except Gone as error:
            if step.descend == "new":
                yield [unreadable(orjson.dumps(item), str(error), "there")], {}

    async def _pages(
        self, puller: Puller, step: Step, path: str, entry: Mapping[str, Any] | None
    ) -> AsyncIterator[_Page]:
        """Yield the pages of a collection from the one where the last reading ended."""
        paging = step.paging
        first = _Position(_numbered(puller.target(self._url + path), paging, paging.first), paging.first)
        place = _Position(str(entry["target"]), int(entry["page"])) if entry else first
        visited: set[str] = set()
        while place.target not in visited:
            visited.add(place.target)
            known = entry if entry and entry["target"] == place.target else None
            try:
                answer = await puller.get(place.target, known)
            except Gone:
                if known is not None and place != first:
                    place = first
                    continue
                if paging.kind == "number" and place.number > paging.first:
                    return
                raise
            yield _Page(place.target, place.number, answer)
            following = _following(puller, step, place, answer, known)
            if following is None:
                return
            place = following
        raise PermanentError(f"{self._url}: the pages run in a circle at {place.target}")


@dataclass(frozen=True, slots=True)
class _Position:
    """Where in a collection a reading is."""

    target: str
    number: int


class _Collection:
    """The checkpoint of one collection, while its pages are read."""

    def __init__(self, key: str, entry: Mapping[str, Any] | None) -> None:
        self.key = key
        self.entry = entry
        self._count = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def fresh(self, page: _Page, step: Step, size: int) -> Iterator[list[Any]]:
        """Yield the items of a page that are not safe yet, `size` at a time."""
        self._count, self._hash = 0, hashlib.blake2b(digest_size=16)
        if not page.answer.changed:
            return
        items = _items(page.answer.body, step, page.target)
        start = self._known(page, items)
        for place in range(start, len(items), size):
            yield items[place : place + size]

    def _known(self, page: _Page, items: list[Any]) -> int:
        entry = self.entry
        if entry is None or entry["target"] != page.target:
            return 0
        count = int(entry["records"])
        self._add(items[:count])
        if self._hash.hexdigest() != entry["digest"]:
            self._count, self._hash = 0, hashlib.blake2b(digest_size=16)
        return self._count

    def _add(self, items: list[Any]) -> None:
        for item in items:
            self._hash.update(orjson.dumps(item))
        self._count += len(items)

    def moved(self, page: _Page, items: list[Any]) -> dict[str, Any]:
        """Return the entry to keep once these items, too, are safe."""
        self._add(items)
        return {self.key: self._entry(page)}

    def finished(self, page: _Page, step: Step) -> dict[str, Any]:
        """Return the entry to keep once all of a page is safe, empty where nothing is to be kept.

        Only a page that was read whole and links to no other may be asked for on condition: an unchanged one would not
        tell the link. An empty page is not moved to: the one before it may still grow.
        """
        if not page.answer.changed or not self._count:
            return {}
        entry = self._entry(page)
        if step.paging.kind != "next" or not resolve(page.answer.body, step.paging.next):
            entry |= {"etag": page.answer.etag, "modified": page.answer.modified}
        return {} if entry == self.entry else {self.key: entry}

    def _entry(self, page: _Page) -> dict[str, Any]:
        return {
            "target": page.target,
            "page": page.number,
            "records": self._count,
            "digest": self._hash.hexdigest(),
        }


class _Gathered:
    """Records that wait to be a chunk; they are counted through the whole stream."""

    def __init__(self, unit: str, checkpoint: Checkpoint) -> None:
        self._unit = unit
        self._number = int((checkpoint.get(_COUNT) or {}).get("records", 0))
        self.records: list[Item] = []
        self._entries: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self.records or self._entries)

    def add(self, found: Found) -> None:
        records, entries = found
        self.records += records
        self._entries |= entries

    def take(self) -> Chunk:
        """Return what was gathered and start anew."""
        first = self._number + 1
        self._number += len(self.records)
        entries = self._entries | {_COUNT: {"records": self._number}}
        chunk = Chunk(self._unit, first, self.records, entries)
        self.records, self._entries = [], {}
        return chunk


def _items(body: Any, step: Step, target: str) -> list[Any]:
    items = resolve(body, step.items)
    if items is None:
        raise PermanentError(f"{target}: the answer has no {step.items!r}")
    return items if isinstance(items, list) else [items]


def _record(item: Any, bound: Mapping[str, str]) -> Mapping[str, Any]:
    return {**item, **bound} if isinstance(item, dict) else {"value": item, **bound}


def _numbered(target: str, paging: Paging, number: int) -> str:
    if paging.kind != "number":
        return target
    return f"{target}{'&' if '?' in target else '?'}{urlencode({paging.parameter: number})}"


def _following(
    puller: Puller, step: Step, place: _Position, answer: Answer, known: Mapping[str, Any] | None
) -> _Position | None:
    """Return where the next page is; None after the last one."""
    paging = step.paging
    if paging.kind == "next":
        link = resolve(answer.body, paging.next) if answer.changed else None
        return _Position(puller.target(str(link), place.target), place.number + 1) if link else None
    if paging.kind == "none":
        return None
    count = len(_items(answer.body, step, place.target)) if answer.changed else int(known["records"] if known else 0)
    if count < (paging.size or 1):
        return None
    bare = place.target.rpartition(f"{paging.parameter}=")[0].rstrip("?&")
    return _Position(_numbered(bare, paging, place.number + 1), place.number + 1)
