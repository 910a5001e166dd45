"""Batch operations (CIM 009 clauses 5.6.7 to 5.6.10 and 5.6.20).

The items of a batch are written together, each on its own terms: what fails is reported and the rest is kept. An
entity that occurs several times is treated as if each item had come in a request of its own (clause 5.5.11): the nth
occurrences of all ids make the nth round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from context_api.broker import Broker
from context_api.provision import TRIES, change_of
from context_api.security.access import Access, not_found
from context_api.storage.port import Change, Outcome, Tenant
from context_api.validation.judging import Judged
from ngsild.context import Terms
from ngsild.entity import Entity
from ngsild.expand import Fragment, Nulls, expand_entity, expand_fragment
from ngsild.merge import MergeOptions, Update, append_attributes, merge_entity, replace_entity, update_attributes
from ngsild.names import entity_id as checked_id
from ngsild.problems import AlreadyExists, Conflict, Problem
from shapes.surroundings import Surroundings

Step = Callable[[Entity | None, int], "Plan"]
"""(entity as stored, moment) -> what to do about it; raises the item's Problem."""
ReadItem = Callable[[Any, Terms], tuple[str, Step]]
"""(item of the body, its terms) -> (entity id, what to do)."""


#: Items that are read before other requests have their turn: some ten milliseconds.
ITEMS_A_TURN = 250


@dataclass(frozen=True, slots=True)
class Plan:
    """The change to write, if any, and what the item asks that stays undone."""

    change: Change | None
    undone: Problem | None = None
    named: frozenset[str] = frozenset()
    """Attributes that the item would change, there or not."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that has a change."""

    change: Change
    undone: Problem | None


@dataclass(slots=True)
class BatchResult:
    """What became of a batch (clause 5.2.16), by the position of its items."""

    ids: list[str]
    created: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    errors: dict[int, Problem] = field(default_factory=dict)

    @property
    def success(self) -> list[str]:
        """Ids that were treated, each once."""
        return list(dict.fromkeys(self.ids[i] for i in sorted(self.done)))

    @property
    def created_ids(self) -> list[str]:
        """Ids that were created."""
        return list(dict.fromkeys(self.ids[i] for i in sorted(self.created)))

    def as_dict(self) -> dict[str, Any]:
        """Return the BatchOperationResult."""
        errors = [{"entityId": self.ids[i], "error": p.as_dict()} for i, p in sorted(self.errors.items())]
        return {"success": self.success, "errors": errors}


async def run_batch(
    broker: Broker,
    tenant: Tenant,
    items: list[Any],
    terms: Callable[[int], Terms],
    read: ReadItem,
    access: Access,
    blind: bool = False,
) -> BatchResult:
    """Carry out a batch; `blind` writes the first time without reading, for items that only create."""
    result = BatchResult([_named_id(item) for item in items])
    rounds: list[dict[int, Step]] = []
    seen: dict[str, int] = {}
    for position, item in enumerate(items):
        if (position + 1) % ITEMS_A_TURN == 0:
            await asyncio.sleep(0)
        try:
            entity_id, step = read(item, terms(position))
        except Problem as problem:
            result.errors[position] = problem
            continue
        nth = seen[entity_id] = seen.get(entity_id, -1) + 1
        if nth == len(rounds):
            rounds.append({})
        rounds[nth][position] = step
    for steps in rounds:
        await run_steps(broker, tenant, steps, result, access, blind)
    return result


def _named_id(item: Any) -> str:
    found = item.get("id", item.get("@id")) if isinstance(item, dict) else item
    return found if isinstance(found, str) else "urn:ngsi-ld:unknown"


async def run_steps(
    broker: Broker, tenant: Tenant, steps: dict[int, Step], result: BatchResult, access: Access, blind: bool = False
) -> None:
    """Carry out steps on different entities, by their positions in the result, and say there what became of them."""
    about: dict[int, Surroundings | None] = {}
    for _ in range(TRIES):
        found = [None] * len(steps) if blind else await broker.store.read(tenant, [result.ids[p] for p in steps])
        plans = _plan(steps, found, broker.now(), result, access)
        judged = await broker.validation.judge(tenant, [plan.change for plan in plans.values()])
        about |= {position: each.about for position, each in zip(plans, judged, strict=True)}
        changes = {p: each.change for p, each in zip(plans, judged, strict=True) if _is_accepted(each, p, result)}
        outcomes = await broker.store.write(tenant, list(changes.values())) if changes else []
        for (position, change), outcome in zip(changes.items(), outcomes, strict=True):
            if outcome is Outcome.EXISTS and blind:
                result.errors[position] = AlreadyExists(f"{change.entity_id}: the entity exists")
            elif outcome is Outcome.DONE:
                _settle(result, position, plans[position])
        steps = {p: s for p, s in steps.items() if p not in result.done and p not in result.errors}
        if not steps:
            return
    await _run_locked(broker, tenant, steps, about, result, access)


async def _run_locked(
    broker: Broker,
    tenant: Tenant,
    steps: dict[int, Step],
    about: dict[int, Surroundings | None],
    result: BatchResult,
    access: Access,
) -> None:
    """Do the same with no other write in between; `about` is what surrounded the entities a moment ago."""
    plans: dict[int, Planned] = {}

    def compute(found: Sequence[Entity | None]) -> list[Change]:
        planned = _plan(steps, found, broker.now(), result, access)
        judged = {p: broker.validation.judge_again(tenant, plan.change, about.get(p)) for p, plan in planned.items()}
        changes = {p: each.change for p, each in judged.items() if _is_accepted(each, p, result)}
        plans.update({position: planned[position] for position in changes})
        return list(changes.values())

    await broker.store.write_locked(tenant, [result.ids[p] for p in steps], compute)
    for position, plan in plans.items():
        _settle(result, position, plan)


