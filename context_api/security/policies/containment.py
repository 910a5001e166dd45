"""May somebody grant this? Sure where it says yes: then nothing is granted that the granter lacks.

It does not find every grant that would be in order. What it cannot see at once, it refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from context_api.security.policies.model import (
    SELF,
    Action,
    Constraints,
    Policy,
    Rule,
    RuleKind,
    Target,
    owners_of,
)
from context_api.security.policies.personal import NON_PERSONAL, never_personal
from context_api.security.principal import ANONYMOUS, DEFAULT, LOCAL, Principal
from ngsild.query import HasType, InScope, Node
from ngsild.query.ast import And, ScopePattern


def contained(
    rule: Rule, principal: Principal, policies: Iterable[Policy], tenant: str | None, everywhere: bool
) -> bool:
    """Tell whether a caller may grant a rule, or take it away, in a tenant or `everywhere`.

    It needs a permission to administer what the rule is about and to do what the rule allows; to permit something of
    its own entities an owner needs only the second.
    """
    if principal == LOCAL:
        return True
    if principal == ANONYMOUS:
        return False
    granted = rule if everywhere else replace(rule, target=_within(rule.target, tenant))
    own = [each for policy in policies if policy.is_binding for each in policy.rules if each.concerns(principal)]
    needed = _needed(granted, principal)
    prohibitions = [each for each in own if each.kind is RuleKind.PROHIBITION and each.actions & needed]
    if any(not _apart(granted, each) for each in prohibitions):
        return False
    permissions = (each for each in own if each.kind is RuleKind.PERMISSION and each.actions >= needed)
    return any(_holds_all(granted, each, principal) for each in permissions)


def _needed(rule: Rule, principal: Principal) -> frozenset[Action]:
    own = rule.target.owners == frozenset({principal.identity})
    permits = rule.kind is RuleKind.PERMISSION and Action.ADMINISTER not in rule.actions
    return rule.actions if own and permits else rule.actions | {Action.ADMINISTER}


def _within(target: Target, tenant: str | None) -> Target:
    """Return the target of a policy of one tenant."""
    own = frozenset({tenant or DEFAULT})
    return replace(target, tenants=own if target.tenants is None else own & target.tenants)


def _holds_all(rule: Rule, held: Rule, principal: Principal) -> bool:
    return _constraints_within(rule.constraints, held.constraints) and _target_within(
        rule.target, held.target, principal
    )


# Constraints


def _constraints_within(asked: Constraints, held: Constraints) -> bool:
    if held.valid_from is not None and (asked.valid_from is None or asked.valid_from < held.valid_from):
        return False
    if held.valid_until is not None and (asked.valid_until is None or asked.valid_until > held.valid_until):
        return False
    quotas: Sequence[tuple[int | None, int | None]] = (
        (asked.requests_per_minute, held.requests_per_minute),
        (asked.entities_per_day, held.entities_per_day),
        (asked.bytes_per_day, held.bytes_per_day),
    )
    return _subset(asked.purposes, held.purposes) and all(
        most is None or (own is not None and own <= most) for own, most in quotas
    )


# Targets


def _target_within(asked: Target, held: Target, principal: Principal) -> bool:
    return (
        _subset(asked.tenants, held.tenants)
        and _types_within(asked.types, held.types)
        and _ids_within(asked, held)
        and _scopes_within(asked.scopes, held.scopes)
        and _attributes_within(asked.readable, held.readable)
        and _attributes_within(asked.writable, held.writable)
        and _subset(asked.datasets, held.datasets)
        and _owners_within(asked.owners, held.owners, principal)
        and _condition_within(asked.q, held.q)
        and (held.geo is None or asked.geo == held.geo)
    )


def _subset(asked: frozenset[str] | None, held: frozenset[str] | None) -> bool:
    return held is None or (asked is not None and asked <= held)


def _types_within(asked: HasType | None, held: HasType | None) -> bool:
    if held is None:
        return True
    alternatives = (frozenset(),) if asked is None else asked.any_of
    return all(any(allowed <= each for allowed in held.any_of) for each in alternatives)


def _ids_within(asked: Target, held: Target) -> bool:
    if not _subset(asked.ids, held.ids):
        return False
    if held.id_pattern is None or asked.id_pattern == held.id_pattern:
        return True
    return asked.ids is not None and all(map(held.id_pattern.found_in, asked.ids))


def _scopes_within(asked: InScope | None, held: InScope | None) -> bool:
    if held is None:
        return True
    return asked is not None and all(
        any(all(any(_scope_within(one, other) for one in group) for other in allowed) for allowed in held.any_of)
        for group in asked.any_of
    )


def _scope_within(asked: ScopePattern, held: ScopePattern) -> bool:
    """Tell whether every scope that one pattern matches is matched by the other."""
    if len(asked.levels) < len(held.levels):
        return False
    if len(asked.levels) > len(held.levels) and not held.subtree:
        return False
    if asked.subtree and not held.subtree:
        return False
    return all(want in ("+", level) for want, level in zip(held.levels, asked.levels, strict=False))


def _attributes_within(asked: frozenset[str] | None, held: frozenset[str] | None) -> bool:
    if held is None:
        return True
    if asked is None:
        return False
    # Which attributes a caller with NON_PERSONAL has differs by type, but for those that are personal nowhere.
    known = held | never_personal() if NON_PERSONAL in held else held
    return asked <= known


def _owners_within(asked: frozenset[str] | None, held: frozenset[str] | None, principal: Principal) -> bool:
    if held is None:
        return True
    # Whoever is granted something of its own owns other entities than the granter does.
    return asked is not None and SELF not in asked and asked <= owners_of(held, principal)


def _condition_within(asked: Node | None, held: Node | None) -> bool:
    if held is None or asked == held:
        return True
    return isinstance(asked, And) and (
        held in asked.terms or (isinstance(held, And) and set(held.terms) <= set(asked.terms))
    )


# Prohibitions


def _apart(rule: Rule, prohibition: Rule) -> bool:
    """Tell whether a prohibition surely takes nothing from what a rule is about."""
    one, other = rule.target, prohibition.target
    if (
        _disjoint(one.tenants, other.tenants)
        or _disjoint(one.ids, other.ids)
        or _disjoint(one.datasets, other.datasets)
    ):
        return True
    since, until = prohibition.constraints.valid_from, prohibition.constraints.valid_until
    ended = until is not None and rule.constraints.valid_from is not None and until <= rule.constraints.valid_from
    ahead = since is not None and rule.constraints.valid_until is not None and rule.constraints.valid_until <= since
    return ended or ahead


def _disjoint(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is not None and other is not None and one.isdisjoint(other)
