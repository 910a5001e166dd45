"""Every text of the repository speaks of Voltweave alone, and every relative link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Written with one-letter classes, so that the list does not find itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.\-/])/(?:[w]ork|[r]oot|[t]mp|[o]pt/wheels|[h]ome/\w+)(?:/|\b)",
    "a package registry's host": (
        r"[p]ypi\.org|files\.[p]ythonhosted|registry\.[n]pmjs|repo1?\.[m]aven|proxy\.[g]olang|[c]rates\.io"
    ),
    "how a text came to be": (
        r"(?i)\b(?:[c]laude|[a]nthropic|[c]hatgpt|[o]penai|[c]opilot|[l]lms?|large [l]anguage models?"
        r"|[A]I[- ](?:assistant|agent|generated|written)|artificial [i]ntelligence|(?:system|user) [p]rompts?"
        r"|[s]ub-?agents?|this [s]ession|the [l]ead said|(?:our|my) [b]rief)\b"
    ),
}
BINARY = {".png", ".ico", ".woff2", ".db", ".gz", ".zip", ".parquet", ".xlsx"}
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def violations(text: str) -> list[str]:
    """Name what a text says that it must not."""
    return [
        f"line {number}: {what}: {match.group(0)!r}"
        for what, pattern in FORBIDDEN.items()
        for number, line in enumerate(text.splitlines(), 1)
        for match in re.finditer(pattern, line)
    ]


def links(markdown: str) -> list[str]:
    """List the link targets of a page, without those inside code blocks."""
    return [match.group(1) for match in LINK.finditer(FENCE.sub("", markdown))]


@pytest.mark.parametrize(
    "text",
    ["see /" + "work/main", "cd /" + "tmp", "https://py" + "pi.org/simple", "as a Large " + "Language Model"],
)
def test_a_forbidden_text_is_found(text: str) -> None:
    assert violations(text)


@pytest.mark.parametrize(
    "text",
    ["https://example.org/work/1", "a charging session", "the AI in CHAIN", "prompt the user", "/workshop", "./tmp/x"],
)
def test_an_innocent_text_is_left_alone(text: str) -> None:
    assert not violations(text)


def test_no_text_tells_of_its_making(files: list[Path], checkout: Path) -> None:
    found = []
    for path in files:
        if path.suffix not in BINARY:
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.relative_to(checkout)} {violation}" for violation in violations(text)]
    assert not found


def test_links_are_read_from_prose_and_not_from_code() -> None:
    assert links('[a](b.md "t") ![c](d.svg)\n```sh\n[x](gone.md)\n```\n') == ["b.md", "d.svg"]


def test_every_relative_link_leads_to_a_file(files: list[Path], checkout: Path) -> None:
    broken = []
    for page in (path for path in files if path.suffix == ".md"):
        for target in links(page.read_text(encoding="utf-8")):
            if re.match(r"[a-z][a-z0-9+.-]*:", target) or target.startswith("#"):
                continue
            if not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{page.relative_to(checkout)} -> {target}")
    assert not broken


def test_every_decision_is_in_the_index(checkout: Path) -> None:
    folder = checkout / "docs" / "decisions"
    pages = {path.name for path in folder.glob("[0-9]*.md")}
    assert {target for target in links((folder / "README.md").read_text(encoding="utf-8")) if target in pages} == pages
    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in pages)
