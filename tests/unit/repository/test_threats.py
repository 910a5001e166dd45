"""Each threat in docs/security.md names tests that exist, in the files where they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROW = re.compile(r"^\| ([STRIDE]) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
FILE_WITH_TESTS = re.compile(r"`(test_\w+\.py)`(?:: ((?:`test_\w+`(?:, )?)+))?")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def missing(cell: str, defined: dict[str, set[str]]) -> list[str]:
    """Name what a cell of tests says that is not so; a cell must name a file."""
    found = FILE_WITH_TESTS.findall(cell)
    wrong = [] if found and FILE_WITH_TESTS.sub("", cell).strip("; ") == "" else [f"no list of tests: {cell!r}"]
    for file, listed in found:
        names = set(re.findall(r"`(test_\w+)`", listed))
        wrong += [f"{file}: {name}" for name in sorted(names - defined.get(file, set()))]
        if file not in defined:
            wrong.append(file)
    return wrong


@pytest.mark.parametrize(
    "cell",
    ["", "seen by eye", "`test_a.py`: `test_other`", "`test_b.py`", "`test_one`", "`test_a.py`: `test_one` and more"],
)
def test_what_is_not_there_is_found(cell: str) -> None:
    assert missing(cell, {"test_a.py": {"test_one"}})


def test_every_threat_has_its_tests(checkout: Path, sources: list[Path]) -> None:
    defined: dict[str, set[str]] = {}
    for path in sources:
        if path.name.startswith("test_"):
            defined.setdefault(path.name, set()).update(DEFINED.findall(path.read_text("utf-8")))
    text = (checkout / "docs/security.md").read_text("utf-8")
    rows = ROW.findall(text)
    assert len(rows) == len([line for line in text.splitlines() if line.startswith("|")]) - 2
    assert {row[0] for row in rows} == set("STRIDE")
    assert [each for row in rows for each in missing(row[3], defined)] == []
