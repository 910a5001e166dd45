"""Reads by key that come together: each is answered, whoever else asks at that moment."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

TURNS = 60


@pytest.mark.parametrize("order", ["before", "after"])
async def test_a_read_that_comes_as_others_end_waits_for_nobody(broker: Any, order: str) -> None:
    """Two are under way and answered at once; a third comes at each turn of the event loop, and nobody after it."""
    await broker.create(*(broker.entity(str(number)) for number in range(3)))

    async def read(number: int, turns: int = 0) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await broker.store.retrieve(broker.tenant, f"urn:ngsi-ld:Vehicle:test:{number}") is not None

    for turns in range(TURNS):
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            if order == "before":
                group.create_task(read(2, turns))
            for number in range(2):
                group.create_task(read(number))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            # Both answers have come when the loop looks again.
            time.sleep(0.005)  # noqa: ASYNC251 - the loop shall stand still
            if order == "after":
                group.create_task(read(2, turns))


async def test_reads_that_come_together_are_each_answered(broker: Any) -> None:
    """More than one statement holds, some of the same entity, some of none, and some whose caller goes away."""
    await broker.create(*(broker.entity(str(number)) for number in range(40)))
    ids = [f"urn:ngsi-ld:Vehicle:test:{number}" for number in range(50)]

    async def read(first: int) -> list[Any]:
        found: list[Any] = await broker.store.read(broker.tenant, ids[first : first + 10])
        return found

    reads = [asyncio.create_task(read(number % 45)) for number in range(200)]
    await asyncio.sleep(0)
    gone = reads[::7]
    for each in gone:
        each.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait(reads)
    assert all(each.cancelled() for each in gone)
    for number, each in enumerate(reads):
        if each not in gone:
            asked = ids[number % 45 : number % 45 + 10]
            assert [None if e is None else e.id for e in each.result()] == [i if i in ids[:40] else None for i in asked]
    # Each caller has entities of its own.
    one, other = await asyncio.gather(read(0), read(0))
    assert one[0] is not other[0] and one == other
