"""Patterns of q and idPattern: RE2 syntax, searched for anywhere in the text, in time linear in its length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import re2

from ngsild.problems import BadRequestData, TooComplexQuery

#: Longest pattern in characters and most memory that its automaton may take, in bytes.
MAX_LENGTH = 1024
_MAX_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; two are equal when their texts are."""

    text: str
    _compiled: Any = field(repr=False, compare=False)

    def found_in(self, text: str) -> bool:
        return self._compiled.search(text) is not None


def parse_pattern(text: str, parameter: str) -> Pattern:
    """Return a pattern; BadRequestData names the parameter when it is none, TooComplexQuery when it is too long."""
    if len(text) > MAX_LENGTH:
        raise TooComplexQuery(f"{parameter}: a pattern of more than {MAX_LENGTH} characters")
    try:
        return Pattern(text, compiled(text))
    except UnicodeEncodeError:
        raise BadRequestData(f"{parameter}: the pattern holds a lone surrogate") from None
    except ValueError as error:
        raise BadRequestData(f"{parameter}: {text!r} is not a pattern: {error}") from None


def compiled(text: str) -> Any:
    """Return a pattern as RE2 has it; raise ValueError, which says why, for one that is none."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise ValueError(error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]) from None
