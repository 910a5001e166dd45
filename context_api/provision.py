"""Context Information Provision on single entities (CIM 009 clause 5.6).

Every write follows the order of decision 13: structure first (the caller has expanded the body), then validation of a
`Change`, which holds the entity before and after, commit last. A change is read, computed and written on condition of
the version read; a lost race is run again, the fourth time with no other write in between (decision 12).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from context_api.broker import Broker
from context_api.conditions import Precondition
from context_api.security.access import Access, not_found
from context_api.storage.port import Change, Outcome, Tenant
from ngsild.context import Terms
from ngsild.entity import Entity, Instance
from ngsild.expand import Fragment
from ngsild.merge import (
    MergeOptions,
    Update,
    append_attributes,
    delete_attribute,
    delete_scope,
    merge_entity,
    partial_update,
    replace_attribute,
    replace_entity,
    update_attributes,
)
from ngsild.problems import AlreadyExists, Problem
from ngsild.query import HasType
from ngsild.query.evaluate import version_of
from ngsild.query.types import has_type
from ngsild.simplified import expand_simplified
from shapes.surroundings import Surroundings

Compute = Callable[[Entity, int], Update]
"""(entity as stored, moment) -> what becomes of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """The entity that a write is for, and what must hold of it."""

    entity_id: str
    types: HasType | None = None
    """Types of which it must have a selection (the parameter `type`)."""
    condition: Precondition | None = None
    """What its version must be, looked at with the very version that the write replaces."""
    named: frozenset[str] | None = None
    """Attributes that the request would change, there or not; None where it deletes the entity."""


#: Lost races after which a change is computed under the lock (decision 12).
TRIES = 3


async def create_entity(broker: Broker, tenant: Tenant, entity: Entity, access: Access) -> None:
    """Create Entity (clause 5.6.1)."""
    entity = access.owned(entity)
    change = Change(entity.id, None, entity, entity.created_at, "createEntity", frozenset(entity.attributes))
    _permit(access, change)
    [judged] = await broker.validation.judge(tenant, [change])
    [outcome] = await broker.store.write(tenant, [judged.accepted()])
    if outcome is not Outcome.DONE:
        raise AlreadyExists(f"{entity.id}: the entity exists")


def _permit(access: Access, change: Change) -> None:
    problem = access.refusal(change)
    if problem is not None:
        raise problem


def _addressed(found: Entity | None, target: Target, access: Access, now: int) -> Entity:
    """Return the entity that a request addresses; raise ResourceNotFound, InsufficientRights or PreconditionFailed."""
    if found is None:
        raise not_found(target.entity_id)
    if target.named is not None:
        refusal = access.addressed(found, target.named, now)
        if refusal is not None:
            raise refusal
    if target.types is not None and not has_type(target.types, found.types):
        raise not_found(target.entity_id)
    if target.condition is not None:
        # Who sees none of it has no version to name.
        target.condition.check(version_of(access.seen(found, now) or found))
    return found


async def change_entity(
    broker: Broker, tenant: Tenant, target: Target, operation: str, compute: Compute, access: Access
) -> Update:
    """Read an entity, compute what becomes of it and write that; again when another write came between."""
    entity_id = target.entity_id
    about: Surroundings | None = None
    for _ in range(TRIES):
        [found] = await broker.store.read(tenant, [entity_id])
        before = _addressed(found, target, access, broker.now())
        now = max(broker.now(), before.modified_at)
        update = compute(before, now)
        change = change_of(before, update, now, operation)
        if change is None:
            return update
        _permit(access, change)
        [judged] = await broker.validation.judge(tenant, [change])
        about = judged.about
        [outcome] = await broker.store.write(tenant, [judged.accepted()])
        if outcome is Outcome.DONE:
            return update
        if outcome is Outcome.MISSING:
            raise not_found(entity_id)
    return await _change_locked(broker, tenant, target, operation, compute, access, about)


