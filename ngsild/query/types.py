"""The entity type selection language (CIM 009 clause 4.17): text -> HasType."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ngsild.context import Terms
from ngsild.names import is_name
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query.ast import ANY_TYPE, HasType

MAX_TYPES = 200
_ALTERNATIVE = re.compile(r"\(([^()]*)\)|[^(),;|]+")


def parse_type_selection(text: str, terms: Terms, parameter: str = "type") -> HasType:
    """Return the types asked for: alternatives by "," or "|", all of "(A;B)"; `*` is ANY_TYPE.

    Special characters of the language in a type's IRI cannot be written; its term can.
    """
    if text == "*":
        return ANY_TYPE
    alternatives: list[frozenset[str]] = []
    position = 0
    while True:
        element = _ALTERNATIVE.match(text, position)
        if element is None:
            raise BadRequestData(f"{parameter}: a type or (type;type) expected at position {position + 1}")
        names = [element[0]] if element[1] is None else element[1].split(";")
        alternatives.append(frozenset(_type(name, terms, parameter) for name in names))
        position = element.end()
        if position == len(text):
            break
        if text[position] not in ",|":
            raise BadRequestData(f'{parameter}: "," or "|" expected at position {position + 1}')
        position += 1
    if sum(map(len, alternatives)) > MAX_TYPES:
        raise TooComplexQuery(f"{parameter}: more than {MAX_TYPES} types")
    return HasType(tuple(alternatives))


def has_type(selection: HasType, types: Iterable[str]) -> bool:
    """Tell whether an entity with these types is selected."""
    own = set(types)
    return any(alternative <= own for alternative in selection.any_of)


def _type(name: str, terms: Terms, parameter: str) -> str:
    if not is_name(name):
        raise BadRequestData(f"{parameter}: {name!r} is not a valid type name")
    return terms.expand(name)