def _settle(result: BatchResult, position: int, plan: Plan | Planned) -> None:
    if plan.undone is not None:
        result.errors[position] = plan.undone
        return
    result.done.add(position)
    if plan.change is not None and plan.change.before is None:
        result.created.add(position)


def _is_accepted(judged: Judged, position: int, result: BatchResult) -> bool:
    """Tell whether a change may be stored; say in the result why not."""
    if judged.refusal is not None:
        result.errors[position] = judged.refusal
    return judged.refusal is None


def _plan(
    steps: dict[int, Step], found: Sequence[Entity | None], now: int, result: BatchResult, access: Access
) -> dict[int, Planned]:
    """Return what the steps make of the entities; problems and steps with nothing to do are settled at once."""
    plans: dict[int, Planned] = {}
    for (position, step), before in zip(steps.items(), found, strict=True):
        try:
            plan = _permitted(step, before, max(now, before.modified_at) if before is not None else now, access)
        except Problem as problem:
            result.errors[position] = problem
            continue
        if plan.change is None:
            _settle(result, position, plan)
        else:
            plans[position] = Planned(plan.change, plan.undone)
    return plans


def _permitted(step: Step, before: Entity | None, now: int, access: Access) -> Plan:
    """Return the plan of a step that its caller may do; raise the problem that stops it."""
    if before is not None and not access.reaches(before, now):
        # To this caller it is as if it were not there, but that its id is taken.
        if step(None, now).change is not None:
            raise AlreadyExists(f"{before.id}: the entity exists")
        return Plan(None)
    plan = step(before, now)
    problem = access.addressed(before, plan.named, now) if before is not None and plan.named else None
    change = plan.change
    if change is not None and change.before is None and change.after is not None:
        change = replace(change, after=access.owned(change.after))
    if change is not None:
        problem = problem or access.refusal(change)
    if problem is not None:
        raise problem
    return replace(plan, change=change)


def creating(broker: Broker) -> ReadItem:
    """Batch Entity Creation (clause 5.6.7)."""

    def read(item: Any, terms: Terms) -> tuple[str, Step]:
        entity = expand_entity(item, terms, broker.now())

        def step(before: Entity | None, now: int) -> Plan:
            return Plan(_creation(entity))

        return entity.id, step

    return read


def upserting(broker: Broker, update: bool) -> ReadItem:
    """Batch Entity Creation or Update (clause 5.6.8): what exists is replaced or, with `update`, updated."""

    def read(item: Any, terms: Terms) -> tuple[str, Step]:
        entity = expand_entity(item, terms, broker.now())
        fragment = _fragment_of(entity) if update else None

        def step(before: Entity | None, now: int) -> Plan:
            if before is None:
                return Plan(_creation(entity))
            if fragment is None:
                change = change_of(before, replace_entity(before, entity, now), now, "replaceEntity")
                return Plan(change, named=frozenset(entity.attributes))
            update = update_attributes(before, fragment, now, broker.telemetry)
            return Plan(change_of(before, update, now, "updateEntity"), named=frozenset(entity.attributes))

        return entity.id, step

    return read


def _fragment_of(entity: Entity) -> Fragment:
    """Return what the body said of the entity, without reading the body again."""
    return Fragment(entity.id, entity.types, entity.scope or None, entity.expires_at, entity.attributes)


def _creation(entity: Entity) -> Change:
    return Change(entity.id, None, entity, entity.created_at, "createEntity", frozenset(entity.attributes))


def updating_each(broker: Broker, overwrite: bool) -> ReadItem:
    """Batch Entity Update (clause 5.6.9): attributes are appended; existing ones are overwritten, or not."""

    def change(entity: Entity, now: int, fragment: Fragment) -> Update:
        if overwrite:
            return update_attributes(entity, fragment, now, broker.telemetry, add_scope=True)
        return append_attributes(entity, fragment, now, broker.telemetry, overwrite=False)

    return _changing("updateEntity", Nulls.ATTRIBUTES if overwrite else Nulls.NEVER, change)


def merging_each(broker: Broker) -> ReadItem:
    """Batch Entity Merge (clause 5.6.20)."""

    def change(entity: Entity, now: int, fragment: Fragment) -> Update:
        return merge_entity(entity, fragment, now, broker.telemetry, MergeOptions())

    return _changing("mergeEntity", Nulls.DEEP, change)


def _changing(operation: str, nulls: Nulls, change: Callable[[Entity, int, Fragment], Update]) -> ReadItem:
    def read(item: Any, terms: Terms) -> tuple[str, Step]:
        fragment = expand_fragment(item, terms, nulls)
        entity_id = checked_id(fragment.id)

        def step(before: Entity | None, now: int) -> Plan:
            if before is None:
                raise not_found(entity_id)
            update = change(before, now, fragment)
            undone = "; ".join(f"{iri}: {reason}" for iri, reason in update.not_updated.items())
            problem = Conflict(undone) if undone else None
            return Plan(change_of(before, update, now, operation), problem, frozenset(fragment.attributes))

        return entity_id, step

    return read


def deleting_each() -> ReadItem:
    """Batch Entity Delete (clause 5.6.10): the items are entity ids."""

    def read(item: Any, terms: Terms) -> tuple[str, Step]:
        entity_id = checked_id(item)

        def step(before: Entity | None, now: int) -> Plan:
            if before is None:
                raise not_found(entity_id)
            return Plan(Change(entity_id, before, None, now, "deleteEntity"))

        return entity_id, step

    return read
