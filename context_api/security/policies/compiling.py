"""Policies -> the restrictions that storage and plain evaluator enforce (decision 19), kept for each caller."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from context_api.security.access import FULL, Access
from context_api.security.policies.decide import administers
from context_api.security.policies.keeping import Policies
from context_api.security.policies.model import Action, Policy, Rule, RuleKind, attributes_of, where_of
from context_api.security.principal import ANONYMOUS, LOCAL, Principal
from context_api.storage.port import Tenant
from ngsild.query import Restriction
from ngsild.query.restriction import Rule as Shown
from ngsild.query.restriction import merged

#: Callers whose rights are kept.
_MOST_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    access: Access
    revision: int
    until: float
    """Microseconds since 1970 UTC: then a period begins or ends."""


class Accesses:
    """What callers may do, compiled once for each caller and tenant until a policy changes or a period ends."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._kept: OrderedDict[tuple[Principal, int], _Kept] = OrderedDict()

    def of(self, principal: Principal, tenant: Tenant, now: int) -> Access:
        """Return what a caller may do in a tenant at a moment."""
        if principal is LOCAL:
            return FULL
        key = principal, tenant.id
        kept = self._kept.get(key)
        if kept is None or kept.revision != self._policies.revision or now >= kept.until:
            rules = list(_concerning(self._policies.in_force(tenant), principal, tenant))
            kept = _Kept(access(rules, principal, now), self._policies.revision, _until(rules, now))
            self._kept[key] = kept
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept.access

    def administers(self, principal: Principal, tenant: Tenant | None, now: int) -> bool:
        """Tell whether a caller looks after a tenant; of one that does not exist, whether it looks after all."""
        policies = self._policies.of_platform if tenant is None else self._policies.in_force(tenant)
        return administers(policies, principal, None if tenant is None else tenant.name, now)


def access(rules: Iterable[Rule], principal: Principal, now: int) -> Access:
    """Return what the rules that concern a caller come to."""
    in_force = [rule for rule in rules if rule.constraints.hold_at(now) and rule.is_for(None)]
    owner = None if principal == ANONYMOUS else principal.identity
    read, create, update, delete = (
        _restriction(in_force, principal, action)
        for action in (Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE)
    )
    return Access(read, create, update, delete, owner)


def _concerning(policies: Iterable[Policy], principal: Principal, tenant: Tenant) -> Iterator[Rule]:
    for policy in policies:
        if policy.is_binding:
            for rule in policy.rules:
                if rule.concerns(principal) and rule.target.is_of(tenant.name):
                    yield rule


def _restriction(rules: Iterable[Rule], principal: Principal, action: Action) -> Restriction:
    found: dict[RuleKind, list[Shown]] = {kind: [] for kind in RuleKind}
    for rule in rules:
        if action in rule.actions and not (rule.kind is RuleKind.PERMISSION and _has_quota(rule)):
            where = where_of(rule.target, principal)
            found[rule.kind] += [
                Shown(types, where, attributes, rule.target.datasets)
                for types, attributes in attributes_of(rule.target, action)
            ]
    return Restriction(merged(found[RuleKind.PERMISSION]), merged(found[RuleKind.PROHIBITION]))


def _has_quota(rule: Rule) -> bool:
    """Tell whether a rule holds only up to a number of requests or an amount of data, which nobody counts yet."""
    constraints = rule.constraints
    limits = (constraints.requests_per_minute, constraints.entities_per_day, constraints.bytes_per_day)
    return any(limit is not None for limit in limits)


def _until(rules: Iterable[Rule], now: int) -> float:
    """Return the next moment at which a period begins or ends."""
    moments = (each for rule in rules for each in (rule.constraints.valid_from, rule.constraints.valid_until))
    return min((moment for moment in moments if moment is not None and moment > now), default=inf)
