"""What people decide of issues: the repair that one carries is done, or the issue is dismissed.

A repair is an ordinary write of the attribute: on condition that the value is still the one that the proposal was made
for, judged as every write is, and with the value before it in the history. The issue learns of it in the same
transaction; that it is healed, the next judgement finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from context_api.provision import change_of
from context_api.quality.issue import TYPE, Proposed, decided, proposed_by, status_of
from context_api.storage.port import Change, Store, Tenant
from context_api.validation.judging import Validation
from ngsild.entity import Entity, instances
from ngsild.merge import replace_attribute
from ngsild.problems import Conflict, Problem, ResourceNotFound
from shapes import model_rules
from shapes.repair import proposed, repaired

_CORRECTED, _DISMISSED = "corrected", "dismissed"


async def accept(store: Store, validation: Validation, tenant: Tenant, issue_id: str, now: int) -> None:
    """Do what an issue proposes; `now` is the moment of the request.

    Raises:
        ResourceNotFound: there is no such issue, or its entity is gone.
        Conflict: it proposes nothing, or the value is no longer the one that it proposes something for.
        BadRequestData: the mode is enforce, and what the entity would be breaks a rule.
    """
    [found] = await store.read(tenant, [issue_id])
    proposal = _proposal(_issue(found, issue_id))
    [entity] = await store.read(tenant, [proposal.entity_id])
    [judged] = await validation.judge(tenant, [_repair(entity, proposal, now)])
    judged.accepted()

    def changes(found: Sequence[Entity | None]) -> list[Change]:
        issue, entity = found
        known = _issue(issue, issue_id)
        repair = _repair(entity, _proposal(known), now)
        told = decided(known, max(now, known.modified_at), action=_CORRECTED)
        written = validation.judge_again(tenant, repair, judged.about).accepted()
        return [written] if told is None else [written, told]

    await _locked(store, tenant, [issue_id, proposal.entity_id], changes)


async def dismiss(store: Store, tenant: Tenant, issue_id: str, now: int) -> None:
    """Set an issue aside: it stays dismissed as long as the value at fault does.

    Raises:
        ResourceNotFound: there is no such issue.
        Conflict: it is resolved, so that there is nothing to dismiss.
    """

    def changes(found: Sequence[Entity | None]) -> list[Change]:
        issue = _issue(found[0], issue_id)
        if status_of(issue) == "resolved":
            raise Conflict(f"{issue_id}: the issue is resolved")
        change = decided(issue, max(now, issue.modified_at), status=_DISMISSED)
        return [] if change is None else [change]

    await _locked(store, tenant, [issue_id], changes)


def _issue(found: Entity | None, issue_id: str) -> Entity:
    if found is None or TYPE not in found.types:
        raise ResourceNotFound(f"{issue_id}: no such issue")
    return found


def _proposal(issue: Entity) -> Proposed:
    found = proposed_by(issue)
    if found is None:
        raise Conflict(f"{issue.id}: the issue is resolved, or proposes no repair")
    return found


def _repair(entity: Entity | None, proposal: Proposed, now: int) -> Change:
    """Return the write that does what a proposal says; refuse it where its value is not the present one."""
    if entity is None:
        raise ResourceNotFound(f"{proposal.entity_id}: no such entity")
    rule, dataset = model_rules().get(proposal.rule), proposal.value.get("datasetId")
    attribute = entity.attributes.get(proposal.attribute, [])
    instance = next((each for each in instances(attribute) if each.get("datasetId") == dataset), None)
    if rule is None or rule.repair is None or rule.repair.kind != proposal.repair or instance is None:
        raise Conflict(f"{proposal.entity_id}: what was to be repaired is not there any more")
    if proposed(proposal.attribute, instance, rule.repair) != proposal.value:
        raise Conflict(f"{proposal.entity_id}: {proposal.attribute} changed since the repair was proposed")
    at = max(now, entity.modified_at)
    update = replace_attribute(entity, proposal.attribute, repaired(instance, proposal.value), at)
    change = change_of(entity, update, at, "replaceAttr")
    if change is None:
        raise Conflict(f"{proposal.entity_id}: {proposal.attribute} is as proposed already")
    return change


async def _locked(
    store: Store, tenant: Tenant, ids: Sequence[str], compute: Callable[[Sequence[Entity | None]], list[Change]]
) -> None:
    """Write what is computed with no other write in between; raise the problem that stops it."""
    # The store may compute twice; the last time counts.
    problems: list[Problem | None] = []

    def changes(found: Sequence[Entity | None]) -> list[Change]:
        try:
            computed = compute(found)
        except Problem as problem:
            problems.append(problem)
            return []
        problems.append(None)
        return computed

    await store.write_locked(tenant, ids, changes)
    if problems[-1] is not None:
        raise problems[-1]
