"""Runs a provider: source, raw copy, mapping, spool and sink, side by side and without losing a record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from adapters.delivery import Delivery, DeliveryLimits
from adapters.errors import AdapterError, SettingError, TransientError
from adapters.intake import Intake
from adapters.provider import Provider
from adapters.raw import RawStore
from adapters.retry import BackOff
from adapters.settings import AdapterSettings
from adapters.sink import Sink
from adapters.sources.chunk import Source
from adapters.sources.files import FileOptions, FileSource
from adapters.sources.rest import RestSource
from adapters.state import AdapterState, Counts, Settled, stream_lock

_SPOOL_POLL_SECONDS = 0.5


@dataclass(slots=True)
class Progress:
    """How far a run is; the runner changes it in place and then calls the caller back."""

    stream: str
    unit: str = ""
    unit_done: float | None = None
    """How much of the unit is read, 0 to 1, where the source knows."""
    counts: Counts = field(default_factory=Counts)
    """What became of the records of this run."""
    sent: int = 0
    delivered: int = 0
    retried: int = 0
    replayed: int = 0
    """Records in quarantine whose entities are stored now."""
    replays_failed: int = 0
    """Records in quarantine that were tried again and stay there."""
    problem: str = ""
    """Why delivery or reading waits; empty while all goes well."""
    units: dict[str, None] = field(default_factory=dict)
    """The units read in this run, in order."""
    stopped: bool = False
    """The run was asked to stop before it was through."""


ProgressCallback = Callable[[Progress], None]


async def run_provider(
    provider: Provider,
    sink: Sink,
    data_dir: Path,
    stop: asyncio.Event,
    progress: ProgressCallback | None = None,
    *,
    location: str | None = None,
    tenant: str | None = None,
    follow: bool = True,
    settings: AdapterSettings | None = None,
) -> Progress:
    """Run a provider until stopped, or with `follow=False` until what there is now is delivered.

    `location` is the file, folder or base URL to read in place of the manifest's. Raises SettingError for what the
    caller must put right; with `follow=False` also TransientError and PermanentError when the source or the API failed.
    Whatever ends a run, the next one with the same data folder goes on where it was.
    """
    chosen = settings or AdapterSettings()
    missing = provider.manifest.missing_secrets()
    if missing:
        raise SettingError(f"{provider.manifest.id} needs the environment variables {', '.join(missing)}")
    with _opened(provider, data_dir) as state:
        raw = RawStore(data_dir / "raw", provider.manifest.stream)
        source = open_source(provider, raw, location, chosen)
        run = _Run(provider, sink, state, raw, source, stop, progress, tenant, follow, chosen)
        return await run.run()


async def replay_provider(
    provider: Provider,
    sink: Sink,
    data_dir: Path,
    stop: asyncio.Event,
    *,
    tenant: str | None = None,
    settings: AdapterSettings | None = None,
) -> Progress:
    """Try again the records in quarantine whose replay was asked for, without reading the source.

    Raises StreamBusyError where a running adapter has the stream: it does the same at its next round. Other errors are
    those of `run_provider`.
    """
    with _opened(provider, data_dir) as state:
        raw = RawStore(data_dir / "raw", provider.manifest.stream)
        run = _Run(provider, sink, state, raw, None, stop, None, tenant, False, settings or AdapterSettings())
        return await run.run()


@contextmanager
def _opened(provider: Provider, data_dir: Path) -> Iterator[AdapterState]:
    with stream_lock(data_dir, provider.manifest.stream):
        state = AdapterState(data_dir)
        try:
            yield state
        finally:
            state.close()


class _Run:
    """One run of one provider."""

    def __init__(
        self,
        provider: Provider,
        sink: Sink,
        state: AdapterState,
        raw: RawStore,
        source: Source | None,
        stop: asyncio.Event,
        callback: ProgressCallback | None,
        tenant: str | None,
        follow: bool,
        settings: AdapterSettings,
    ) -> None:
        manifest = provider.manifest
        self._manifest = manifest
        self._state = state
        self._stop = stop
        self._callback = callback
        self._follow = follow
        self._settings = settings
        self._raw = raw
        self._source = source
        self._sink = sink
        self._tenant = tenant
        self._replays: set[tuple[str, int]] = set()
        """Id and version of records in quarantine that were taken up."""
        self._pause = manifest.schedule.every.total_seconds() if manifest.schedule else manifest.source.pause_seconds
        self._stream = state.stream_id(manifest.stream)
        self._intake = Intake(provider, state, self._stream, settings.quarantine_bytes)
        self._progress = Progress(manifest.stream)
        self._reading = True
        limits = DeliveryLimits(
            settings.batch_entities,
            settings.batch_bytes,
            settings.quarantine_bytes,
            None if follow else settings.delivery_patience,
            BackOff(settings.back_off_seconds, settings.back_off_limit_seconds),
        )
        self._delivery = Delivery(
            manifest, state, self._stream, sink, tenant, limits, stop, self._on_settled, self._on_retry
        )

    async def run(self) -> Progress:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._delivery.drain(lambda: self._reading))
        except BaseExceptionGroup as errors:
            # Not except*: what its block raises comes out bare or in a group, as the version of Python 3.11 has it.
            told, faults = errors.split(AdapterError)
            if told is None:
                raise
            error = _first_error(told)
            await asyncio.to_thread(self._state.note_run, self._stream, str(error))
            if faults is not None:
                raise
            raise error from None
        finally:
            await self._expire()
        self._progress.stopped = self._stop.is_set()
        return self._progress

    async def _read(self) -> None:
        failure: AdapterError | None = None
        try:
            while not self._stop.is_set():
                await self._replay()
                failure = await self._read_through()
                if not self._follow:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause):
                        await self._stop.wait()
        finally:
            self._reading = False
            self._delivery.wake.set()
        if failure is not None and not self._follow:
            # What was read before the failure is delivered all the same; then the run ends with it.
            await self._spool_below(1)
            raise failure

    async def _replay(self) -> None:
        """Take up records in quarantine whose replay was asked for; while the API is away nobody knows of any."""
        try:
            requested = await self._sink.requested(self._manifest.stream, self._tenant)
            # Outcomes of those that were taken up may still be on the way: until then the API goes on asking.
            self._replays.intersection_update(requested)
            new = [each for each in requested if each not in self._replays]
            for start in range(0, len(new), self._settings.chunk_records):
                part = new[start : start + self._settings.chunk_records]
                found = [await self._sink.replay(record_id, self._tenant) for record_id, _ in part]
                await asyncio.to_thread(self._intake.take_in_replays, [each for each in found if each is not None])
                self._replays.update(part)
                self._delivery.wake.set()
                await self._spool_below(self._settings.spool_bytes)
        except TransientError as error:
            if self._source is None:
                raise
            self._report_problem(str(error))

    async def _read_through(self) -> AdapterError | None:
        """Read what is new once; return what went wrong with the source."""
        if self._source is None:
            return None
        try:
            checkpoint = await asyncio.to_thread(self._state.checkpoint, self._stream)
            async with aclosing(self._source.chunks(checkpoint)) as chunks:
                async for chunk in chunks:
                    counts, sent = await asyncio.to_thread(self._intake.take_in, chunk)
                    self._delivery.wake.set()
                    self._report_chunk(chunk.unit, chunk.done, counts, sent)
                    await self._spool_below(self._settings.spool_bytes)
                    if self._stop.is_set():
                        return None
        except SettingError:
            raise
        except AdapterError as error:
            await asyncio.to_thread(self._state.note_run, self._stream, str(error))
            if self._follow:
                self._report_problem(str(error))
            return error
        await asyncio.to_thread(self._state.note_run, self._stream)
        await self._expire()
        return None

    async def _spool_below(self, limit: int) -> None:
        """Wait while the spool holds `limit` bytes or more: the source keeps what is not read."""
        while not self._stop.is_set():
            self._delivery.settled.clear()
            if await asyncio.to_thread(self._state.waiting, self._stream) < limit:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_SPOOL_POLL_SECONDS):
                    await self._delivery.settled.wait()

    async def _expire(self) -> None:
        days = self._settings.raw_days
        if days is not None and not await asyncio.to_thread(self._state.waiting, self._stream):
            await asyncio.to_thread(self._raw.expire, days)

    def _report_chunk(self, unit: str, done: float | None, counts: Counts, sent: int) -> None:
        progress = self._progress
        progress.units[unit] = None
        progress.unit, progress.unit_done = unit, done
        progress.counts += counts
        progress.sent += sent
        self._report()

    def _on_settled(self, settled: Settled) -> None:
        self._intake.forget_mentioned(settled.refused)
        self._progress.delivered += settled.delivered
        self._progress.replayed += len(settled.replayed)
        self._progress.replays_failed += len(settled.failed)
        self._report_problem("")

    def _on_retry(self, error: str) -> None:
        self._progress.retried += 1
        self._report_problem(error)

    def _report_problem(self, problem: str) -> None:
        self._progress.problem = problem
        self._report()

    def _report(self) -> None:
        if self._callback is not None:
            self._callback(self._progress)


def open_source(provider: Provider, raw: RawStore, location: str | None, settings: AdapterSettings) -> Source:
    """Return the source of a provider, ready to read."""
    options = provider.manifest.source
    if isinstance(options, FileOptions):
        return FileSource(
            options,
            options.location(Path(location) if location else None),
            raw,
            chunk_records=settings.chunk_records,
            settle_seconds=settings.settle_seconds,
            max_document_bytes=settings.document_bytes,
        )
    return RestSource(options, raw, url=location, settings=settings)


def _first_error(group: BaseExceptionGroup[AdapterError]) -> AdapterError:
    """Return the error to report: one that the caller can put right before one that time may heal."""
    found = [_first_error(each) if isinstance(each, BaseExceptionGroup) else each for each in group.exceptions]
    return min(found, key=lambda error: isinstance(error, TransientError))
