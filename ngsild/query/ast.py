"""The query AST: what a query or a restriction asks of one entity (CIM 009 clauses 4.9, 4.10, 4.17 and 4.19).

Every name in it is an IRI and every node is immutable. `evaluate.matches` gives its meaning; the SQL of each database
is held to be equal to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ngsild.query.pattern import Pattern

#: System members that hold a DateTime, on entities and on attribute instances.
TEMPORAL_MEMBERS = frozenset({"createdAt", "modifiedAt", "deletedAt", "expiresAt", "observedAt"})
#: Members whose values are IRIs and so are written as terms in a query.
TERM_MEMBERS = frozenset({"type", "objectType", "valueType"})
ENTITY_MEMBERS = frozenset({"id", "type", "scope", "createdAt", "modifiedAt", "deletedAt", "expiresAt"})
INSTANCE_MEMBERS = TEMPORAL_MEMBERS | {"unitCode", "datasetId", "objectType", "valueType"}


@dataclass(frozen=True, slots=True)
class Key:
    """One name of a trailing path: as written, and as the IRI under which compound Property values keep it."""

    raw: str
    iri: str


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value is: an attribute, down its sub-attributes, then a reserved member or into the compound value."""

    attribute: str
    """IRI of a first-level attribute, or one of ENTITY_MEMBERS."""
    sub_attributes: tuple[str, ...] = ()
    member: str | None = None
    """One of INSTANCE_MEMBERS of the instance at the end of the path."""
    trail: tuple[Key, ...] = ()
    """What stood in brackets: keys inside the value, or one language tag."""
    raw_keys: bool = False
    """Keys of the trail are looked up as written only (jsonKeys)."""

    @property
    def is_entity_member(self) -> bool:
        return ":" not in self.attribute

    @property
    def is_attribute(self) -> bool:
        """Tell whether this is a first-level attribute and nothing below it."""
        return not (self.is_entity_member or self.sub_attributes or self.member or self.trail)


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Boolean:
    value: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string, a URI or an expanded term."""

    value: str


MomentType = Literal["DateTime", "Date", "Time"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A DateTime or Date in microseconds since 1970 UTC, or a Time in microseconds since midnight (clause 4.6.3)."""

    value: int
    type: MomentType = "DateTime"


Scalar = Number | Boolean | Text | Moment


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval of numbers, texts or moments."""

    low: Scalar
    high: Scalar


@dataclass(frozen=True, slots=True)
class And:
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    path: Path


@dataclass(frozen=True, slots=True)
class Equal:
    """The target value is one of the values, in one of the ranges, or an array that holds one of the values."""

    path: Path
    values: tuple[Scalar | Range, ...]
    negated: bool = False
    """Then: there is a target value for which that is not so."""


@dataclass(frozen=True, slots=True)
class Compare:
    path: Path
    operator: Literal["<", "<=", ">", ">="]
    value: Scalar


@dataclass(frozen=True, slots=True)
class Match:
    path: Path
    pattern: Pattern
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Linked:
    """An entity that a Relationship names, of one of `types` where given, meets a term (4.9, EXAMPLES 13 and 14)."""

    relationship: str
    types: frozenset[str]
    term: Node


@dataclass(frozen=True, slots=True)
class HasId:
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class IdMatches:
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class OwnedBy:
    """The entity is owned by one of these principals; one without an owner is owned by none."""

    owners: frozenset[str]


@dataclass(frozen=True, slots=True)
class HasType:
    """The entity has all types of one of these sets; an empty set asks for nothing."""

    any_of: tuple[frozenset[str], ...]


ANY_TYPE = HasType((frozenset(),))
"""The type selection `*`."""


@dataclass(frozen=True, slots=True)
class ScopePattern:
    """Scope levels, "+" for any one of them; with `subtree` also every scope below."""

    levels: tuple[str, ...]
    subtree: bool = False


@dataclass(frozen=True, slots=True)
class InScope:
    """Every pattern of one of these groups matches some scope of the entity."""

    any_of: tuple[tuple[ScopePattern, ...], ...]


GeoRelation = Literal[
    "maxDistance", "minDistance", "within", "contains", "intersects", "equals", "disjoint", "overlaps"
]


@dataclass(frozen=True, slots=True)
class GeoQuery:
    """A GeoProperty has an instance in this relation to a reference geometry (clause 4.10)."""

    attribute: str
    relation: GeoRelation
    geometry: str
    """The reference geometry as GeoJSON text."""
    distance: float = 0.0
    """Metres, for maxDistance and minDistance."""


@dataclass(frozen=True, slots=True)
class InDatasets:
    """A term that sees only the attribute instances with these datasetIds, "@none" for default ones (clause 4.5.5)."""

    datasets: frozenset[str]
    term: Node


Leaf = Exists | Equal | Compare | Match
Node = And | Or | Leaf | Linked | HasId | IdMatches | HasType | InScope | OwnedBy | GeoQuery | InDatasets


def link_depth(node: Node) -> int:
    """Return how many links a query follows, to be held against joinLevel (clause 5.7.2.4)."""
    match node:
        case And() | Or():
            return max((link_depth(term) for term in node.terms), default=0)
        case Linked():
            return 1 + link_depth(node.term)
        case InDatasets():
            return link_depth(node.term)
    return 0


def names_attribute(node: Node) -> bool:
    """Tell whether a query names a non-system attribute, without which it is too wide (clause 5.7.2.4)."""
    match node:
        case And() | Or():
            return any(names_attribute(term) for term in node.terms)
        case InDatasets():
            return names_attribute(node.term)
        case Exists() | Equal() | Compare() | Match():
            return not node.path.is_entity_member
        case Linked() | GeoQuery():
            return True
    return False
