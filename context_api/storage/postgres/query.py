"""A query as statements of PostgreSQL, whose text chooses the plan (decision 21).

The driving condition is a subquery `d` that walks an index in its order; entities are joined to it by key, one after
the other, so that a page reads little more than it shows. Where several type sets match there is one walk a type set,
and PostgreSQL merges them. Without orderBy entities come by (driving value, k). A walk over index rows skips an
entity's rows after its first hit, so that it counts once.
"""

# ruff: noqa: S608 - values are parameters; only names and numbers of ours are put into the text

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asyncpg.pgproto.pgproto import UUID

from context_api.storage.index_rows import MEMBER, Kind
from context_api.storage.port import Tenant
from context_api.storage.postgres.condition import PostgresConditions
from context_api.storage.postgres.lookup import Prepared
from context_api.storage.postgres.ordering import Order
from context_api.storage.translation.condition import Condition, numbers, unsure_if_any
from context_api.storage.translation.driver import ByGeometry, ByIds, ByScope, ByTypes, ByValue, Driver, choose
from context_api.storage.translation.scopes import TRUE, any_of
from context_api.storage.translation.terms import Term, Terms
from ngsild.query import EntityQuery, Restriction
from ngsild.query.target import View

#: Type sets that are walked one by one; more are searched at once and sorted.
_MOST_WALKS = 64

Statement = tuple[str, list[Any]]
"""SQL and its parameters."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the rows come from, with `e` among them, what narrows them there, and the order in which they come."""

    source: str
    where: str
    order: str


