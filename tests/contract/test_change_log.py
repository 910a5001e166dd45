"""Consumers of the change log on every database: all changes, in order, at least once (decision 15)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert
from structlog.testing import capture_logs

from context_api import change_log
from context_api.change_log import Consumer, serve
from context_api.leases import Leases
from context_api.outage import Outage
from context_api.storage.port import LoggedChange, StorageError, Store
from context_api.storage.records import Statement
from context_api.storage.tables import epoch

pytestmark = pytest.mark.anyio

#: Well below the time after which a consumer looks without having been woken.
AT_ONCE_SECONDS = 2.0


class Seen:
    """A consumer that keeps what it gets, after failing as often as it is told to."""

    def __init__(self, name: str = "seen", failures: int = 0, error: Exception | None = None) -> None:
        self.consumer = Consumer(name, self.receive)
        self.batches: list[Sequence[LoggedChange]] = []
        self.failures = failures
        self.error = error or ValueError("the consumer cannot")
        self.statements: list[Statement] = []

    async def receive(self, changes: Sequence[LoggedChange]) -> Sequence[Statement]:
        self.batches.append(changes)
        if self.failures:
            self.failures -= 1
            raise self.error
        return self.statements

    @property
    def numbers(self) -> list[int]:
        return [change.number for batch in self.batches for change in batch]


@asynccontextmanager
async def served(store: Store, *seen: Seen, leases: Leases | None = None) -> AsyncIterator[None]:
    """Serve consumers until the block ends."""
    leases = leases or Leases(store.records)
    outage = Outage(store)
    tasks = [asyncio.create_task(serve(each.consumer, store, leases, outage)) for each in seen]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await outage.close()


async def until(condition: Callable[[], object], seconds: float = AT_ONCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("turns", range(8))
async def test_a_consumer_that_is_woken_while_it_is_cancelled_ends(
    broker: Any, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    seen = Seen("seen")
    woken: list[Callable[[], None]] = []
    watch = broker.store.watch

    def note(wake: Callable[[], None]) -> None:
        woken.append(wake)
        watch(wake)

    monkeypatch.setattr(broker.store, "watch", note)
    task = asyncio.create_task(serve(seen.consumer, broker.store, Leases(broker.store.records), Outage(broker.store)))
    await broker.create(broker.entity("one", {}))
    await until(lambda: seen.batches)
    # Nothing is left to read: it sleeps until somebody writes.
    await asyncio.sleep(0.3)
    woken[0]()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=AT_ONCE_SECONDS)
    assert done == {task} and task.cancelled()


async def test_changes_say_what_was_done(broker: Any) -> None:
    town = await broker.store.tenant("town", create=True)
    first, bare = broker.entity("1", {"soc": {"type": "Property", "value": 1}}), broker.entity("2")
    await broker.store.write(broker.tenant, [replace(broker.creation(first), report="[]")])
    created = await broker.get(first.id)
    await broker.store.write(town, [broker.creation(bare)])
    await broker.update(first.id, lambda e: replace(e, attributes={}))
    await broker.delete(first.id)
    changes = await broker.store.changes(0, 10)
    assert [(c.tenant, c.entity_id, c.operation, c.gone, c.report) for c in changes] == [
        (broker.tenant, first.id, "createEntity", False, "[]"),
        (town, bare.id, "createEntity", False, None),
        (broker.tenant, first.id, "updateAttributes", False, None),
        (broker.tenant, first.id, "deleteEntity", True, None),
    ]
    assert (changes[0].old_version, changes[0].new_version) == (None, created.version)
    assert changes[2].old_version == created.version
    assert changes[0].k == changes[3].k != changes[1].k
    assert [type(c.k) for c in changes] == [bytes] * 4
    assert await broker.store.changes(0, 2) == changes[:2]
    assert await broker.store.changes(changes[1].number, 2) == changes[2:]
    assert await broker.store.changes(changes[3].number, 2) == []


async def test_an_entity_without_attributes_and_an_expired_one_are_gone(broker: Any) -> None:
    bare, passing = broker.entity("1"), broker.entity("2", expires_at="2020-01-01T00:00:00Z")
    await broker.create(bare, passing)
    await broker.delete(bare.id)
    await broker.store.expire(time.time_ns() // 1000)
    changes = await broker.store.changes(0, 10)
    assert [change.gone for change in changes] == [False, False, True, True]


async def test_a_consumer_is_fed_at_once_and_in_order(broker: Any) -> None:
    seen = Seen()
    await broker.create(broker.entity("before"))
    async with served(broker.store, seen):
        await until(lambda: seen.numbers)
        await asyncio.sleep(0.3)
        entities = [broker.entity(str(i)) for i in range(300)]
        await asyncio.gather(*(broker.create(entity) for entity in entities))
        await until(lambda: len(seen.numbers) == 301)
        # What comes together is given together.
        assert len(seen.batches) < 30
        await broker.update(
            entities[0].id, lambda e: replace(e, attributes={"urn:a": {"type": "Property", "value": 1}})
        )
        await until(lambda: len(seen.numbers) == 302)
    assert seen.numbers == [n for (n,) in broker.rows("SELECT id FROM change ORDER BY id")]


async def test_batches_have_a_limit(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "_BATCH", 70)
    await broker.create(*(broker.entity(str(i)) for i in range(500)))
    seen = Seen()
    async with served(broker.store, seen):
        await until(lambda: len(seen.numbers) == 500)
    assert [len(batch) for batch in seen.batches] == [70] * 7 + [10]


async def test_a_consumer_goes_on_where_it_was(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "_KEEP_SECONDS", 0)
    leases = Leases(broker.store.records)
    for run in range(3):
        await broker.create(*(broker.entity(f"{run} {i}") for i in range(10)))
        seen = Seen()
        async with served(broker.store, seen, leases=leases):
            await until(lambda seen=seen: seen.numbers)  # type: ignore[misc]
            await until(lambda: broker.rows("SELECT position FROM change_consumer") == [(seen.numbers[-1],)])  # noqa: B023
        assert len(seen.numbers) == 10
    assert broker.rows("SELECT name FROM change_consumer") == [("seen",)]


async def test_what_a_consumer_keeps_moves_with_its_position(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that fails leaves the position where it was, and the changes come again."""
    monkeypatch.setattr(change_log, "_LEAST_BACK_OFF", 0.1)
    seen = Seen()
    await broker.store.records.execute(insert(epoch).values(kind="there", tenant=1, epoch=1))
    seen.statements = [insert(epoch).values(kind=kind, tenant=1, epoch=1) for kind in ("new", "there")]
    await broker.create(broker.entity("1"))
    with capture_logs():
        async with served(broker.store, seen):
            await until(lambda: len(seen.batches) >= 2)
            assert broker.rows("SELECT position FROM change_consumer") == [(0,)]
            assert broker.rows("SELECT kind FROM epoch") == [("there",)]
            seen.statements = seen.statements[:1]
            await until(lambda: broker.rows("SELECT kind FROM epoch WHERE kind = 'new'"), seconds=5)
    assert broker.rows("SELECT position FROM change_consumer") == [(seen.numbers[-1],)]


