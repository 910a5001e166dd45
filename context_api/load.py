"""Loads: a batch operation over a stream of JSON lines, beyond the standard's arrays (decision 52).

Chunks of lines are written one after the other, so that an entity that occurs several times is treated in the order
of its lines. A line that fails is reported and the others go on; what has been written stays written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from starlette.requests import ClientDisconnect

from context_api.answers import dump
from context_api.batch import ITEMS_A_TURN, ReadItem, Step, run_batch
from context_api.broker import Broker
from context_api.lines import Lines
from context_api.negotiation import RequestContext, item_context
from context_api.security.access import Access
from context_api.storage.port import StorageError, Tenant
from ngsild.context import TermMap, Terms
from ngsild.payload import parse
from ngsild.problems import BadRequestData, InternalError, InvalidRequest, Problem, Unavailable

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Loaded:
    """What became of the lines."""

    max_listed: int
    """Failed lines that are listed; the others are only counted."""
    lines: int = 0
    """Every line up to this one has been treated."""
    created: int = 0
    success: int = 0
    errors: int = 0
    listed: list[bytes] = field(default_factory=list)
    failure: Problem | None = None
    """Why the load ended before the body did."""

    @property
    def status(self) -> int:
        """Return the status of the answer: 200, 207 where lines failed, or that of the failure."""
        if self.failure is not None:
            return self.failure.status
        return 207 if self.errors else 200

    def as_lines(self) -> bytes:
        """Return the answer: a line a failed line, one for a failure of the load, and the sums."""
        found = list(self.listed)
        if self.failure is not None:
            found.append(dump({"error": self.failure.as_dict()}))
        sums = {"lines": self.lines, "created": self.created, "success": self.success, "errors": self.errors}
        return b"\n".join([*found, dump(sums), b""])

    def fail(self, line: int, entity_id: str | None, problem: Problem) -> None:
        """Count a line that failed, and list it while there is room."""
        self.errors += 1
        if len(self.listed) < self.max_listed:
            named = {} if entity_id is None else {"entityId": entity_id}
            self.listed.append(dump({"line": line} | named | {"error": problem.as_dict()}))


class Load:
    """One load: where it goes and how its lines are read."""

    def __init__(
        self, broker: Broker, tenant: Tenant, context: RequestContext, read: ReadItem, access: Access, blind: bool
    ) -> None:
        """Take the @context of lines that have none of their own; `blind` as in `run_batch`."""
        self._broker = broker
        self._tenant = tenant
        self._context = context
        self._read = read
        self._access = access
        self._blind = blind
        self._own_source: Any = None
        self._own: TermMap | Problem = context.terms
        self.loaded = Loaded(broker.settings.limits.max_line_errors)

    async def run(self, chunks: AsyncIterator[Lines]) -> Loaded:
        """Write chunk by chunk, until the lines end, or the storage or the client does."""
        try:
            async for chunk in chunks:
                await self._write(chunk)
                self.loaded.lines = chunk.last
        except StorageError as error:
            self._broker.outage.met(error, "load")
            self.loaded.failure = Unavailable("the storage cannot be used at the moment; go on after the lines treated")
        except ClientDisconnect:
            log.info("load interrupted by its client", lines=self.loaded.lines)
            self.loaded.failure = InvalidRequest("the body is incomplete; go on after the lines treated")
        except Exception:
            log.exception("load failed", lines=self.loaded.lines)
            self.loaded.failure = InternalError("the load could not go on; the log has the details")
        return self.loaded

    async def _write(self, chunk: Lines) -> None:
        items: list[Any] = []
        numbers: list[int] = []
        terms: list[TermMap | Problem] = []
        failed: list[tuple[int, str | None, Problem]] = []
        for nth, (number, line) in enumerate(chunk.numbered, 1):
            if nth % ITEMS_A_TURN == 0:
                await asyncio.sleep(0)
            try:
                item = self._parsed(line)
            except Problem as problem:
                failed.append((number, None, problem))
                continue
            items.append(item)
            numbers.append(number)
            has_own = isinstance(item, dict) and "@context" in item
            terms.append(await self._own_terms(item) if has_own else self._context.terms)
        result = await run_batch(
            self._broker,
            self._tenant,
            items,
            lambda position: _given(terms[position]),
            self._read,
            self._access,
            self._blind,
        )
        failed += [(numbers[p], result.ids[p], problem) for p, problem in result.errors.items()]
        for line_failed in sorted(failed, key=lambda each: each[0]):
            self.loaded.fail(*line_failed)
        self.loaded.created += len(result.created)
        self.loaded.success += len(result.done)

    def _parsed(self, line: bytes | None) -> Any:
        limits = self._broker.settings.limits
        if line is None:
            raise BadRequestData(f"the line is longer than {limits.max_line_bytes} bytes")
        return parse(line, limits.max_nesting, limits.max_name_length)

    async def _own_terms(self, item: dict[str, Any]) -> TermMap | Problem:
        """Return the terms of a line with an @context of its own, mostly that of the line before."""
        if item["@context"] != self._own_source:
            found = await item_context(item, self._broker)
            self._own = found if isinstance(found, Problem) else found.terms
            self._own_source = item["@context"]
        return self._own


def _given(terms: TermMap | Problem) -> Terms:
    if isinstance(terms, Problem):
        raise terms
    return terms


def named(read: ReadItem) -> ReadItem:
    """Let an operation on ids take objects too, for the id that they hold."""

    def read_named(item: Any, terms: Terms) -> tuple[str, Step]:
        return read(item.get("id", item.get("@id")) if isinstance(item, dict) else item, terms)

    return read_named
