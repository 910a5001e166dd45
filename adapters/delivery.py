"""From the spool to the sink: in order, tried again while the API is away, each entity's fate written down."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapters.errors import AdapterError, PermanentError, TransientError
from adapters.intake import Batch, KeyReader, Row, reject_of
from adapters.manifest import Manifest
from adapters.retry import BackOff
from adapters.sink import Entity, ItemResult, Sink
from adapters.state import AdapterState, Counts, Reject, Spooled

_ITEM_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How much is delivered at once and how long the API is waited for."""

    entities: int = 500
    bytes: int = 4 * 1024 * 1024
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
        on_delivered: Callable[[int], None],
        on_retry: Callable[[str], None],
    ) -> None:
        self._mode = manifest.write
        self._keys = KeyReader(manifest.natural_key)
        self._state = state
        self._stream = stream
        self._sink = sink
        self._tenant = tenant
        self._limits = limits
        self._stop = stop
        self._on_delivered = on_delivered
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
        origins = [(row, entity) for row in batch.rows for entity in row.entities]
        each = max(1, len(spooled.body) // len(origins))
        step = max(1, min(self._limits.entities, self._limits.bytes // each))
        outcome = _Outcome(batch.unit, self._keys)
        for start in range(0, len(origins), step):
            part = origins[start : start + step]
            results = await self._until_known([entity for _, entity in part])
            if results is None:
                return
            for (row, entity), result in zip(part, results, strict=True):
                outcome.add(row, entity, result)
        await asyncio.to_thread(
            self._state.settle,
            self._stream,
            spooled.id,
            delivered=outcome.delivered,
            rejects=outcome.rejects,
            counts=[(batch.unit, outcome.correction())],
            forget=outcome.forget,
        )
        self.settled.set()
        self._on_delivered(outcome.delivered)

    async def _until_known(self, entities: Sequence[Entity]) -> list[ItemResult] | None:
        """Return what became of each entity, however often it takes; None when stopped before."""
        results: list[ItemResult | None] = [None] * len(entities)
        pending = list(range(len(entities)))
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._sink.deliver([entities[i] for i in pending], self._tenant, self._mode)
            except TransientError as error:
                failure = error
            else:
                self._last_success = time.monotonic()
                for i, result in zip(pending, answer, strict=True):
                    results[i] = _given_up(result) if attempt >= _ITEM_ATTEMPTS else result
                pending = [i for i in pending if isinstance(_error(results[i]), TransientError)]
                if not pending:
                    return [result for result in results if result is not None]
                failure = TransientError(f"{len(pending)} entities: {_error(results[pending[0]])}")
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
            await asyncio.wait_for(self._stop.wait(), self._limits.back_off.pause(attempt, error))
        except TimeoutError:
            return True
        return False


class _Outcome:
    """What became of a batch, while it is delivered."""

    def __init__(self, unit: str, keys: KeyReader) -> None:
        self._unit = unit
        self._keys = keys
        self._refused_rows: Counter[bool] = Counter()
        self.delivered = 0
        self.rejects: list[Reject] = []
        self.forget: list[bytes] = []

    def add(self, row: Row, entity: Entity, result: ItemResult) -> None:
        if result.error is None:
            self.delivered += 1
            return
        self.rejects.append(reject_of(self._unit, row.number, "deliver", result.error, row.record, entity["id"]))
        if entity is row.entities[0]:
            self._refused_rows[row.update] += 1
            self.forget.append(self._keys.key(row.record))

    def correction(self) -> Counts:
        """Return the change of the unit's counters: refused records are rejected ones."""
        new, updates = self._refused_rows[False], self._refused_rows[True]
        return Counts(entities=-new, updates=-updates, rejected=new + updates)


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
