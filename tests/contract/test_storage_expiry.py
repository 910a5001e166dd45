"""Transient entities and attributes (clause 4.22): absent at once, deleted by the sweep."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import orjson
import pytest

from context_api.storage.port import Outcome
from ngsild.names import format_date_time

pytestmark = pytest.mark.anyio

CIM = "https://w3id.org/voltweave/cim#"
LATER = "2999-01-01T00:00:00Z"


def now() -> int:
    return time.time_ns() // 1000


def past() -> str:
    return format_date_time(now() - 1_000_000)


def number(value: float, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **members}


async def test_expired_entity_is_absent_before_and_after_the_sweep(broker: Any) -> None:
    gone = broker.entity("1", {"soc": number(1)}, expires_at=past(), scope=["/a"])
    kept = broker.entity("2", {"soc": number(2)}, expires_at=LATER)
    await broker.create(gone, kept)
    for _ in range(2):
        assert await broker.store.retrieve(broker.tenant, gone.id) is None
        assert [e and e.id for e in await broker.store.read(broker.tenant, [gone.id, kept.id])] == [None, kept.id]
        await broker.store.expire(now())
    assert broker.rows("SELECT id FROM entity") == [(kept.id,)]
    assert broker.rows("SELECT count(*) FROM value") == [(1,)]
    assert [deleted for _, deleted, _ in broker.history(gone, "soc")] == [0, 1]
    assert [deleted for _, deleted, _ in broker.history(gone, "")] == [0, 1]
    assert broker.rows("SELECT entity_id FROM change WHERE operation = 'expire'") == [(gone.id,)]
    assert await broker.store.expire(now()) == 0
    row = await broker.store.retrieve(broker.tenant, kept.id)
    assert orjson.loads(row.sys)["expiresAt"] == LATER


async def test_expired_instances_are_dropped(broker: Any) -> None:
    entity = broker.entity(
        "1",
        {
            "soc": [number(1, expiresAt=past()), number(2, datasetId="urn:d:2", expiresAt=LATER)],
            "range": number(3, expiresAt=past()),
            "odometer": number(4, **{f"{CIM}accuracy": number(5, expiresAt=past())}),
        },
        stamps={f"{CIM}soc ": (1, 2), f"{CIM}soc urn:d:2": (3, 4), f"{CIM}odometer  {CIM}accuracy ": (5, 6)},
    )
    await broker.create(entity)
    left = {
        f"{CIM}soc": number(2, datasetId="urn:d:2", expiresAt=LATER),
        f"{CIM}odometer": number(4),
    }
    for sweep in range(2):
        found = await broker.get(entity.id)
        assert found.attributes == left
        assert found.stamps == {f"{CIM}soc urn:d:2": (3, 4)}
        row = await broker.store.retrieve(broker.tenant, entity.id)
        assert orjson.loads(row.doc) == {"id": entity.id, "type": entity.types[0], **left}
        assert await broker.store.expire(now()) == (1 if sweep == 0 else 0)
    assert broker.rows("SELECT num FROM value ORDER BY num") == [(2.0,), (4.0,)]
    assert [deleted for _, deleted, _ in broker.history(entity, "range")] == [0, 1]


async def test_update_after_expiry_takes_what_expired_with_it(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1), "range": number(3, expiresAt=past())})
    await broker.create(entity)
    assert await broker.update(entity.id, lambda e: replace(e, attributes={f"{CIM}soc": number(2)})) is Outcome.DONE
    assert broker.rows("SELECT num FROM value") == [(2.0,)]
    assert [deleted for _, deleted, _ in broker.history(entity, "range")] == [0, 1]
    assert await broker.store.expire(now()) == 0


async def test_create_takes_the_place_of_what_expired(broker: Any) -> None:
    await broker.create(broker.entity("1", {"soc": number(1)}, expires_at=past()))
    fresh = broker.entity("1", {"range": number(2)})
    assert await broker.create(fresh) == [Outcome.DONE]
    assert (await broker.get(fresh.id)).attributes == fresh.attributes
    assert broker.rows("SELECT num FROM value") == [(2.0,)]
    assert [deleted for _, deleted, _ in broker.history(fresh, "soc")] == [0, 1]
    assert sorted(deleted for _, deleted, _ in broker.history(fresh, "")) == [0, 0, 1]


async def test_write_of_what_expired_meanwhile_is_missing(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1)}, expires_at=format_date_time(now() + 1_000_000))
    await broker.create(entity)
    stale = replace(await broker.get(entity.id), version=999_999)
    await asyncio.sleep(1.01)
    change = replace(broker.creation(stale), before=stale, at=now())
    assert await broker.store.write(broker.tenant, [change]) == [Outcome.MISSING]


async def test_sweep_of_many_tenants_and_chunks(broker: Any) -> None:
    town = await broker.store.tenant("town", create=True)
    entities = [broker.entity(str(i), {"soc": number(1)}, expires_at=past()) for i in range(1200)]
    await broker.create(*entities)
    await broker.store.write(town, [broker.creation(e) for e in entities[:10]])
    assert await broker.store.expire(now()) == 1210
    assert broker.rows("SELECT count(*) FROM entity") == [(0,)]
    assert broker.rows("SELECT count(*) FROM change WHERE operation = 'expire'") == [(1210,)]
