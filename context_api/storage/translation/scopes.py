"""Scope queries as SQL over the rows of `entity_scope` (CIM 009 clause 4.19)."""

# ruff: noqa: S608 - values are parameters; only names of ours are put into the text

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from ngsild.query.ast import ScopePattern

TRUE = "TRUE"
# SQLite folds 0 and "IN ()" while it parses, and then finds no plan for a forced index.
FALSE = "1 = 0"


class Scopes(ABC):
    """Translates scope patterns for one statement."""

    #: Ends a subquery that the planner shall not merge into the statement.
    FENCE: ClassVar[str] = ""

    @abstractmethod
    def bind(self, value: Any) -> str:
        """Return the SQL for a parameter."""

    @abstractmethod
    def levels(self, pattern: ScopePattern) -> str:
        """Return SQL over row `s` of `entity_scope` for a pattern that leaves levels open."""

    def exists(self, rows: str) -> str:
        return f"EXISTS (SELECT 1 FROM {rows}{self.FENCE})"

    def scope_predicate(self, pattern: ScopePattern) -> str:
        """Return SQL over row `s` of `entity_scope`; the leading slash of a stored scope is optional."""
        if not pattern.levels:
            return TRUE
        if "+" in pattern.levels:
            return self.levels(pattern)
        return any_of([f"s.scope IN ({','.join(self._points(pattern))})", *self._subtree(pattern, "s")])

    def ranges(self, pattern: ScopePattern) -> list[str]:
        """Return SQL over a row {s} of `entity_scope` for each range of scopes that a pattern without "+" matches.

        One scope is a range too: its bounds are the same.
        """
        points = [f"{{s}}.scope >= {point} AND {{s}}.scope <= {point}" for point in self._points(pattern)]
        return [*points, *self._subtree(pattern, "{s}")]

    def _points(self, pattern: ScopePattern) -> list[str]:
        """Return parameters for the scope of a pattern."""
        path = "/".join(pattern.levels)
        return [self.bind(f"/{path}"), self.bind(path)]

    def _subtree(self, pattern: ScopePattern, row: str) -> list[str]:
        """Return SQL for the scopes below that of a pattern, if it matches them."""
        path = "/".join(pattern.levels)
        # "0" is the character after "/".
        return [
            f"{row}.scope > {self.bind(f'{start}{path}/')} AND {row}.scope < {self.bind(f'{start}{path}0')}"
            for start in ("/", "")
            if pattern.subtree
        ]

    def in_some(self, patterns: Sequence[ScopePattern]) -> str:
        """Return SQL for "the entity has a scope that one of the patterns matches"."""
        plain = [each for each in patterns if each.levels and "+" not in each.levels]
        points = [point for each in plain for point in self._points(each)]
        wanted = [f"s.scope IN ({','.join(points)})"] if points else []
        wanted += [found for each in plain for found in self._subtree(each, "s")]
        wanted += [self.scope_predicate(each) for each in patterns if each not in plain]
        return self.exists(f"entity_scope s WHERE s.k = e.k AND {any_of(wanted)}")


def any_of(alternatives: Sequence[str]) -> str:
    """Return the disjunction of SQL expressions; none is false."""
    return f"({' OR '.join(alternatives) or FALSE})"
