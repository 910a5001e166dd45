"""A whole query for entities (CIM 009 clauses 5.2.23, 5.2.33 and 5.7.2)."""

from __future__ import annotations

from dataclasses import dataclass

from ngsild.query.ast import And, Exists, GeoQuery, HasId, HasType, IdMatches, InDatasets, InScope, Node, Or, Path
from ngsild.query.order import Ordering
from ngsild.query.pattern import Pattern


@dataclass(frozen=True, slots=True)
class Selector:
    """What an entity is selected by; every member that is given must hold."""

    ids: frozenset[str] | None = None
    types: HasType | None = None
    id_pattern: Pattern | None = None

    def condition(self) -> Node:
        terms: list[Node] = []
        if self.ids is not None:
            terms.append(HasId(self.ids))
        if self.types is not None:
            terms.append(self.types)
        if self.id_pattern is not None:
            terms.append(IdMatches(self.id_pattern))
        return terms[0] if len(terms) == 1 else And(tuple(terms))


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """Which entities, and in which order; every member that is given must hold."""

    selectors: tuple[Selector, ...] = ()
    """One of them must match; none stands for every entity."""
    attributes: frozenset[str] | None = None
    """IRIs of attributes (attrs) of which the entity has at least one."""
    q: Node | None = None
    geo: GeoQuery | None = None
    scope: InScope | None = None
    datasets: frozenset[str] | None = None
    """datasetIds ("@none" for default instances) of the instances that q and the ordering look at; None for all."""
    order: Ordering | None = None

    def condition(self) -> Node:
        """Return all of it, but for the order, as one node."""
        terms: list[Node] = []
        if self.selectors:
            choices = tuple(selector.condition() for selector in self.selectors)
            terms.append(choices[0] if len(choices) == 1 else Or(choices))
        if self.attributes is not None:
            names = sorted(self.attributes)
            terms.append(Or(tuple(Exists(Path(name)) for name in names)))
        if self.scope is not None:
            terms.append(self.scope)
        if self.geo is not None:
            terms.append(self.geo)
        if self.q is not None:
            terms.append(self.q if self.datasets is None else InDatasets(self.datasets, self.q))
        return terms[0] if len(terms) == 1 else And(tuple(terms))