async def test_a_consumer_that_fails_is_tried_again_and_blocks_no_other(
    broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_log, "_LEAST_BACK_OFF", 0.01)
    failing, other = Seen("failing", failures=4), Seen("other")
    with capture_logs() as logs:
        async with served(broker.store, failing, other):
            await broker.create(broker.entity("1"))
            await until(lambda: len(failing.batches) == 5)
            assert other.numbers == failing.numbers[:1]
            await asyncio.sleep(0.1)
    assert len(set(failing.numbers)) == 1
    assert [(line["event"], line["consumer"], line.get("failures")) for line in logs] == [
        ("consumer failed, and is tried again", "failing", None),
        ("consumer works again", "failing", 4),
    ]


async def test_an_outage_is_told_as_all_others(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_log, "_LEAST_BACK_OFF", 0.01)
    seen = Seen(failures=3, error=StorageError("away"))
    with capture_logs() as logs:
        async with served(broker.store, seen):
            await broker.create(broker.entity("1"))
            await until(lambda: len(seen.batches) == 4)
    assert [(line["event"], line["what"]) for line in logs] == [("storage failed", "consumer seen")]


async def test_positions_that_nobody_minds_are_kept_seldom(broker: Any) -> None:
    """A commit for each batch would cost more than looking at it."""
    seen = Seen()
    positions = set()
    async with served(broker.store, seen):
        began = time.monotonic()
        for i in range(10):
            await broker.create(broker.entity(str(i)))
            await until(lambda i=i: len(seen.numbers) > i)  # type: ignore[misc]
            positions.update(broker.rows("SELECT position FROM change_consumer"))
        assert len(seen.batches) == 10
        assert len(positions) <= 2 + (time.monotonic() - began) / change_log._KEEP_SECONDS
