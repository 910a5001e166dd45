"""A query as a conjunction of terms, and what of it is known before any row is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ngsild.query import EntityQuery, Restriction
from ngsild.query.ast import (
    And,
    Compare,
    Equal,
    Exists,
    GeoQuery,
    HasId,
    HasType,
    InDatasets,
    Linked,
    Match,
    Node,
    Not,
    Or,
)
from ngsild.query.target import View

Typesets = Mapping[int, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the conjunction that a query is, with what it may look at."""

    node: Node
    view: View


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms that a match of a query meets, and the types and ids that it may have by them."""

    all: tuple[Term, ...]
    typesets: frozenset[int]
    ids: frozenset[str] | None
    """None where a match may have any id."""
    restriction: Restriction
    """What of the caller's restriction concerns such matches."""

    @classmethod
    def of(cls, query: EntityQuery, restriction: Restriction, typesets: Typesets, now: int) -> Terms:
        """Return the terms of a query and of the predicate that restricts the caller, which sees every attribute."""
        condition = query.condition()
        narrowed = restriction.among(frozenset(typesets[n] for n in _typesets(condition, typesets)))
        found = list(_conjunction(condition, View(now, narrowed)))
        if narrowed.row is not None:
            found += _conjunction(narrowed.row, View(now))
        whole = And(tuple(term.node for term in found))
        return cls(tuple(found), _typesets(whole, typesets), _ids(whole), narrowed)

    def left(self, used: Term | None) -> list[Term]:
        """Return the terms to be checked beside the one that the driver fulfils; type sets are checked anyway."""
        return [term for term in self.all if term is not used and not isinstance(term.node, HasType)]


def having(selection: HasType, typesets: Typesets) -> set[int]:
    """Return the numbers of the type sets that a type selection admits."""
    return {n for n, types in typesets.items() if any(wanted <= types for wanted in selection.any_of)}


def names_in(query: EntityQuery, restriction: Restriction) -> set[str]:
    """Return the IRIs of attributes and datasets that a query and a restriction speak of."""
    found = {iri for node in _nodes(query.condition(), restriction) for iri in _names(node)}
    if query.order is not None:
        found |= {key.path.attribute for key in query.order.keys}
    return {iri for iri in found | (query.datasets or frozenset()) if ":" in iri}


def compared_in(query: EntityQuery, restriction: Restriction) -> set[str]:
    """Return the IRIs of attributes whose values are compared with values that an index may hold."""
    return {
        node.path.attribute
        for node in _nodes(query.condition(), restriction)
        if isinstance(node, Equal | Compare) and node.path.is_attribute
    }


def located_in(query: EntityQuery, restriction: Restriction) -> set[str]:
    """Return the IRIs of attributes whose geometries are asked for a relation."""
    return {node.attribute for node in _nodes(query.condition(), restriction) if isinstance(node, GeoQuery)}


def _nodes(condition: Node, restriction: Restriction) -> Iterator[Node]:
    waiting = [condition] if restriction.row is None else [condition, restriction.row]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, And | Or):
            waiting += node.terms
        elif isinstance(node, InDatasets | Not):
            waiting.append(node.term)


def _names(node: Node) -> Iterable[str]:
    match node:
        case Exists() | Equal() | Compare() | Match():
            return [node.path.attribute]
        case GeoQuery():
            return [node.attribute]
        case Linked():
            return [node.relationship]
        case InDatasets():
            return node.datasets
    return []


def _conjunction(node: Node, view: View) -> Iterator[Term]:
    """Yield the terms that must all hold."""
    match node:
        case And():
            for term in node.terms:
                yield from _conjunction(term, view)
        case InDatasets():
            yield from _conjunction(node.term, view.in_datasets(node.datasets))
        case _:
            yield Term(node, view)


def _typesets(node: Node, typesets: Typesets) -> frozenset[int]:
    """Return the type sets that a match may have."""
    match node:
        case And():
            return frozenset(typesets).intersection(*(_typesets(term, typesets) for term in node.terms))
        case Or():
            return frozenset[int]().union(*(_typesets(term, typesets) for term in node.terms))
        case InDatasets():
            return _typesets(node.term, typesets)
        case HasType():
            return frozenset(having(node, typesets))
        case Not(term=HasType() as excluded):
            return frozenset(typesets.keys() - having(excluded, typesets))
    return frozenset(typesets)


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