class Translation:
    """The statements of one query."""

    def __init__(
        self, query: EntityQuery, restriction: Restriction, prepared: Prepared, tenant: Tenant, now: int
    ) -> None:
        self._terms = Terms.of(query, restriction, prepared.typesets, now)
        self.conditions = PostgresConditions(prepared, tenant, now, self._terms.typesets)
        self.driver = _walkable(choose(self._terms, self.conditions))
        found = [(self._condition(term), term.view) for term in self._terms.left(self.driver.term)]
        meets = [condition.sql for condition, _ in found if condition.sql != TRUE]
        self._where = " AND ".join([f"(e.expires_at IS NULL OR e.expires_at > {self.conditions.now})", *meets])
        if self.driver.term is not None:
            # It is met, but for what only the document can answer.
            found.append((self._condition(self.driver.term), self.driver.term.view))
        asked = [(condition, view) for condition, view in found if condition.residual is not None]
        self.residuals = [(c.residual, view) for c, view in asked if c.residual is not None]
        """What the plain evaluator must find in the document of a row that is unsure."""
        self.unsure = unsure_if_any(condition for condition, _ in asked)

    @property
    def restriction(self) -> Restriction:
        """Return what of the caller's restriction concerns the matches."""
        return self._terms.restriction

    @property
    def empty(self) -> bool:
        """Tell whether no entity of the tenant can match."""
        return not self._terms.typesets

    def rows(
        self,
        columns: str,
        order: Order | None = None,
        only: str = TRUE,
        page: tuple[int, int] | None = None,
        walk: Walk | None = None,
    ) -> Statement:
        """Return the statement that yields columns of the rows that also meet `only`, in their order.

        `page` is (limit, offset); `walk` is the driver's unless another is given.
        """
        walk = walk or self._walk(self.driver)
        source, terms = (walk.source, walk.order) if order is None else (f"{walk.source} {order.joins}", order.terms)
        sql = f"SELECT {columns} FROM {source} WHERE {walk.where} AND {self._where} AND {only} ORDER BY {terms}"
        if page is not None:
            sql += f" LIMIT {self.conditions.bind(page[0])} OFFSET {self.conditions.bind(page[1])}"
        return self.conditions.statement(sql)

    def count(self, only: str = TRUE) -> Statement:
        """Return the statement that counts the rows that also meet `only`."""
        walk = self._walk(self.driver, ordered=False)
        return self.conditions.statement(
            f"SELECT count(*) FROM {walk.source} WHERE {walk.where} AND {self._where} AND {only}"
        )

    def among(self, keys: Sequence[UUID]) -> Walk:
        """Return the walk over entities with these keys."""
        keyed = f"e.k = ANY ({self.conditions.bind(keys)}::uuid[])"
        return Walk(
            "entity e", f"e.tenant = {self.conditions.tenant} AND {self.conditions.of_types('e')} AND {keyed}", "e.k"
        )

    def keyed(self, columns: str, keys: Sequence[UUID]) -> Statement:
        """Return the statement that yields columns of the entities with these keys, in no order, matches or not."""
        return self.conditions.statement(
            f"SELECT {columns} FROM entity e WHERE e.k = ANY ({self.conditions.bind(keys)}::uuid[])"
        )

    def between(self, after: UUID, last: UUID | None) -> Walk:
        """Return the walk in the order of keys that are greater than one and at most another, where it is given."""
        keyed = f"e.k > {self.conditions.bind(after)}"
        if last is not None:
            keyed += f" AND e.k <= {self.conditions.bind(last)}"
        return Walk(f"({self._by_types(keyed)}) e", TRUE, "e.k")

    def key_after(self, after: UUID, count: int) -> Statement:
        """Return the statement that yields the key of the entity that comes so many after a key, match or not."""
        walk = self.between(after, None)
        return self.conditions.statement(
            f"SELECT e.k FROM {walk.source} WHERE {walk.where} ORDER BY {walk.order}"
            f" LIMIT 1 OFFSET {self.conditions.bind(count - 1)}"
        )

    def by_number(self, attr: int, view: View, descending: bool, most: int) -> Walk:
        """Return the walk over the numbers of an attribute from the first one on; it ends soon after so many."""
        alive, direction = self.conditions.alive, "DESC" if descending else "ASC"
        earlier = self.conditions.exists(
            f"value w WHERE w.k = d.k AND w.attr = {attr} AND w.kind = {int(Kind.NUMBER)} AND {alive('w', attr, view)}"
            f" AND (w.num, w.dataset, w.seq) {'>' if descending else '<'} (d.num, d.dataset, d.seq)"
        )
        rows = [
            f"SELECT d.num AS place, d.k FROM value d WHERE {types} AND d.attr = {attr} AND d.num IS NOT NULL"
            f" AND d.kind = {int(Kind.NUMBER)} AND {alive('d', attr, view)}"
            for types in self._each_typeset("d")
        ]
        order = f"place {direction}, k {direction}"
        last = f"SELECT b.place FROM ({_merged(rows, order)}) b LIMIT 1 OFFSET {self.conditions.bind(most)}"
        # All of a number or none: entities with the same one come by id.
        bound = (
            f"d.num >= coalesce(({last}), '-Infinity')" if descending else f"d.num <= coalesce(({last}), 'Infinity')"
        )
        walk = _merged([f"{row} AND {bound} AND NOT {earlier}" for row in rows], order)
        return _joined(walk, f"d.place {direction}, e.id")

    def has_but_numbers(self, attr: int) -> Statement:
        """Return the statement that tells whether an attribute has a value that is not a number."""
        # Each has an index that answers it.
        others = ["v.txt IS NOT NULL", "v.tim IS NOT NULL", "v.num IS NULL AND v.txt IS NULL AND v.tim IS NULL"]
        others += [f"v.kind >= {MEMBER}", *(f"v.num = {held} AND v.kind = {int(Kind.BOOLEAN)}" for held in (0, 1))]
        found = [
            self.conditions.exists(f"value v WHERE {types} AND v.attr = {attr} AND {other}")
            for types in self._each_typeset("v")
            for other in others
        ]
        return self.conditions.statement(f"SELECT {any_of(found)}")

    def _condition(self, term: Term) -> Condition:
        return self.conditions.condition(term.node, term.view)

    def _walk(self, driver: Driver, ordered: bool = True) -> Walk:
        conditions = self.conditions
        match driver:
            case ByIds():
                where = (
                    f"e.tenant = {conditions.tenant} AND {conditions.of_types('e')} AND {conditions.keys(driver.ids)}"
                )
                return Walk("entity e", where, "e.k")
            case ByValue():
                return self._by_value(driver)
            case ByGeometry():
                return self._by_geometry(driver, ordered)
            case ByScope():
                return self._by_scope(driver)
            case ByTypes():
                return Walk(f"({self._by_types(TRUE)}) e", TRUE, "e.k")

    def _by_types(self, only: str) -> str:
        return _merged([f"SELECT * FROM entity e WHERE {types} AND {only}" for types in self._each_typeset("e")], "k")

    def _each_typeset(self, row: str) -> list[str]:
        """Return SQL for "the row is of the tenant and of this type set", for each that is walked by itself."""
        typesets = sorted(self.conditions.typesets)
        groups = [typesets] if len(typesets) > _MOST_WALKS else [[number] for number in typesets]
        return [f"{row}.tenant = {self.conditions.tenant} AND {row}.typeset IN ({numbers(group)})" for group in groups]

    def _by_value(self, driver: ByValue) -> Walk:
        """Walk the index rows that fulfil a predicate, leaving out those that follow an entity's first."""
        attr, predicate, view = driver.attr, driver.predicate, driver.term.view
        column, alive = predicate.column, self.conditions.alive
        earlier = self.conditions.exists(
            f"value w WHERE w.k = d.k AND w.attr = {attr} AND {predicate.on('w')} AND {alive('w', attr, view)}"
            f" AND (w.{column}, w.dataset, w.seq) < (d.{column}, d.dataset, d.seq)"
        )
        walks = [
            f"SELECT d.{column} AS place, d.k FROM value d WHERE {types} AND d.attr = {attr}"
            f" AND {predicate.on('d')} AND {alive('d', attr, view)} AND NOT {earlier}"
            for types in self._each_typeset("d")
        ]
        # PostgreSQL does not merge walks by a column that is the same in all of them.
        order = ["k"] if predicate.point else ["place", "k"]
        return _joined(_merged(walks, ", ".join(order)), ", ".join(f"d.{column}" for column in order))

    def _by_geometry(self, driver: ByGeometry, ordered: bool) -> Walk:
        """Walk the geometries in the search box, those near its centre first, for that order the index has."""
        hit = self._hit("g", driver)
        before = "(w.dataset, w.seq) < (g.dataset, g.seq)"
        others = self.conditions.geometries("g", driver.attr)
        earlier = self.conditions.exists(f"{others} w WHERE {before} AND {self._hit('w', driver)}")
        place = f"g.box <-> {self.conditions.centre(driver.query)}"
        walk = (
            f"SELECT {place} AS place, g.k FROM entity_geometry g WHERE g.tenant = {self.conditions.tenant} AND {hit}"
            f" AND NOT {earlier}{f' ORDER BY {place}' if ordered else ''}"
        )
        return replace(_joined(walk, "d.place, d.k"), where=self.conditions.of_types("e"))

    def _hit(self, row: str, driver: ByGeometry) -> str:
        conditions, query = self.conditions, driver.query
        terms = [
            f"{row}.attr = {driver.attr}",
            conditions.near(query, row),
            conditions.living(row, driver.attr, driver.term.view),
        ]
        if conditions.exact(query):
            terms.append(conditions.related(query, row))
        return " AND ".join(terms)

    def _by_scope(self, driver: ByScope) -> Walk:
        """Walk the scopes that a pattern matches, leaving out those that follow an entity's first."""
        predicates = [predicate for pattern in driver.patterns for predicate in self.conditions.ranges(pattern)]
        earlier = self.conditions.exists(
            f"entity_scope w WHERE w.k = s.k AND {any_of(predicates).format(s='w')} AND w.scope < s.scope"
        )
        walks = []
        for n, predicate in enumerate(predicates):
            others = f" AND NOT {any_of(predicates[:n])}" if n else ""
            walks.append(
                f"SELECT s.scope AS place, s.k FROM entity_scope s WHERE s.tenant = {self.conditions.tenant}"
                f" AND {predicate}{others} AND NOT {earlier}".format(s="s")
            )
        walk = _joined(_merged(walks, "place, k"), "d.place, d.k")
        return replace(walk, where=self.conditions.of_types("e"))


def _walkable(driver: Driver) -> Driver:
    """Return a driver that narrows: a scope query that leaves levels open has no range to walk."""
    if isinstance(driver, ByScope) and any("+" in pattern.levels or not pattern.levels for pattern in driver.patterns):
        return ByTypes()
    return driver


def _merged(walks: Sequence[str], order: str) -> str:
    """Return walks in an order that each of them has by its index, as one; PostgreSQL reads them as it needs them."""
    ordered = [f"{walk} ORDER BY {order}" for walk in walks]
    if len(ordered) == 1:
        return ordered[0]
    return f"SELECT * FROM ({' UNION ALL '.join(f'({walk})' for walk in ordered)}) u ORDER BY {order}"


def _joined(walk: str, order: str) -> Walk:
    """Return a walk over an index with its entities, each read when the walk comes to it."""
    entity = "CROSS JOIN LATERAL (SELECT * FROM entity x WHERE x.k = d.k OFFSET 0) e"
    return Walk(f"({walk} OFFSET 0) d {entity}", TRUE, order)
