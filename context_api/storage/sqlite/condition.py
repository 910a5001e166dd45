"""Conditions in SQLite's SQL: what only the document can answer is asked inside the statement, through functions."""

# ruff: noqa: S608 - values are parameters; only names and numbers of ours are put into the text

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from context_api.storage.index_rows import Kind
from context_api.storage.sqlite.functions import Functions
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.translation.condition import Condition, Conditions
from context_api.storage.translation.scopes import TRUE, any_of
from context_api.storage.translation.values import kind_in
from ngsild.query.ast import GeoQuery, IdMatches, Match, Node, Or, ScopePattern
from ngsild.query.geo import search_box
from ngsild.query.order import Ordering, OrderKey
from ngsild.query.target import View


class SqliteConditions(Conditions):
    """Translates nodes for one statement; parameters and functions gather here."""

    now = ":now"
    tenant = ":tenant"

    def __init__(self, lookup: Lookup, functions: Functions, now: int, typesets: frozenset[int]) -> None:
        super().__init__(lookup, typesets)
        self.functions = functions
        self.params: dict[str, Any] = {"now": now, "tenant": lookup.tenant.id}
        self._key = lookup.key

    def bind(self, value: Any) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def keys(self, ids: frozenset[str]) -> str:
        return f"e.k IN ({','.join(self.bind(self._key(entity_id)) for entity_id in sorted(ids))})"

    def either(self, node: Or, alternatives: Sequence[tuple[Condition, Node]], view: View) -> Condition:
        return Condition(any_of([self._whole(condition, view) for condition, _ in alternatives]))

    def pattern(self, node: Match | IdMatches, text: str) -> str:
        return self.functions.pattern_found(node.pattern, text)

    def undecided(self, node: Node, view: View, partial: str, indexed: str) -> Condition:
        return Condition(f"CASE WHEN {partial} THEN {self.functions.holds(node, view)} ELSE {indexed} END")

    def levels(self, pattern: ScopePattern) -> str:
        return self.functions.scope_matches(pattern, "s.scope")

    def geo(self, query: GeoQuery, attr: int, view: View) -> Condition:
        found = f"g.k = e.k AND g.attr = {attr} AND {self.geometry_predicate(query, attr, view)}"
        return Condition(self.exists(f"geometry g CROSS JOIN geometry_box b ON b.id = g.id WHERE {found}"))

    def geometry_predicate(self, query: GeoQuery, attr: int, view: View) -> str:
        """Return SQL over rows `g` of `geometry` and `b` of `geometry_box`."""
        box = search_box(query)
        near = TRUE
        if box is not None:
            near = (
                f"b.min_x <= {self.bind(box.max_x)} AND b.max_x >= {self.bind(box.min_x)}"
                f" AND b.min_y <= {self.bind(box.max_y)} AND b.max_y >= {self.bind(box.min_y)}"
            )
        related = self.functions.relates(query, "g.geojson")
        return f"{near} AND CASE WHEN {self.living('g', attr, view)} THEN {related} ELSE 0 END"

    def place(self, key: OrderKey, ordering: Ordering, view: View) -> str:
        """Return SQL for the place of row e under a key: from index rows, where they hold the whole value."""
        whole = self.functions.place(key, ordering, view)
        attr = self.attribute(key.path, view) if key.path.is_attribute and not key.by_distance else None
        if attr is None or self.depends(key.path, view):
            return whole
        row = self.row()
        first = "max" if key.descending else "min"
        indexed = (
            f"(SELECT {first}({self.functions.row_place(key, ordering, row)}) FROM value {row}"
            f" WHERE {row}.k = e.k AND {row}.attr = {attr} AND {self.alive(row, attr, view)})"
        )
        partial = self.some(key.path, view, kind_in([Kind.LONG_STRING, Kind.LONG_URI, Kind.UNINDEXED]))
        return f"CASE WHEN {partial} THEN {whole} ELSE {indexed} END"

    def _whole(self, condition: Condition, view: View) -> str:
        """Return a condition as one SQL expression."""
        if condition.residual is None:
            return condition.sql
        asked = self.functions.holds(condition.residual, view)
        return asked if condition.sql == TRUE else f"CASE WHEN {condition.sql} THEN {asked} ELSE 0 END"
