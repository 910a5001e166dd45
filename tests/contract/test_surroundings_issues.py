"""Issues of entities in their surroundings on every database: neighbours and earlier values, as writes change them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from context_api.quality.consumer import quality_consumer
from context_api.quality.surroundings import surroundings_consumer
from context_api.settings import ValidationSettings
from context_api.storage.port import Change
from context_api.validation.judging import Validation
from context_api.validation.modes import Mode, TenantModes
from ngsild.context import compile_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.problems import BadRequestData
from ngsild.query import EVERYTHING
from ontology import NAMESPACE, context
from shapes.compiler import Shapes
from shapes.shape import Result
from shapes.surroundings import Surroundings
from shapes.surroundings.links import WithinPower
from shapes.surroundings.shape import Fault
from tests.contract.cars import query
from tests.contract.conftest import Broker, now

pytestmark = pytest.mark.anyio

TERMS = compile_terms([context()["@context"]])
EVSE, CONNECTOR, SESSION = (f"urn:ngsi-ld:{name}:test:1" for name in ("EVSE", "Connector", "ChargingSession"))
REGISTER = f"{NAMESPACE}energyProvidedRegister"


def register(value: float, minute: int) -> dict[str, Any]:
    observed = f"2026-05-04T{minute // 60:02}:{minute % 60:02}:00Z"
    return {"type": "Property", "value": value, "unitCode": "KWH", "observedAt": observed}


def evse(**attributes: Any) -> dict[str, Any]:
    power = {"type": "Property", "value": 22, "unitCode": "KWT"}
    return {"id": EVSE, "type": "EVSE", "ratedPower": power} | attributes


def session(energy: float, **attributes: Any) -> dict[str, Any]:
    return {
        "id": SESSION,
        "type": "ChargingSession",
        "evse": {"type": "Relationship", "object": EVSE},
        "duration": {"type": "Property", "value": 3600, "unitCode": "SEC"},
        "energyDelivered": {"type": "Property", "value": energy, "unitCode": "KWH"},
    } | attributes


@dataclass
class Judged:
    """A broker with the consumers that make issues, fed by hand."""

    broker: Broker
    validation: Validation
    position: int = 0

    async def write(self, body: dict[str, Any]) -> None:
        """Create an entity or put it in the place of what is there, as a request would."""
        [judged] = await self.validation.judge(self.broker.tenant, [await self.change(body)])
        await self.broker.store.write(self.broker.tenant, [judged.accepted()])

    async def change(self, body: dict[str, Any]) -> Change:
        """Return the change that a request makes."""
        made = expand_entity(body, TERMS, now())
        [before] = await self.broker.store.read(self.broker.tenant, [made.id])
        change = Change(made.id, None, made, made.created_at, "createEntity", frozenset(made.attributes))
        if before is not None:
            kept = {a: i for a, i in before.attributes.items() if a not in made.attributes}
            after = replace(before, attributes=kept | made.attributes, modified_at=made.modified_at)
            change = replace(change, before=before, after=after, operation="updateAttributes")
        return change

    async def rules(self, **statuses: Any) -> list[tuple[str, str, str]]:
        """Bring the issues up to date; return (rule, entity type, status) of those of rules on surroundings."""
        consumers = [
            quality_consumer(self.broker.store, 100),
            surroundings_consumer(self.broker.store, self.validation),
        ]
        changes = await self.broker.store.changes(self.position, 1000)
        for consumer in consumers:
            await self.broker.store.records.execute(*await consumer.receive(changes))
        self.position = changes[-1].number if changes else self.position
        page = await self.broker.store.query(
            self.broker.tenant, query(types="DataQualityIssue"), EVERYTHING, 1000, 0, False
        )
        ids = [orjson.loads(row.doc)["id"] for row in page.rows]
        issues = [e for e in await self.broker.store.read(self.broker.tenant, ids) if e is not None]
        found = [(_value(i, "rule").rpartition("#")[2], _target(i).split(":")[2], _status(i)) for i in issues]
        return sorted(each for each in found if each[0] in ("C14", "C23", "C24", "C30"))


def _value(issue: Entity, name: str) -> str:
    return str(issue.attributes[f"{NAMESPACE}{name}"]["value"])  # type: ignore[call-overload]


def _target(issue: Entity) -> str:
    return str(issue.attributes[f"{NAMESPACE}concerns"]["object"])  # type: ignore[call-overload]


def _status(issue: Entity) -> str:
    [found] = [a for iri, a in issue.attributes.items() if iri.endswith("/status")]
    return str(found["value"])  # type: ignore[call-overload]


@pytest.fixture
async def judged(broker: Broker) -> AsyncIterator[Judged]:
    validation = Validation(broker.store, ValidationSettings())
    await validation.start()
    yield Judged(broker, validation)
    await validation.close()


async def test_a_falling_register_is_an_issue_until_it_rises_again(judged: Judged) -> None:
    await judged.write(evse(energyProvidedRegister=register(100, 0)))
    await judged.write(evse(energyProvidedRegister=register(101, 15)))
    assert await judged.rules() == []
    await judged.write(evse(energyProvidedRegister=register(50, 30)))
    assert await judged.rules() == [("C23", "EVSE", "open")]
    await judged.write(evse(ratedPower={"type": "Property", "value": 11, "unitCode": "KWT"}))
    assert ("C23", "EVSE", "open") in await judged.rules(), "another attribute heals nothing"
    await judged.write(evse(energyProvidedRegister=register(51, 45)))
    assert ("C23", "EVSE", "resolved") in await judged.rules()


async def test_every_step_since_the_last_look_is_judged(judged: Judged) -> None:
    for minute, value in ((0, 100), (15, 102), (30, 40), (45, 41)):
        await judged.write(evse(energyProvidedRegister=register(value, minute)))
    assert await judged.rules() == [("C23", "EVSE", "open")]


async def test_a_session_is_held_against_the_power_of_its_evse(judged: Judged) -> None:
    await judged.write(evse())
    await judged.write(session(100))
    assert await judged.rules() == [("C14", "ChargingSession", "open")]
    await judged.write(session(20))
    assert await judged.rules() == [("C14", "ChargingSession", "resolved")]


async def test_the_issues_of_an_entity_that_is_gone_are_resolved(judged: Judged) -> None:
    await judged.write(evse())
    await judged.write(session(100))
    await judged.rules()
    await judged.broker.delete(SESSION)
    assert await judged.rules() == [("C14", "ChargingSession", "resolved")]


@pytest.mark.parametrize("bad", [lambda: session(100), lambda: evse(energyProvidedRegister=register(50, 30))])
async def test_enforce_refuses_what_neighbours_and_earlier_values_forbid(
    judged: Judged, bad: Callable[[], dict[str, Any]]
) -> None:
    await judged.write(evse(energyProvidedRegister=register(100, 0)))
    await judged.validation.set_modes(judged.broker.tenant, TenantModes(Mode.ENFORCE))
    with pytest.raises(BadRequestData) as refused:
        await judged.write(bad())
    rules = {
        result.get("rule", "").rpartition("#")[2] for result in refused.value.members["validationReport"]["results"]
    }
    assert rules & {"C14", "C23"}


async def test_off_is_off(judged: Judged) -> None:
    await judged.validation.set_modes(judged.broker.tenant, TenantModes(Mode.OFF))
    await judged.write(evse())
    await judged.write(session(100))
    assert await judged.rules() == []


async def test_enforce_reads_nothing_for_what_only_warns(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def query(*_: object) -> object:
        raise AssertionError("nothing of this can refuse the write")

    validation = Validation(broker.store, ValidationSettings(validation="enforce"))
    await validation.start()
    monkeypatch.setattr(broker.store, "query", query)
    alone = session(10, connector={"type": "Relationship", "object": CONNECTOR})
    [found] = await validation.judge(broker.tenant, [await Judged(broker, validation).change(alone)])
    assert found.about is not None
    await validation.close()


async def test_a_rule_that_fails_on_one_entity_keeps_no_other_from_being_judged(
    judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = WithinPower.faults

    def failing(self: WithinPower, about: Surroundings) -> Iterator[Fault]:
        if about.entity.id.endswith(":0"):
            raise TypeError("this rule has a fault of its own")
        return faults(self, about)

    monkeypatch.setattr(WithinPower, "faults", failing)
    await judged.write(evse())
    await judged.write(session(90) | {"id": f"{SESSION}:0"})
    await judged.write(session(90))
    with capture_logs() as logs:
        assert await judged.rules() == [("C14", "ChargingSession", "open")]
    assert [(each["event"], each["entity"]) for each in logs] == [("an entity could not be judged", f"{SESSION}:0")]


async def test_a_failing_rule_refuses_a_write_only_in_enforce(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*of: object) -> list[Result]:
        raise TypeError("this rule has a fault of its own")

    monkeypatch.setattr(Shapes, "judge", failing)
    for mode in ("warn", "enforce"):
        validation = Validation(broker.store, ValidationSettings(validation=mode))
        await validation.start()
        if mode == "warn":
            await Judged(broker, validation).write(session(10))
            assert (await broker.get(SESSION)).id == SESSION
        else:
            with pytest.raises(TypeError):
                await Judged(broker, validation).write(session(11))
        await validation.close()
