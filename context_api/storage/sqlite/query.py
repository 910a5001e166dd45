"""A whole query as one SQLite statement (decision 21).

The driving condition, through whose index the statement walks, is chosen from the query's text: ids, else an equality
or a range on an indexed attribute, else the geoquery, else the scope, else the type. Without orderBy entities come by
(driving value, k). A walk over index rows skips an entity's rows after its first hit, so that it counts once.
"""

# ruff: noqa: S608 - values are parameters; only names and numbers of ours are put into the text

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from context_api.storage.sqlite.condition import FALSE, TRUE, Conditions, numbers
from context_api.storage.sqlite.functions import Functions
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.sqlite.values import Predicate
from ngsild.query import EntityQuery, Restriction
from ngsild.query.ast import (
    And,
    Boolean,
    Compare,
    Equal,
    GeoQuery,
    HasId,
    HasType,
    InDatasets,
    InScope,
    Node,
    Or,
    Path,
)
from ngsild.query.geo import search_box
from ngsild.query.order import Ordering, OrderKey
from ngsild.query.target import View

_ORDER_COLUMNS = {"id": "e.id", "createdAt": "e.created_at", "modifiedAt": "e.modified_at"}


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with its named parameters and the functions that it calls."""

    sql: str
    params: dict[str, Any]
    functions: Functions

    def execute(self, con: sqlite3.Connection) -> sqlite3.Cursor:
        """Run it on a connection."""
        self.functions.register(con)
        return con.execute(self.sql, self.params)


@dataclass(frozen=True, slots=True)
class _Driver:
    """Where the rows come from, what narrows them there, and the order in which they come."""

    source: str
    where: str
    order: str


@dataclass(frozen=True, slots=True)
class _Term:
    """A term of the conjunction that a query is, with what it may look at."""

    node: Node
    view: View


def compile_query(
    query: EntityQuery,
    restriction: Restriction,
    lookup: Lookup,
    now: int,
    columns: str = "e.k",
    limit: int = -1,
    offset: int = 0,
) -> Statement:
    """Return the statement that yields `columns`, of table `entity` named e, of one page of the matches."""
    return _Compiler(query, restriction, lookup, now).page(columns, limit, offset)


def compile_count(query: EntityQuery, restriction: Restriction, lookup: Lookup, now: int) -> Statement:
    """Return the statement that yields the number of matches."""
    return _Compiler(query, restriction, lookup, now).count()


class _Compiler:
    def __init__(self, query: EntityQuery, restriction: Restriction, lookup: Lookup, now: int) -> None:
        self._query = query
        self._view = View(now, restriction)
        self._terms = list(_conjunction(query.condition(), self._view))
        if restriction.row is not None:
            self._terms += _conjunction(restriction.row, View(now))
        self._functions = Functions(lookup.linked)
        self._typesets = _typesets(And(tuple(term.node for term in self._terms)), lookup)
        self._conditions = Conditions(lookup, self._functions, now, self._typesets)

    def count(self) -> Statement:
        driver, where = self._matches()
        return self._statement(f"SELECT count(*) FROM {driver.source} WHERE {where}")

    def page(self, columns: str, limit: int, offset: int) -> Statement:
        driver, where = self._matches()
        ordering = self._query.order
        order = driver.order if ordering is None else self._order(ordering)
        limits = f"LIMIT {self._conditions.bind(limit)} OFFSET {self._conditions.bind(offset)}"
        return self._statement(f"SELECT {columns} FROM {driver.source} WHERE {where} ORDER BY {order} {limits}")

    def _statement(self, sql: str) -> Statement:
        return Statement(sql, self._conditions.params, self._functions)

    def _matches(self) -> tuple[_Driver, str]:
        """Return the driver and everything that a row must meet."""
        driver, used = self._driver()
        left = [term for term in self._terms if term is not used and not isinstance(term.node, HasType)]
        conditions = [self._conditions.condition(term.node, term.view) for term in left]
        narrowing = " AND ".join(c.sql for c in conditions if c.sql != TRUE) or TRUE
        asked = [
            self._functions.holds(condition.residual, term.view)
            for condition, term in zip(conditions, left, strict=True)
            if condition.residual is not None
        ]
        where = f"{driver.where} AND (e.expires_at IS NULL OR e.expires_at > :now)"
        if not asked:
            return driver, f"{where} AND {narrowing}"
        # CASE, for SQLite would call a function before it looks into a subquery, whatever their order.
        return driver, f"{where} AND CASE WHEN {narrowing} THEN {' AND '.join(asked)} ELSE 0 END"

    def _order(self, ordering: Ordering) -> str:
        return ", ".join([*(self._place(key, ordering) for key in ordering.keys), "e.id"])

    def _place(self, key: OrderKey, ordering: Ordering) -> str:
        direction = "DESC" if key.descending else "ASC"
        column = _ORDER_COLUMNS.get(key.path.attribute)
        if column is not None and (ordering.collation is None or column != "e.id"):
            return f"{column} {direction}"
        datasets = self._query.datasets
        view = self._view if datasets is None else self._view.in_datasets(datasets)
        place = self._conditions.place(key, ordering, view)
        return f"{place} {direction} NULLS LAST"

    def _driver(self) -> tuple[_Driver, _Term | None]:
        """Choose the driving condition; the term that it fulfils, if any, need not be checked again."""
        if not self._typesets:
            return _Driver("entity e", FALSE, "e.k"), None
        ids = _ids(And(tuple(term.node for term in self._terms)))
        if ids is not None:
            where = f"e.k IN ({self._conditions.keys(ids)}) AND {self._of_types('e')}"
            return _Driver("entity e", where, "e.k"), None
        for choose in (self._by_value, self._by_geometry, self._by_scope):
            for term in self._terms:
                driver = choose(term)
                if driver is not None:
                    return driver, term
        where = f"e.tenant = :tenant AND {self._of_types('e')}"
        return _Driver("entity e INDEXED BY entity_by_type", where, "e.typeset, e.k"), None

    def _of_types(self, row: str) -> str:
        if len(self._typesets) == 1:
            return f"{row}.typeset = {numbers(self._typesets)}"
        return f"{row}.typeset IN ({numbers(self._typesets)})"

    def _by_value(self, term: _Term) -> _Driver | None:
        node = term.node
        if not isinstance(node, Equal | Compare) or not node.path.is_attribute:
            return None
        if isinstance(node, Equal) and (node.negated or len(node.values) > 1 or isinstance(node.values[0], Boolean)):
            return None
        attr = self._conditions.attribute(node.path, term.view)
        if attr is None or self._conditions.unindexed(attr):
            return None
        (predicate,) = self._conditions.predicates(node)
        return self._walk(attr, predicate, term.view) if predicate.exact else None

    def _walk(self, attr: int, predicate: Predicate, view: View) -> _Driver:
        """Walk the index rows that fulfil a predicate, leaving out those that follow an entity's first."""
        column = predicate.column
        source = f"value d INDEXED BY value_by_{column} CROSS JOIN entity e ON e.k = d.k"
        earlier = (
            f"NOT EXISTS (SELECT 1 FROM value w WHERE w.k = d.k AND w.attr = {attr} AND {predicate.on('w')}"
            f" AND {self._conditions.alive('w', view)}"
            f" AND (w.{column}, w.dataset, w.seq) < (d.{column}, d.dataset, d.seq))"
        )
        where = (
            f"d.tenant = :tenant AND d.attr = {attr} AND {self._of_types('d')} AND {predicate.on('d')}"
            f" AND {self._conditions.alive('d', view)} AND {earlier}"
        )
        return _Driver(source, where, f"d.{column}, d.k")

    def _by_geometry(self, term: _Term) -> _Driver | None:
        node = term.node
        if not isinstance(node, GeoQuery) or search_box(node) is None:
            return None
        attr = self._conditions.attribute(Path(node.attribute), term.view)
        if attr is None:
            return None
        keys = (
            f"SELECT g.k FROM geometry_box b CROSS JOIN geometry g ON g.id = b.id"
            f" WHERE g.tenant = :tenant AND g.attr = {attr} AND {self._conditions.geometry_predicate(node, term.view)}"
        )
        return _Driver("entity e", f"e.k IN ({keys}) AND {self._of_types('e')}", "e.k")

    def _by_scope(self, term: _Term) -> _Driver | None:
        node = term.node
        if not isinstance(node, InScope) or any(len(group) > 1 for group in node.any_of):
            return None
        wanted = " OR ".join(self._conditions.scope_predicate(pattern) for (pattern,) in node.any_of)
        keys = f"SELECT s.k FROM entity_scope s WHERE s.tenant = :tenant AND ({wanted})"
        return _Driver("entity e", f"e.k IN ({keys}) AND {self._of_types('e')}", "e.k")


