"""Mixed load for a while on each database: memory at rest, and whether it grows."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.client import Call, drive
from benchmarks.http import ENTITIES
from benchmarks.options import Options
from benchmarks.processes import anonymous_mib, proportional_mib, resident_mib
from benchmarks.rows import Row
from benchmarks.scenarios import CONNECTIONS, Requests
from benchmarks.targets import Target, databases, voltweave

#: Of twenty requests; created entities stay, so that the load also finds what grows with them.
MIX = (
    *[Requests.retrieve] * 10,
    *[Requests.patch] * 6,
    *[Requests.query] * 2,
    *[Requests.create] * 2,
)
_STATUSES = {200, 201, 204}
SAMPLES = 20
#: What a process may have at rest.
AT_REST_MIB = 150


def measure(options: Options) -> Iterator[Row]:
    """Yield memory at rest, after a tenth of the time and at its end, and what grew in the second half."""
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as found:
        for database in found:
            with voltweave(database) as target:
                yield from _mixed(target, Requests(options.entities or ENTITIES), options.minutes * 60)


def _mixed(target: Target, requests: Requests, seconds: float) -> Iterator[Row]:
    yield Row(f"largest process at rest; {target.what}", resident_mib(target.servers), "MiB", {"goal": AT_REST_MIB})
    drive(target.url, requests.fill(), 1, {201})
    calls = _Counted(requests)
    before, own, database = target.cpu_seconds(), [], []
    for _ in range(SAMPLES):
        drive(target.url, calls.until(time.monotonic() + seconds / SAMPLES), CONNECTIONS, _STATUSES)
        own.append(anonymous_mib(target.servers))
        database.append(proportional_mib(target.databases))
    used = target.cpu_seconds() - before
    yield Row(f"mixed load, {calls.sent:,} requests; {target.what}", used * 1000 / calls.sent, "CPU ms")
    yield Row(f"largest process at the end; {target.what}", resident_mib(target.servers), "MiB")
    yield _growth(f"largest process without mapped files; {target.what}", own)
    if target.databases:
        yield _growth(f"database; {target.what}", database)


class _Counted:
    """The requests of the mix, in turn, counted."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._mix = itertools.cycle(MIX)
        self.sent = 0

    def until(self, end: float) -> Iterator[Call]:
        while time.monotonic() < end:
            self.sent += 1
            yield next(self._mix)(self._requests)


def _growth(what: str, samples: list[float]) -> Row:
    """Return the memory of the last quarter beside earlier samples: medians, for a sample may fall on a peak."""
    quarter = len(samples) // 4
    quarters = [statistics.median(samples[start : start + quarter]) for start in range(0, len(samples), quarter)]
    beside = {f"quarter {number}": size for number, size in enumerate(quarters[:-1], 1)}
    return Row(f"{what}, last quarter", quarters[-1], "MiB", beside | {"most": max(samples)})