async def _change_locked(
    broker: Broker,
    tenant: Tenant,
    target: Target,
    operation: str,
    compute: Compute,
    access: Access,
    about: Surroundings | None,
) -> Update:
    """Do the same with no other write in between; `about` is what surrounded the entity a moment ago."""
    updates: list[Update | Problem] = []

    def changes(found: Sequence[Entity | None]) -> list[Change]:
        try:
            before = _addressed(found[0], target, access, broker.now())
            now = max(broker.now(), before.modified_at)
            update = compute(before, now)
            change = change_of(before, update, now, operation)
            if change is not None:
                _permit(access, change)
            judged = [] if change is None else [broker.validation.judge_again(tenant, change, about).accepted()]
        except Problem as problem:
            updates.append(problem)
            return []
        updates.append(update)
        return judged

    await broker.store.write_locked(tenant, [target.entity_id], changes)
    if isinstance(updates[-1], Problem):
        raise updates[-1]
    return updates[-1]


def change_of(before: Entity, update: Update, now: int, operation: str) -> Change | None:
    """Return the change that stores an update, None where there is nothing to store."""
    late = tuple(update.late)
    after = update.after
    same = not update.touched and (after.types, after.scope, after.expires_at) == (
        before.types,
        before.scope,
        before.expires_at,
    )
    if same and not late:
        return None
    return Change(before.id, before, before if same else after, now, operation, update.touched, late)


async def delete_entity(broker: Broker, tenant: Tenant, target: Target, access: Access) -> None:
    """Delete Entity (clause 5.6.6); its history stays (decision 8)."""

    def _deletion(found: Entity | None) -> Change:
        if found is None:
            raise not_found(target.entity_id)
        change = Change(found.id, found, None, max(broker.now(), found.modified_at), "deleteEntity")
        # Rights first: a condition must not tell of an entity that is not shown.
        _permit(access, change)
        _addressed(found, target, access, change.at)
        return change

    # The store may compute twice; the last time counts.
    refusals: list[Problem | None] = []

    def changes(found: Sequence[Entity | None]) -> list[Change]:
        try:
            change = _deletion(found[0])
        except Problem as problem:
            refusals.append(problem)
            return []
        refusals.append(None)
        return [change]

    await broker.store.write_locked(tenant, [target.entity_id], changes)
    if refusals[-1] is not None:
        raise refusals[-1]


def appending(broker: Broker, fragment: Fragment, overwrite: bool) -> Compute:
    """Append Attributes (clause 5.6.3)."""
    return lambda entity, now: append_attributes(entity, fragment, now, broker.telemetry, overwrite)


def updating(broker: Broker, fragment: Fragment) -> Compute:
    """Update Attributes (clause 5.6.2)."""
    return lambda entity, now: update_attributes(entity, fragment, now, broker.telemetry)


def merging(broker: Broker, fragment: Fragment, options: MergeOptions) -> Compute:
    """Merge Entity (clause 5.6.17)."""
    return lambda entity, now: merge_entity(entity, fragment, now, broker.telemetry, options)


def merging_simplified(broker: Broker, body: Any, terms: Terms, options: MergeOptions) -> Compute:
    """Merge Entity with a simplified body, which means what the attributes' types say (clause 5.6.17.4)."""
    return lambda entity, now: merge_entity(
        entity, expand_simplified(body, terms, entity), now, broker.telemetry, options
    )


def replacing(new: Entity) -> Compute:
    """Replace Entity (clause 5.6.18)."""
    return lambda entity, now: replace_entity(entity, new, now)


def partially_updating(broker: Broker, iri: str, fragment: Instance) -> Compute:
    """Partial Attribute update (clause 5.6.4)."""
    return lambda entity, now: partial_update(entity, iri, fragment, now, broker.telemetry)


def replacing_attribute(iri: str, instance: Instance) -> Compute:
    """Replace Attribute (clause 5.6.19)."""
    return lambda entity, now: replace_attribute(entity, iri, instance, now)


def deleting_attribute(iri: str, dataset: str | None, delete_all: bool) -> Compute:
    """Delete Attribute (clause 5.6.5)."""
    return lambda entity, now: delete_attribute(entity, iri, dataset, delete_all, now)


def deleting_scope() -> Compute:
    """Delete Attribute where the attribute is scope (clause 5.6.5)."""
    return delete_scope
