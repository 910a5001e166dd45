"""Find the benchmark modules, run those that are named (or all but the long ones), and print one table."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterable

import benchmarks
from benchmarks.options import Options
from benchmarks.rows import Row, heading, line, provenance

#: Minutes to hours each, or in need of what is not in the repository: they run only when they are named.
LONG = frozenset({"million", "mixed", "real", "workers"})
Measure = Callable[[Options], Iterable[Row]]


def measures() -> dict[str, Measure]:
    """Map the name of each benchmark module to its `measure`."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.name.startswith("_"):
            measure = getattr(importlib.import_module(f"benchmarks.{module.name}"), "measure", None)
            if measure is not None:
                found[module.name] = measure
    return found


def main(arguments: list[str]) -> int:
    """Run the benchmarks and print each row as soon as it is there."""
    known = measures()
    given = _parser(known).parse_args(arguments)
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    options = Options(given.entities, given.minutes, given.url, tuple(given.pids))
    print(f"Command: python -m benchmarks {' '.join(arguments)}".rstrip())
    print(provenance(), end="\n\n")
    print(heading(), flush=True)
    for name in given.names or [name for name in known if name not in LONG]:
        for row in known[name](options):
            print(line(name, row), flush=True)
    return 0


def _parser(known: Iterable[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(known)}; {', '.join(sorted(LONG))} run only by name",
    )
    parser.add_argument("--entities", type=int, help="entities in place of a benchmark's own number")
    parser.add_argument("--minutes", type=float, default=Options().minutes, help="how long mixed load lasts")
    parser.add_argument("--url", help="base URL of another broker, measured beside (http)")
    parser.add_argument("--pids", type=_pids, default=(), help="its processes and its database's, comma separated")
    return parser


def _pids(text: str) -> tuple[int, ...]:
    return tuple(int(pid) for pid in text.split(","))


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    # The servers that a benchmark starts are ended on the way out, also when it is told to stop.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
