"""A call of `write` is one transaction, whatever waits beside it: a crash leaves no part of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from context_api.storage.port import Change, Outcome
from ngsild.entity import Entity

pytestmark = pytest.mark.anyio

CIM = "https://w3id.org/voltweave/cim#"
SOC = f"{CIM}soc"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_database")


def entities(broker: Any, name: str, count: int, **members: Any) -> list[Entity]:
    return [broker.entity(f"{name}-{n}", {"soc": {"type": "Property", "value": n}}, **members) for n in range(count)]


def updates(found: Sequence[Entity], value: int, at: int) -> list[Change]:
    attributes: dict[str, Any] = {SOC: {"type": "Property", "value": value}}
    return [
        Change(e.id, e, replace(e, attributes=attributes, modified_at=at), at, "updateEntity", frozenset([SOC]))
        for e in found
    ]


def transactions(broker: Any, found: Sequence[Entity], operation: str) -> int:
    """Count the transactions in which entities were written."""
    rows = broker.rows("SELECT entity_id, txn FROM change WHERE operation = ?", operation)
    written = {entity.id for entity in found}
    return len({txn for entity_id, txn in rows if entity_id in written})


async def test_batches_that_come_together_are_each_in_one_transaction(broker: Any) -> None:
    batches = [entities(broker, str(n), 900) for n in range(5)]
    told = await asyncio.gather(*(broker.create(*batch) for batch in batches))
    assert told == [[Outcome.DONE] * 900] * 5
    assert [transactions(broker, batch, "createEntity") for batch in batches] == [1] * 5


async def test_a_batch_larger_than_a_group_is_one_transaction(broker: Any) -> None:
    batch = entities(broker, "many", 4500)
    assert await broker.create(*batch) == [Outcome.DONE] * 4500
    assert transactions(broker, batch, "createEntity") == 1


async def test_batches_that_share_entities_are_each_in_one_transaction(broker: Any) -> None:
    batch = entities(broker, "shared", 90)
    await broker.create(*batch)
    stored = await broker.store.read(broker.tenant, [entity.id for entity in batch])
    at = max(entity.modified_at for entity in stored) + 1
    first, second, third = stored[:50], stored[30:80], stored[70:]
    told = await asyncio.gather(
        *(
            broker.store.write(broker.tenant, updates(part, value, at + value))
            for value, part in enumerate([first, second, third])
        )
    )
    done, lost = [Outcome.DONE], [Outcome.LOST]
    assert told == [done * 50, lost * 20 + done * 30, lost * 10 + done * 10]
    assert transactions(broker, first, "updateEntity") == 1
    assert transactions(broker, second[20:], "updateEntity") == 1
    assert transactions(broker, third[10:], "updateEntity") == 1


async def test_a_batch_with_something_expired_is_one_transaction(broker: Any) -> None:
    expired = entities(broker, "again", 1, expires_at="2001-01-01T00:00:00Z")
    await broker.create(*expired)
    batch = entities(broker, "again", 60)
    assert await broker.create(*batch) == [Outcome.DONE] * 60
    last = broker.rows("SELECT c.entity_id, c.txn FROM change c JOIN entity e ON e.version = c.new_version")
    assert len(last) == 60
    assert len({txn for _, txn in last}) == 1
