"""Conditional writes, group commit, the change log and versions, on every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from context_api.storage.port import Change, Outcome
from ngsild.problems import NonexistentTenant

pytestmark = pytest.mark.anyio

CIM = "https://w3id.org/voltweave/cim#"


def number(value: float, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **members}


async def test_created_entity_reads_back_whole(broker: Any) -> None:
    entity = broker.entity(
        "1",
        {"soc": [number(1), number(2, datasetId="urn:d:1")], "isIn": {"type": "Relationship", "object": "urn:x:1"}},
        scope=["/a/b"],
        types=[f"{CIM}B", f"{CIM}A"],
        stamps={f"{CIM}soc ": (1, 2)},
        owner="me",
        expires_at="2999-01-01T00:00:00Z",
    )
    assert await broker.create(entity) == [Outcome.DONE]
    found = await broker.get(entity.id)
    assert found == replace(entity, version=found.version)
    assert found.version > 0
    row = await broker.store.retrieve(broker.tenant, entity.id)
    assert orjson.loads(row.doc) == {"id": entity.id, "type": entity.types, "scope": entity.scope, **entity.attributes}
    assert (row.created_at, row.modified_at, row.owner) == (entity.created_at, entity.created_at, "me")
    assert b"createdAt" not in row.doc


async def test_absent_entity_is_none_everywhere(broker: Any) -> None:
    entity = broker.entity("1")
    await broker.create(entity)
    assert await broker.store.retrieve(broker.tenant, "urn:ngsi-ld:none") is None
    assert [e and e.id for e in await broker.store.read(broker.tenant, ["urn:x:a", entity.id])] == [None, entity.id]
    assert await broker.store.read(broker.tenant, []) == []


async def test_create_of_what_exists_changes_nothing(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1)})
    await broker.create(entity)
    assert await broker.create(broker.entity("1", {"soc": number(2)})) == [Outcome.EXISTS]
    assert (await broker.get(entity.id)).attributes == entity.attributes
    assert len(broker.rows("SELECT id FROM change")) == 1
    assert len(broker.history(entity, "soc")) == 1


async def test_write_on_an_old_version_is_lost(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1)})
    await broker.create(entity)
    stale = await broker.get(entity.id)
    assert await broker.update(entity.id, lambda e: replace(e, attributes={f"{CIM}soc": number(2)})) is Outcome.DONE
    after = replace(stale, attributes={f"{CIM}soc": number(3)})
    change = Change(entity.id, stale, after, stale.modified_at, "updateAttributes")
    assert await broker.store.write(broker.tenant, [change]) == [Outcome.LOST]
    assert await broker.store.write(broker.tenant, [replace(change, after=None)]) == [Outcome.LOST]
    assert (await broker.get(entity.id)).attributes == {f"{CIM}soc": number(2)}


async def test_update_and_delete_of_what_is_gone_never_insert(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1)})
    await broker.create(entity)
    stale = await broker.get(entity.id)
    assert await broker.delete(entity.id) is Outcome.DONE
    update = Change(entity.id, stale, replace(stale, attributes={}), stale.modified_at, "updateAttributes")
    unknown = Change("urn:x:none", None, None, stale.modified_at, "deleteEntity")
    written = await broker.store.write(broker.tenant, [update, replace(update, after=None), unknown])
    assert written == [Outcome.MISSING] * 3
    assert await broker.store.retrieve(broker.tenant, entity.id) is None
    assert broker.rows("SELECT count(*) FROM value") == [(0,)]


async def test_second_change_of_an_entity_in_one_write_sees_the_first(broker: Any) -> None:
    first, second = broker.entity("1", {"soc": number(1)}), broker.entity("1", {"soc": number(2)})
    assert await broker.create(first, broker.entity("2"), second) == [Outcome.DONE, Outcome.DONE, Outcome.EXISTS]
    stored = await broker.get(first.id)
    gone = Change(first.id, stored, None, stored.modified_at + 1, "deleteEntity")
    again = broker.creation(broker.entity("1", {"soc": number(3)}, at=stored.modified_at + 2))
    assert await broker.store.write(broker.tenant, [gone, again]) == [Outcome.DONE, Outcome.DONE]
    found = await broker.get(first.id)
    assert found.attributes == {f"{CIM}soc": number(3)}
    assert found.version > stored.version
    assert [(deleted, num) for _, deleted, num in broker.history(first, "soc")] == [(0, 1.0), (1, None), (0, 3.0)]


async def test_atomic_write_is_all_or_nothing(broker: Any) -> None:
    await broker.create(broker.entity("2"))
    changes = [broker.creation(broker.entity(str(i))) for i in range(4)]
    written = await broker.store.write(broker.tenant, changes, atomic=True)
    assert written == [Outcome.UNDONE, Outcome.UNDONE, Outcome.EXISTS, Outcome.UNDONE]
    assert len(broker.rows("SELECT id FROM entity")) == 1
    twice = [changes[0], changes[0]]
    assert await broker.store.write(broker.tenant, twice, atomic=True) == [Outcome.UNDONE, Outcome.LOST]
    rest = [changes[0], changes[1], changes[3]]
    assert await broker.store.write(broker.tenant, rest, atomic=True) == [Outcome.DONE] * 3


async def test_batch_of_a_thousand_is_one_transaction(broker: Any) -> None:
    entities = [broker.entity(str(i), {"soc": number(i), "name": number(-i)}) for i in range(1000)]
    assert await broker.create(*entities) == [Outcome.DONE] * 1000
    assert broker.rows("SELECT count(*), count(DISTINCT txn), count(DISTINCT new_version) FROM change") == [
        (1000, 1, 1000)
    ]
    assert broker.rows("SELECT count(*) FROM history") == [(3000,)]
    found = await broker.store.read(broker.tenant, [entity.id for entity in entities])
    assert [e and e.attributes for e in found] == [e.attributes for e in entities]


async def test_concurrent_writes_of_one_entity_have_one_winner(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(0)})
    made = await asyncio.gather(*(broker.create(entity) for _ in range(50)))
    assert [o for (o,) in made].count(Outcome.DONE) == 1
    before = await broker.get(entity.id)
    changes = [
        Change(
            entity.id, before, replace(before, attributes={f"{CIM}soc": number(i)}), before.modified_at + i, "update"
        )
        for i in range(1, 50)
    ]
    outcomes = [o for (o,) in await asyncio.gather(*(broker.store.write(broker.tenant, [c]) for c in changes))]
    assert outcomes.count(Outcome.DONE) == 1
    assert outcomes.count(Outcome.LOST) == 48


async def test_one_bad_write_of_a_group_fails_alone(broker: Any) -> None:
    good = [broker.entity(str(i), {"soc": number(i)}) for i in range(20)]
    bad = broker.entity("bad", {"soc": {"type": "Property", "value": "\ud800"}})
    results = await asyncio.gather(*(broker.create(e) for e in [*good[:10], bad, *good[10:]]), return_exceptions=True)
    assert isinstance(results[10], Exception)
    assert [r for r in results if r == [Outcome.DONE]] == [[Outcome.DONE]] * 20
    assert len(broker.rows("SELECT id FROM entity")) == 20
    assert broker.rows("SELECT count(*) FROM change WHERE entity_id = ?", bad.id) == [(0,)]


async def test_names_of_a_failed_write_are_not_taken_for_stored(broker: Any) -> None:
    bad = broker.entity("bad", {"soc": number(1), "name": number("\ud800")}, types=[f"{CIM}Bus"])  # type: ignore[arg-type]
    with pytest.raises(orjson.JSONEncodeError):
        await broker.create(bad)
    if broker.database.names_roll_back:
        assert broker.rows("SELECT count(*) FROM name WHERE id > 0") == [(0,)]
    good = broker.entity("good", {"range": number(1), "soc": number(2)}, types=[f"{CIM}Bay", f"{CIM}Bus"])
    await broker.create(good)
    assert [num for *_, num in broker.history(good, "soc")] == [2.0]
    assert broker.rows("SELECT types FROM typeset JOIN entity ON typeset = typeset.id") == [
        (orjson.dumps(sorted(good.types)).decode(),)
    ]


async def test_version_never_restarts(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1)})
    seen = []
    for _ in range(2):
        await broker.create(entity)
        seen.append((await broker.get(entity.id)).version)
        await broker.delete(entity.id)
    await broker.store.close()
    again = broker.database.store()
    await again.start()
    await again.write(broker.tenant, [broker.creation(entity)])
    (found,) = await again.read(broker.tenant, [entity.id])
    await again.close()
    assert found is not None
    assert seen[0] < seen[1] < found.version
    versions = [v for (v,) in broker.rows("SELECT new_version FROM change ORDER BY id")]
    assert len(set(versions)) == len(versions) == 5
    await broker.store.start()


async def test_change_log_says_what_was_done(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1), "range": number(2)})
    await broker.create(entity)
    first = (await broker.get(entity.id)).version
    kept = {f"{CIM}soc": number(5), f"{CIM}odometer": number(9)}
    await broker.update(entity.id, lambda e: replace(e, attributes=kept))
    second = (await broker.get(entity.id)).version
    await broker.delete(entity.id)
    names = dict(broker.rows("SELECT id, iri FROM name"))

    def read(text: str) -> dict[str, list[str]]:
        return {what: [names[i].removeprefix(CIM) for i in ids] for what, ids in orjson.loads(text).items()}

    rows = broker.rows("SELECT operation, attributes, old_version, new_version FROM change ORDER BY id")
    assert [(operation, read(attributes), old) for operation, attributes, old, _ in rows] == [
        ("createEntity", {"created": ["soc", "range"]}, None),
        ("updateAttributes", {"created": ["odometer"], "updated": ["soc"], "deleted": ["range"]}, first),
        ("deleteEntity", {"deleted": ["", "soc", "odometer"]}, second),
    ]
    assert [new for *_, new in rows[:2]] == [first, second]


async def test_tenants_are_apart(broker: Any) -> None:
    with pytest.raises(NonexistentTenant):
        await broker.store.tenant("town", create=False)
    town = await broker.store.tenant("town", create=True)
    assert await broker.store.tenant("town", create=False) == town
    assert town.id != broker.tenant.id
    entity = broker.entity("1", {"soc": number(1)})
    await broker.create(entity)
    assert await broker.store.retrieve(town, entity.id) is None
    assert await broker.store.write(town, [broker.creation(entity)]) == [Outcome.DONE]
    await broker.delete(entity.id)
    assert await broker.store.retrieve(town, entity.id) is not None
    with pytest.raises(NonexistentTenant):
        await broker.store.tenant("Town", create=False)


async def test_tenants_survive_a_restart(broker: Any) -> None:
    town = await broker.store.tenant("town", create=True)
    await broker.store.close()
    again = broker.database.store()
    await again.start()
    try:
        assert await again.tenant("town", create=False) == town
    finally:
        await again.close()


async def test_writers_wait_when_the_queue_is_full(database: Any, broker: Any) -> None:
    await broker.store.close()
    store = database.store(max_queued_writes=2)
    await store.start()
    entities = [broker.entity(str(i), {"soc": number(i)}) for i in range(200)]
    written = await asyncio.gather(*(store.write(broker.tenant, [broker.creation(e)]) for e in entities))
    assert written == [[Outcome.DONE]] * 200
    await store.close()
    assert len(broker.rows("SELECT DISTINCT txn FROM change")) >= 100
    await broker.store.start()


async def test_callers_that_go_away_while_they_wait_hold_up_nobody(database: Any, broker: Any) -> None:
    await broker.store.close()
    store = database.store(max_queued_writes=1)
    await store.start()
    changes = [broker.creation(broker.entity(str(i))) for i in range(60)]
    tasks = [asyncio.ensure_future(store.write(broker.tenant, [change])) for change in changes]
    await asyncio.sleep(0)
    for task in tasks[1::2]:
        task.cancel()
    async with asyncio.timeout(30):
        kept = await asyncio.gather(*tasks[::2])
    assert kept == [[Outcome.DONE]] * 30
    assert await store.retrieve(broker.tenant, changes[1].entity_id) is None
    await store.close()
    await broker.store.start()


async def test_a_caller_that_goes_away_loses_nothing(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1)})
    task = asyncio.ensure_future(broker.create(entity))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await broker.create(broker.entity("2")) == [Outcome.DONE]
    assert await broker.create(entity) == [Outcome.EXISTS]


async def test_closing_commits_what_is_queued(broker: Any) -> None:
    tasks = [asyncio.ensure_future(broker.create(broker.entity(str(i), {"soc": number(i)}))) for i in range(300)]
    await asyncio.sleep(0)
    await broker.store.close()
    assert await asyncio.gather(*tasks) == [[Outcome.DONE]] * 300
    assert broker.rows("SELECT count(*) FROM entity") == [(300,)]
    with pytest.raises(Exception, match="closed"):
        await broker.create(broker.entity("late"))
    await broker.store.start()
