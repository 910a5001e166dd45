"""A file of sessions into SQLite, end to end: `voltweave ingest` against `voltweave serve`, two processes over HTTP."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.providers import load_provider
from adapters.samples import sample_files, try_file
from benchmarks.options import Options
from benchmarks.processes import free_port, server
from benchmarks.rows import Row

PROVIDER = "boulder-sessions"
ROWS = 20_000
_LONGEST_S = 600


def measure(_: Options) -> Iterator[Row]:
    """Yield rows a second, and CPU time a row of the adapter and of the broker."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sessions.csv"
        _write(file)
        port = free_port()
        command = [sys.executable, "-m", "voltweave", "serve", "--port", str(port)]
        command += ["--database", f"sqlite:///{folder}/voltweave.db"]
        with server(command, port, "/q/health/ready") as broker:
            before, began = broker.cpu_seconds(), time.monotonic()
            adapter = _ingest(file, port, Path(folder) / "data")
            elapsed = time.monotonic() - began
            served = broker.cpu_seconds() - before
    yield Row("rows a second, each a session; wall clock, two processes", ROWS / elapsed, "rows/s")
    yield Row("adapter", adapter / ROWS * 1000, "CPU ms a row", {"broker": served / ROWS * 1000})


def _write(file: Path) -> None:
    """Write rows in the shape of the source: the good ones of the provider's samples, each with a key of its own."""
    provider = load_provider(PROVIDER)
    good = [t.record for p in sample_files(provider.folder) for t in try_file(provider, p) if t.error is None]
    rows = [dict[str, Any](record) for record in good if isinstance(record, dict)]
    key = provider.manifest.natural_key.fields[0]
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        # Samples lie in the future, where nothing can have been measured yet.
        past = [{name: str(value).replace("2030", "2020") for name, value in row.items()} for row in rows]
        writer.writerows({**past[n % len(past)], key: str(10_000_000 + n)} for n in range(ROWS))


def _ingest(file: Path, port: int, data: Path) -> float:
    """Take the file in; return the CPU seconds of the adapter."""
    command = [sys.executable, "-m", "voltweave", "ingest", "--provider", PROVIDER, str(file)]
    command += ["--url", f"http://127.0.0.1:{port}", "--data", str(data)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"NO_COLOR": "1"}
    subprocess.run(command, check=True, timeout=_LONGEST_S, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
