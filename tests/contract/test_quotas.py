"""What callers have used of quotas, on each database: added up over processes, kept through restarts, and forgotten."""

from __future__ import annotations

import pytest

from context_api.security.policies.model import Constraints
from context_api.security.policies.quotas import Meters, Quota, Unit, Use, quotas_of
from tests.contract.conftest import Broker, now

pytestmark = pytest.mark.anyio
DAY = 86_400_000_000


def quota(most: int, caller: str = "ada") -> Quota:
    (found,) = quotas_of(Constraints(entities_per_day=most), "0 urn:x:policy 0", caller)
    return found


async def started(broker: Broker, at: int) -> Meters:
    found = Meters(broker.store)
    await found.start(at)
    return found


async def test_a_quota_is_spent_for_one_caller_until_its_window_ends(broker: Broker) -> None:
    at = now()
    meters = await started(broker, at)
    meters.add(quota(5), 4, at)
    assert not meters.is_spent(quota(5), at)
    meters.add(quota(5), 1, at)
    assert meters.is_spent(quota(5), at)
    assert not meters.is_spent(quota(5, "bob"), at)
    assert not meters.is_spent(quota(5), quota(5).ends_at(at))
    assert meters.is_spent(quota(5), quota(5).ends_at(at) - 1)
    await meters.close()


async def test_what_several_processes_count_is_one_sum(broker: Broker) -> None:
    at = now()
    first, second = await started(broker, at), await started(broker, at)
    first.add(quota(10), 6, at)
    second.add(quota(10), 3, at)
    for meters in (first, second, first):
        await meters.exchange(at)
    assert not first.is_spent(quota(10), at)
    second.add(quota(10), 1, at)
    for meters in (second, first):
        await meters.exchange(at)
    assert second.is_spent(quota(10), at) is broker.store.shared
    assert first.is_spent(quota(10), at) is broker.store.shared
    assert sum(used for (used,) in broker.database.rows("SELECT used FROM quota_use")) == 10
    await first.close()
    await second.close()


async def test_a_restart_forgets_nothing_that_counts_and_keeps_nothing_that_does_not(broker: Broker) -> None:
    at = now()
    before = await started(broker, at)
    before.add(quota(3), 3, at)
    before.add(quota(9, "bob"), 1, at)
    await before.close()
    after = await started(broker, at)
    assert after.is_spent(quota(3), at)
    assert not after.is_spent(quota(9, "bob"), at)
    after.add(quota(3), 1, at)
    await after.exchange(at)
    assert len(broker.database.rows("SELECT used FROM quota_use")) == 3
    await after.exchange(at + DAY)
    assert broker.database.rows("SELECT used FROM quota_use") == []
    await after.close()


async def test_a_request_counts_when_it_begins_and_its_volume_when_it_ends(broker: Broker) -> None:
    at = now()
    meters = await started(broker, at)
    limits = Constraints(requests_per_minute=1, entities_per_day=7, bytes_per_day=100)
    quotas = {each.unit: each for each in quotas_of(limits, "rule", "ada")}

    def spent() -> set[Unit]:
        return {unit for unit, each in quotas.items() if meters.is_spent(each, at)}

    use = Use(meters, tuple(quotas.values()), (), at)
    assert spent() == {Unit.REQUESTS}
    use.entities, use.bytes = 6, 100
    use.settle(at)
    assert spent() == {Unit.REQUESTS, Unit.BYTES}
    Use(meters, tuple(quotas.values()), (), at).settle(at)
    assert spent() == set(Unit)
    await meters.close()