def _conjunction(node: Node, view: View) -> Iterator[_Term]:
    """Yield the terms that must all hold."""
    match node:
        case And():
            for term in node.terms:
                yield from _conjunction(term, view)
        case InDatasets():
            yield from _conjunction(node.term, view.in_datasets(node.datasets))
        case _:
            yield _Term(node, view)


def _typesets(node: Node, lookup: Lookup) -> frozenset[int]:
    """Return the type sets that a match may have."""
    match node:
        case And():
            return frozenset(lookup.typesets).intersection(*(_typesets(term, lookup) for term in node.terms))
        case Or():
            return frozenset[int]().union(*(_typesets(term, lookup) for term in node.terms))
        case InDatasets():
            return _typesets(node.term, lookup)
        case HasType():
            return frozenset(lookup.having(node))
    return frozenset(lookup.typesets)


def _ids(node: Node) -> frozenset[str] | None:
    """Return the ids that a match may have, None where it may have any."""
    match node:
        case HasId():
            return node.ids
        case And():
            return next((ids for term in node.terms if (ids := _ids(term)) is not None), None)
        case Or():
            choices = [_ids(term) for term in node.terms]
            known = [ids for ids in choices if ids is not None]
            return frozenset[str]().union(*known) if known and len(known) == len(choices) else None
    return None
