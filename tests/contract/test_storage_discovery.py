"""Discovery of types and attributes (clauses 5.7.5 to 5.7.10), before and after changes, and under restrictions."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from context_api.storage.port import AttributeInfo, Change, TypeInfo
from ngsild.entity import Entity
from ngsild.problems import TooComplexQuery
from ngsild.query import EVERYTHING, HasType, Restriction
from ngsild.query.ast import Equal, Number, Path
from ngsild.query.restriction import Rule

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
    restriction = Restriction(prohibitions=(Rule(attributes=frozenset({SOC})),))
    assert await town.store.types(town.tenant, restriction) == {VEHICLE: {RANGE}, BUS: set(), BAY: {SITE}}
    assert await town.store.attribute_info(town.tenant, SOC, restriction) is None
    assert SOC not in (await town.store.type_info(town.tenant, VEHICLE, restriction)).attributes
    readable = Restriction((Rule(attributes=frozenset({SITE})),))
    assert await town.store.attributes(town.tenant, readable) == {SITE: {BAY}}


async def test_hidden_entities_are_absent(town: Any) -> None:
    restriction = Restriction((Rule(HasType((frozenset({BUS}),))),), (Rule(attributes=frozenset({RANGE})),))
    assert await town.store.types(town.tenant, restriction) == {VEHICLE: {SOC}, BUS: {SOC}}
    soc = AttributeInfo(SOC, 1, frozenset({"ListProperty"}), frozenset({VEHICLE, BUS}))
    assert await town.store.attribute_info(town.tenant, SOC, restriction) == soc
    assert await town.store.type_info(town.tenant, BAY, restriction) is None


async def test_many_visible_entities_are_counted(broker: Any) -> None:
    many = [broker.entity(f"{n}", {"soc": number(n)}, types=[BUS if n % 2 else BAY]) for n in range(900)]
    await broker.create(*many)
    restriction = Restriction((Rule(HasType((frozenset({BUS}),))),))
    buses = TypeInfo(BUS, 450, {SOC: frozenset({"Property"})})
    assert await broker.store.type_info(broker.tenant, BUS, restriction) == buses
    assert await broker.store.types(broker.tenant, restriction) == {BUS: {SOC}}


async def test_counting_takes_no_longer_than_a_query_may(postgresql_database: Any) -> None:
    store = postgresql_database.store(query_time_limit=0.5)
    await store.start()
    other = await asyncpg.connect(postgresql_database.url)
    try:
        entity = Entity("urn:e:1", [BUS], {SOC: number(1)}, created_at=1)
        tenant = await store.tenant(None, create=False)
        await store.write(tenant, [Change(entity.id, None, entity, 1, "create")])
        restriction = Restriction((Rule(where=Equal(Path(SOC), (Number(1),))),))
        assert await store.types(tenant, restriction) == {BUS: {SOC}}
        await other.execute("BEGIN; LOCK TABLE value")
        with pytest.raises(TooComplexQuery):
            await store.types(tenant, restriction)
        await other.execute("ROLLBACK")
        assert await store.types(tenant, restriction) == {BUS: {SOC}}
    finally:
        await other.close()
        await store.close()


async def discovered(broker: Any) -> tuple[Any, ...]:
    """Return all that discovery tells of four types and four attributes."""
    store, tenant = broker.store, broker.tenant
    return (
        await store.types(tenant, EVERYTHING),
        await store.attributes(tenant, EVERYTHING),
        [await store.type_info(tenant, iri, EVERYTHING) for iri in TYPES],
        [await store.attribute_info(tenant, iri, EVERYTHING) for iri in ATTRIBUTES],
    )


TYPES = [VEHICLE, BUS, BAY, f"{CIM}Tram"]
ATTRIBUTES = [SOC, RANGE, SITE, NAME]
KINDS = {"Property": "value", "Relationship": "object", "ListProperty": "valueList"}
State = tuple[frozenset[str], dict[str, list[str]]]
"""The types of an entity, and the attribute type of each instance of its attributes."""


def counted(states: list[State]) -> tuple[Any, ...]:
    """Return what `discovered` shall be, counted from scratch."""
    having = [(iri, types, kinds) for types, attributes in states for iri, kinds in attributes.items()]
    types = {iri: {a for a, ts, _ in having if iri in ts} for iri in TYPES if any(iri in ts for ts, _ in states)}
    attributes = {iri: {t for a, ts, _ in having if a == iri for t in ts} for iri in {a for a, *_ in having}}
    entities = Counter(iri for ts, _ in states for iri in ts)
    return (
        types,
        attributes,
        [
            TypeInfo(
                iri,
                entities[iri],
                {a: frozenset(k for b, ts, kinds in having if b == a and iri in ts for k in kinds) for a in types[iri]},
            )
            if iri in types
            else None
            for iri in TYPES
        ],
        [
            AttributeInfo(
                iri,
                sum(len(kinds) for a, _, kinds in having if a == iri),
                frozenset(k for a, _, kinds in having if a == iri for k in kinds),
                frozenset(attributes[iri]),
            )
            if iri in attributes
            else None
            for iri in ATTRIBUTES
        ],
    )


def some_state(chance: random.Random) -> State:
    attributes = chance.sample(ATTRIBUTES, chance.randrange(3))
    return (
        frozenset(chance.sample(TYPES, chance.choice([1, 1, 2]))),
        {iri: chance.choices(list(KINDS), k=chance.choice([1, 1, 3])) for iri in attributes},
    )


def instance(kind: str, place: int) -> dict[str, Any]:
    value = ["urn:x:1"] if kind == "ListProperty" else "urn:x:1"
    return {"type": kind, KINDS[kind]: value, **({"datasetId": f"urn:d:{place}"} if place else {})}


@pytest.mark.parametrize("seed", range(3))
async def test_discovery_is_a_plain_count_after_random_changes_and_roll_ups(broker: Any, seed: int) -> None:
    chance = random.Random(seed)
    states: dict[str, State] = {}
    for _ in range(60):
        name = f"urn:ngsi-ld:Vehicle:test:{chance.randrange(8)}"
        types, attributes = state = some_state(chance)
        members = {"types": sorted(types)}
        made = {iri: [instance(kind, n) for n, kind in enumerate(kinds)] for iri, kinds in attributes.items()}
        if name not in states:
            entity = replace(broker.entity(name.rpartition(":")[2], **members), attributes=made)
            await broker.create(entity)
            states[name] = state
        elif chance.random() < 0.5:
            await broker.update(name, lambda e, m=members, a=made: replace(e, attributes=a, **m))
            states[name] = state
        else:
            await broker.delete(name)
            del states[name]
        if chance.random() < 0.2:
            await broker.store.roll_up()
        if chance.random() < 0.3:
            assert await discovered(broker) == counted(list(states.values()))
    before = await discovered(broker)
    await broker.store.roll_up()
    assert await discovered(broker) == before == counted(list(states.values()))
    # What is no more leaves no row.
    for name in states:
        await broker.delete(name)
    await broker.store.roll_up()
    assert await discovered(broker) == counted([])
