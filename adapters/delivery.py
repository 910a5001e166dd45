"""From the spool to the sink: in order, tried again while the API is away, each entity's fate written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from adapters.errors import AdapterError, PermanentError, RecordError, TransientError
from adapters.intake import Batch, Held, KeyReader, Row
from adapters.manifest import Manifest
from adapters.quarantine import Finding, Outcome, Quarantined, Record, local_name, record_id, rule_of
from adapters.retry import BackOff
from adapters.sink import Entity, ItemResult, Sink
from adapters.state import AdapterState, Counts, Replayed, Settled, Spooled

Send = Callable[[Sequence[Entity]], Awaitable[list[ItemResult]]]
"""Sends items together: entities, or what the quarantine takes."""
_ITEM_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How much is delivered at once and how long the API is waited for."""

    entities: int = 500
    bytes: int = 4 * 1024 * 1024
    quarantine_bytes: int = 256 * 1024
    """Of one record with its entities and report."""
    patience: float | None = None
    """Seconds without any success after which `Delivery.drain` gives up; None: never."""
    back_off: BackOff = field(default_factory=BackOff)


class Delivery:
    """Delivers the spool of one stream."""

    def __init__(
        self,
        manifest: Manifest,
        state: AdapterState,
        stream: int,
        sink: Sink,
        tenant: str | None,
        limits: DeliveryLimits,
        stop: asyncio.Event,
        on_settled: Callable[[Settled], None],
        on_retry: Callable[[str], None],
    ) -> None:
        self._manifest = manifest
        self._keys = KeyReader(manifest.natural_key)
        self._state = state
        self._stream = stream
        self._sink = sink
        self._tenant = tenant
        self._limits = limits
        self._stop = stop
        self._on_settled = on_settled
        self._on_retry = on_retry
        self._last_success = time.monotonic()
        self.wake = asyncio.Event()
        """Set when there may be something new in the spool, or when no more will come."""
        self.settled = asyncio.Event()
        """Set when the spool became shorter."""

    async def drain(self, more: Callable[[], bool]) -> None:
        """Deliver until the spool is empty and no more comes, or until stopped.

        Raises TransientError when the API stayed away for longer than the patience, SettingError when it takes nothing;
        what is undelivered stays in the spool.
        """
        while not self._stop.is_set():
            self.wake.clear()
            spooled = await asyncio.to_thread(self._state.next_spooled, self._stream)
            if spooled is not None:
                await self._deliver(spooled)
            elif more():
                await _first(self.wake, self._stop)
                self._last_success = time.monotonic()
            else:
                return

    async def _deliver(self, spooled: Spooled) -> None:
        batch = await asyncio.to_thread(Batch.from_bytes, spooled.body)
        outcome = _Outcome(batch, self._manifest, self._keys)
        origins = [(number, entity) for number, row in enumerate(batch.rows) for entity in row.entities]
        results = await self._sent([entity for _, entity in origins], len(spooled.body), self._send_entities)
        if results is None:
            return
        for (number, entity), result in zip(origins, results, strict=True):
            outcome.add(number, entity, result)
        set_aside = outcome.set_aside()
        quarantined = batch.quarantined + [found.as_json(self._limits.quarantine_bytes) for found in set_aside]
        kept = await self._sent(quarantined, len(orjson.dumps(quarantined)), self._send_quarantined)
        if kept is None:
            return
        outcomes = batch.outcomes + [found.as_json() for found in outcome.outcomes()]
        if await self._sent(outcomes, len(orjson.dumps(outcomes)), self._send_outcomes) is None:
            return
        settled = outcome.settled(set_aside, {r.entity_id: str(r.error) for r in kept if r.error is not None})
        await asyncio.to_thread(self._state.settle, self._stream, spooled.id, batch.unit, settled)
        self.settled.set()
        self._on_settled(settled)

    async def _send_entities(self, part: Sequence[Entity]) -> list[ItemResult]:
        return await self._sink.deliver(part, self._tenant, self._manifest.write)

    async def _send_quarantined(self, part: Sequence[Entity]) -> list[ItemResult]:
        return await self._sink.quarantine(part, self._tenant)

    async def _send_outcomes(self, part: Sequence[Entity]) -> list[ItemResult]:
        return await self._sink.settle(part, self._tenant)

    async def _sent(self, items: Sequence[Entity], size: int, send: Send) -> list[ItemResult] | None:
        """Send items of `size` bytes together, in parts; return what became of each, None when stopped before."""
        results: list[ItemResult] = []
        step = max(1, min(self._limits.entities, self._limits.bytes // max(1, size // max(1, len(items)))))
        for start in range(0, len(items), step):
            part = await self._until_known(items[start : start + step], send)
            if part is None:
                return None
            results += part
        return results

    async def _until_known(self, items: Sequence[Entity], send: Send) -> list[ItemResult] | None:
        """Return what became of each item, however often it takes; None when stopped before."""
        results: list[ItemResult | None] = [None] * len(items)
        pending = list(range(len(items)))
        attempt = answered = 0
        while True:
            attempt += 1
            try:
                answer = await send([items[i] for i in pending])
            except TransientError as error:
                failure = error
            else:
                self._last_success = time.monotonic()
                # What is still pending was in each answered attempt; an API that was away says nothing of items.
                answered += 1
                for i, result in zip(pending, answer, strict=True):
                    results[i] = _given_up(result) if answered >= _ITEM_ATTEMPTS else result
                pending = [i for i in pending if isinstance(_error(results[i]), TransientError)]
                if not pending:
                    return [result for result in results if result is not None]
                failure = TransientError(f"{len(pending)} items: {_error(results[pending[0]])}")
            if not await self._pause(attempt, failure):
                return None

    async def _pause(self, attempt: int, error: TransientError) -> bool:
        """Wait before the next attempt; return False when stopped meanwhile."""
        await asyncio.to_thread(self._state.note_retry, self._stream, str(error))
        self._on_retry(str(error))
        patience = self._limits.patience
        if patience is not None and time.monotonic() - self._last_success > patience:
            raise TransientError(f"{error}; what is undelivered stays in the spool: run again when the API is back")
        try:
            async with asyncio.timeout(self._limits.back_off.pause(attempt, error)):
                await self._stop.wait()
        except TimeoutError:
            return True
        return False


class _Outcome:
    """What became of a batch, while it is delivered."""

    def __init__(self, batch: Batch, manifest: Manifest, keys: KeyReader) -> None:
        self._batch = batch
        self._manifest = manifest
        self._keys = keys
        self._keeps_known = manifest.natural_key.changed == "reject"
        self._delivered = 0
        self._refused: dict[int, list[ItemResult]] = {}

    def add(self, number: int, entity: Entity, result: ItemResult) -> None:
        """Note what became of an entity of the row with this number."""
        if result.error is None:
            self._delivered += 1
        else:
            self._refused.setdefault(number, []).append(result)

    def set_aside(self) -> list[Quarantined]:
        """Return the records that the API refused an entity of, less those that are in quarantine already."""
        manifest, batch = self._manifest, self._batch
        found: dict[str, Quarantined] = {}
        for number, row in self._rows(refused=True):
            if _is_replay(row):
                continue
            [(key, content)] = self._seen(row.record).items()
            where = record_id(manifest.stream, key, content)
            if where not in found:
                place = (where, manifest.id, manifest.stream, batch.unit, row.number)
                found[where] = Quarantined(*place, row.record, None, batch.raw, self._finding(number))
        return list(found.values())

    def outcomes(self) -> list[Outcome]:
        """Return what came of the records that the quarantine held."""
        found = [Outcome(row.held.id, row.held.version) for _, row in self._rows(refused=False) if row.held is not None]
        return found + [Outcome(i, version, finding) for i, version, finding in self._failed()]

    def settled(self, set_aside: Sequence[Quarantined], refusals: Mapping[str, str]) -> Settled:
        """Return it for the state: records of which an entity was refused count as quarantined, and once."""
        refused = [row for _, row in self._rows(refused=True) if not _is_replay(row)]
        updates = sum(row.update for row in refused)
        return Settled(
            delivered=self._delivered,
            refused=[result.entity_id for results in self._refused.values() for result in results],
            counts=Counts(0, updates - len(refused), -updates, len(set_aside), len(refused) - len(set_aside)),
            set_aside=set_aside,
            forget=[seen for row in refused for seen in self._seen(row.record).items()],
            replayed=[
                Replayed(row.held.id, row.update, self._seen_replayed(row.record, row.held), self._keeps_known)
                for _, row in self._rows(refused=False)
                if row.held is not None and row.held.version is not None
            ],
            failed={o["id"]: Finding(**o["finding"]) for o in self._batch.outcomes}
            | {i: finding for i, _, finding in self._failed()},
            refusals=refusals,
        )

    def _rows(self, *, refused: bool) -> Iterator[tuple[int, Row]]:
        return ((n, row) for n, row in enumerate(self._batch.rows) if (n in self._refused) is refused)

    def _failed(self) -> Iterator[tuple[str, int | None, Finding]]:
        for number, row in self._rows(refused=True):
            if row.held is not None and _is_replay(row):
                yield row.held.id, row.held.version, self._finding(number)

    def _finding(self, number: int) -> Finding:
        """Return why the API refused entities of a row."""
        refused = self._refused[number]
        report = [result for each in refused for result in _report(each)]
        first, reason = report[0], f"{refused[0].entity_id}: {refused[0].error}"
        entities = self._batch.rows[number].entities
        return Finding("deliver", local_name(first.get("attribute")), rule_of(first), reason, entities, report)

    def _seen(self, record: Record) -> dict[bytes, bytes]:
        return {self._keys.key(record): self._keys.content(record)}

    def _seen_replayed(self, record: Record, held: Held) -> dict[bytes, bytes]:
        """Return what is known once a record is replayed, so that the original does not undo the mend.

        As the last state of its key, or else by its id: its key may be that of another record.
        """
        tried = self._seen(record)
        try:
            original = {} if held.original is None else self._seen(held.original)
        except RecordError:
            original = {}
        if original.keys() == tried.keys() and not self._keeps_known:
            return original
        return tried | {bytes.fromhex(held.id): b""}


def _report(refused: ItemResult) -> Sequence[dict[str, Any]]:
    """Return the validation results of an entity, or else one that says why it was refused."""
    told = refused.error.report if isinstance(refused.error, PermanentError) else ()
    return told or [{"entity": refused.entity_id, "severity": "Violation", "message": str(refused.error)}]


def _is_replay(row: Row) -> bool:
    return row.held is not None and row.held.version is not None


def _error(result: ItemResult | None) -> AdapterError | None:
    return result.error if result is not None else None


def _given_up(result: ItemResult) -> ItemResult:
    if isinstance(result.error, TransientError):
        return ItemResult(result.entity_id, PermanentError(f"{result.error}; given up after {_ITEM_ATTEMPTS} attempts"))
    return result


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
