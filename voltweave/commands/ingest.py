"""`voltweave ingest`: read one source through, or follow it, and deliver its entities to a running server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.output import console, messages
from voltweave.problems import ExitCode, Refused, Rejected, Unreachable

if TYPE_CHECKING:
    import asyncio

    from adapters.provider import Provider
    from adapters.runner import Progress
    from adapters.settings import AdapterSettings
    from adapters.state import Counts


def ingest(
    provider: Annotated[str, typer.Option(help="Name of the provider; `voltweave adapters list` shows them.")],
    location: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="File or folder, or the URL of an API. [default: the manifest's]"),
    ] = None,
    url: Annotated[str, typer.Option(help="The context API to deliver to.")] = "http://127.0.0.1:9090",
    data: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints, spool and raw copies. [default: var]")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant of the context API. [default: the default tenant]")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on reading what is new until Ctrl-C.")] = False,
) -> None:
    """Take in what a provider's source holds: map it, deliver it, and account for every record.

    What was read before is not read again. While the server is away, entities wait in a spool on disk; the next run
    delivers them. Records that cannot become entities, or break a rule, go to quarantine and do not stop the others.
    """
    from adapters.errors import AdapterError, SettingError, TransientError
    from adapters.registry import find_provider
    from adapters.settings import AdapterSettings

    settings = AdapterSettings()
    folder = data or settings.data
    chosen = find_provider(provider, settings)
    try:
        progress = _run(chosen, location, url, folder, tenant, follow, settings)
    except SettingError as error:
        raise Refused(str(error)) from error
    except TransientError as error:
        raise Unreachable(str(error), "Nothing is lost: run the same command again.") from error
    except AdapterError as error:
        raise Rejected(str(error)) from error
    _say_result(folder, progress)
    if progress.stopped and not follow:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _run(
    provider: Provider,
    location: str | None,
    url: str,
    folder: Path,
    tenant: str | None,
    follow: bool,
    settings: AdapterSettings,
) -> Progress:
    import asyncio

    from adapters.credentials import credentials
    from adapters.runner import run_provider
    from adapters.sink import HttpSink

    async def run() -> Progress:
        stop = asyncio.Event()
        _stop_on_signals(stop)
        sink = HttpSink(url, timeout=settings.delivery_timeout, auth=credentials())
        try:
            with _Display() as display:
                return await run_provider(
                    provider,
                    sink,
                    folder,
                    stop,
                    display.show,
                    location=location,
                    tenant=tenant,
                    follow=follow,
                    settings=settings,
                )
        finally:
            await sink.aclose()

    return asyncio.run(run())


def _stop_on_signals(stop: asyncio.Event) -> None:
    """End cleanly on the first Ctrl-C or SIGTERM; the second one ends at once."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)


class _Display:
    """Shows progress on the terminal, and what goes wrong in the log of a run without one."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[counters]}"),
            TimeElapsedColumn(),
            console=messages(),
            transient=True,
            disable=not messages().is_terminal,
        )
        self._task = self._bars.add_task("starting", total=None, counters="")
        self._problem = ""

    def __enter__(self) -> _Display:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        counts = progress.counts
        counters = f"{counts.records:,} records, {counts.quarantined:,} quarantined, {progress.delivered:,} delivered"
        self._bars.update(
            self._task,
            description=progress.unit,
            total=None if progress.unit_done is None else 1.0,
            completed=progress.unit_done or 0.0,
            counters=counters,
        )
        if progress.problem != self._problem:
            self._problem = progress.problem
            if progress.problem:
                messages().print(f"waiting: {progress.problem}", style="yellow", markup=False, soft_wrap=True)


def _say_result(folder: Path, progress: Progress) -> None:
    """Print, for each unit that was read, what became of its records since it was first read."""
    from adapters.state import AdapterState, Counts

    state = AdapterState(folder)
    try:
        counts = state.unit_counts(state.stream_id(progress.stream))
    finally:
        state.close()
    for unit in progress.units:
        console().print(f"{unit}: {_balance(counts.get(unit, Counts()))}", markup=False, soft_wrap=True)
    if not progress.counts.records:
        console().print(
            f"nothing new in {progress.stream}: {folder} remembers what was read; another --data reads all again",
            markup=False,
            soft_wrap=True,
        )
    if progress.counts.quarantined:
        messages().print(
            f"the reasons: voltweave quarantine list --stream {progress.stream}", markup=False, soft_wrap=True
        )
    if progress.replayed or progress.replays_failed:
        replays = f"{progress.replayed} replayed from quarantine, {progress.replays_failed} stay there"
        console().print(replays, markup=False, soft_wrap=True)
    console().print(f"{progress.delivered} entities delivered", markup=False, soft_wrap=True)


def _balance(counts: Counts) -> str:
    updates = f" + {counts.updates} updates" if counts.updates else ""
    return (
        f"{counts.records} rows = {counts.entities} entities{updates} + {counts.quarantined} quarantined"
        f" + {counts.duplicates} duplicates"
    )
