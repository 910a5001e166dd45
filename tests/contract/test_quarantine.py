"""The quarantine's table on every database: arrivals twice, mends, replays and their outcomes, purges, sums."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from context_api.quarantine.body import Arrival, Finding, Outcome
from context_api.quarantine.records import Quarantine, Selection, State, Sum
from ngsild.problems import Conflict, ResourceNotFound

pytestmark = pytest.mark.anyio


def arrival(number: int, **members: Any) -> Arrival:
    given: dict[str, Any] = {
        "id": f"{number:032x}", "stream": "sessions", "provider": "town", "unit": "a.csv#12", "number": number,
        "stage": "check", "field": "energyDelivered", "rule": "energy-least", "reason": "it is negative",
        "record": {"id": str(number), "kwh": "-1\0"}, "entities": [{"id": "urn:x"}],
        "report": [{"rule": "energy-least"}],
    }  # fmt: skip
    return Arrival(**given | members)


def identifier(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def kept(broker: Any) -> Quarantine:
    return Quarantine(broker.store.records)


async def test_what_arrives_twice_is_kept_once(broker: Any, kept: Quarantine) -> None:
    await kept.keep(broker.tenant, [arrival(1), arrival(2), arrival(2)], 5_000_000)
    await kept.mend(broker.tenant, Selection(identifier(1)), {"kwh": "1"}, 6_000_000)
    await kept.keep(broker.tenant, [arrival(1, reason="another"), arrival(3)], 7_000_000)
    assert await kept.count(broker.tenant, Selection()) == 3
    found = await kept.get(broker.tenant, Selection(identifier(1)))
    assert found == {
        "id": identifier(1), "stream": "sessions", "rule": "energy-least", "state": "mended", "version": 2,
        "receivedAt": "1970-01-01T00:00:05Z", "changedAt": "1970-01-01T00:00:06Z", "provider": "town",
        "unit": "a.csv#12", "number": 1, "stage": "check", "field": "energyDelivered", "reason": "it is negative",
        "record": {"id": "1", "kwh": "-1\0"}, "raw": None, "mended": {"kwh": "1"}, "entities": [{"id": "urn:x"}],
        "report": [{"rule": "energy-least"}],
    }  # fmt: skip


async def test_many_arrivals_at_once_are_each_kept_once(broker: Any, kept: Quarantine) -> None:
    batches = [[arrival(number) for number in range(start, start + 700)] for start in (1, 100, 300, 1)]
    await asyncio.gather(*(kept.keep(broker.tenant, batch, 1) for batch in batches))
    assert await kept.count(broker.tenant, Selection()) == 999


async def test_a_list_shows_the_latest_first_and_filters(broker: Any, kept: Quarantine) -> None:
    for number in range(1, 6):
        stream = "sessions" if number % 2 else "bays"
        await kept.keep(broker.tenant, [arrival(number, stream=stream, rule=f"rule-{number % 3}")], number)

    async def numbers(*page: int, **members: Any) -> list[int]:
        return [row["number"] for row in await kept.summaries(broker.tenant, Selection(**members), *page or (10, 0))]

    assert await numbers() == [5, 4, 3, 2, 1]
    assert await numbers(2, 1) == [4, 3]
    assert await numbers(stream="bays") == [4, 2]
    assert await numbers(rule="rule-0", stream="sessions") == [3]
    assert await numbers(before=3) == [2, 1]
    assert await numbers(state=State.MENDED) == []
    other = await broker.store.tenant("other", create=True)
    assert await kept.count(other, Selection()) == 0


async def test_a_replay_is_settled_once_and_only_for_the_version_that_was_replayed(
    broker: Any, kept: Quarantine
) -> None:
    await kept.keep(broker.tenant, [arrival(1), arrival(2)], 1)
    assert await kept.request_replays(broker.tenant, Selection(stream="sessions"), 2) == 2
    asked = {row["number"]: row["version"] for row in await kept.summaries(broker.tenant, Selection(), 9, 0)}
    await kept.mend(broker.tenant, Selection(identifier(1)), {"kwh": "2"}, 3)
    outcomes = [Outcome(id=identifier(n), version=asked[n]) for n in (1, 2)] + [Outcome(id=identifier(9), version=1)]
    await kept.settle(broker.tenant, outcomes, 4)
    await kept.settle(broker.tenant, outcomes, 5)
    assert (await kept.get(broker.tenant, Selection(identifier(1))))["state"] == "mended", (
        "a mend that came meanwhile wins"
    )
    assert (await kept.get(broker.tenant, Selection(identifier(2))))["state"] == "replayed"
    assert (await kept.get(broker.tenant, Selection(identifier(2))))["version"] == asked[2] + 1
    with pytest.raises(Conflict):
        await kept.mend(broker.tenant, Selection(identifier(2)), {}, 6)
    with pytest.raises(Conflict):
        await kept.request_replay(broker.tenant, Selection(identifier(2)), 6)
    assert await kept.request_replays(broker.tenant, Selection(stream="sessions"), 7) == 1


async def test_a_replay_that_fails_renews_the_report_and_keeps_the_mend(broker: Any, kept: Quarantine) -> None:
    await kept.keep(broker.tenant, [arrival(1), arrival(2)], 1)
    await kept.mend(broker.tenant, Selection(identifier(1)), {"kwh": "x"}, 2)
    for number in (1, 2):
        await kept.request_replay(broker.tenant, Selection(identifier(number)), 3)
    finding = Finding(stage="map", field="kwh", rule="number", reason="no number")
    outcomes = [Outcome(id=identifier(n), version=3 - (n == 2), finding=finding) for n in (1, 2)]
    await kept.settle(broker.tenant, outcomes, 4)
    first, second = [await kept.get(broker.tenant, Selection(identifier(number))) for number in (1, 2)]
    assert (first["state"], second["state"]) == ("mended", "open")
    assert first["mended"] == {"kwh": "x"}
    for found in (first, second):
        assert (found["stage"], found["rule"], found["reason"]) == ("map", "number", "no number")
        assert (found["provider"], found["record"]["kwh"], found["report"]) == ("town", "-1\0", [])


async def test_sums_of_all_tenants_and_purges(broker: Any, kept: Quarantine) -> None:
    other = await broker.store.tenant("other", create=True)
    await kept.keep(broker.tenant, [arrival(1), arrival(2), arrival(3, rule="")], 1)
    await kept.keep(other, [arrival(1)], 1)
    await kept.mend(broker.tenant, Selection(identifier(2)), {}, 2)
    assert await kept.sums() == [
        Sum("", "sessions", "", "open", 1),
        Sum("", "sessions", "energy-least", "mended", 1),
        Sum("", "sessions", "energy-least", "open", 1),
        Sum("other", "sessions", "energy-least", "open", 1),
    ]
    assert await kept.remove(broker.tenant, Selection(rule="energy-least", state=State.OPEN)) == 1
    assert await kept.remove(broker.tenant, Selection(before=2)) == 2
    assert await kept.count(other, Selection()) == 1
    with pytest.raises(ResourceNotFound):
        await kept.get(broker.tenant, Selection(identifier(1)))


async def test_who_set_a_record_aside_reaches_it_and_no_other_does(broker: Any, kept: Quarantine) -> None:
    await kept.keep(broker.tenant, [arrival(1)], 1, "https://issuer a")
    await kept.keep(broker.tenant, [arrival(2), arrival(1)], 1, "https://issuer b")
    for owner, number in (("https://issuer a", 1), ("https://issuer b", 2)):
        [found] = await kept.summaries(broker.tenant, Selection(owner=owner), 9, 0)
        assert found["id"] == identifier(number)
        other = Selection(identifier(3 - number), owner=owner)
        for refused in (
            kept.get(broker.tenant, other),
            kept.mend(broker.tenant, other, {}, 2),
            kept.request_replay(broker.tenant, other, 2),
        ):
            with pytest.raises(ResourceNotFound):
                await refused
        assert await kept.remove(broker.tenant, other) == 0
    await kept.settle(broker.tenant, [Outcome(id=identifier(1))], 3, "https://issuer b")
    assert (await kept.get(broker.tenant, Selection(identifier(1))))["state"] == "open"
    await kept.settle(broker.tenant, [Outcome(id=identifier(1))], 3, "https://issuer a")
    assert (await kept.get(broker.tenant, Selection(identifier(1))))["state"] == "replayed"
