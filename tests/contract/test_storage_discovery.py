"""Discovery of types and attributes (clauses 5.7.5 to 5.7.10), before and after changes, and under restrictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from context_api.storage.port import AttributeInfo, TypeInfo
from ngsild.query import EVERYTHING, HasType, Restriction

pytestmark = pytest.mark.anyio

CIM = "https://w3id.org/voltweave/cim#"
VEHICLE, BUS, BAY = f"{CIM}Vehicle", f"{CIM}Bus", f"{CIM}ParkingBay"
SOC, RANGE, SITE, NAME = f"{CIM}soc", f"{CIM}range", f"{CIM}isIn", f"{CIM}name"


def number(value: float, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **members}


@pytest.fixture
async def town(broker: Any) -> Any:
    await broker.create(
        broker.entity("1", {"soc": [number(1), number(2, datasetId="urn:d:2")], "range": number(3)}),
        broker.entity("2", {"soc": {"type": "ListProperty", "valueList": [1]}}, types=[BUS, VEHICLE]),
        broker.entity("3", {"isIn": {"type": "Relationship", "object": "urn:x:1"}}, types=[BAY]),
    )
    return broker


async def test_types_and_attributes(town: Any) -> None:
    assert await town.store.types(town.tenant, EVERYTHING) == {
        VEHICLE: {SOC, RANGE},
        BUS: {SOC},
        BAY: {SITE},
    }
    assert await town.store.attributes(town.tenant, EVERYTHING) == {
        SOC: {VEHICLE, BUS},
        RANGE: {VEHICLE},
        SITE: {BAY},
    }


async def test_details(town: Any) -> None:
    vehicles = TypeInfo(VEHICLE, 2, {SOC: frozenset({"Property", "ListProperty"}), RANGE: frozenset({"Property"})})
    assert await town.store.type_info(town.tenant, VEHICLE, EVERYTHING) == vehicles
    soc = AttributeInfo(SOC, 3, frozenset({"Property", "ListProperty"}), frozenset({VEHICLE, BUS}))
    assert await town.store.attribute_info(town.tenant, SOC, EVERYTHING) == soc


async def test_unknown_names_and_tenants_have_nothing(town: Any) -> None:
    assert await town.store.type_info(town.tenant, f"{CIM}Tram", EVERYTHING) is None
    assert await town.store.attribute_info(town.tenant, NAME, EVERYTHING) is None
    other = await town.store.tenant("other", create=True)
    assert await town.store.types(other, EVERYTHING) == {}
    assert await town.store.attribute_info(other, SOC, EVERYTHING) is None


async def test_what_is_gone_is_discovered_no_more(town: Any) -> None:
    first, second, third = (f"urn:ngsi-ld:Vehicle:test:{i}" for i in "123")
    await town.update(first, lambda e: replace(e, attributes={RANGE: number(4)}))
    await town.delete(second)
    await town.update(third, lambda e: replace(e, types=[BAY, BUS]))
    assert await town.store.types(town.tenant, EVERYTHING) == {VEHICLE: {RANGE}, BAY: {SITE}, BUS: {SITE}}
    assert await town.store.attribute_info(town.tenant, SOC, EVERYTHING) is None
    assert await town.store.type_info(town.tenant, BUS, EVERYTHING) == TypeInfo(
        BUS, 1, {SITE: frozenset({"Relationship"})}
    )


async def test_what_expired_is_discovered_no_more(town: Any) -> None:
    past = "2020-01-01T00:00:00Z"
    await town.create(town.entity("4", {"name": number(1)}, types=[f"{CIM}Tram"], expires_at=past))
    await town.update(
        "urn:ngsi-ld:Vehicle:test:1", lambda e: replace(e, attributes={**e.attributes, NAME: number(1, expiresAt=past)})
    )
    assert f"{CIM}Tram" not in await town.store.types(town.tenant, EVERYTHING)
    assert NAME not in await town.store.attributes(town.tenant, EVERYTHING)


async def test_hidden_attributes_are_absent(town: Any) -> None:
    restriction = Restriction(hidden=frozenset({SOC}))
    assert await town.store.types(town.tenant, restriction) == {VEHICLE: {RANGE}, BUS: set(), BAY: {SITE}}
    assert await town.store.attribute_info(town.tenant, SOC, restriction) is None
    assert SOC not in (await town.store.type_info(town.tenant, VEHICLE, restriction)).attributes
    readable = Restriction(readable=frozenset({SITE}))
    assert await town.store.attributes(town.tenant, readable) == {SITE: {BAY}}


async def test_hidden_entities_are_absent(town: Any) -> None:
    restriction = Restriction(row=HasType((frozenset({BUS}),)), hidden=frozenset({RANGE}))
    assert await town.store.types(town.tenant, restriction) == {VEHICLE: {SOC}, BUS: {SOC}}
    soc = AttributeInfo(SOC, 1, frozenset({"ListProperty"}), frozenset({VEHICLE, BUS}))
    assert await town.store.attribute_info(town.tenant, SOC, restriction) == soc
    assert await town.store.type_info(town.tenant, BAY, restriction) is None
