"""Policies -> the restrictions that storage and plain evaluator enforce (decision 19), kept for each caller."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

from context_api.security.access import FULL, Access
from context_api.security.policies.decide import administers
from context_api.security.policies.keeping import Policies
from context_api.security.policies.model import Action, Policy, Rule, RuleKind, attributes_of, where_of
from context_api.security.policies.quotas import Meters, Quota, Use, quotas_of
from context_api.security.policies.tables import PLATFORM
from context_api.security.principal import ANONYMOUS, LOCAL, Principal
from context_api.storage.port import Tenant
from ngsild.problems import TooManyRequests
from ngsild.query import Restriction
from ngsild.query.restriction import Rule as Shown
from ngsild.query.restriction import merged

#: Callers whose rights are kept, and for each of them, sets of permissions that have quotas.
_MOST_KEPT: Final = 10_000
_MOST_SETS: Final = 32


@dataclass(frozen=True, slots=True)
class Metered:
    """A permission with the quotas that a caller has of it."""

    rule: Rule
    quotas: tuple[Quota, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    access: Access
    """What the rules without quotas come to."""
    revision: int
    until: float
    """Microseconds since 1970 UTC: then a period begins or ends."""
    rules: tuple[Rule, ...]
    """Those without quotas."""
    metered: tuple[Metered, ...]
    with_metered: dict[tuple[Metered, ...], Access] = field(default_factory=dict)
    """What they come to with some of the others."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller may do in one request."""

    access: Access
    use: Use | None = None
    """What it uses of quotas; None where it meets none."""


class Accesses:
    """What callers may do, compiled once for each caller and tenant until a policy changes or a period ends."""

    def __init__(self, policies: Policies, meters: Meters) -> None:
        self._policies = policies
        self._meters = meters
        self._kept: OrderedDict[tuple[Principal, int], _Kept] = OrderedDict()

    def of(self, principal: Principal, tenant: Tenant, now: int, actions: frozenset[Action]) -> Given:
        """Return what a caller may do in a tenant by a request that needs these actions, and count the request.

        Raises TooManyRequests where nothing but permissions whose quota is spent would give one of the actions.
        """
        if principal is LOCAL:
            return _EVERYTHING
        kept = self._kept_of(principal, tenant, now)
        if not kept.metered:
            return Given(kept.access)
        concerned = [each for each in kept.metered if not actions.isdisjoint(each.rule.actions)]
        if not concerned:
            return Given(kept.access)
        spent = [each for each in concerned if any(self._meters.is_spent(quota, now) for quota in each.quotas)]
        left = tuple(each for each in concerned if each not in spent)
        ended = tuple(quota for each in spent for quota in each.quotas if self._meters.is_spent(quota, now))
        _check_spent(actions, spent, [*kept.rules, *(each.rule for each in left)], ended, now)
        use = Use(self._meters, tuple(quota for each in left for quota in each.quotas), ended, now)
        return Given(_access_with(kept, left, principal, now), use)

    def _kept_of(self, principal: Principal, tenant: Tenant, now: int) -> _Kept:
        key = principal, tenant.id
        kept = self._kept.get(key)
        if kept is None or kept.revision != self._policies.revision or now >= kept.until:
            kept = self._kept[key] = self._compiled(principal, tenant, now)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept

    def _compiled(self, principal: Principal, tenant: Tenant, now: int) -> _Kept:
        platform = self._policies.of_platform
        own = self._policies.in_force(tenant)[len(platform) :]
        named = [
            *_concerning(platform, principal, tenant, PLATFORM),
            *_concerning(own, principal, tenant, tenant.id),
        ]
        in_force = [(name, rule) for name, rule in named if rule.constraints.hold_at(now) and rule.is_for(None)]
        plain, metered = [], []
        for name, rule in in_force:
            quotas = quotas_of(rule.constraints, name, principal.identity)
            if quotas:
                metered.append(Metered(rule, quotas))
            else:
                plain.append(rule)
        until = _until((rule for _, rule in named), now)
        rules = tuple(plain)
        return _Kept(access(rules, principal, now), self._policies.revision, until, rules, tuple(metered))

    def administers(self, principal: Principal, tenant: Tenant | None, now: int) -> bool:
        """Tell whether a caller looks after a tenant; of one that does not exist, whether it looks after all."""
        policies = self._policies.of_platform if tenant is None else self._policies.in_force(tenant)
        return administers(policies, principal, None if tenant is None else tenant.name, now)


_EVERYTHING: Final = Given(FULL)


def _check_spent(
    actions: frozenset[Action], spent: Iterable[Metered], rules: Iterable[Rule], ended: Iterable[Quota], now: int
) -> None:
    """Raise TooManyRequests where an action is lost because quotas are spent."""
    had = {action for each in spent for action in each.rule.actions}
    have = {action for rule in rules if rule.kind is RuleKind.PERMISSION for action in rule.actions}
    if (actions & had) - have:
        raise too_many(ended, now)


def too_many(ended: Iterable[Quota], now: int) -> TooManyRequests:
    """Return the problem of a request for which quotas that are spent left nothing."""
    found = list(ended)
    words = sorted({quota.words for quota in found})
    seconds = min(quota.ends_at(now) - now for quota in found) / 1_000_000
    return TooManyRequests(f"the quota is used up: {', '.join(words)}", seconds)


def _access_with(kept: _Kept, metered: tuple[Metered, ...], principal: Principal, now: int) -> Access:
    if not metered:
        return kept.access
    found = kept.with_metered.get(metered)
    if found is None:
        if len(kept.with_metered) >= _MOST_SETS:
            kept.with_metered.clear()
        rules = [*kept.rules, *(each.rule for each in metered)]
        found = kept.with_metered[metered] = access(rules, principal, now)
    return found


def access(rules: Iterable[Rule], principal: Principal, now: int) -> Access:
    """Return what the rules that concern a caller come to."""
    in_force = [rule for rule in rules if rule.constraints.hold_at(now) and rule.is_for(None)]
    owner = None if principal == ANONYMOUS else principal.identity
    read, create, update, delete = (
        _restriction(in_force, principal, action)
        for action in (Action.READ, Action.CREATE, Action.UPDATE, Action.DELETE)
    )
    return Access(read, create, update, delete, owner)


def _concerning(
    policies: Iterable[Policy], principal: Principal, tenant: Tenant, of: int
) -> Iterator[tuple[str, Rule]]:
    """Yield rules with names that processes agree on; `of` is the number of the tenant that has the policies."""
    for policy in policies:
        if policy.is_binding:
            for number, rule in enumerate(policy.rules):
                if rule.concerns(principal) and rule.target.is_of(tenant.name):
                    yield f"{of} {policy.uid} {number}", rule


def _restriction(rules: Iterable[Rule], principal: Principal, action: Action) -> Restriction:
    found: dict[RuleKind, list[Shown]] = {kind: [] for kind in RuleKind}
    for rule in rules:
        if action in rule.actions:
            where = where_of(rule.target, principal)
            found[rule.kind] += [
                Shown(types, where, attributes, rule.target.datasets)
                for types, attributes in attributes_of(rule.target, action)
            ]
    return Restriction(merged(found[RuleKind.PERMISSION]), merged(found[RuleKind.PROHIBITION]))


def _until(rules: Iterable[Rule], now: int) -> float:
    """Return the next moment at which a period begins or ends."""
    moments = (each for rule in rules for each in (rule.constraints.valid_from, rule.constraints.valid_until))
    return min((moment for moment in moments if moment is not None and moment > now), default=inf)
