"""Conditions in PostgreSQL's SQL, with the relations of PostGIS; what only the document can answer is left over.

Subqueries end in OFFSET 0: the planner then neither merges them into the statement nor turns them round.
"""

# ruff: noqa: S608 - values are parameters; only names and numbers of ours are put into the text

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import shapely

from context_api.storage.port import Tenant
from context_api.storage.postgres.connection import uuid_key
from context_api.storage.postgres.lookup import Prepared
from context_api.storage.postgres.pattern import translated
from context_api.storage.translation.condition import Condition, Conditions, unsure_if_any
from context_api.storage.translation.scopes import TRUE, any_of
from ngsild.query.ast import GeoQuery, IdMatches, Match, Node, Or, ScopePattern
from ngsild.query.geo import reference_shape, search_box
from ngsild.query.target import View

_PARAMETER = re.compile(r"@(\d+)@")
_GEODETIC = "ST_DWithin({row}.shape::geography, {reference}::geography, {distance}, false)"
#: PostGIS for "geometry {row} of an entity is in this relation to the reference".
_RELATIONS = {
    "maxDistance": _GEODETIC,
    "minDistance": f"NOT {_GEODETIC}",
    "within": "ST_Within({row}.shape, {reference})",
    "contains": "ST_Contains({row}.shape, {reference})",
    "intersects": "ST_Intersects({row}.shape, {reference})",
    "equals": "ST_Equals({row}.shape, {reference})",
    "disjoint": "ST_Disjoint({row}.shape, {reference})",
    "overlaps": "ST_Overlaps({row}.shape, {reference})",
}


class PostgresConditions(Conditions):
    """Translates nodes for the statements of one query."""

    FENCE = " OFFSET 0"

    def __init__(self, prepared: Prepared, tenant: Tenant, now: int, typesets: frozenset[int]) -> None:
        super().__init__(prepared, typesets)
        self._prepared = prepared
        self._params: list[Any] = []
        self._tenant = tenant
        self.now = self.bind(now)
        self.tenant = self.bind(tenant.id)

    def bind(self, value: Any) -> str:
        self._params.append(value)
        return f"@{len(self._params) - 1}@"

    def statement(self, sql: str) -> tuple[str, list[Any]]:
        """Return SQL as PostgreSQL takes it, and the parameters in it: it refuses those that it cannot see."""
        numbers: dict[str, int] = {}

        def numbered(found: re.Match[str]) -> str:
            return f"${numbers.setdefault(found[1], len(numbers) + 1)}"

        text = _PARAMETER.sub(numbered, sql)
        return text, [self._params[int(n)] for n in numbers]

    def keys(self, ids: frozenset[str]) -> str:
        return f"e.k = ANY ({self.bind([uuid_key(self._tenant.name, entity_id) for entity_id in sorted(ids)])}::uuid[])"

    def either(self, node: Or, alternatives: Sequence[tuple[Condition, Node]], view: View) -> Condition:
        conditions = [condition for condition, _ in alternatives]
        sql = TRUE if any(c.sql == TRUE for c in conditions) else any_of([c.sql for c in conditions])
        asked = [condition for condition in conditions if condition.residual is not None]
        return Condition(sql, node, unsure_if_any(asked)) if asked else Condition(sql)

    def pattern(self, node: Match | IdMatches, text: str) -> str | None:
        found = translated(node.pattern.text)
        return None if found is None else f"{text} ~ {self.bind(found)}"

    def undecided(self, node: Node, view: View, partial: str, indexed: str) -> Condition:
        return Condition(f"CASE WHEN {partial} THEN TRUE ELSE {indexed} END", node, partial)

    def levels(self, pattern: ScopePattern) -> str:
        # Levels hold letters, digits and "_" only; a scope without its leading slash must not lose a level to it.
        levels = "/".join("[^/]*" if level == "+" else level for level in pattern.levels)
        below = "(?:/.*)?" if pattern.subtree else ""
        return f"s.scope ~ {self.bind(f'^(?:/|(?!/)){levels}{below}$')}"

    def geo(self, query: GeoQuery, attr: int, view: View) -> Condition:
        rows = f"{self.geometries('e', attr)} g WHERE {self.near(query)} AND"
        living = self.living("g", attr, view)
        if not self.exact(query):
            return Condition(self.exists(f"{rows} {living}"), query)
        sql = self.exists(f"{rows} {living} AND {self.related(query)}")
        if attr not in self._prepared.invalid:
            return Condition(sql)
        return Condition(sql, query, self.exists(f"{rows} {living} AND g.shape IS NULL"))

    def geometries(self, row: str, attr: int) -> str:
        """Return SQL for the geometries of one entity, found by its key whatever else they must meet."""
        return f"(SELECT * FROM entity_geometry x WHERE x.k = {row}.k AND x.attr = {attr}{self.FENCE})"

    def exact(self, query: GeoQuery) -> bool:
        """Tell whether PostGIS and the plain evaluator see the same relations to the reference."""
        return bool(shapely.is_valid(reference_shape(query.geometry)))

    def near(self, query: GeoQuery, row: str = "g") -> str:
        """Return SQL for "the row of `entity_geometry` meets the search box"; a subquery, to be computed once."""
        box = search_box(query)
        if box is None:
            return TRUE
        return f"{row}.box && (SELECT ST_MakeEnvelope({', '.join(map(self.bind, box))}, 4326))"

    def centre(self, query: GeoQuery) -> str:
        """Return SQL for the centre of the search box."""
        box = search_box(query)
        if box is None:
            raise ValueError("a relation without a search box has no centre")
        x, y = (box.min_x + box.max_x) / 2, (box.min_y + box.max_y) / 2
        return f"(SELECT ST_SetSRID(ST_MakePoint({self.bind(x)}, {self.bind(y)}), 4326))"

    def related(self, query: GeoQuery, row: str = "g") -> str:
        """Return SQL for "the row is in the relation, or only the document can tell"."""
        reference = f"(SELECT ST_SetSRID(ST_Force2D(ST_GeomFromGeoJSON({self.bind(query.geometry)})), 4326))"
        relation = _RELATIONS[query.relation].format(row=row, reference=reference, distance=self.bind(query.distance))
        return f"CASE WHEN {row}.shape IS NULL THEN TRUE ELSE {relation} END"
