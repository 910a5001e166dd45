"""Records a second that one core maps: the session providers on rows in the shape of their source."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, Final

from adapters.mapping import CompiledMapping
from adapters.providers import load_provider
from adapters.samples import sample_files, try_file
from benchmarks.options import Options
from benchmarks.rows import Row

PROVIDERS: Final = ("boulder-sessions", "dundee-sessions", "sap-sessions")
_ROWS: Final = 20_000
_BATCH: Final = 500
_ROUNDS: Final = 3


def rows(name: str) -> tuple[CompiledMapping, list[Mapping[str, Any]]]:
    """Return a provider's mapping and many rows: the good ones of its samples, each with a key of its own."""
    provider = load_provider(name, {"VOLTWEAVE_PSEUDONYM_KEY": "benchmarks need no secret"})
    good = [t.record for p in sample_files(provider.folder) for t in try_file(provider, p) if t.error is None]
    key = provider.manifest.natural_key.fields[0]
    made: list[Mapping[str, Any]] = []
    for n in range(_ROWS):
        record = good[n % len(good)]
        assert isinstance(record, dict)  # noqa: S101 - narrows the type
        made.append({**record, key: str(10_000_000 + n)})
    assert isinstance(provider.mapping, CompiledMapping)  # noqa: S101 - narrows the type
    return provider.mapping, made


def records_a_second(mapping: CompiledMapping, records: list[Mapping[str, Any]], *, batches: bool) -> float:
    """Return the records mapped in a second of CPU time, one by one or in batches."""
    gc.collect()
    start = time.process_time()
    for first in range(0, len(records), _BATCH):
        part = records[first : first + _BATCH]
        if batches:
            mapping.apply_many((record, None) for record in part)
        else:
            _ = [mapping.apply(record) for record in part]
    return len(records) / (time.process_time() - start)


def measure(_: Options) -> Iterator[Row]:
    """Yield the figures: each provider record by record, beside batches that make shared entities once."""
    for name in PROVIDERS:
        mapping, records = rows(name)
        single = median(records_a_second(mapping, records, batches=False) for _ in range(_ROUNDS))
        many = median(records_a_second(mapping, records, batches=True) for _ in range(_ROUNDS))
        yield Row(f"{name}, session with EVSE, station and site", single, "records/s a core", {"in batches": many})


def profile(name: str) -> None:
    """Print where the time goes for one provider: `python -m benchmarks.mapping boulder-sessions`."""
    import cProfile

    mapping, records = rows(name)
    with cProfile.Profile() as profiler:
        records_a_second(mapping, records, batches=False)
    profiler.print_stats("tottime")


if __name__ == "__main__":
    profile(sys.argv[1] if len(sys.argv) > 1 else PROVIDERS[0])
