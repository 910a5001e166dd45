"""A whole query as one SQLite statement (decision 21).

The statement walks through the index of the driving condition. Without orderBy entities come by (driving value, k). A
walk over index rows skips an entity's rows after its first hit, so that it counts once.
"""

# ruff: noqa: S608 - values are parameters; only names and numbers of ours are put into the text

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from context_api.storage.sqlite.condition import SqliteConditions
from context_api.storage.sqlite.functions import Functions
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.translation.driver import ByGeometry, ByIds, ByScope, ByTypes, ByValue, Driver, choose
from context_api.storage.translation.scopes import FALSE, TRUE
from context_api.storage.translation.terms import Terms
from ngsild.query import EntityQuery, Restriction
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
class _Walk:
    """Where the rows come from, what narrows them there, and the order in which they come."""

    source: str
    where: str
    order: str


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
        self._terms = Terms.of(query, restriction, lookup.typesets, now)
        self._view = View(now, self._terms.restriction)
        self._functions = Functions(lookup.linked)
        self._conditions = SqliteConditions(lookup, self._functions, now, self._terms.typesets)

    def count(self) -> Statement:
        walk, where = self._matches()
        return self._statement(f"SELECT count(*) FROM {walk.source} WHERE {where}")

    def page(self, columns: str, limit: int, offset: int) -> Statement:
        walk, where = self._matches()
        ordering = self._query.order
        order = walk.order if ordering is None else self._order(ordering)
        limits = f"LIMIT {self._conditions.bind(limit)} OFFSET {self._conditions.bind(offset)}"
        return self._statement(f"SELECT {columns} FROM {walk.source} WHERE {where} ORDER BY {order} {limits}")

    def _statement(self, sql: str) -> Statement:
        return Statement(sql, self._conditions.params, self._functions)

    def _matches(self) -> tuple[_Walk, str]:
        """Return the walk and everything that a row must meet."""
        if not self._terms.typesets:
            return _Walk("entity e", FALSE, "e.k"), FALSE
        driver = choose(self._terms, self._conditions)
        walk = self._walk(driver)
        left = self._terms.left(driver.term)
        conditions = [self._conditions.condition(term.node, term.view) for term in left]
        narrowing = " AND ".join(c.sql for c in conditions if c.sql != TRUE) or TRUE
        asked = [
            self._functions.holds(condition.residual, term.view)
            for condition, term in zip(conditions, left, strict=True)
            if condition.residual is not None
        ]
        where = f"{walk.where} AND (e.expires_at IS NULL OR e.expires_at > :now)"
        if not asked:
            return walk, f"{where} AND {narrowing}"
        # CASE, for SQLite would call a function before it looks into a subquery, whatever their order.
        return walk, f"{where} AND CASE WHEN {narrowing} THEN {' AND '.join(asked)} ELSE 0 END"

    def _order(self, ordering: Ordering) -> str:
        return ", ".join([*(self._place(key, ordering) for key in ordering.keys), "e.id"])

    def _place(self, key: OrderKey, ordering: Ordering) -> str:
        direction = "DESC" if key.descending else "ASC"
        column = _ORDER_COLUMNS.get(key.path.attribute)
        datasets = self._query.datasets
        view = self._view if datasets is None else self._view.in_datasets(datasets)
        held = column is not None and not self._conditions.depends(key.path, view)
        if held and (ordering.collation is None or column != "e.id"):
            return f"{column} {direction}"
        place = self._conditions.place(key, ordering, view)
        return f"{place} {direction} NULLS LAST"

    def _walk(self, driver: Driver) -> _Walk:
        conditions = self._conditions
        match driver:
            case ByIds():
                return _Walk("entity e", f"{conditions.keys(driver.ids)} AND {conditions.of_types('e')}", "e.k")
            case ByValue():
                return self._by_value(driver)
            case ByGeometry():
                related = conditions.geometry_predicate(driver.query, driver.attr, driver.term.view)
                return self._by_key(
                    f"SELECT g.k FROM geometry_box b CROSS JOIN geometry g ON g.id = b.id"
                    f" WHERE g.tenant = :tenant AND g.attr = {driver.attr} AND {related}"
                )
            case ByScope():
                wanted = " OR ".join(map(conditions.scope_predicate, driver.patterns))
                return self._by_key(f"SELECT s.k FROM entity_scope s WHERE s.tenant = :tenant AND ({wanted})")
            case ByTypes():
                where = f"e.tenant = :tenant AND {conditions.of_types('e')}"
                return _Walk("entity e INDEXED BY entity_by_type", where, "e.typeset, e.k")

    def _by_key(self, keys: str) -> _Walk:
        return _Walk("entity e", f"e.k IN ({keys}) AND {self._conditions.of_types('e')}", "e.k")

    def _by_value(self, driver: ByValue) -> _Walk:
        """Walk the index rows that fulfil a predicate, leaving out those that follow an entity's first."""
        attr, predicate, view = driver.attr, driver.predicate, driver.term.view
        column = predicate.column
        source = f"value d INDEXED BY value_by_{column} CROSS JOIN entity e ON e.k = d.k"
        earlier = self._conditions.exists(
            f"value w WHERE w.k = d.k AND w.attr = {attr} AND {predicate.on('w')}"
            f" AND {self._conditions.alive('w', attr, view)}"
            f" AND (w.{column}, w.dataset, w.seq) < (d.{column}, d.dataset, d.seq)"
        )
        where = (
            f"d.tenant = :tenant AND d.attr = {attr} AND {self._conditions.of_types('d')} AND {predicate.on('d')}"
            f" AND {self._conditions.alive('d', attr, view)} AND NOT {earlier}"
        )
        return _Walk(source, where, f"d.{column}, d.k")
