"""A node of the query AST as a condition on row `e` of table `entity`.

What the index rows can answer is SQL over them. What only the document can, is a `Condition` with a residual: the SQL
narrows the candidates, then the plain evaluator is asked (docs/decisions/0020 and 0023).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from context_api.storage.index_rows import Kind
from context_api.storage.tables import RESERVED_NAME
from context_api.storage.translation.scopes import FALSE, TRUE, Scopes, any_of
from context_api.storage.translation.sight import Sights
from context_api.storage.translation.terms import Typesets, having
from context_api.storage.translation.values import STRING_KINDS, Predicate, comparison, equality, kind_in
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
    Not,
    Or,
    OwnedBy,
    Path,
)
from ngsild.query.restriction import EVERYTHING
from ngsild.query.target import View

_TIMES = {"createdAt": "e.created_at", "modifiedAt": "e.modified_at", "expiresAt": "e.expires_at"}
_EXISTS = {"id": TRUE, "type": TRUE, "createdAt": TRUE, "modifiedAt": TRUE, "deletedAt": FALSE}
_EXISTS |= {"scope": "e.scope IS NOT NULL", "expiresAt": "e.expires_at IS NOT NULL"}


class Lookup(Protocol):
    """What the translation must know of the database, for one tenant and the time of one query."""

    @property
    def typesets(self) -> Typesets:
        """The sets of types that entities of the tenant have, by number."""

    def name(self, iri: str) -> int | None:
        """Return the number of an attribute or dataset, None where it was never stored."""

    def has_unindexed(self, attr: int, typesets: Iterable[int]) -> bool:
        """Tell whether an instance of an attribute is too large for index rows."""


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that must hold and, where that is not all, what the plain evaluator must then find in the document."""

    sql: str
    residual: Node | None = None
    unsure: str = TRUE
    """SQL for "the residual must be asked", of rows for which `sql` holds: any other row meets the condition."""


