"""The language filter: one language of each LanguageProperty (CIM 009 clause 4.15; RFC 4647 lookup)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ngsild.problems import BadRequestData

_RANGE = re.compile(r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)(?:;q=([01](?:\.\d{0,3})?))?\Z")


def parse_language(text: str) -> list[str]:
    """Return the language ranges of a lang parameter, best first."""
    ranges: list[tuple[float, int, str]] = []
    for position, part in enumerate(text.replace(" ", "").split(",")):
        match = _RANGE.match(part)
        if match is None:
            raise BadRequestData(f"lang: {part!r} is not a language range")
        ranges.append((-float(match[2] or 1), position, match[1].lower()))
    return [tag for weight, _, tag in sorted(ranges) if weight < 0]


def choose_language(languages: Mapping[str, Any], ranges: list[str]) -> tuple[str, Any]:
    """Return (tag, text) of the best language of a map; without a match @none, else the first there is."""
    by_tag = {tag.lower(): tag for tag in languages}
    for wanted in ranges:
        if wanted == "*":
            break
        while wanted:
            if wanted in by_tag:
                return by_tag[wanted], languages[by_tag[wanted]]
            longer = next((tag for tag in by_tag if tag.startswith(wanted + "-")), None)
            if longer is not None:
                return by_tag[longer], languages[by_tag[longer]]
            wanted = wanted.rpartition("-")[0]
    tag = "@none" if "@none" in languages else next(iter(languages))
    return tag, languages[tag]
