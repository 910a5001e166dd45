"""DataQualityIssue entities on every database: they follow what validation found, change by change (decision 14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from context_api.quality.consumer import quality_consumer
from context_api.quality.issue import STATUS
from context_api.storage.port import Outcome
from ngsild.entity import Attribute, Entity
from ngsild.query import EVERYTHING
from shapes import NAMESPACE as SHAPES
from shapes import model_rules, model_shapes
from tests.contract.cars import query
from tests.contract.conftest import CIM, Broker, now

pytestmark = pytest.mark.anyio

MAX_REPORT = 5
SOC = f"{CIM}stateOfCharge"
OBSERVED_AT = "2026-05-04T08:30:00Z"
LIMITS = {
    "attribute": SOC,
    "severity": "Violation",
    "shape": f"{SHAPES}ElectricVehicle-stateOfCharge-limits",
    "constraint": "MaxInclusive",
    "message": "stateOfCharge must lie between 0 and 100 %",
    "value": "2264",
    "rule": f"{SHAPES}C04",
}
NAME_EXPECTED = {
    "severity": "Warning",
    "shape": f"{SHAPES}ElectricVehicle-name-present",
    "constraint": "MinCount",
    "message": "name is expected",
    "attribute": f"{CIM}name",
}
OF_A_TENANT = {"severity": "Info", "constraint": "SPARQL", "message": "that is odd", "datasetId": "urn:d:1"}


@dataclass
class Quality:
    """A broker whose writes come with reports, and the consumer, fed by hand."""

    broker: Broker
    position: int = 0

    def __post_init__(self) -> None:
        self.consumer = quality_consumer(self.broker.store, MAX_REPORT)

    async def write(self, name: str, value: float, *results: dict[str, Any]) -> Entity:
        """Create or update an entity of which validation found something."""
        soc = {"type": "Property", "value": value, "observedAt": OBSERVED_AT}
        made = self.broker.entity(name, {"stateOfCharge": soc, "name": {"type": "Property", "value": "car"}})
        [before] = await self.broker.store.read(self.broker.tenant, [made.id])
        change = self.broker.creation(made)
        if before is not None:
            after = replace(before, attributes=made.attributes, modified_at=made.modified_at)
            change = replace(change, before=before, after=after, operation="updateAttributes")
        change = replace(change, report=orjson.dumps(results).decode())
        assert await self.broker.store.write(self.broker.tenant, [change]) == [Outcome.DONE]
        return made

    async def feed(self, crash: bool = False) -> None:
        """Give the consumer what is new; with `crash` it dies before its position moves."""
        while changes := await self.broker.store.changes(self.position, 1000):
            statements = await self.consumer.receive(changes)
            if crash:
                return
            await self.broker.store.records.execute(*statements)
            self.position = changes[-1].number

    async def issues(self, tenant: Any = None) -> list[Entity]:
        tenant = tenant or self.broker.tenant
        asked = query(types="DataQualityIssue")
        ids = [i async for chunk in self.broker.store.query_ids(tenant, asked, EVERYTHING) for i in chunk]
        found = [entity for entity in await self.broker.store.read(tenant, ids) if entity is not None]
        return sorted(found, key=lambda issue: value(issue, "rule"))

    async def issue(self) -> Entity:
        [found] = await self.issues()
        return found

    async def judge(self, name: str, number: float, *results: dict[str, Any]) -> Entity:
        """Write, and return the one issue after that."""
        await self.write(name, number, *results)
        await self.feed()
        return await self.issue()

    async def set_status(self, status: str) -> None:
        issue = await self.issue()
        new = {"type": "Property", "value": status, "observedAt": "2026-05-05T00:00:00Z"}
        done = await self.broker.update(issue.id, lambda e: replace(e, attributes={**e.attributes, STATUS: new}))
        assert done is Outcome.DONE

    def statuses(self) -> list[Any]:
        """Return the status of all issues over time."""
        rows = self.broker.rows(
            "SELECT instance FROM history JOIN name ON name.id = attr WHERE iri = ? AND deleted = 0 ORDER BY time",
            STATUS,
        )
        return [orjson.loads(instance)["value"] for (instance,) in rows]


def value(issue: Entity, name: str) -> Any:
    found: Any = issue.attributes.get(STATUS if name == "status" else f"{CIM}{name}")
    return None if found is None else found.get("value", found.get("languageMap", found.get("object")))


def told(issue: Entity, *names: str) -> list[Any]:
    return [value(issue, name) for name in names]


@pytest.fixture
def quality(broker: Broker) -> Quality:
    return Quality(broker)


async def test_an_issue_says_what_was_found(quality: Quality) -> None:
    entity = await quality.write("1", 2264, LIMITS)
    await quality.feed()
    issue = await quality.issue()
    rule = model_rules()[LIMITS["rule"]]
    assert told(issue, "concerns", "attribute", "rule", "severity") == [entity.id, SOC, LIMITS["rule"], "violation"]
    assert told(issue, "offendingValue", "observedAtOfValue", "action") == ["2264", OBSERVED_AT, "flagged"]
    assert told(issue, "explanation", "recommendedAction") == [{"en": rule.explanation}, "checkSensor"]
    [change, own] = await quality.broker.store.changes(0, 10)
    assert (own.entity_id, own.report) == (issue.id, None)
    assert issue.created_at == issue.modified_at == change.at
    assert value(issue, "status") == "open"
    assert quality.statuses() == ["open"]


async def test_an_issue_is_its_entitys_owners(quality: Quality) -> None:
    made = replace(
        quality.broker.entity("1", {"stateOfCharge": {"type": "Property", "value": 2264}}), owner="https://i a"
    )
    change = replace(quality.broker.creation(made), report=orjson.dumps([LIMITS]).decode())
    assert await quality.broker.store.write(quality.broker.tenant, [change]) == [Outcome.DONE]
    await quality.feed()
    assert (await quality.issue()).owner == "https://i a"


async def test_issues_conform_to_the_model(quality: Quality) -> None:
    await quality.write("1", 2264, LIMITS, NAME_EXPECTED, OF_A_TENANT)
    await quality.feed()
    issues = await quality.issues()
    assert [value(issue, "severity") for issue in issues] == ["info", "violation", "warning"]
    assert [value(issue, "explanation") for issue in issues][::2] == [{"en": "that is odd"}, {"en": "name is expected"}]
    assert [model_shapes().judge(issue) for issue in issues] == [[]] * 3
    await quality.write("1", 50)
    await quality.feed()
    issues = await quality.issues()
    assert [value(issue, "status") for issue in issues] == ["resolved"] * 3
    assert [model_shapes().judge(issue) for issue in issues] == [[]] * 3


async def test_an_issue_is_resolved_and_opened_again(quality: Quality) -> None:
    first = await quality.judge("1", 2264, LIMITS)
    healed = await quality.judge("1", 50)
    assert value(healed, "status") == "resolved"
    again = await quality.judge("1", 120, {**LIMITS, "value": "120"})
    assert first.id == healed.id == again.id
    assert told(again, "status", "offendingValue") == ["open", "120"]
    assert quality.statuses() == ["open", "resolved", "open"]
    assert quality.broker.rows("SELECT count(*) FROM open_issue") == [(1,)]


async def test_what_stays_is_not_written_again(quality: Quality) -> None:
    first = await quality.judge("1", 2264, LIMITS)
    assert (await quality.judge("1", 2264.0, LIMITS)).version == first.version
    changed = await quality.judge("1", 2265, {**LIMITS, "value": "2265"})
    assert changed.version > first.version
    assert told(changed, "status", "offendingValue") == ["open", "2265"]
    assert changed.attributes[STATUS] == first.attributes[STATUS]
    without = await quality.judge("1", 2265, {k: v for k, v in LIMITS.items() if k != "value"})
    assert told(without, "status", "offendingValue", "observedAtOfValue") == ["open", None, None]


@pytest.mark.parametrize(
    ("status", "same", "other"), [("dismissed", "dismissed", "open"), ("confirmed", "confirmed", "confirmed")]
)
async def test_what_a_person_says_of_an_issue_holds(quality: Quality, status: str, same: str, other: str) -> None:
    await quality.judge("1", 2264, LIMITS)
    await quality.set_status(status)
    await quality.feed()
    kept = await quality.judge("1", 2264, {**LIMITS, "message": "in other words"})
    assert value(kept, "status") == same
    assert value(await quality.judge("1", 2265, {**LIMITS, "value": "2265"}), "status") == other
    assert value(await quality.judge("1", 50), "status") == "resolved"
    assert value(await quality.judge("1", 2264, LIMITS), "status") == "open"


async def test_an_issue_that_a_person_deleted_comes_back_with_another_value_only(quality: Quality) -> None:
    issue = await quality.judge("1", 2264, LIMITS)
    await quality.broker.delete(issue.id)
    await quality.write("1", 2264, LIMITS)
    await quality.feed()
    assert await quality.issues() == []
    assert value(await quality.judge("1", 2265, {**LIMITS, "value": "2265"}), "status") == "open"
    await quality.broker.delete(issue.id)
    await quality.write("1", 50)
    await quality.feed()
    assert await quality.issues() == []


async def test_the_issues_of_an_entity_that_is_gone_are_resolved(quality: Quality) -> None:
    deleted = await quality.write("1", 2264, LIMITS, NAME_EXPECTED)
    expired = quality.broker.entity("2", expires_at="2020-01-01T00:00:00Z")
    change = replace(quality.broker.creation(expired), report=orjson.dumps([LIMITS]).decode())
    await quality.broker.store.write(quality.broker.tenant, [change])
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["open"] * 3
    await quality.broker.delete(deleted.id)
    await quality.broker.store.expire(now())
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["resolved"] * 3
    assert quality.broker.rows("SELECT * FROM open_issue") == []


async def test_tenants_are_apart(quality: Quality) -> None:
    store = quality.broker.store
    town = await store.tenant("town", create=True)
    entity = await quality.write("1", 2264, LIMITS)
    change = replace(quality.broker.creation(entity), report=orjson.dumps([LIMITS]).decode())
    await store.write(town, [change])
    await quality.feed()
    await quality.write("1", 50)
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["resolved"]
    assert [value(issue, "status") for issue in await quality.issues(town)] == ["open"]


async def test_what_came_and_went_between_two_looks_is_in_the_history(quality: Quality) -> None:
    for number, results in [(2264, [LIMITS]), (50, []), (130, [{**LIMITS, "value": "130"}]), (51, [])]:
        await quality.write("1", number, *results)
    await quality.feed()
    issue = await quality.issue()
    assert told(issue, "status", "offendingValue") == ["resolved", "130"]
    assert quality.statuses() == ["open", "resolved", "open", "resolved"]
    assert quality.broker.rows("SELECT count(*) FROM change WHERE entity_id = ?", issue.id) == [(1,)]
    await quality.write("2", 99, LIMITS)
    await quality.broker.delete(quality.broker.entity("2").id)
    await quality.write("2", 98, LIMITS)
    await quality.feed()
    assert quality.statuses()[4:] == ["open", "resolved", "open"]


@pytest.mark.parametrize("cut", range(1, 6))
async def test_a_crash_before_the_position_moved_changes_nothing(quality: Quality, cut: int) -> None:
    """The changes come again, and more with them: batches have other ends then."""
    steps: Sequence[tuple[float, list[dict[str, Any]]]] = [
        (2264, [LIMITS]), (50, []), (130, [{**LIMITS, "value": "130"}]), (131, [LIMITS]), (52, []), (140, [LIMITS])
    ]  # fmt: skip
    for number, results in steps[:cut]:
        await quality.write("1", number, *results)
    await quality.feed(crash=True)
    await quality.feed(crash=True)
    for number, results in steps[cut:]:
        await quality.write("1", number, *results)
    await quality.feed()
    issue = await quality.issue()
    assert told(issue, "status", "offendingValue") == ["open", "2264"]
    assert quality.statuses() == ["open", "resolved", "open", "resolved", "open"]
    assert quality.broker.rows("SELECT count(*) FROM open_issue") == [(1,)]
    assert value(await quality.judge("1", 50), "status") == "resolved"


async def test_many_entities_with_many_issues(quality: Quality) -> None:
    results = [{**LIMITS, "datasetId": f"urn:d:{i}"} for i in range(3)]
    report = orjson.dumps(results).decode()
    entities = [quality.broker.entity(str(i)) for i in range(700)]
    changes = [replace(quality.broker.creation(entity), report=report) for entity in entities]
    await quality.broker.store.write(quality.broker.tenant, changes)
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["open"] * 2100
    healed = [
        replace(change, before=before, after=replace(before, scope=["/a"]), report="[]")
        for change, before in zip(
            changes,
            await quality.broker.store.read(quality.broker.tenant, [e.id for e in entities]),
            strict=True,
        )
        if before is not None
    ]
    await quality.broker.store.write(quality.broker.tenant, healed)
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["resolved"] * 2100


async def test_a_report_that_is_full_heals_nothing(quality: Quality) -> None:
    """It may have left out what is still so."""
    await quality.judge("1", 2264, LIMITS)
    await quality.write("1", 50, *({**NAME_EXPECTED, "datasetId": f"urn:d:{i}"} for i in range(MAX_REPORT)))
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["open"] * (MAX_REPORT + 1)


async def test_what_conforms_or_was_not_judged_costs_no_statement(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quality.write("1", 50)
    await quality.broker.create(quality.broker.entity("2"))
    changes = await quality.broker.store.changes(0, 10)

    async def refuse(*_: Any) -> None:
        pytest.fail("the database was asked")

    for name in ("fetch", "execute"):
        monkeypatch.setattr(quality.broker.store.records, name, refuse)
    for name in ("read", "write", "write_locked"):
        monkeypatch.setattr(quality.broker.store, name, refuse)
    assert list(await quality.consumer.receive(changes)) == []


async def test_a_value_that_is_no_more_has_no_time(quality: Quality) -> None:
    """It would be that of another value."""
    entity = await quality.write("1", 2264, LIMITS)
    later: dict[str, Attribute] = {SOC: {"type": "Property", "value": 2265, "observedAt": "2026-05-04T09:00:00Z"}}
    await quality.broker.update(entity.id, lambda e: replace(e, attributes=later))
    await quality.feed()
    assert value(await quality.issue(), "observedAtOfValue") is None


async def test_one_look_may_open_and_resolve(quality: Quality) -> None:
    await quality.judge("1", 2264, LIMITS)
    await quality.write("1", 50)
    await quality.write("2", 2264, {**LIMITS, "rule": f"{SHAPES}C05"})
    await quality.feed()
    assert [value(issue, "status") for issue in await quality.issues()] == ["resolved", "open"]
