"""Policies in the database, the same on each: every version is kept, and all processes notice a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import insert

from context_api.security.policies.keeping import Policies
from context_api.security.policies.model import (
    Action,
    Assignee,
    AssigneeKind,
    Policy,
    PolicyKind,
    Rule,
    RuleKind,
    Target,
)
from context_api.security.policies.ready import OFF, ready_policies
from context_api.security.policies.writing import read_kept
from context_api.settings import PolicySettings
from context_api.storage.epochs import Epoch
from context_api.storage.port import Tenant
from context_api.storage.tables import policy_version
from ngsild.problems import BadRequestData, Conflict, Problem
from tests.contract.conftest import Broker, now

pytestmark = pytest.mark.anyio
READY = set(ready_policies())


def policy(name: str = "own", role: str = "viewer", *actions: Action) -> Policy:
    assignees = frozenset({Assignee(AssigneeKind.ROLE, role)})
    rule = Rule(RuleKind.PERMISSION, assignees, frozenset(actions or {Action.READ}), Target(ids=frozenset({"urn:x:1"})))
    return Policy(f"urn:voltweave:policy:{name}", name, 0, (rule,))


@pytest.fixture
async def policies(broker: Broker) -> AsyncIterator[Policies]:
    found = Policies(broker.store, PolicySettings(max_policies=12))
    await found.start()
    yield found
    await found.close()


async def put(policies: Policies, tenant: Tenant | None, found: Policy, by: str, at: int) -> Policy | None:
    return await policies.put(tenant, found, policies.entry(tenant, found.name), by, at)


async def remove(policies: Policies, tenant: Tenant | None, name: str, at: int) -> None:
    entry = policies.entry(tenant, name)
    assert entry is not None
    await policies.remove(tenant, entry, "", at)


def names(policies: Policies, broker: Broker) -> set[str]:
    return {each.name for each in policies.in_force(broker.tenant)}


async def test_a_policy_is_kept_in_every_version(broker: Broker, policies: Policies) -> None:
    first = await put(policies, broker.tenant, policy(), "somebody", 5)
    assert first == replace(policy(), version=1)
    assert await put(policies, broker.tenant, replace(policy(), version=7), "somebody", 6) is None
    second = await put(policies, broker.tenant, policy("own", "operator"), "somebody else", 7)
    assert second is not None and second.version == 2
    await remove(policies, broker.tenant, "own", 8)
    assert "own" not in names(policies, broker)
    entry = policies.entry(broker.tenant, "own")
    assert entry is not None and entry.policy is None
    third = await put(policies, broker.tenant, policy(), "", 9)
    assert third is not None and third.version == 4
    versions = await policies.versions(broker.tenant, "own")
    assert [(each.number, each.changed_at, each.changed_by) for each in versions] == [
        (4, 9, ""), (3, 8, ""), (2, 7, "somebody else"), (1, 5, "somebody"),
    ]  # fmt: skip
    documents = [each.document and read_kept(each.document) for each in versions]
    assert documents == [third, None, second, first]


async def test_a_policy_holds_in_its_tenant_and_one_of_the_platform_in_all(broker: Broker, policies: Policies) -> None:
    other = await broker.store.tenant("blue", create=True)
    await put(policies, broker.tenant, policy("own"), "", 1)
    await put(policies, None, policy("all"), "", 1)
    assert names(policies, broker) - READY == {"own", "all"}
    assert {each.name for each in policies.in_force(other)} - READY == {"all"}
    assert {each.name for each in policies.of_platform} - READY == {"all"}


async def test_ready_policies_are_in_force_until_they_are_replaced_or_taken_away(
    broker: Broker, policies: Policies
) -> None:
    assert names(policies, broker) == READY - OFF
    assert {"public"} == OFF
    await put(policies, None, policy("viewer"), "", 1)
    await remove(policies, None, "operator", 1)
    await put(policies, None, ready_policies()["public"], "", 1)
    in_force = {each.name: each for each in policies.in_force(broker.tenant)}
    assert in_force.keys() == READY - {"operator"}
    assert in_force["viewer"].rules == policy("viewer").rules
    assert set(in_force["public"].rules) == set(ready_policies()["public"].rules)
    # A tenant's policy of that name is another one.
    await put(policies, broker.tenant, policy("local-authority"), "", 1)
    assert [each.name for each in policies.in_force(broker.tenant)].count("local-authority") == 2


async def test_an_offer_is_kept_and_not_in_force(broker: Broker, policies: Policies) -> None:
    offer = replace(policy(), kind=PolicyKind.OFFER, assigner="urn:example:cpo-one")
    assert await put(policies, broker.tenant, offer, "", 1) is not None
    assert "own" not in names(policies, broker)
    assert [each.name for each in policies.entries(broker.tenant)] == ["own"]


async def test_what_cannot_be_put_is_refused(broker: Broker, policies: Policies) -> None:
    await put(policies, broker.tenant, policy(), "", 1)
    for number in range(11):
        await put(policies, broker.tenant, policy(f"p{number}"), "", 1)
    with pytest.raises(BadRequestData, match="12"):
        await put(policies, broker.tenant, policy("p11"), "", 1)
    await put(policies, broker.tenant, policy("p10", "operator"), "", 1)


async def test_of_changes_at_the_same_time_one_is_stored_and_the_others_conflict(
    broker: Broker, policies: Policies
) -> None:
    changes = [put(policies, broker.tenant, policy("own", f"role{number}"), "", 1) for number in range(5)]
    found = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["Conflict"] * 4 + ["Policy"]
    assert [each.number for each in await policies.versions(broker.tenant, "own")] == [1]


async def test_what_changed_since_it_was_looked_at_is_not_replaced(broker: Broker, policies: Policies) -> None:
    seen = policies.entry(broker.tenant, "own")
    await put(policies, broker.tenant, policy(), "", 1)
    with pytest.raises(Conflict):
        await policies.put(broker.tenant, policy("own", "operator"), seen, "", 2)
    seen = policies.entry(broker.tenant, "own")
    assert seen is not None
    await put(policies, broker.tenant, policy("own", "operator"), "", 3)
    with pytest.raises(Conflict):
        await policies.remove(broker.tenant, seen, "", 4)


async def test_another_process_notices_within_a_second_or_so(broker: Broker, policies: Policies) -> None:
    if not broker.store.shared:
        return  # a SQLite database has one process
    store = broker.database.store()
    await store.start()
    other = Policies(store, PolicySettings())
    await other.start()
    try:
        before = other.revision
        await put(policies, broker.tenant, policy(), "", 1)
        until = time.monotonic() + 5
        while other.revision == before and time.monotonic() < until:  # noqa: ASYNC110 - it is another store's
            await asyncio.sleep(0.05)
        assert "own" in {each.name for each in other.in_force(broker.tenant)}
    finally:
        await other.close()
        await store.close()


async def test_a_policy_that_cannot_be_read_changes_nothing(broker: Broker, policies: Policies) -> None:
    await put(policies, broker.tenant, policy(), "", 1)
    strange = {
        "tenant": broker.tenant.id, "name": "own", "version": 2, "changed_at": now(), "changed_by": "",
        "document": '{"@context": [], "http://example.com/later": [{"@value": 1}]}',
    }  # fmt: skip
    epoch = Epoch(broker.store.records, "policy")
    await broker.store.records.execute(insert(policy_version).values(strange), epoch.raised())
    with pytest.raises(Problem):
        await policies.refresh()
    assert "own" in names(policies, broker)
