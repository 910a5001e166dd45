"""A policy as the broker holds it: rules of who may do what with which entities. Every name in it is an IRI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from context_api.security.policies.personal import NON_PERSONAL, without_personal
from context_api.security.principal import ANONYMOUS, DEFAULT, Principal
from ngsild.query import GeoQuery, HasType, InScope, Node, Pattern
from ngsild.query.ast import And, HasId, IdMatches, OwnedBy

SELF = "https://w3id.org/voltweave/policies#assignee"
"""Stands among owners for the caller itself."""


class PolicyKind(StrEnum):
    """The classes of policies that ODRL has; an Offer is kept and gives nothing."""

    SET = "Set"
    OFFER = "Offer"
    AGREEMENT = "Agreement"


class RuleKind(StrEnum):
    """What a rule says of its actions."""

    PERMISSION = "permission"
    PROHIBITION = "prohibition"


class AssigneeKind(StrEnum):
    """What a caller is known by."""

    ROLE = "role"
    GROUP = "group"
    USER = "user"
    CLIENT = "client"
    AUTHENTICATED = "authenticated"
    PUBLIC = "public"


class Action(StrEnum):
    """What may be done; `profile.OPERATIONS` names the operations of each."""

    READ = "read"
    SUBSCRIBE = "subscribe"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    FEDERATE = "federate"
    ADMINISTER = "administer"


#: Actions that show attributes, and those that set them; ADMINISTER is about both.
READING = frozenset({Action.READ, Action.SUBSCRIBE, Action.FEDERATE, Action.ADMINISTER})
WRITING = frozenset({Action.CREATE, Action.UPDATE, Action.DELETE, Action.ADMINISTER})


@dataclass(frozen=True, slots=True)
class Assignee:
    """Whom a rule concerns: `name` is a role, the path of a group, a client's id, or a user's `Principal.identity`."""

    kind: AssigneeKind
    name: str = ""
    """Empty for everybody who is authenticated, and for everybody at all."""

    def is_met_by(self, principal: Principal) -> bool:
        """Tell whether a caller is meant. The public is everybody, with a token or without."""
        match self.kind:
            case AssigneeKind.ROLE:
                return self.name in principal.roles
            case AssigneeKind.GROUP:
                return self.name in principal.groups
            case AssigneeKind.USER:
                return principal != ANONYMOUS and self.name == principal.identity
            case AssigneeKind.CLIENT:
                return principal != ANONYMOUS and self.name == principal.client
            case AssigneeKind.AUTHENTICATED:
                return principal != ANONYMOUS
        return True


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule is about; every member that is given must hold, None stands for no limit."""

    tenants: frozenset[str] | None = None
    """Names, "default" for the default tenant."""
    types: HasType | None = None
    ids: frozenset[str] | None = None
    id_pattern: Pattern | None = None
    scopes: InScope | None = None
    readable: frozenset[str] | None = None
    """Attributes that are shown, or of a prohibition hidden; NON_PERSONAL for those that the model calls so."""
    writable: frozenset[str] | None = None
    """The same of attributes that are set, changed or deleted."""
    datasets: frozenset[str] | None = None
    """datasetIds of instances, "@none" for default ones."""
    owners: frozenset[str] | None = None
    """Owners of entities by `Principal.identity`; SELF for the caller."""
    q: Node | None = None
    """A query that follows no link."""
    geo: GeoQuery | None = None

    def is_of(self, tenant: str | None) -> bool:
        """Tell whether a tenant is meant, None being the default one."""
        return self.tenants is None or (tenant or DEFAULT) in self.tenants


@dataclass(frozen=True, slots=True)
class Constraints:
    """When and how a rule holds; None stands for no limit."""

    valid_from: int | None = None
    """Microseconds since 1970 UTC, the first at which it holds."""
    valid_until: int | None = None
    """Microseconds since 1970 UTC, the first at which it holds no more."""
    purposes: frozenset[str] | None = None
    requests_per_minute: int | None = None
    entities_per_day: int | None = None
    bytes_per_day: int | None = None

    @property
    def has_quota(self) -> bool:
        """Whether the rule holds only up to a number of requests or an amount of data."""
        limits = (self.requests_per_minute, self.entities_per_day, self.bytes_per_day)
        return any(limit is not None for limit in limits)

    def hold_at(self, moment: int) -> bool:
        """Tell whether a moment lies in the period."""
        return (self.valid_from is None or self.valid_from <= moment) and (
            self.valid_until is None or moment < self.valid_until
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A permission or prohibition of actions, for some, on something."""

    kind: RuleKind
    assignees: frozenset[Assignee]
    actions: frozenset[Action]
    target: Target = field(default_factory=Target)
    constraints: Constraints = field(default_factory=Constraints)

    def concerns(self, principal: Principal) -> bool:
        """Tell whether a caller is one of those whom the rule is about."""
        return any(assignee.is_met_by(principal) for assignee in self.assignees)

    def is_for(self, purpose: str | None) -> bool:
        """Tell whether the rule holds for a purpose.

        A request that names none is under the prohibitions of every purpose and has the permissions of none.
        """
        purposes = self.constraints.purposes
        if purposes is None or purpose in purposes:
            return True
        return purpose is None and self.kind is RuleKind.PROHIBITION


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules under one name, which the next version replaces together."""

    uid: str
    name: str
    version: int
    rules: tuple[Rule, ...]
    kind: PolicyKind = PolicyKind.SET
    assigner: str | None = None

    @property
    def is_binding(self) -> bool:
        """Tell whether its rules hold: an offer is one that nobody took yet."""
        return self.kind is not PolicyKind.OFFER


def where_of(target: Target, principal: Principal) -> Node | None:
    """Return what a target asks of an entity beside its types, for one caller; None where it asks nothing."""
    terms: list[Node] = []
    if target.ids is not None:
        terms.append(HasId(target.ids))
    if target.id_pattern is not None:
        terms.append(IdMatches(target.id_pattern))
    if target.scopes is not None:
        terms.append(target.scopes)
    if target.owners is not None:
        terms.append(OwnedBy(owners_of(target.owners, principal)))
    if target.q is not None:
        terms.append(target.q)
    if target.geo is not None:
        terms.append(target.geo)
    if len(terms) > 1:
        return And(tuple(terms))
    return terms[0] if terms else None


def owners_of(owners: frozenset[str], principal: Principal) -> frozenset[str]:
    """Return owners with the caller in the place of SELF; the public owns nothing, so it stands for nobody."""
    if SELF not in owners:
        return owners
    return (owners - {SELF}) | (set() if principal == ANONYMOUS else {principal.identity})


def attributes_of(target: Target, action: Action) -> Iterator[tuple[HasType | None, frozenset[str] | None]]:
    """Yield types of entities with the attributes that an action on a target reaches, None for all of each.

    They are one pair but for NON_PERSONAL, which means other attributes in other types.
    """
    attributes = target.readable if action in READING else target.writable
    if attributes is None or NON_PERSONAL not in attributes:
        yield target.types, attributes
    else:
        yield from without_personal(target.types, attributes - {NON_PERSONAL})
