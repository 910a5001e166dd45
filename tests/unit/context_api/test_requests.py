"""What the broker does with requests that no well-meaning client sends, and with a database that fails."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from context_api.app import create_app
from context_api.purge import purge_entities, read_purge
from context_api.security.access import FULL
from context_api.settings import LimitSettings, ServerSettings, Settings, StorageSettings
from ngsild.context import core_terms

pytestmark = pytest.mark.anyio

ENTITIES = "/ngsi-ld/v1/entities"
BATCH = "/ngsi-ld/v1/entityOperations"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return create_app(
        Settings(
            server=ServerSettings(public_url="https://broker.example.org"),
            storage=StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}"),
            limits=LimitSettings(max_body_bytes=4096, max_name_length=64),
        )
    )


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9090") as client,
    ):
        yield client


def car(number: int = 1, **members: Any) -> dict[str, Any]:
    return {"id": f"urn:x:{number}", "type": "Car"} | members


async def test_types_that_are_no_strings_are_bad_data(client: httpx.AsyncClient) -> None:
    assert (await client.post(ENTITIES, json=car(n=1))).status_code == 201
    kinds: list[Any] = [[], ["Property"], {}, 1]
    for kind in kinds:
        body = {"type": kind, "value": 1}
        refusal = await client.patch(f"{ENTITIES}/urn:x:1/attrs/n", json=body)
        assert (refusal.status_code, "n: " in refusal.json()["detail"]) == (400, True)
        # A list of objects that are no attribute instances is a value.
        assert (await client.patch(f"{ENTITIES}/urn:x:1", json={"list": [body]})).status_code == 204
        merged = await client.patch(f"{ENTITIES}/urn:x:1?options=keyValues", json={"plain": body | {"coordinates": []}})
        assert merged.status_code == 204


async def test_an_origin_that_is_no_url_is_refused(client: httpx.AsyncClient) -> None:
    for origin in ("http://[", "null", "https://evil.example.net", ""):
        answer = await client.get(ENTITIES, params={"type": "Car"}, headers={"Origin": origin})
        assert (answer.status_code, answer.headers["x-request-id"] != "") == (403, True)
    same = {"Origin": "http://127.0.0.1:9090"}
    assert (await client.get(ENTITIES, params={"type": "Car"}, headers=same)).status_code == 200


@pytest.mark.parametrize("length", ["9" * 5000, "²", "-1", "4097", "x"])
async def test_a_length_that_is_none_or_too_large_is_413(client: httpx.AsyncClient, length: str) -> None:
    headers = [(b"content-length", length.encode("latin-1")), (b"content-type", b"application/json")]
    answer = await client.post(ENTITIES, content=b"{}", headers=headers)
    assert (answer.status_code, "4096 bytes" in answer.json()["detail"]) == (413, True)


async def test_a_body_longer_than_it_declares_is_cut_off_at_the_limit(app: Any, client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1024
            yield b" " * 1024

    headers = {"content-length": "2", "content-type": "application/json"}
    answer = await client.post(ENTITIES, content=endless(), headers=headers)
    assert (answer.status_code, sent < 10_000) == (413, True)


async def test_names_and_answers_have_a_limit(client: httpx.AsyncClient) -> None:
    for body in (car(**{"a" * 65: 1}), {"id": "urn:" + "a" * 61, "type": "Car"}, {"id": "urn:x:1", "type": "a" * 65}):
        answer = await client.post(ENTITIES, json=body)
        assert (answer.status_code, "64 characters" in answer.json()["detail"]) == (400, True)
    answer = await client.post(ENTITIES, json=car(where={"type": "Relationship", "object": "x" * 3000}))
    assert (answer.status_code, len(answer.content) < 1500) == (400, True)


async def test_a_method_that_a_page_does_not_have_is_405(client: httpx.AsyncClient) -> None:
    answer = await client.post("/openapi.json")
    assert (answer.status_code, answer.json()["status"], answer.json()["type"][-14:]) == (405, 405, "InvalidRequest")


async def test_locations_are_under_the_public_url(client: httpx.AsyncClient) -> None:
    stored = await client.post("/ngsi-ld/v1/jsonldContexts", json={"@context": {"a": "https://example.org/a"}})
    for location in (stored.headers["location"], (await client.post(ENTITIES, json=car())).headers["location"]):
        assert location.startswith("https://broker.example.org/ngsi-ld/v1/")


async def test_id_and_pattern_both_hold_in_a_get_and_id_wins_in_a_selector(client: httpx.AsyncClient) -> None:
    await client.post(f"{BATCH}/create", json=[car(1), car(2), car(3)])
    found = await client.get(ENTITIES, params={"type": "Car", "id": "urn:x:1,urn:x:2", "idPattern": "[23]$"})
    assert [e["id"] for e in found.json()] == ["urn:x:2"]
    selector = {"type": "Car", "id": ["urn:x:1", "urn:x:2"], "idPattern": "[23]$"}
    queried = await client.post(f"{BATCH}/query", json={"type": "Query", "entities": [selector]})
    assert sorted(e["id"] for e in queried.json()) == ["urn:x:1", "urn:x:2"]


async def test_a_dense_graph_cannot_be_blown_up_inline(client: httpx.AsyncClient) -> None:
    ids = [f"urn:x:{n}" for n in range(10)]
    for n in range(10):
        await client.post(ENTITIES, json=car(n, to={"object": [i for i in ids if i != f"urn:x:{n}"]}))
    answer = await client.get(f"{ENTITIES}/urn:x:1", params={"join": "inline", "joinLevel": 10})
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (403, "TooManyResults")
    assert (await client.get(f"{ENTITIES}/urn:x:1", params={"join": "inline"})).status_code == 200


async def test_a_database_that_fails_is_503_and_logged_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise sqlite3.OperationalError("database or disk is full at /secret/path")

    await client.post(ENTITIES, json=car())
    monkeypatch.setattr("context_api.storage.sqlite.reads.retrieve", full)
    monkeypatch.setattr("context_api.storage.sqlite.transaction.Transaction.flush", full)
    requests = [
        client.get(f"{ENTITIES}/urn:x:1"),
        client.post(ENTITIES, json=car(2)),
        client.post(f"{BATCH}/create", json=[car(3)]),
        client.delete(f"{ENTITIES}/urn:x:1"),
    ]
    with capture_logs() as logs:
        answers = [await request for request in requests]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["storage failed"]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["detail"] == "the storage cannot be used at the moment; try again later"
        assert "secret" not in answer.text
    monkeypatch.undo()
    assert (await client.get(f"{ENTITIES}/urn:x:1")).status_code == 200
    assert (await client.get(f"{ENTITIES}/urn:x:2")).status_code == 404


async def test_a_purge_spares_what_no_longer_matches(
    app: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.post(f"{BATCH}/create", json=[car(1, n=1), car(2, n=1)])
    broker = app.state.broker
    tenant = await broker.store.tenant(None, create=False)
    found = broker.store.query_ids

    async def query_ids(*arguments: Any) -> AsyncIterator[list[str]]:
        async for ids in found(*arguments):
            await client.patch(f"{ENTITIES}/urn:x:2", json={"n": 5})
            yield ids

    monkeypatch.setattr(broker.store, "query_ids", query_ids)
    await purge_entities(broker, tenant, read_purge({"type": "Car", "q": "n==1"}, core_terms(), broker), FULL)
    assert (await client.get(f"{ENTITIES}/urn:x:1")).status_code == 404
    assert (await client.get(f"{ENTITIES}/urn:x:2")).json()["n"]["value"] == 5


async def test_batch_update_gives_a_scope_and_merge_ignores_null_for_the_absent(client: httpx.AsyncClient) -> None:
    await client.post(ENTITIES, json=car())
    assert (await client.post(f"{BATCH}/update", json=[car(scope="/a")])).status_code == 204
    assert (await client.post(f"{BATCH}/merge", json=[car(gone="urn:ngsi-ld:null")])).status_code == 204
    assert (await client.get(f"{ENTITIES}/urn:x:1")).json()["scope"] == "/a"


async def test_a_page_brings_the_linked_entities_of_its_own_entities_alone(client: httpx.AsyncClient) -> None:
    def to(number: int) -> dict[str, Any]:
        return {"type": "Relationship", "object": f"urn:x:{number}"}

    for entity in (car(1, next=to(2)), car(2, next=to(3)), car(3)):
        assert (await client.post(ENTITIES, json=entity)).status_code == 201
    query = {"type": "Car", "join": "flat", "limit": "1", "orderBy": "id"}
    for offset, ids in ((0, ["urn:x:1", "urn:x:2"]), (1, ["urn:x:2", "urn:x:3"]), (2, ["urn:x:3"])):
        page = await client.get(ENTITIES, params=query | {"offset": str(offset)})
        assert [entity["id"] for entity in page.json()] == ids
        assert ('rel="next"' in page.headers["Link"]) == (offset < 2)
