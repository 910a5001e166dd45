"""A node of the query AST as a condition on row `e` of table `entity`, in SQLite's SQL.

What the index rows can answer is SQL over them. What only the document can, is a `Condition` with a residual: the SQL
narrows the candidates, then the plain evaluator is asked (docs/decisions/0020).
"""

# ruff: noqa: S608 - values are parameters; only names and numbers of ours are put into the text

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from context_api.storage.index_rows import Kind
from context_api.storage.sqlite.functions import Functions
from context_api.storage.sqlite.lookup import Lookup
from context_api.storage.sqlite.values import STRING_KINDS, Predicate, comparison, equality, kind_in
from context_api.storage.tables import RESERVED_NAME
from ngsild.query.ast import (
    And,
    Compare,
    Equal,
    Exists,
    GeoQuery,
    HasId,
    HasType,
    IdMatches,
    InDatasets,
    InScope,
    Leaf,
    Linked,
    Match,
    Moment,
    Node,
    Or,
    Path,
    ScopePattern,
)
from ngsild.query.geo import search_box
from ngsild.query.order import Ordering, OrderKey
from ngsild.query.target import View

TRUE = "1"
# SQLite folds 0 and "IN ()" while it parses, and then finds no plan for a forced index.
FALSE = "1 = 0"
_TIMES = {"createdAt": "e.created_at", "modifiedAt": "e.modified_at", "expiresAt": "e.expires_at"}
_EXISTS = {"id": TRUE, "type": TRUE, "createdAt": TRUE, "modifiedAt": TRUE, "deletedAt": FALSE}
_EXISTS |= {"scope": "e.scope IS NOT NULL", "expiresAt": "e.expires_at IS NOT NULL"}


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that must hold and, where that is not all, what the plain evaluator must then find in the document."""

    sql: str
    residual: Node | None = None


class Conditions:
    """Translates nodes for one statement; parameters and functions gather here."""

    def __init__(self, lookup: Lookup, functions: Functions, now: int, typesets: frozenset[int]) -> None:
        self.lookup = lookup
        self.functions = functions
        self.typesets = typesets
        """Every type set that a match may have."""
        self.params: dict[str, Any] = {"now": now, "tenant": lookup.tenant.id}
        self._rows = 0

    def bind(self, value: Any) -> str:
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def row(self) -> str:
        """Return a fresh name for a row of `value`."""
        self._rows += 1
        return f"v{self._rows}"

    def whole(self, node: Node, view: View) -> str:
        """Return a node as one SQL expression."""
        condition = self.condition(node, view)
        if condition.residual is None:
            return condition.sql
        asked = self.functions.holds(condition.residual, view)
        return asked if condition.sql == TRUE else f"CASE WHEN {condition.sql} THEN {asked} ELSE 0 END"

    def condition(self, node: Node, view: View) -> Condition:
        match node:
            case And():
                return all_of([self.condition(term, view) for term in node.terms])
            case Or():
                return Condition(any_of([self.whole(term, view) for term in node.terms]))
            case InDatasets():
                inner = self.condition(node.term, view.in_datasets(node.datasets))
                return replace(inner, residual=inner.residual and InDatasets(node.datasets, inner.residual))
            case Linked():
                kinds = [Kind.URI, Kind.LONG_URI, Kind.UNINDEXED]
                return Condition(self._some(Path(node.relationship), view, kind_in(kinds, True)), node)
            case Exists() | Equal() | Compare() | Match():
                return self._leaf(node, view)
        return Condition(self._entity(node, view))

    def place(self, key: OrderKey, ordering: Ordering, view: View) -> str:
        """Return SQL for the place of row e under a key: from index rows, where they hold the whole value."""
        whole = self.functions.place(key, ordering, view)
        attr = self.attribute(key.path, view) if key.path.is_attribute and not key.by_distance else None
        if attr is None:
            return whole
        row = self.row()
        first = "max" if key.descending else "min"
        indexed = (
            f"(SELECT {first}({self.functions.row_place(key, ordering, row)}) FROM value {row}"
            f" WHERE {row}.k = e.k AND {row}.attr = {attr} AND {self.alive(row, view)})"
        )
        partial = self._some(key.path, view, kind_in([Kind.LONG_STRING, Kind.LONG_URI, Kind.UNINDEXED]))
        return f"CASE WHEN {partial} THEN {whole} ELSE {indexed} END"

    def attribute(self, path: Path, view: View) -> int | None:
        """Return the id of a path's attribute, None where it is hidden or was never stored."""
        return None if view.restriction.hides(path.attribute) else self.lookup.name(path.attribute)

    def alive(self, row: str, view: View) -> str:
        """Return SQL for "the attribute instance may be looked at"."""
        sql = f"({row}.expires_at IS NULL OR {row}.expires_at > :now)"
        if view.datasets is None:
            return sql
        found = (RESERVED_NAME if iri == "@none" else self.lookup.name(iri) for iri in view.datasets)
        return f"{sql} AND {row}.dataset IN ({numbers(n for n in found if n is not None) or -1})"

    def predicates(self, node: Equal | Compare) -> list[Predicate]:
        if isinstance(node, Compare):
            return [comparison(node, self.bind)]
        return [equality(value, self.bind) for value in node.values]

    def unindexed(self, attr: int) -> bool:
        """Tell whether index rows of an attribute may be missing."""
        return self.lookup.has_unindexed(attr, self.typesets)

    def _leaf(self, node: Leaf, view: View) -> Condition:
        path = node.path
        if path.is_entity_member:
            return self._entity_member(node)
        attr = self.attribute(path, view)
        if attr is None:
            return Condition(FALSE)
        if not path.is_attribute:
            return Condition(self._some(path, view), node)
        if isinstance(node, Exists):
            return Condition(self._some(path, view))
        if isinstance(node, Match):
            return Condition(self._match(node, attr, view))
        predicates = self.predicates(node)
        if not all(predicate.exact for predicate in predicates) or self.unindexed(attr):
            return Condition(self._some(path, view), node)
        wanted = any_of([f"{predicate.bound} AND {predicate.rest}" for predicate in predicates])
        if isinstance(node, Equal) and node.negated:
            return Condition(self._instance_without(path, view, wanted))
        return Condition(self._some(path, view, wanted))

    def _some(self, path: Path, view: View, wanted: str = TRUE) -> str:
        """Return SQL for "the attribute has a row like this"; {v} stands for the row."""
        attr = self.attribute(path, view)
        if attr is None:
            return FALSE
        row = self.row()
        return (
            f"EXISTS (SELECT 1 FROM value {row} WHERE {row}.k = e.k AND {row}.attr = {attr}"
            f" AND {wanted.format(v=row)} AND {self.alive(row, view)})"
        )

    def _instance_without(self, path: Path, view: View, unwanted: str, first: str = "{v}.seq = 0") -> str:
        """Return SQL for "the attribute has an instance, with a row `first`, of which no row is like this"."""
        other = self.row()
        none = (
            f"NOT EXISTS (SELECT 1 FROM value {other} WHERE {other}.k = {{v}}.k AND {other}.attr = {{v}}.attr"
            f" AND {other}.dataset = {{v}}.dataset AND {unwanted.format(v=other)})"
        )
        return self._some(path, view, f"{first} AND {none}")

    def _match(self, node: Match, attr: int, view: View) -> str:
        """Search texts in their index rows; an entity that has a text too long for that is asked itself."""
        strings = kind_in(STRING_KINDS)
        found = f"{strings} AND {self.functions.pattern_found(node.pattern, '{v}.txt')}"
        indexed = (
            self._instance_without(node.path, view, found, strings)
            if node.negated
            else self._some(node.path, view, found)
        )
        partial = self._some(node.path, view, kind_in([Kind.LONG_STRING, Kind.UNINDEXED]))
        return f"CASE WHEN {partial} THEN {self.functions.holds(node, view)} ELSE {indexed} END"

    def _entity_member(self, node: Leaf) -> Condition:
        name = node.path.attribute
        if isinstance(node, Exists):
            return Condition(_EXISTS[name])
        if isinstance(node, Compare) and name in _TIMES and isinstance(node.value, Moment):
            if node.value.type != "DateTime":
                return Condition(FALSE)
            return Condition(f"{_TIMES[name]} {node.operator} {self.bind(node.value.value)}")
        return Condition(TRUE, node)

    def _entity(self, node: HasId | IdMatches | HasType | InScope | GeoQuery, view: View) -> str:
        match node:
            case HasId():
                return f"e.k IN ({self.keys(node.ids)})"
            case IdMatches():
                return self.functions.pattern_found(node.pattern, "e.id")
            case HasType():
                return f"e.typeset IN ({numbers(self.lookup.having(node)) or -1})"
            case InScope():
                groups = [[self._in_scope(pattern) for pattern in group] for group in node.any_of]
                return any_of([" AND ".join(group) for group in groups])
            case GeoQuery():
                return self._geo(node, view)

    def keys(self, ids: Sequence[str] | frozenset[str]) -> str:
        return ",".join(self.bind(self.lookup.key(entity_id)) for entity_id in sorted(ids))

    def _in_scope(self, pattern: ScopePattern) -> str:
        return f"EXISTS (SELECT 1 FROM entity_scope s WHERE s.k = e.k AND {self.scope_predicate(pattern)})"

    def scope_predicate(self, pattern: ScopePattern) -> str:
        """Return SQL over row `s` of `entity_scope`; the leading slash of a stored scope is optional."""
        if not pattern.levels:
            return TRUE
        if "+" in pattern.levels:
            return self.functions.scope_matches(pattern, "s.scope")
        path = "/".join(pattern.levels)
        wanted = [f"s.scope IN ({self.bind(f'/{path}')},{self.bind(path)})"]
        if pattern.subtree:
            # "0" is the character after "/".
            wanted += [
                f"s.scope > {self.bind(f'{start}{path}/')} AND s.scope < {self.bind(f'{start}{path}0')}"
                for start in ("/", "")
            ]
        return any_of(wanted)

    def _geo(self, query: GeoQuery, view: View) -> str:
        attr = self.attribute(Path(query.attribute), view)
        if attr is None:
            return FALSE
        return (
            f"EXISTS (SELECT 1 FROM geometry g CROSS JOIN geometry_box b ON b.id = g.id"
            f" WHERE g.k = e.k AND g.attr = {attr} AND {self.geometry_predicate(query, view)})"
        )

    def geometry_predicate(self, query: GeoQuery, view: View) -> str:
        """Return SQL over rows `g` of `geometry` and `b` of `geometry_box`."""
        box = search_box(query)
        near = TRUE
        if box is not None:
            near = (
                f"b.min_x <= {self.bind(box.max_x)} AND b.max_x >= {self.bind(box.min_x)}"
                f" AND b.min_y <= {self.bind(box.max_y)} AND b.max_y >= {self.bind(box.min_y)}"
            )
        row = self.row()
        living = (
            f"EXISTS (SELECT 1 FROM value {row} WHERE {row}.k = g.k AND {row}.attr = g.attr"
            f" AND {row}.dataset = g.dataset AND {row}.seq = 0 AND {self.alive(row, view)})"
        )
        return f"{near} AND CASE WHEN {living} THEN {self.functions.relates(query, 'g.geojson')} ELSE 0 END"


def all_of(conditions: Sequence[Condition]) -> Condition:
    """Return the conjunction; the document is asked once for all that it must answer."""
    sql = " AND ".join(c.sql for c in conditions if c.sql != TRUE) or TRUE
    residuals = tuple(c.residual for c in conditions if c.residual is not None)
    if len(residuals) > 1:
        return Condition(sql, And(residuals))
    return Condition(sql, residuals[0] if residuals else None)


def any_of(alternatives: Sequence[str]) -> str:
    """Return the disjunction of SQL expressions; none is false."""
    return f"({' OR '.join(alternatives) or FALSE})"


def numbers(ids: Iterable[int]) -> str:
    return ",".join(map(str, sorted(ids)))
