"""History: what is recorded, what is a duplicate, what late values and deletions leave, and the instanceId."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from context_api.storage.history import InstanceKey, instance_id, parse_instance_id
from context_api.storage.port import Change, Outcome, Span
from ngsild.names import date_time

CIM = "https://w3id.org/voltweave/cim#"
T1, T2, T3 = (f"2024-01-0{day}T00:00:00Z" for day in (1, 2, 3))


def number(value: float, observed: str | None = None, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **({"observedAt": observed} if observed else {}), **members}


def soc(value: Any) -> Any:
    return lambda entity: replace(entity, attributes={**entity.attributes, f"{CIM}soc": value})


@pytest.mark.anyio
async def test_time_is_observed_else_modified(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1), "range": number(7)})
    await broker.create(entity)
    assert broker.history(entity, "soc") == [(date_time(T1, "t"), 0, 1.0)]
    assert broker.history(entity, "range") == [(entity.created_at, 0, 7.0)]


@pytest.mark.anyio
async def test_only_what_was_written_goes_to_history(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1), "range": number(7)})
    await broker.create(entity)
    await broker.update(entity.id, soc(number(2, T2)))
    assert [num for *_, num in broker.history(entity, "soc")] == [1.0, 2.0]
    assert len(broker.history(entity, "range")) == 1
    assert len(broker.history(entity, "")) == 1


@pytest.mark.anyio
async def test_same_value_written_again_is_history_when_it_has_another_time(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1), "range": number(7)})
    await broker.create(entity)
    await broker.update(entity.id, lambda e: e, touched=frozenset({f"{CIM}soc", f"{CIM}range"}))
    assert [num for *_, num in broker.history(entity, "soc")] == [1.0]
    assert [num for *_, num in broker.history(entity, "range")] == [7.0, 7.0]


@pytest.mark.anyio
async def test_a_replay_is_a_duplicate_and_another_value_at_that_time_is_not(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1, unitCode="P1")})
    await broker.create(entity)
    first = (await broker.get(entity.id)).version
    await broker.delete(entity.id)
    shuffled = {"unitCode": "P1", "observedAt": T1, "value": 1, "type": "Property"}
    await broker.create(broker.entity("1", {"soc": shuffled}))
    told = [(time, num) for time, deleted, num in broker.history(entity, "soc") if not deleted]
    assert told == [(date_time(T1, "t"), 1.0)]
    assert broker.rows("SELECT version FROM history WHERE num = 1.0") == [(first,)]
    await broker.update(entity.id, soc(number(5, T1, unitCode="P1")))
    assert sorted(num for _, deleted, num in broker.history(entity, "soc") if not deleted) == [1.0, 5.0]


@pytest.mark.anyio
async def test_instances_of_several_datasets_have_a_history_each(broker: Any) -> None:
    both = [number(1, T1), number(2, T1, datasetId="urn:d:2")]
    entity = broker.entity("1", {"soc": both})
    await broker.create(entity)
    await broker.update(entity.id, soc([both[0], number(3, T2, datasetId="urn:d:2")]))
    await broker.update(entity.id, soc(both[0]))
    rows = broker.rows(
        "SELECT d.iri, num, deleted FROM history JOIN name d ON d.id = dataset JOIN name a ON a.id = attr "
        "WHERE a.iri = ? ORDER BY d.iri, time",
        f"{CIM}soc",
    )
    assert rows == [("", 1.0, 0), ("urn:d:2", 2.0, 0), ("urn:d:2", 3.0, 0), ("urn:d:2", None, 1)]


@pytest.mark.anyio
async def test_late_value_goes_to_history_only(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(9, T3)})
    await broker.create(entity)
    before = await broker.get(entity.id)
    change = Change(
        entity.id, before, before, before.modified_at + 5, "updateAttributes", late=((f"{CIM}soc", number(4, T2)),)
    )
    assert await broker.store.write(broker.tenant, [change]) == [Outcome.DONE]
    assert await broker.get(entity.id) == before
    assert [num for *_, num in broker.history(entity, "soc")] == [4.0, 9.0]
    assert broker.rows("SELECT num FROM value") == [(9.0,)]
    ((_, attributes, old, new),) = broker.rows(
        "SELECT id, attributes, old_version, new_version FROM change ORDER BY id LIMIT 1 OFFSET 1"
    )
    assert list(orjson.loads(attributes)) == ["late"]
    assert old == new == before.version
    assert await broker.store.write(broker.tenant, [replace(change, late=())]) == [Outcome.DONE]


@pytest.mark.anyio
async def test_late_and_new_values_in_one_write(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(9, T3)})
    await broker.create(entity)
    late = ((f"{CIM}soc", number(4, T2)),)
    added = {**entity.attributes, f"{CIM}range": number(1, T2)}
    assert await broker.update(entity.id, lambda e: replace(e, attributes=added), late=late) is Outcome.DONE
    assert [num for *_, num in broker.history(entity, "soc")] == [4.0, 9.0]
    assert (await broker.get(entity.id)).attributes == added


@pytest.mark.anyio
async def test_delete_keeps_history_and_says_so(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1), "range": number(7)}, scope=["/a"])
    await broker.create(entity)
    await broker.delete(entity.id)
    assert [(deleted, num) for _, deleted, num in broker.history(entity, "soc")] == [(0, 1.0), (1, None)]
    assert [deleted for _, deleted, _ in broker.history(entity, "")] == [0, 1]
    for count in ("count(*) FROM entity", "count(*) FROM value", "count(*) FROM entity_scope"):
        assert broker.rows(f"SELECT {count}") == [(0,)]


@pytest.mark.anyio
async def test_types_and_scopes_can_be_told_for_any_time(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1)}, scope=["/a"])
    await broker.create(entity)
    types = [*entity.types, f"{CIM}Bus"]
    await broker.update(entity.id, lambda e: replace(e, types=types))
    await broker.update(entity.id, lambda e: replace(e, scope=[]))
    told = broker.rows("SELECT instance FROM history WHERE attr = 0 ORDER BY time")
    assert [orjson.loads(text) for (text,) in told] == [
        {"type": entity.types, "scope": ["/a"]},
        {"type": types, "scope": ["/a"]},
        {"type": types},
    ]
    assert len(broker.history(entity, "soc")) == 1


KEYS = st.builds(
    InstanceKey,
    time=st.integers(-(2**63), 2**63 - 1),
    k=st.binary(min_size=16, max_size=16),
    attr=st.integers(0, 2**32 - 1),
    dataset=st.integers(0, 2**32 - 1),
    hash=st.binary(min_size=8, max_size=8),
)


@given(KEYS, KEYS)
def test_instance_id_holds_its_key(key: InstanceKey, other: InstanceKey) -> None:
    text = instance_id(key)
    assert text.startswith("urn:ngsi-ld:")
    assert parse_instance_id(text) == key
    assert (instance_id(other) == text) == (other == key)


@given(st.text() | st.text("ABab01_-=/+", min_size=50, max_size=60))
def test_what_was_not_given_out_is_no_instance_id(text: str) -> None:
    for foreign in (text, f"urn:ngsi-ld:instance:{text}"):
        key = parse_instance_id(foreign)
        assert key is None or instance_id(key) == foreign
    assert parse_instance_id("urn:ngsi-ld:instance:AAAA") is None


async def spans(
    broker: Any, entity: Any, *asked: tuple[str, str, str, int]
) -> list[list[tuple[str, str | None, float]]]:
    """Return (time, datasetId, value) of spans: attribute, from, up to, at most."""
    found = await broker.store.history(
        broker.tenant,
        [Span(entity.id, f"{CIM}{name}", date_time(a, "a"), date_time(b, "b"), most) for name, a, b, most in asked],
    )
    days = {date_time(text, "t"): text[8:10] for text in (T1, T2, T3)}
    return [[(days[past.time], past.dataset, orjson.loads(past.instance)["value"]) for past in span] for span in found]


@pytest.mark.anyio
async def test_spans_of_history_are_the_last_instances_of_each_dataset(broker: Any) -> None:
    sources = [number(10 * n, T1, datasetId=f"urn:source:{n}") for n in (1, 2)]
    entity = broker.entity("1", {"soc": [number(1, T1), *sources], "range": number(5, T2)})
    await broker.create(entity)
    await broker.create(broker.entity("2", {"soc": number(99, T1)}))
    await broker.update(entity.id, soc([number(2, T2), *sources]))
    await broker.update(entity.id, soc([number(3, T3), sources[0], number(21, T3, datasetId="urn:source:2")]))
    end = "2024-02-01T00:00:00Z"
    one, two, three, four, five = await spans(
        broker,
        entity,
        ("soc", T1, end, 10),
        ("soc", T1, end, 1),
        ("soc", T1, T3, 10),
        ("range", T1, end, 10),
        ("unknown", T1, end, 10),
    )
    assert sorted(one, key=str) == sorted(
        [("01", None, 1), ("02", None, 2), ("03", None, 3), ("01", "urn:source:1", 10), ("01", "urn:source:2", 20),
         ("03", "urn:source:2", 21)], key=str,
    )  # fmt: skip
    assert [day for day, *_ in one] == sorted(day for day, *_ in one)
    assert sorted(two, key=str) == sorted(
        [("03", None, 3), ("01", "urn:source:1", 10), ("03", "urn:source:2", 21)], key=str
    )
    assert max(day for day, *_ in three) == "02"
    assert (four, five) == ([("02", None, 5)], [])


@pytest.mark.anyio
async def test_a_span_leaves_out_what_was_deleted(broker: Any) -> None:
    entity = broker.entity("1", {"soc": number(1, T1), "range": number(7, T1)})
    await broker.create(entity)
    await broker.update(entity.id, lambda e: replace(e, attributes={f"{CIM}range": e.attributes[f"{CIM}range"]}))
    await broker.update(entity.id, soc(number(2, T2)))
    [found] = await spans(broker, entity, ("soc", T1, "2100-01-01T00:00:00Z", 10))
    assert found == [("01", None, 1), ("02", None, 2)]
