"""What policies are compiled to is what they say: the plain decision (`policies.decide`) is the oracle."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from context_api.security.access import Access
from context_api.security.policies.compiling import access
from context_api.security.policies.decide import NO_DATASET, Question, decide, parts_of, visible_parts
from context_api.security.policies.model import Action, Assignee, AssigneeKind, Constraints, Policy
from context_api.security.principal import Principal
from context_api.storage.port import Change
from ngsild.entity import Entity, attribute_of, instances
from ngsild.problems import InsufficientRights, ResourceNotFound
from tests.contract.query_cases import NOW
from tests.unit.context_api.security.policy_cases import owned_entities, people, policies

EXAMPLES = 800


EVERYBODY = Assignee(AssigneeKind.PUBLIC)


def likely(policy: Policy, for_all: bool) -> Policy:
    """Return a policy without quotas, which are counted and not decided; for all, it concerns every caller, always."""
    rules = (
        replace(
            rule,
            assignees=rule.assignees | ({EVERYBODY} if for_all else frozenset()),
            constraints=Constraints()
            if for_all
            else replace(rule.constraints, requests_per_minute=None, entities_per_day=None, bytes_per_day=None),
        )
        for rule in policy.rules
    )
    return replace(policy, rules=tuple(rules))


some_policies = st.lists(st.builds(likely, policies(), st.booleans()), min_size=1, max_size=4)


def compiled(found: list[Policy], caller: Principal) -> Access:
    rules = [
        rule
        for policy in found
        if policy.is_binding
        for rule in policy.rules
        if rule.concerns(caller) and rule.target.is_of(None)
    ]
    return access(rules, caller, NOW)


def test_a_caller_sees_what_is_decided_part_by_part() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(some_policies, people, owned_entities())
    def same(found: list[Policy], caller: Principal, entity: Entity) -> None:
        question = Question(caller, Action.READ, entity, NOW)
        shown = compiled(found, caller).seen(entity, NOW)
        allowed = decide(found, question).allowed
        assert (shown is not None) == allowed
        if shown is not None:
            assert set(parts_of(shown)) == visible_parts(found, question)
            seen["whole" if shown.attributes == entity.attributes else "part"] += 1
        else:
            seen["none"] += 1

    same()
    assert min(seen["whole"], seen["none"]) > 20 and seen["part"] > 2, seen


def test_what_may_be_created_and_deleted_is_what_is_decided() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(some_policies, people, owned_entities())
    def same(found: list[Policy], caller: Principal, entity: Entity) -> None:
        rights = compiled(found, caller)
        creation = Change(entity.id, None, entity, NOW, "createEntity", frozenset(entity.attributes))
        may_create = decide(found, Question(caller, Action.CREATE, entity, NOW)).allowed
        assert (rights.refusal(creation) is None) == may_create
        deletion = Change(entity.id, entity, None, NOW, "deleteEntity")
        refusal = rights.refusal(deletion)
        may_delete = decide(found, Question(caller, Action.DELETE, entity, NOW)).allowed
        assert (refusal is None) == may_delete
        if refusal is not None:
            shown = decide(found, Question(caller, Action.READ, entity, NOW)).allowed
            assert isinstance(refusal, InsufficientRights if shown else ResourceNotFound)
        seen[f"create {may_create}"] += 1
        seen[f"delete {may_delete}"] += 1

    same()
    assert min(seen[f"{what} {answer}"] for what in ("create", "delete") for answer in (True, False)) > 20, seen


def test_what_may_be_changed_is_what_is_decided_of_the_instances_that_change() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(some_policies, people, owned_entities(), st.data())
    def same(found: list[Policy], caller: Principal, entity: Entity, data: st.DataObject) -> None:
        if not entity.attributes:
            return
        name = data.draw(st.sampled_from(sorted(entity.attributes)))
        which = data.draw(st.integers(0, len(instances(entity.attributes[name])) - 1))
        changed = [
            {**each, "unitCode": "X9"} if number == which else each
            for number, each in enumerate(instances(entity.attributes[name]))
        ]
        after = replace(entity, attributes=entity.attributes | {name: attribute_of(changed)})
        part = name, changed[which].get("datasetId", NO_DATASET)
        change = Change(entity.id, entity, after, NOW, "updateAttr", frozenset({name}))
        allowed = all(
            decide(found, Question(caller, Action.UPDATE, each, NOW, parts=frozenset({part}))).allowed
            for each in (entity, after)
        )
        refusal = compiled(found, caller).refusal(change)
        assert (refusal is None) == allowed
        if refusal is not None and not decide(found, Question(caller, Action.READ, entity, NOW)).allowed:
            told = str(refusal)
            assert not isinstance(refusal, InsufficientRights) or name not in told, told
        seen[str(allowed)] += 1

    same()
    assert min(seen["True"], seen["False"]) > 20, seen
