"""What the command line of the benchmarks can set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Options of all benchmarks; each takes those that mean something to it."""

    entities: int | None = None
    """Entities in place of a benchmark's own number."""
    minutes: float = 60
    """How long mixed load lasts, on each database."""
    url: str | None = None
    """Base URL of another broker, measured beside."""
    pids: tuple[int, ...] = ()
    """Its processes and those of its database."""
