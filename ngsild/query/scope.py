"""Scopes and the scope query language (CIM 009 clauses 4.18 and 4.19): text -> InScope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query.ast import InScope, ScopePattern

MAX_PATTERNS = 100
_GROUP = re.compile(r"\(([^()]*)\)|[^(),|]+")
_PATTERN = re.compile(r"/?(?P<levels>(?:\+|[^\W\d_]\w*)(?:/(?:\+|[^\W\d_]\w*))*)(?P<subtree>/#)?")


def parse_scope_q(text: str, parameter: str = "scopeQ") -> InScope:
    """Return a scope query: alternatives by "," or "|", all of "a;b", "+" for one level, "/#" for all below."""
    groups: list[tuple[ScopePattern, ...]] = []
    position = 0
    while True:
        element = _GROUP.match(text, position)
        if element is None:
            raise BadRequestData(f"{parameter}: a scope or scope;scope expected at position {position + 1}")
        patterns = (element[0] if element[1] is None else element[1]).split(";")
        groups.append(tuple(_pattern(pattern, parameter) for pattern in patterns))
        position = element.end()
        if position == len(text):
            break
        if text[position] not in ",|":
            raise BadRequestData(f'{parameter}: "," or "|" expected at position {position + 1}')
        position += 1
    if sum(map(len, groups)) > MAX_PATTERNS:
        raise TooComplexQuery(f"{parameter}: more than {MAX_PATTERNS} scopes")
    return InScope(tuple(groups))


def _pattern(text: str, parameter: str) -> ScopePattern:
    if text == "/#":
        return ScopePattern((), subtree=True)
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise BadRequestData(f"{parameter}: {text!r} is not a scope")
    return ScopePattern(tuple(match["levels"].split("/")), match["subtree"] is not None)


def absolute_scope(scope: str) -> str:
    """Return a scope with its leading slash, which is optional (clause 4.18)."""
    return scope if scope.startswith("/") else f"/{scope}"


def scope_matches(pattern: ScopePattern, scope: str) -> bool:
    """Tell whether a scope of an entity matches a pattern."""
    levels = absolute_scope(scope)[1:].split("/")
    wanted = pattern.levels
    if len(levels) < len(wanted) or (len(levels) > len(wanted) and not pattern.subtree):
        return False
    return all(want in ("+", level) for want, level in zip(wanted, levels, strict=False))


def in_scope(node: InScope, scopes: list[str]) -> bool:
    """Tell whether an entity with these scopes is in one that is asked for."""
    if len(node.any_of) == 1:
        return _in_all(node.any_of[0], scopes)
    places = _places(node)
    for scope in scopes:
        path = absolute_scope(scope)
        if path in places.exact:
            return True
        if any(path[:end] in places.above for end in _ends(path)):
            return True
    return any(_in_all(group, scopes) for group in places.others)


@dataclass(frozen=True, slots=True)
class _Places:
    exact: frozenset[str]
    above: frozenset[str]
    """Scopes that hold all below, and themselves."""
    others: tuple[tuple[ScopePattern, ...], ...]


#: By the identity of the node, which is kept with them: to hash one costs more than to ask it.
_kept: dict[int, tuple[InScope, _Places]] = {}
_MOST_KEPT = 1_000


def _places(node: InScope) -> _Places:
    """Return the scopes that are asked for one by one, so that many cost what one does."""
    found = _kept.get(id(node))
    if found is None:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        found = _kept[id(node)] = node, _sorted_out(node)
    return found[1]


def _sorted_out(node: InScope) -> _Places:
    exact: set[str] = set()
    above: set[str] = set()
    others: list[tuple[ScopePattern, ...]] = []
    for group in node.any_of:
        [pattern, *more] = group
        if more or "+" in pattern.levels:
            others.append(group)
        else:
            (above if pattern.subtree else exact).add("/" + "/".join(pattern.levels))
    return _Places(frozenset(exact), frozenset(above), tuple(others))


def _ends(path: str) -> Iterator[int]:
    """Yield where the scopes end that hold a scope: the root, each level, and itself."""
    yield 1
    yield from (number for number, character in enumerate(path) if character == "/" and number)
    yield len(path)


def _in_all(group: tuple[ScopePattern, ...], scopes: list[str]) -> bool:
    return all(any(scope_matches(pattern, scope) for scope in scopes) for pattern in group)
