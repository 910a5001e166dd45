"""Find the benchmark modules, run those that are named (or all), and print one table."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterable

import benchmarks
from benchmarks.rows import Row, heading, line, provenance


def measures() -> dict[str, Callable[[], Iterable[Row]]]:
    """Map the name of each benchmark module to its `measure`."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_"):
            measure = getattr(importlib.import_module(f"benchmarks.{module.name}"), "measure", None)
            if measure is not None:
                found[module.name] = measure
    return found


def main(names: list[str]) -> int:
    """Run the benchmarks and print each row as soon as it is there."""
    known = measures()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    print(f"Command: python -m benchmarks {' '.join(names)}".rstrip())
    print(provenance(), end="\n\n")
    print(heading(), flush=True)
    for name in names or known:
        for row in known[name]():
            print(line(name, row), flush=True)
    return 0


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    # The servers that a benchmark starts are ended on the way out, also when it is told to stop.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
