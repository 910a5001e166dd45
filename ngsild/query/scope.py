"""Scopes and the scope query language (CIM 009 clauses 4.18 and 4.19): text -> InScope."""

from __future__ import annotations

import re

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
