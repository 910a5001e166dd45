"""Index rows follow every write: after any sequence they are those of a fresh insert of the same entity."""

# ruff: noqa: S608 - only names of ours are put into the text

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context_api.settings import StorageSettings
from context_api.storage.index_rows import Kind
from context_api.storage.port import Change, Outcome, Tenant
from context_api.storage.sqlite.file import connect
from context_api.storage.sqlite.store import SqliteStore
from ngsild.entity import VALUE_MEMBERS, Attribute, Entity, Instance, attribute_of, instances

CIM = "https://w3id.org/voltweave/cim#"
ENTITY = "urn:ngsi-ld:Vehicle:test:1"

TEXTS = st.sampled_from(["", "a", "b", "2024-01-01T00:00:00Z", "2024-01-01", "12:00:00Z", "x" * 300, "é" * 200])
SCALARS = st.integers(-3, 3) | st.floats(-2, 2) | st.booleans() | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.just({"compound": 1})
POINTS = st.tuples(st.integers(-3, 3), st.integers(-3, 3)).map(lambda xy: {"type": "Point", "coordinates": list(xy)})
URIS = st.sampled_from(["urn:x:1", "urn:x:2"])
CONTENT: dict[str, st.SearchStrategy[Any]] = {
    "Property": VALUES,
    "GeoProperty": POINTS,
    "Relationship": URIS | st.lists(URIS, min_size=2, max_size=3),
    "LanguageProperty": st.dictionaries(st.sampled_from(["en", "de"]), TEXTS, min_size=1),
    "VocabProperty": URIS | st.lists(URIS, min_size=1, max_size=2),
    "JsonProperty": VALUES,
    "ListProperty": st.lists(SCALARS, max_size=3),
    "ListRelationship": st.lists(URIS.map(lambda uri: {"object": uri}), max_size=2),
}
KINDS_SEEN: Counter[str] = Counter()


@st.composite
def an_instance(draw: st.DrawFn) -> Instance:
    kind = draw(st.sampled_from(list(CONTENT)))
    KINDS_SEEN[kind] += 1
    instance = {"type": kind, VALUE_MEMBERS[kind]: draw(CONTENT[kind])}
    if draw(st.integers(0, 4)) == 0:
        instance["expiresAt"] = draw(st.sampled_from(["2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z"]))
    return instance


@st.composite
def an_attribute(draw: st.DrawFn) -> Attribute:
    datasets = draw(st.lists(st.sampled_from([None, "urn:d:1", "urn:d:2"]), min_size=1, max_size=3, unique=True))
    found = [draw(an_instance()) for _ in datasets]
    return attribute_of([i if d is None else {**i, "datasetId": d} for i, d in zip(found, datasets, strict=True)])


STATES = st.none() | st.builds(
    Entity,
    id=st.just(ENTITY),
    types=st.lists(st.sampled_from([f"{CIM}A", f"{CIM}B"]), min_size=1, max_size=2, unique=True),
    attributes=st.dictionaries(st.sampled_from([f"{CIM}{name}" for name in "pqrs"]), an_attribute(), max_size=4),
    scope=st.lists(st.sampled_from(["/a", "/a/b", "/c"]), max_size=2, unique=True),
    expires_at=st.sampled_from([None, "2997-01-01T00:00:00Z"]),
)


@st.composite
def some_states(draw: st.DrawFn) -> list[Entity | None]:
    """States of one entity, each taking some attributes of the one before, as updates do."""
    states: list[Entity | None] = []
    last: Entity | None = None
    for _ in range(draw(st.integers(1, 5))):
        state = draw(STATES)
        if state is not None and last is not None:
            kept = {a: found for a, found in last.attributes.items() if draw(st.booleans())}
            state = replace(state, attributes=state.attributes | kept)
            if draw(st.booleans()):
                state = replace(state, types=last.types, expires_at=last.expires_at)
        states.append(state)
        last = state
    return states


async def pass_by(store: SqliteStore, tenant: Tenant, entity: Entity) -> None:
    """Create and delete another entity with the same content."""
    create = Change(entity.id, None, entity, 1, "test")
    assert await store.write(tenant, [create]) == [Outcome.DONE]
    (stored,) = await store.read(tenant, [entity.id])
    remove = Change(entity.id, stored, None, 2, "test")
    assert await store.write(tenant, [remove, create, create]) == [Outcome.DONE, Outcome.DONE, Outcome.EXISTS]
    (stored,) = await store.read(tenant, [entity.id])
    assert await store.write(tenant, [Change(entity.id, stored, None, 3, "test")]) == [Outcome.DONE]