class Conditions(Scopes):
    """Translates nodes for one statement, whose parameters gather here."""

    #: SQL for the moment of the query and for the number of the tenant.
    now: str
    tenant: str

    def __init__(self, lookup: Lookup, typesets: frozenset[int]) -> None:
        self.lookup = lookup
        self.typesets = typesets
        """Every type set that a match may have."""
        self._rows = 0
        self._sights = Sights(lookup.typesets, typesets)
        self._shown_in: dict[int, frozenset[int]] = {}

    @abstractmethod
    def keys(self, ids: frozenset[str]) -> str:
        """Return SQL for "row e has one of these ids"."""

    @abstractmethod
    def either(self, node: Or, alternatives: Sequence[tuple[Condition, Node]], view: View) -> Condition:
        """Return the disjunction of conditions, given with the nodes that they are of."""

    @abstractmethod
    def pattern(self, node: Match | IdMatches, text: str) -> str | None:
        """Return SQL for "the pattern is found in this text", None where only the evaluator can tell."""

    @abstractmethod
    def undecided(self, node: Node, view: View, partial: str, indexed: str) -> Condition:
        """Return the condition `indexed`, which means nothing where `partial` holds: then the document is asked."""

    @abstractmethod
    def geo(self, query: GeoQuery, attr: int, view: View) -> Condition:
        """Return the condition "the attribute has a geometry in this relation"."""

    def row(self) -> str:
        """Return a fresh name for a row of `value`."""
        self._rows += 1
        return f"v{self._rows}"

    def condition(self, node: Node, view: View) -> Condition:
        match node:
            case And():
                return all_of([self.condition(term, view) for term in node.terms])
            case Or():
                return _either(self, node, view)
            case Not():
                return _negated(self.condition(node.term, view), node)
            case InDatasets():
                inner = self.condition(node.term, view.in_datasets(node.datasets))
                return replace(inner, residual=inner.residual and InDatasets(node.datasets, inner.residual))
            case Linked() | Exists() | Equal() | Compare() | Match() | GeoQuery():
                return self._of_attribute(node, view)
            case IdMatches():
                found = self.pattern(node, "e.id")
                return Condition(TRUE, node) if found is None else Condition(found)
        return Condition(self._entity(node))

    def attribute(self, path: Path, view: View) -> int | None:
        """Return the number of a path's attribute, None where it is hidden from all matches or was never stored."""
        sight = self._sights.of(path, view.restriction)
        if not (sight.shown or sight.depends):
            return None
        attr = self.lookup.name(path.attribute)
        if attr is not None and sight.shown != self.typesets:
            self._shown_in[attr] = sight.shown
        return attr

    def depends(self, path: Path, view: View) -> bool:
        """Tell whether more than the types decides if a path of an entity is shown: then only the document can tell."""
        return self._sights.of(path, view.restriction).depends

    def alive(self, row: str, attr: int, view: View) -> str:
        """Return SQL for "the instance of the attribute may be looked at"."""
        sql = f"({row}.expires_at IS NULL OR {row}.expires_at > {self.now})"
        if attr in self._shown_in and not view.restriction.everything:
            sql += f" AND {row}.typeset IN ({numbers(self._shown_in[attr]) or -1})"
        if view.datasets is None:
            return sql
        found = (RESERVED_NAME if iri == "@none" else self.lookup.name(iri) for iri in view.datasets)
        return f"{sql} AND {row}.dataset IN ({numbers(n for n in found if n is not None) or -1})"

    def of_types(self, row: str) -> str:
        """Return SQL for "the row is of an entity with one of the type sets"."""
        if len(self.typesets) == 1:
            return f"{row}.typeset = {numbers(self.typesets)}"
        return f"{row}.typeset IN ({numbers(self.typesets)})"

    def predicates(self, node: Equal | Compare) -> list[Predicate]:
        if isinstance(node, Compare):
            return [comparison(node, self.bind)]
        return [equality(value, self.bind) for value in node.values]

    def unindexed(self, attr: int) -> bool:
        """Tell whether index rows of an attribute may be missing."""
        return self.lookup.has_unindexed(attr, self.typesets)

    def some(self, path: Path, view: View, wanted: str = TRUE) -> str:
        """Return SQL for "the attribute has a row like this"; {v} stands for the row."""
        attr = self.attribute(path, view)
        if attr is None:
            return FALSE
        row = self.row()
        return self.exists(
            f"value {row} WHERE {row}.k = e.k AND {row}.attr = {attr}"
            f" AND {wanted.format(v=row)} AND {self.alive(row, attr, view)}"
        )

    def living(self, geometry: str, attr: int, view: View) -> str:
        """Return SQL for "the instance of this row of a geometry may be looked at"."""
        row = self.row()
        return self.exists(
            f"value {row} WHERE {row}.k = {geometry}.k AND {row}.attr = {geometry}.attr"
            f" AND {row}.dataset = {geometry}.dataset AND {row}.seq = 0 AND {self.alive(row, attr, view)}"
        )

    def _of_attribute(self, node: Linked | Leaf | GeoQuery, view: View) -> Condition:
        path = node.path if isinstance(node, Exists | Equal | Compare | Match) else _path(node)
        if self.depends(path, view):
            # Whoever sees everything finds more.
            return Condition(self._of_attribute(node, replace(view, restriction=EVERYTHING)).sql, node)
        if isinstance(node, Linked):
            kinds = [Kind.URI, Kind.LONG_URI, Kind.UNINDEXED]
            return Condition(self.some(path, view, kind_in(kinds, True)), node)
        if isinstance(node, GeoQuery):
            attr = self.attribute(path, view)
            return Condition(FALSE) if attr is None else self.geo(node, attr, view)
        return self._leaf(node, view)

    def _leaf(self, node: Leaf, view: View) -> Condition:
        path = node.path
        if path.is_entity_member:
            return self._entity_member(node)
        attr = self.attribute(path, view)
        if attr is None:
            return Condition(FALSE)
        if not path.is_attribute:
            return Condition(self.some(path, view), node)
        if isinstance(node, Exists):
            return Condition(self.some(path, view))
        if isinstance(node, Match):
            return self._match(node, view)
        predicates = self.predicates(node)
        if not all(predicate.exact for predicate in predicates) or self.unindexed(attr):
            return Condition(self.some(path, view), node)
        wanted = any_of([f"{predicate.bound} AND {predicate.rest}" for predicate in predicates])
        if isinstance(node, Equal) and node.negated:
            return Condition(self._instance_without(path, view, wanted))
        return Condition(self.some(path, view, wanted))

    def _instance_without(self, path: Path, view: View, unwanted: str, first: str = "{v}.seq = 0") -> str:
        """Return SQL for "the attribute has an instance, with a row `first`, of which no row is like this"."""
        other = self.row()
        found = self.exists(
            f"value {other} WHERE {other}.k = {{v}}.k AND {other}.attr = {{v}}.attr"
            f" AND {other}.dataset = {{v}}.dataset AND {unwanted.format(v=other)}"
        )
        return self.some(path, view, f"{first} AND NOT {found}")

    def _match(self, node: Match, view: View) -> Condition:
        """Search texts in their index rows; an entity that has a text too long for that is asked itself."""
        strings = kind_in(STRING_KINDS)
        searched = self.pattern(node, "{v}.txt")
        if searched is None:
            kinds = kind_in([*STRING_KINDS, Kind.LONG_STRING, Kind.UNINDEXED])
            return Condition(self.some(node.path, view, kinds), node)
        found = f"{strings} AND {searched}"
        indexed = (
            self._instance_without(node.path, view, found, strings)
            if node.negated
            else self.some(node.path, view, found)
        )
        partial = self.some(node.path, view, kind_in([Kind.LONG_STRING, Kind.UNINDEXED]))
        return self.undecided(node, view, partial, indexed)

    def _entity_member(self, node: Leaf) -> Condition:
        name = node.path.attribute
        if isinstance(node, Exists):
            return Condition(_EXISTS[name])
        if isinstance(node, Compare) and name in _TIMES and isinstance(node.value, Moment):
            if node.value.type != "DateTime":
                return Condition(FALSE)
            return Condition(f"{_TIMES[name]} {node.operator} {self.bind(node.value.value)}")
        return Condition(TRUE, node)

    def _entity(self, node: HasId | HasType | OwnedBy | InScope) -> str:
        match node:
            case HasId():
                return self.keys(node.ids)
            case OwnedBy():
                return f"e.owner IN ({','.join(map(self.bind, sorted(node.owners))) or 'NULL'})"
            case HasType():
                found = having(node, self.lookup.typesets) & self.typesets
                if found == self.typesets:
                    return TRUE
                return f"e.typeset IN ({numbers(found)})" if found else FALSE
            case InScope():
                alone = [group[0] for group in node.any_of if len(group) == 1]
                scoped = [self.in_some(alone)] if alone else []
                groups = [group for group in node.any_of if len(group) > 1]
                return any_of([*scoped, *(" AND ".join(self.in_some([each]) for each in group) for group in groups)])


