"""Keep docs/conformance/passed.txt: the cases of the ETSI NGSI-LD test suite that pass, a list that only grows.

    python tests/conformance/etsi_results.py RESULTS [--write]

RESULTS is a folder with the output.xml files of Robot Framework. Without --write the command says what passes that is
not listed, and fails when a listed case of a group that was run does not pass; with --write it adds what is new.
docs/conformance/later.txt lists the cases that need operations, parameters or headers which later releases bring.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
PASSED = ROOT / "docs" / "conformance" / "passed.txt"
LATER = ROOT / "docs" / "conformance" / "later.txt"


def outcomes(results: Path) -> Iterator[tuple[str, bool]]:
    """Yield (case, passed) of every case that was run; a case is "file below TP/NGSI-LD: name"."""
    for file in sorted(results.glob("**/output.xml")):
        for test in etree.parse(file).iter("test"):
            suite = next(s for s in test.iterancestors("suite") if (s.get("source") or "").endswith(".robot"))
            source = suite.get("source", "").split("TP/NGSI-LD/")[-1]
            status = test.find("status")
            yield f"{source}: {test.get('name')}", status is not None and status.get("status") == "PASS"


def listed(path: Path) -> set[str]:
    """Return the cases of a list; lines that start with # are remarks."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def by_group(run: dict[str, bool], later: set[str]) -> dict[str, tuple[int, int, int]]:
    """Return for each group of cases how many are due, how many of these passed, and how many are for later."""
    groups: dict[str, tuple[int, int, int]] = {}
    for case, passed in run.items():
        folders = case.split("/")
        for group in ("/".join(folders[: 3 if folders[0] == "ContextInformation" else 1]), "all"):
            due, done, waiting = groups.get(group, (0, 0, 0))
            if case in later:
                groups[group] = (due, done, waiting + 1)
            else:
                groups[group] = (due + 1, done + passed, waiting)
    return groups


def main() -> int:
    """Compare a run with the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    run = dict(outcomes(arguments.results))
    before, later = listed(PASSED), listed(LATER)
    lost = sorted(case for case in before if run.get(case) is False)
    new = sorted(case for case, passed in run.items() if passed and case not in before)
    open_ = sorted(case for case, passed in run.items() if not passed and case not in later)
    for title, cases in (("passed before, fails now", lost), ("passes now", new), ("fails", open_)):
        for case in cases:
            sys.stdout.write(f"{title}: {case}\n")
    for group, (due, passed, waiting) in sorted(by_group(run, later).items()):
        sys.stdout.write(f"{group}: {passed} of {due} passed, {waiting} more are for later releases\n")
    if arguments.write and new:
        PASSED.write_text("\n".join(sorted(before | set(new))) + "\n", encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