async def indexed(states: list[Entity | None], together: bool) -> dict[str, list[Any]]:
    """Write states one after the other in an empty database and return its index rows, names written out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.db"
        store = SqliteStore(StorageSettings(database=f"sqlite:///{path}", sqlite_synchronous="NORMAL"))
        await store.start()
        tenant = await store.tenant(None, create=False)
        for moment, after in enumerate(states, start=1):
            (before,) = await store.read(tenant, [ENTITY])
            if before is after is None:
                continue
            changed = None if after is None else replace(after, created_at=moment, modified_at=moment)
            change = Change(ENTITY, before, changed, moment, "test")
            written = await store.write(tenant, [change])
            assert written == [Outcome.DONE]
            if changed is not None and together:
                await pass_by(store, tenant, replace(changed, id=f"urn:x:{moment}"))
        await store.close()
        with contextlib.closing(connect(path, read_only=True)) as con:
            return look(con)


_NAMES = "JOIN name a ON a.id = attr JOIN name d ON d.id = dataset"
LOOKS = {
    "value": (
        "SELECT a.iri, d.iri, seq, t.types, kind, num, txt, tim, expires_at "
        f"FROM value {_NAMES} JOIN typeset t ON t.id = typeset ORDER BY 1, 2, 3"
    ),
    "geometry": (
        "SELECT a.iri, d.iri, seq, geojson, min_x, max_x, min_y, max_y "
        f"FROM geometry {_NAMES} JOIN geometry_box USING (id) ORDER BY 1, 2, 3"
    ),
    "boxes": "SELECT count(*) FROM geometry_box",
    "scope": "SELECT scope FROM entity_scope ORDER BY 1",
    "entity": "SELECT doc, scope, expires_at, next_expiry, types FROM entity JOIN typeset ON typeset.id = typeset",
    "occurrence": (
        "SELECT types, iri, type, count FROM occurrence JOIN typeset ON typeset.id = typeset "
        "JOIN name ON name.id = attr WHERE count <> 0 ORDER BY 1, 2, 3"
    ),
}


def look(con: Any) -> dict[str, list[Any]]:
    return {what: con.execute(sql).fetchall() for what, sql in LOOKS.items()}


@settings(max_examples=200)
@given(some_states(), st.booleans())
def test_index_rows_are_those_of_a_fresh_insert(states: list[Entity | None], together: bool) -> None:
    found = asyncio.run(indexed(states, together))
    fresh = asyncio.run(indexed(states[-1:], together=False))
    assert found == fresh
    last = states[-1]
    if last is None:
        assert not any(rows for what, rows in found.items() if what != "boxes")
        return
    sums = {(iri, kind): count for _, iri, kind, count in found["occurrence"]}
    counted = Counter((a, i["type"]) for a, attribute in last.attributes.items() for i in instances(attribute))
    assert sums == {("", ""): 1, **counted}
    assert {types for types, *_ in found["occurrence"]} == {orjson.dumps(sorted(last.types)).decode()}
    assert {(a, d) for a, d, *_ in found["value"]} == {
        (a, i.get("datasetId", "")) for a, attribute in last.attributes.items() for i in instances(attribute)
    }


@pytest.mark.parametrize(("first", "second"), [(1, True), (0, False), (True, 1.0), (2, 2.0)])
def test_values_that_only_python_holds_equal_are_told_apart(first: Any, second: Any) -> None:
    states = [
        Entity(ENTITY, [f"{CIM}A"], {f"{CIM}p": {"type": "Property", "value": value}}) for value in (first, second)
    ]
    found = asyncio.run(indexed([*states], together=False))
    assert found == asyncio.run(indexed([states[1]], together=False))
    kinds = [row[4] for row in found["value"]]
    assert kinds == [Kind.BOOLEAN if isinstance(second, bool) else Kind.NUMBER]


def test_every_attribute_type_occurred() -> None:
    if not KINDS_SEEN:
        pytest.skip("the property-based test did not run before this one")
    assert set(KINDS_SEEN) == set(VALUE_MEMBERS)
