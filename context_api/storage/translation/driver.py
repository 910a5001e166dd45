"""The driving condition of a query, chosen from its text and never by a planner (decision 21).

Ids, else an equality, else a range on an indexed attribute, else the geoquery, else the scope, else the types.
"""

from __future__ import annotations

from dataclasses import dataclass

from context_api.storage.translation.condition import Conditions
from context_api.storage.translation.terms import Term, Terms
from context_api.storage.translation.values import Predicate
from ngsild.query.ast import Boolean, Compare, Equal, GeoQuery, InScope, Path, ScopePattern
from ngsild.query.geo import search_box


@dataclass(frozen=True, slots=True)
class ByIds:
    """The entities with these ids; `term` is the term of the query that the driver fulfils, if any."""

    ids: frozenset[str]
    term: None = None


@dataclass(frozen=True, slots=True)
class ByValue:
    """The index rows of an attribute that fulfil a predicate, in the order of its column."""

    attr: int
    predicate: Predicate
    term: Term


@dataclass(frozen=True, slots=True)
class ByGeometry:
    """The geometries of an attribute in the search box of a geoquery."""

    attr: int
    query: GeoQuery
    term: Term


@dataclass(frozen=True, slots=True)
class ByScope:
    """The entities with a scope that one of these patterns matches."""

    patterns: tuple[ScopePattern, ...]
    term: Term


@dataclass(frozen=True, slots=True)
class ByTypes:
    """The entities of the query's type sets."""

    term: None = None


Driver = ByIds | ByValue | ByGeometry | ByScope | ByTypes


def choose(terms: Terms, conditions: Conditions) -> Driver:
    """Return the driving condition of a query."""
    if terms.ids is not None:
        return ByIds(terms.ids)
    by_value = [driver for term in terms.all if (driver := _by_value(term, conditions)) is not None]
    if by_value:
        return min(by_value, key=lambda driver: not driver.predicate.point)
    located = (_by_geometry(term, conditions) for term in terms.all)
    scoped = (_by_scope(term) for term in terms.all)
    return next(filter(None, located), None) or next(filter(None, scoped), None) or ByTypes()


def _by_value(term: Term, conditions: Conditions) -> ByValue | None:
    node = term.node
    if not isinstance(node, Equal | Compare) or not node.path.is_attribute:
        return None
    if isinstance(node, Equal) and (node.negated or len(node.values) > 1 or isinstance(node.values[0], Boolean)):
        return None
    attr = conditions.attribute(node.path, term.view)
    if attr is None or conditions.depends(node.path, term.view) or conditions.unindexed(attr):
        return None
    (predicate,) = conditions.predicates(node)
    return ByValue(attr, predicate, term) if predicate.exact else None


def _by_geometry(term: Term, conditions: Conditions) -> ByGeometry | None:
    node = term.node
    if not isinstance(node, GeoQuery) or search_box(node) is None:
        return None
    path = Path(node.attribute)
    attr = conditions.attribute(path, term.view)
    return None if attr is None or conditions.depends(path, term.view) else ByGeometry(attr, node, term)


def _by_scope(term: Term) -> ByScope | None:
    node = term.node
    if not isinstance(node, InScope) or any(len(group) > 1 for group in node.any_of):
        return None
    return ByScope(tuple(pattern for (pattern,) in node.any_of), term)
