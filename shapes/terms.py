"""RDF terms as N-Triples text: their kinds, what they hold, how two of them compare (SPARQL 1.1 section 17.3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NamedTuple

from ngsild import rdf
from ngsild.rdf import XSD

_LANG_STRING = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
_INTEGERS = frozenset(
    XSD + name
    for name in (
        "integer", "int", "long", "short", "byte", "nonNegativeInteger", "nonPositiveInteger", "positiveInteger",
        "negativeInteger", "unsignedInt", "unsignedLong", "unsignedShort", "unsignedByte",
    )
)  # fmt: skip
_FLOATS = frozenset(XSD + name for name in ("double", "float", "decimal"))
_ESCAPE = re.compile(r'\\(["\\nrt]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})')
_SINGLE = {"n": "\n", "r": "\r", "t": "\t"}


class Literal(NamedTuple):
    """A literal taken apart."""

    text: str
    datatype: str
    language: str = ""


def iri(text: str) -> str:
    """Write an IRI as a term."""
    return f"<{text}>"


def literal(text: str, datatype: str = "", language: str = "") -> str:
    """Write a literal as a term."""
    quoted = rdf.text(text)
    if language:
        return f"{quoted}@{language.lower()}"
    return quoted if datatype in ("", f"{XSD}string") else f"{quoted}^^<{datatype}>"


def is_iri(term: str) -> bool:
    """Tell whether a term is an IRI."""
    return term.startswith("<")


def is_blank(term: str) -> bool:
    """Tell whether a term is a blank node."""
    return term.startswith("_:")


def as_literal(term: str) -> Literal | None:
    """Take a literal apart; None for an IRI or a blank node."""
    if not term.startswith('"'):
        return None
    end = term.rindex('"')
    text = _ESCAPE.sub(_unescaped, term[1:end]) if "\\" in term else term[1:end]
    suffix = term[end + 1 :]
    if suffix.startswith("@"):
        return Literal(text, _LANG_STRING, suffix[1:])
    return Literal(text, suffix[3:-1] if suffix else f"{XSD}string")


def _unescaped(match: re.Match[str]) -> str:
    found = match[1]
    return chr(int(found[1:], 16)) if found[0] in "uU" else _SINGLE.get(found, found)


def text_of(term: str) -> str | None:
    """Return what SPARQL's str() gives; None for a blank node, which has none."""
    if term.startswith("<"):
        return term[1:-1]
    found = as_literal(term)
    return None if found is None else found.text


def native(term: str) -> Any:
    """Return a literal as a Python value that compares as SPARQL has it, None where SPARQL compares nothing."""
    found = as_literal(term)
    if found is None:
        return None
    read = _NATIVE.get(found.datatype)
    try:
        return None if read is None else read(found.text)
    except ValueError:
        return None


def less(one: Any, other: Any) -> bool | None:
    """Tell whether a native value comes before another, None where the two do not compare."""
    if one is None or other is None or _family(one) is not _family(other):
        return None
    try:
        return bool(one < other)
    except TypeError:
        # A moment with a zone and one without.
        return None


def _family(value: Any) -> type:
    return float if type(value) is int else type(value)


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text]


_NATIVE: dict[str, Callable[[str], Any]] = {
    f"{XSD}string": str,
    f"{XSD}boolean": _boolean,
    f"{XSD}dateTime": lambda text: datetime.fromisoformat(text.replace(",", ".")),
    f"{XSD}date": date.fromisoformat,
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(_FLOATS, float),
}
