"""What time alone makes a fault, on every database: issues of silent sensors, and violations at parking spots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest

from context_api.quality.clock import judge_by_clock
from context_api.settings import ValidationSettings
from context_api.storage.port import Change
from context_api.validation.judging import Validation
from ngsild.context import compile_terms
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.names import date_time, format_date_time
from ngsild.query import EVERYTHING
from ontology import context
from shapes import model_shapes
from tests.contract.cars import query
from tests.contract.conftest import Broker, now

pytestmark = pytest.mark.anyio

TERMS = compile_terms([context()["@context"]])
SPOT, EVSE = "urn:ngsi-ld:ParkingSpot:test:1", "urn:ngsi-ld:EVSE:test:1"
MINUTE = 60_000_000
NOON = date_time("2026-05-04T12:00:00Z", "noon")


def at(minute: int) -> str:
    return format_date_time(NOON + minute * MINUTE)


@dataclass
class Town:
    """A broker with a parking spot and its charger, and the clock."""

    broker: Broker
    validation: Validation

    async def say(self, minute: int, spot: str, evse: str, since: int = 0) -> None:
        """Write what the sensors say at a minute after noon."""
        occupied = {"type": "Property", "value": {"@type": "DateTime", "@value": at(since)}, "observedAt": at(minute)}
        state = {"type": "Property", "observedAt": at(minute)}
        link = {"type": "Relationship", "object": EVSE}
        await self.write({"id": EVSE, "type": "EVSE", "status": state | {"value": evse}})
        await self.write(
            {
                "id": SPOT,
                "type": "ParkingSpot",
                "evse": link,
                "status": state | {"value": spot},
                "occupiedSince": occupied,
            }
        )

    async def write(self, body: dict[str, Any]) -> None:
        made = expand_entity(body, TERMS, now())
        [before] = await self.broker.store.read(self.broker.tenant, [made.id])
        change = Change(made.id, None, made, made.created_at, "createEntity", frozenset(made.attributes))
        if before is not None:
            after = replace(before, attributes=before.attributes | made.attributes, modified_at=made.modified_at)
            change = replace(change, before=before, after=after, operation="updateAttributes")
        await self.broker.store.write(self.broker.tenant, [change])

    async def look(self, minute: int) -> None:
        await judge_by_clock(self.broker.store, self.validation, NOON + minute * MINUTE)

    async def all(self, type_: str) -> list[Entity]:
        page = await self.broker.store.query(self.broker.tenant, query(types=type_), EVERYTHING, 1000, 0, False)
        ids = [orjson.loads(row.doc)["id"] for row in page.rows]
        return [e for e in await self.broker.store.read(self.broker.tenant, ids) if e is not None]

    async def violations(self) -> list[tuple[str, str]]:
        """Return (violationType, status) of the violations, each of which conforms to the model."""
        found = await self.all("ParkingViolation")
        assert [
            result for each in found for result in model_shapes().judge(each) if result.severity == "Violation"
        ] == []
        return sorted((_text(each, "violationType"), _text(each, "status")) for each in found)


def _text(entity: Entity, name: str) -> str:
    [found] = [a for iri, a in entity.attributes.items() if iri.endswith((f"#{name}", f"/{name}"))]
    return str(found["value"])  # type: ignore[call-overload]


@pytest.fixture
async def town(broker: Broker) -> AsyncIterator[Town]:
    validation = Validation(broker.store, ValidationSettings())
    await validation.start()
    yield Town(broker, validation)
    await validation.close()


async def test_a_car_that_does_not_charge_is_suspected_then_confirmed_then_gone(town: Town) -> None:
    await town.say(1, "occupied", "available")
    await town.look(6)
    assert await town.violations() == [], "there is a time of grace"
    await town.say(12, "occupied", "available")
    await town.look(13)
    assert await town.violations() == [("nonChargingVehicle", "suspected")]
    await town.look(14)
    assert await town.violations() == [("nonChargingVehicle", "confirmed")]
    await town.look(15)
    assert await town.violations() == [("nonChargingVehicle", "confirmed")]
    await town.say(20, "free", "available")
    await town.look(21)
    assert await town.violations() == [("nonChargingVehicle", "closed")]
    [violation] = await town.all("ParkingViolation")
    assert violation.id.startswith("urn:ngsi-ld:ParkingViolation:test:1:2026-05-04T12:00:00")


async def test_what_was_seen_but_once_is_dismissed(town: Town) -> None:
    await town.say(1, "occupied", "available")
    await town.say(12, "occupied", "available")
    await town.look(13)
    await town.say(14, "occupied", "charging")
    await town.look(15)
    assert await town.violations() == [("nonChargingVehicle", "dismissed")]


async def test_old_states_prove_nothing(town: Town) -> None:
    await town.say(1, "occupied", "available")
    await town.say(12, "occupied", "available")
    await town.look(60)
    assert await town.violations() == []


async def test_a_silent_sensor_is_an_issue_until_it_speaks_again(town: Town) -> None:
    await town.say(0, "free", "available")
    await town.look(23 * 60)
    assert await town.all("DataQualityIssue") == []
    await town.look(25 * 60)
    [issue] = await town.all("DataQualityIssue")
    assert (_text(issue, "rule").rpartition("#")[2], _text(issue, "status")) == ("C32", "open")
    await town.say(25 * 60 + 1, "free", "available")
    await town.look(25 * 60 + 2)
    [issue] = await town.all("DataQualityIssue")
    assert _text(issue, "status") == "resolved"
