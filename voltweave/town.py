"""The simulated town of `voltweave up`: a child process that never outlives its parent, and its providers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voltweave.problems import Refused

if TYPE_CHECKING:
    from adapters.provider import Provider
    from voltweave.settings import TownSettings

PREFIX = "town-"
FLEET = "emotion-charges"
#: Hour, UTC, at which the clock stands at the first start: while people charge.
_FIRST_HOUR = 9
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@asynccontextmanager
async def simulated_town(settings: TownSettings, folder: Path) -> AsyncIterator[str]:
    """Run the simulator while the block runs, and give the URL of its sources; the folder keeps its clock and files.

    The child holds the reading end of a pipe and stops when the writing end closes: this process closes it at the end,
    and the kernel does when this process is killed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        *_arguments(settings, folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield await _ready(process)
    finally:
        await _stop(process)


def town_providers() -> list[Provider]:
    """Return the providers of the town's sources: its own, and that of the fleet's telematics."""
    from adapters.providers import load_provider, provider_names

    return [load_provider(name) for name in provider_names() if name.startswith(PREFIX) or name == FLEET]


def location(provider: Provider, url: str, folder: Path) -> str:
    """Return where the provider's source is: the folder where its files are dropped, or its path at the town's URL."""
    source = provider.manifest.source
    if source.protocol == "file":
        path = folder / "dropped" / str(source.path)
        path.mkdir(parents=True, exist_ok=True)
        return str(path)
    return url + urlsplit(source.url).path


def _arguments(settings: TownSettings, folder: Path) -> list[str]:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=settings.history_days + settings.room_days)
    until_morning = settings.history_days + _FIRST_HOUR / 24
    return [
        "--port=0",
        f"--seed={settings.seed}",
        f"--speed={settings.speed}",
        f"--start={start.isoformat()}",
        f"--history={until_morning}",
        f"--dirt={settings.dirt}",
        f"--drop={folder / 'dropped'}",
        f"--state={folder / 'clock.json'}",
        "--until-stdin-closes",
    ]


async def _ready(process: asyncio.subprocess.Process) -> str:
    """Wait for the line by which the simulator says where it serves."""
    if process.stdout is None:
        raise RuntimeError("the simulator's output is not read")
    line = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            line = await process.stdout.readline()
    word, _, url = line.decode().strip().partition(" ")
    if word != "ready":
        raise Refused(
            "the simulated town did not start; the lines above say why", "Check the settings VOLTWEAVE_TOWN_*"
        )
    return url


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
