"""Repairs on every database: an issue proposes one, who accepts it writes it, and the value before stays in history."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from context_api.quality import deciding
from context_api.validation.modes import Mode, TenantModes
from ngsild.entity import Entity
from ngsild.problems import BadRequestData, Conflict, ResourceNotFound
from ngsild.query import EVERYTHING
from ontology import NAMESPACE
from tests.contract.cars import query
from tests.contract.conftest import Broker, now
from tests.contract.test_surroundings_issues import SESSION, Judged, evse, judged, register, session

__all__ = ["judged"]
pytestmark = pytest.mark.anyio

ENERGY, ISSUE = f"{NAMESPACE}energyDelivered", "DataQualityIssue"
OBSERVED_AT = "2026-05-04T08:30:00Z"
METER = "urn:ngsi-ld:Dataset:meter"


def energy(value: float, unit: str, **members: Any) -> dict[str, Any]:
    given = {"type": "Property", "value": value, "unitCode": unit, "observedAt": OBSERVED_AT}
    return session(0, energyDelivered=given | members)


async def issues(judged: Judged, rule: str) -> list[Entity]:
    """Bring the issues up to date and return those of a rule."""
    await judged.rules()
    # What the issues themselves brought to the change log.
    await judged.rules()
    store, tenant = judged.broker.store, judged.broker.tenant
    page = await store.query(tenant, query(types=ISSUE), EVERYTHING, 1000, 0, False)
    found = await store.read(tenant, [orjson.loads(row.doc)["id"] for row in page.rows])
    return [
        each for each in found if each is not None and said(each, "rule") == f"https://w3id.org/voltweave/shapes#{rule}"
    ]


def said(issue: Entity, name: str) -> Any:
    found: Any = issue.attributes.get(f"{NAMESPACE}{name}")
    return None if found is None else found["value"]


def status(issue: Entity) -> Any:
    return next(found["value"] for iri, found in issue.attributes.items() if iri.endswith("/status"))  # type: ignore[call-overload]


async def accept(judged: Judged, issue: Entity) -> None:
    await deciding.accept(judged.broker.store, judged.validation, judged.broker.tenant, issue.id, now())


async def dismiss(judged: Judged, issue: Entity) -> None:
    await deciding.dismiss(judged.broker.store, judged.broker.tenant, issue.id, now())


async def stored(judged: Judged) -> Any:
    [entity] = await judged.broker.store.read(judged.broker.tenant, [SESSION])
    assert entity is not None
    return entity.attributes[ENERGY]


def history(broker: Broker) -> list[Any]:
    rows = broker.rows("SELECT instance FROM history JOIN name ON name.id = attr WHERE iri = ? AND deleted = 0", ENERGY)
    return [orjson.loads(instance) for (instance,) in rows]


async def test_an_accepted_conversion_heals_and_keeps_the_value_in_history(judged: Judged) -> None:
    await judged.write(energy(7500, "WHR"))
    [issue] = await issues(judged, "C03")
    assert (said(issue, "repair"), said(issue, "proposedValue"), status(issue)) == ("convertUnit", 7.5, "open")
    await accept(judged, issue)
    after = await stored(judged)
    assert (after["value"], after["unitCode"], after["observedAt"]) == (7.5, "KWH", OBSERVED_AT)
    assert (after[f"{NAMESPACE}sourceValue"]["value"], after[f"{NAMESPACE}sourceUnit"]["value"]) == (7500, "WHR")
    assert sorted(each["value"] for each in history(judged.broker)) == [7.5, 7500]
    [issue] = await issues(judged, "C03")
    assert (said(issue, "action"), status(issue)) == ("corrected", "resolved")
    with pytest.raises(Conflict, match="resolved"):
        await accept(judged, issue)


async def test_an_accepted_mark_heals_and_keeps_the_value(judged: Judged) -> None:
    await judged.write(energy(1500, "KWH"))
    [issue] = await issues(judged, "C05")
    assert said(issue, "repair") == "markOutlier"
    await accept(judged, issue)
    after = await stored(judged)
    assert (after["value"], after[f"{NAMESPACE}quality"]["value"]) == (1500, "suspect")
    assert len(history(judged.broker)) == 2
    [issue] = await issues(judged, "C05")
    assert (said(issue, "action"), status(issue)) == ("corrected", "resolved")
    # The same thing without the mark is odd again.
    await judged.write(energy(1600, "KWH"))
    [issue] = await issues(judged, "C05")
    assert (said(issue, "action"), said(issue, "proposedValue"), status(issue)) == ("flagged", 1600, "open")


async def test_a_value_that_changed_meanwhile_is_not_overwritten(judged: Judged) -> None:
    await judged.write(energy(7500, "WHR"))
    [issue] = await issues(judged, "C03")
    await judged.write(energy(8500, "WHR"))
    with pytest.raises(Conflict, match="changed"):
        await accept(judged, issue)
    assert (await stored(judged))["value"] == 8500
    [issue] = await issues(judged, "C03")
    assert said(issue, "proposedValue") == 8.5
    await accept(judged, issue)
    assert (await stored(judged))["value"] == 8.5


async def test_the_value_of_one_dataset_is_repaired(judged: Judged) -> None:
    both = [energy(9, "KWH")["energyDelivered"], energy(7500, "WHR", datasetId=METER)["energyDelivered"]]
    await judged.write(session(0, energyDelivered=both))
    [issue] = await issues(judged, "C03")
    await accept(judged, issue)
    assert {each.get("datasetId"): each["value"] for each in await stored(judged)} == {None: 9, METER: 7.5}


async def test_what_is_dismissed_stays_and_can_be_accepted_still(judged: Judged) -> None:
    await judged.write(energy(7500, "WHR"))
    [issue] = await issues(judged, "C03")
    await dismiss(judged, issue)
    await dismiss(judged, issue)
    await judged.write(energy(7500, "WHR", accuracy={"type": "Property", "value": 1}))
    [issue] = await issues(judged, "C03")
    assert status(issue) == "dismissed"
    assert (await stored(judged))["value"] == 7500
    await accept(judged, issue)
    [issue] = await issues(judged, "C03")
    assert status(issue) == "resolved"
    with pytest.raises(Conflict):
        await dismiss(judged, issue)


async def test_what_is_not_there_cannot_be_accepted(judged: Judged) -> None:
    await judged.write(energy(7500, "parsec"))
    [issue] = await issues(judged, "C03")
    assert said(issue, "repair") is None
    with pytest.raises(Conflict, match="proposes no repair"):
        await accept(judged, issue)
    for missing in (issue.id + "0", SESSION):
        with pytest.raises(ResourceNotFound):
            await deciding.accept(judged.broker.store, judged.validation, judged.broker.tenant, missing, now())
        with pytest.raises(ResourceNotFound):
            await deciding.dismiss(judged.broker.store, judged.broker.tenant, missing, now())


async def test_a_repair_is_judged_as_every_write(judged: Judged) -> None:
    # 5 GWh would still be more than a session can have.
    await judged.write(energy(5_000_000_000, "WHR"))
    [issue] = await issues(judged, "C03")
    await judged.validation.set_modes(judged.broker.tenant, TenantModes(Mode.ENFORCE))
    with pytest.raises(BadRequestData, match="energyDelivered"):
        await accept(judged, issue)
    [issue] = await issues(judged, "C03")
    assert (said(issue, "action"), status(issue)) == ("flagged", "open")
    assert (await stored(judged))["unitCode"] == "WHR"


async def test_a_meter_does_not_fall_by_a_conversion(judged: Judged) -> None:
    await judged.write(evse(energyProvidedRegister=register(7.4, 0)))
    await judged.write(evse(energyProvidedRegister=register(7500, 60) | {"unitCode": "WHR"}))
    assert ("C24", "EVSE", "open") in await judged.rules()
    [issue] = await issues(judged, "C03")
    await accept(judged, issue)
    [issue] = await issues(judged, "C03")
    assert status(issue) == "resolved"
    assert await judged.rules() == [("C24", "EVSE", "resolved")]
