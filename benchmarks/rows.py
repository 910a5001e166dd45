"""A measured figure, and how a table of figures is printed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = ("benchmark", "what", "value", "unit", "beside")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what was measured, its value in a unit, and other figures of the same unit to hold it beside."""

    what: str
    value: float
    unit: str
    beside: Mapping[str, float] = field(default_factory=dict)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def heading() -> str:
    """Render the head of the table, in Markdown."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def line(benchmark: str, row: Row) -> str:
    """Render one row of the table; a figure beside it is followed by its ratio to the value."""
    beside = ", ".join(
        f"{name} {_number(value)} ({value / row.value:.2g} x)" if row.value else f"{name} {_number(value)}"
        for name, value in row.beside.items()
    )
    return f"| {benchmark} | {row.what} | {_number(row.value)} | {row.unit} | {beside} |"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def provenance() -> str:
    """Say on which commit and machine the figures come about."""
    commit = _git("rev-parse", "--short", "HEAD") or "none"
    changed = " with changes" if _git("status", "--porcelain") else ""
    cpu = next(
        (
            text.partition(":")[2].strip()
            for text in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if text.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Commit {commit}{changed}; Python {platform.python_version()}; {cpu}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB; {platform.platform(terse=True)}; load {os.getloadavg()[0]:.1f} at the start."
    )
