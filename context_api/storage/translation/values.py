"""Predicates on one row of table `value` for the values of a query term.

A predicate is exact for short texts; `exact` is False where the row is only a candidate and the document must decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from context_api.storage.index_rows import MAX_TEXT_BYTES, MEMBER, MIN_PREFIX_BYTES, Kind
from ngsild.query.ast import Boolean, Compare, Moment, Number, Range, Scalar, Text

Bind = Callable[[Any], str]
Column = Literal["num", "txt", "tim"]

STRING_KINDS = (Kind.STRING, Kind.DATE_TIME, Kind.DATE, Kind.TIME)
_MOMENT_KINDS = {"DateTime": Kind.DATE_TIME, "Date": Kind.DATE, "Time": Kind.TIME}


@dataclass(frozen=True, slots=True)
class Predicate:
    """SQL over a row of `value` named {v}: a bound on one column that an index can seek, and the rest."""

    column: Column
    bound: str
    rest: str
    exact: bool = True
    point: bool = False
    """The column has but one value in all such rows."""

    def on(self, row: str) -> str:
        return f"{self.bound} AND {self.rest}".format(v=row)


def kind_in(kinds: Iterable[int], members: bool = False) -> str:
    """Return SQL for "the row is of one of these kinds", with members of arrays or without."""
    wanted = [int(kind) for kind in kinds]
    if members:
        wanted += [kind + MEMBER for kind in wanted]
    return f"{{v}}.kind IN ({','.join(map(str, wanted))})"


#: For texts that index rows do not hold whole and for the character NUL, which PostgreSQL takes in no text.
_UNDECIDED = Predicate("txt", "{v}.txt IS NOT NULL", "TRUE", False)


def equality(value: Scalar | Range, bind: Bind) -> Predicate:
    """Return the predicate for "is this value, or a member of an array that is; or lies in this range"."""
    match value:
        case Range():
            return _range(value, bind)
        case Number():
            return Predicate("num", f"{{v}}.num = {bind(value.value)}", kind_in([Kind.NUMBER], True), point=True)
        case Boolean():
            return Predicate("num", f"{{v}}.num = {bind(int(value.value))}", kind_in([Kind.BOOLEAN], True), point=True)
        case Moment():
            kinds = kind_in([_MOMENT_KINDS[value.type]], True)
            return Predicate("tim", f"{{v}}.tim = {bind(value.value)}", kinds, point=True)
    raw = value.value.encode()
    if b"\0" in raw:
        return _UNDECIDED
    if len(raw) <= MAX_TEXT_BYTES:
        return Predicate(
            "txt", f"{{v}}.txt = {bind(value.value)}", kind_in([*STRING_KINDS, Kind.URI], True), point=True
        )
    prefix = raw[:MAX_TEXT_BYTES].decode(errors="ignore")
    return Predicate("txt", f"{{v}}.txt = {bind(prefix)}", kind_in([Kind.LONG_STRING, Kind.LONG_URI], True), False)


def comparison(term: Compare, bind: Bind) -> Predicate:
    """Return the predicate for "is a scalar in this order to the value"."""
    operator, value = term.operator, term.value
    if isinstance(value, Text):
        return _text_comparison(operator, value.value, bind)
    if isinstance(value, Moment):
        kinds = kind_in([_MOMENT_KINDS[value.type]])
        return Predicate("tim", f"{{v}}.tim {operator} {bind(value.value)}", kinds)
    return Predicate("num", f"{{v}}.num {operator} {bind(value.value)}", kind_in([Kind.NUMBER]))


def _text_comparison(operator: str, text: str, bind: Bind) -> Predicate:
    """Compare texts by code point, which is the order of their UTF-8 bytes.

    A long text is longer than the query's, so its first bytes decide: equal ones make it the greater of the two.
    """
    if len(text.encode()) > MIN_PREFIX_BYTES or "\0" in text:
        return _UNDECIDED
    wanted = bind(text)
    short, long = kind_in(STRING_KINDS), kind_in([Kind.LONG_STRING])
    if operator in (">", ">="):
        rest = f"({short} AND {{v}}.txt {operator} {wanted} OR {long})"
        return Predicate("txt", f"{{v}}.txt >= {wanted}", rest)
    rest = f"({short} OR {long} AND {{v}}.txt < {wanted})"
    return Predicate("txt", f"{{v}}.txt {operator} {wanted}", rest)


def _range(value: Range, bind: Bind) -> Predicate:
    low, high = value.low, value.high
    if isinstance(low, Text) and isinstance(high, Text):
        first = _text_comparison(">=", low.value, bind)
        second = _text_comparison("<=", high.value, bind)
        rest = f"{first.rest} AND {second.rest}"
        return Predicate("txt", f"{first.bound} AND {second.bound}", rest, first.exact and second.exact)
    column: Column = "tim" if isinstance(low, Moment) else "num"
    kind = _MOMENT_KINDS[low.type] if isinstance(low, Moment) else Kind.NUMBER
    return Predicate(column, f"{{v}}.{column} BETWEEN {bind(low.value)} AND {bind(high.value)}", kind_in([kind]))
