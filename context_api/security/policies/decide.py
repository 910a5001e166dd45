"""The plain decision: may a caller do this with this entity now?

Nothing is allowed that no permission gives, and a prohibition goes before every permission. It is written to be read:
queries are compiled for speed, and tests hold them to this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from context_api.security.policies.model import Action, Policy, Rule, RuleKind, attributes_of, where_of
from context_api.security.principal import LOCAL, Principal
from ngsild.entity import Entity, instances
from ngsild.query.evaluate import holds
from ngsild.query.target import View
from ngsild.query.types import has_type

NO_DATASET = "@none"

Part = tuple[str, str]
"""An attribute, by its IRI, and the datasetId of an instance of it, "@none" for the default one."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller wants to do."""

    principal: Principal
    action: Action
    entity: Entity
    moment: int
    """Microseconds since 1970 UTC."""
    tenant: str | None = None
    """None for the default tenant."""
    parts: frozenset[Part] | None = None
    """What of the entity is wanted; None for the entity as such: that it is seen, or that all of it is written."""
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed, and by which policy: the one that permits or forbids, None where no policy speaks."""

    allowed: bool
    policy: str | None = None
    """Its uid."""


def decide(policies: Iterable[Policy], question: Question) -> Decision:
    """Return whether all that is asked for is allowed."""
    if question.principal == LOCAL:
        return Decision(True)
    speaking = [
        (policy, rule) for policy in policies if policy.is_binding for rule in policy.rules if speaks(rule, question)
    ]
    permissions = [(policy, rule) for policy, rule in speaking if rule.kind is RuleKind.PERMISSION]
    prohibitions = [(policy, rule) for policy, rule in speaking if rule.kind is RuleKind.PROHIBITION]
    for policy, rule in prohibitions:
        if _forbids(rule, question):
            return Decision(False, policy.uid)
    if question.action is Action.DELETE and question.parts is None:
        # Whoever may delete some attributes may not delete an entity that has no others.
        permissions = [(policy, rule) for policy, rule in permissions if is_whole(rule, question.action)]
    if not permissions:
        return Decision(False)
    giving = permissions[0][0].uid
    for part in _wanted(question):
        found = [policy.uid for policy, rule in permissions if _covers(rule, question, part)]
        if not found:
            return Decision(False)
        giving = found[0]
    return Decision(True, giving)


def speaks(rule: Rule, question: Question) -> bool:
    """Tell whether a rule is about this caller, action, tenant, moment and entity."""
    return (
        question.action in rule.actions
        and rule.concerns(question.principal)
        and rule.target.is_of(question.tenant)
        and rule.constraints.hold_at(question.moment)
        and rule.is_for(question.purpose)
        and _is_about(rule, question)
    )


def administers(policies: Iterable[Policy], principal: Principal, tenant: str | None, moment: int) -> bool:
    """Tell whether a caller looks after anything in a tenant."""
    return principal == LOCAL or any(
        rule.kind is RuleKind.PERMISSION
        and Action.ADMINISTER in rule.actions
        and rule.concerns(principal)
        and rule.target.is_of(tenant)
        and rule.constraints.hold_at(moment)
        for policy in policies
        if policy.is_binding
        for rule in policy.rules
    )


def visible_parts(policies: Iterable[Policy], question: Question) -> frozenset[Part]:
    """Return what of an entity is allowed, part by part; `question.parts` says nothing here."""
    found: set[Part] = set()
    listed = list(policies)
    for part in parts_of(question.entity):
        asked = Question(
            question.principal, question.action, question.entity, question.moment, question.tenant,
            frozenset({part}), question.purpose,
        )  # fmt: skip
        if decide(listed, asked).allowed:
            found.add(part)
    return frozenset(found)


def parts_of(entity: Entity) -> Iterator[Part]:
    """Yield all parts of an entity."""
    for name, attribute in entity.attributes.items():
        for instance in instances(attribute):
            yield name, instance.get("datasetId", NO_DATASET)


def _is_about(rule: Rule, question: Question) -> bool:
    entity, where = question.entity, where_of(rule.target, question.principal)
    types = rule.target.types
    return (types is None or has_type(types, entity.types)) and (
        where is None or holds(where, entity, View(question.moment), lambda _: None)
    )


def _forbids(rule: Rule, question: Question) -> bool:
    """Tell whether a prohibition that speaks forbids what is asked for, or a part of it."""
    if is_whole(rule, question.action):
        return True
    return any(_covers(rule, question, part) for part in _wanted(question))


def _wanted(question: Question) -> Iterator[Part]:
    """Yield the parts that must be allowed one by one; of an entity that is only looked at, none."""
    if question.parts is not None:
        yield from question.parts
    elif question.action in _SETTING:
        yield from parts_of(question.entity)


def is_whole(rule: Rule, action: Action) -> bool:
    """Tell whether a rule is about all of an entity."""
    attributes = rule.target.readable if action not in _SETTING else rule.target.writable
    return attributes is None and rule.target.datasets is None


_SETTING = frozenset({Action.CREATE, Action.UPDATE, Action.DELETE})


def _covers(rule: Rule, question: Question, part: Part) -> bool:
    attribute, dataset = part
    datasets = rule.target.datasets
    return (datasets is None or dataset in datasets) and any(
        (types is None or has_type(types, question.entity.types)) and (attributes is None or attribute in attributes)
        for types, attributes in attributes_of(rule.target, question.action)
    )
