"""Patterns as regular expressions; those that somebody unknown wrote never backtrack."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from shapes.shape import Pattern


class Expression(Protocol):
    """A compiled pattern."""

    def search(self, text: str, /) -> object:
        """Return None where the pattern is not in the text."""


@lru_cache
def expression(pattern: Pattern) -> Expression:
    """Compile a pattern with SPARQL's flags; raise ValueError, which says why, for one that is none."""
    try:
        return _foreign(pattern) if pattern.foreign else _own(pattern)
    except re.error as error:
        raise ValueError(str(error)) from error


def _own(pattern: Pattern) -> Expression:
    flags = {"i": re.IGNORECASE, "s": re.DOTALL, "m": re.MULTILINE, "x": re.VERBOSE}
    return re.compile(pattern.text, sum(flags[flag] for flag in set(pattern.flags)))


def _foreign(pattern: Pattern) -> Expression:
    # RE2 is needed for few shapes, and its import costs what reading all shapes of the model does.
    from ngsild.query.pattern import compiled

    if "x" in pattern.flags:
        raise ValueError("the flag x is not understood here")
    flags = "".join(sorted(set(pattern.flags)))
    found: Expression = compiled(f"(?{flags}){pattern.text}" if flags else pattern.text)
    return found
