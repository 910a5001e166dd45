"""Run the simulator: `python -m simulator --port 9091 --speed 60 --drop DIR`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from simulator.dirt import parse_dirt
from simulator.fitted import DAY
from simulator.server import SimulatorConfig, serve


def main(arguments: list[str] | None = None) -> int:
    """Run a town until it is interrupted; return the exit code."""
    options = _parser().parse_args(arguments)
    config = SimulatorConfig(
        start=options.start,
        history_days=options.history,
        speed=options.speed,
        seed=options.seed,
        dirt=options.dirt,
        port=options.port,
        drop=options.drop,
        state=options.state,
    )
    try:
        asyncio.run(_run(config, options.until_stdin_closes))
    except KeyboardInterrupt:
        return 0
    except (OSError, SystemExit) as problem:
        sys.stderr.write(f"the simulator cannot run: {problem}\n")
        return 1
    return 0


async def _run(config: SimulatorConfig, until_stdin_closes: bool) -> None:
    until = asyncio.Event()
    if until_stdin_closes:
        loop = asyncio.get_running_loop()
        threading.Thread(target=_wait_for_stdin, args=(loop, until), daemon=True).start()
    await serve(config, ready=_say_ready, until=until)


def _wait_for_stdin(loop: asyncio.AbstractEventLoop, until: asyncio.Event) -> None:
    """Wait for the end of standard input: it comes when the parent process is gone, however it went."""
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(until.set)


def _say_ready(url: str) -> None:
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="A town whose sources behave like real ones",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=9091, help="loopback port; 0 takes a free one")
    add("--seed", type=int, default=1, help="the same seed makes the same town")
    add("--speed", type=_speed, default=1.0, help="how fast the clock runs: 60 is a minute a second")
    add(
        "--start",
        type=_instant,
        default=_days_ago(14),
        help="first instant of the records, ISO 8601, by default 14 days ago",
    )
    add("--history", type=float, default=14.0, help="days of records that are there at once")
    add("--dirt", type=_dirt, default="none", help="none, some, much, or kinds with rates: dates,late=0.3")
    add("--drop", type=Path, help="folder for the operators that drop files")
    add("--state", type=Path, help="file that keeps the clock, so that the next run goes on from there")
    add("--until-stdin-closes", action="store_true", help="stop when standard input ends (for parent processes)")
    return parser


def _speed(text: str) -> float:
    speed = float(text)
    if not 0.0 < speed <= 100_000.0:
        raise argparse.ArgumentTypeError("not between 0 and 100000")
    return speed


def _instant(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not an ISO 8601 instant: {text}") from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


def _dirt(text: str) -> str:
    try:
        parse_dirt(text, 0)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text


def _days_ago(days: int) -> int:
    """Return the last midnight UTC at least so many days ago."""
    now = int(datetime.now(UTC).timestamp())
    return now - now % DAY - days * DAY


if __name__ == "__main__":
    sys.exit(main())