def all_of(conditions: Sequence[Condition]) -> Condition:
    """Return the conjunction; the document is asked once for all that it must answer."""
    if any(c.sql == FALSE for c in conditions):
        return Condition(FALSE)
    sql = " AND ".join(c.sql for c in conditions if c.sql != TRUE) or TRUE
    asked = [c for c in conditions if c.residual is not None]
    residuals = tuple(c.residual for c in asked if c.residual is not None)
    if len(residuals) > 1:
        return Condition(sql, And(residuals), unsure_if_any(asked))
    return Condition(sql, *((residuals[0], asked[0].unsure) if residuals else ()))


def _either(conditions: Conditions, node: Or, view: View) -> Condition:
    """Return the disjunction, less what is known to be false."""
    found = [(each, term) for term in node.terms if (each := conditions.condition(term, view)).sql != FALSE]
    if any(condition == Condition(TRUE) for condition, _ in found):
        return Condition(TRUE)
    if not found:
        return Condition(FALSE)
    return found[0][0] if len(found) == 1 else conditions.either(node, found, view)


def _negated(inner: Condition, node: Not) -> Condition:
    if inner.sql == FALSE:
        return Condition(TRUE)
    if inner.residual is not None:
        return Condition(TRUE, node)
    return Condition(FALSE if inner.sql == TRUE else f"({inner.sql}) IS NOT TRUE")


def _path(node: Linked | GeoQuery) -> Path:
    return Path(node.relationship if isinstance(node, Linked) else node.attribute)


def unsure_if_any(conditions: Iterable[Condition]) -> str:
    """Return SQL for "one of these conditions, which all have residuals, must be asked"."""
    found = [condition.unsure for condition in conditions]
    return TRUE if TRUE in found else any_of(found)


def numbers(ids: Iterable[int]) -> str:
    return ",".join(map(str, sorted(ids)))
