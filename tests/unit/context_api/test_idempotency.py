"""Idempotent writes: one key, one request carried out, one answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from starlette.responses import Response

from context_api.app import create_app
from context_api.broker import Broker
from context_api.kept_answers import Key
from context_api.settings import IdempotencySettings, Settings, StorageSettings
from context_api.storage.tables import change, kept_answer

pytestmark = pytest.mark.anyio

ENTITIES = "/ngsi-ld/v1/entities"
BATCH = "/ngsi-ld/v1/entityOperations"
ERRORS = "https://w3id.org/voltweave/errors/"
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Api(httpx.AsyncClient):
    """A client of an application in this process, and the application's own parts."""

    broker: Broker

    async def changes(self) -> int:
        """Return how many changes the log has."""
        return await self._count(change)

    async def kept(self) -> int:
        """Return how many keys are taken."""
        return await self._count(kept_answer)

    async def _count(self, table: Any) -> int:
        [(number,)] = await self.broker.store.records.fetch(select(func.count()).select_from(table))
        return int(number)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(expiry_interval: float = 3600, **settings: Any) -> AsyncIterator[Api]:
        storage = StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}", expiry_interval=expiry_interval)
        app = create_app(Settings(storage=storage, idempotency=IdempotencySettings(**settings)))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            Api(transport=transport, base_url="http://127.0.0.1:9090") as client,
        ):
            client.broker = app.state.broker
            yield client

    return run


@pytest.fixture
async def api(serve: Callable[..., Any]) -> AsyncIterator[Api]:
    async with serve() as client:
        yield client


def car(number: int, value: int = 1) -> dict[str, Any]:
    return {"id": f"urn:x:{number}", "type": "Car", "n": {"type": "Property", "value": value}}


FRAGMENT = {"n": {"type": "Property", "value": 7}}
WRITES: list[tuple[str, str, Any, int]] = [
    ("POST", ENTITIES, car(9), 201),
    ("POST", f"{ENTITIES}/urn:x:1/attrs", FRAGMENT, 204),
    ("PATCH", f"{ENTITIES}/urn:x:1/attrs", FRAGMENT, 204),
    ("PATCH", f"{ENTITIES}/urn:x:1/attrs/n", {"value": 8}, 204),
    ("PATCH", f"{ENTITIES}/urn:x:1", FRAGMENT, 204),
    ("POST", f"{BATCH}/create", [car(8), car(1)], 207),
    ("POST", f"{BATCH}/upsert", [car(8), car(1)], 201),
    ("POST", f"{BATCH}/update", [car(1, 5)], 204),
    ("POST", f"{BATCH}/merge", [car(1, 5)], 204),
    ("POST", f"{BATCH}/delete", ["urn:x:1", "urn:x:none"], 207),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), WRITES)
async def test_a_repeated_request_is_answered_and_not_carried_out(
    api: Api, method: str, path: str, body: Any, status: int
) -> None:
    assert (await api.post(ENTITIES, json=car(1))).status_code == 201
    first = await api.request(method, path, json=body, headers=KEY)
    assert (first.status_code, "idempotency-replayed" in first.headers) == (status, False), first.text
    written = await api.changes()
    for _ in range(2):
        again = await api.request(method, path, json=body, headers=KEY)
        assert again.headers.pop("idempotency-replayed") == "true"
        for answer in (first, again):
            answer.headers.pop("x-request-id", None)
        assert (again.status_code, again.content, again.headers) == (status, first.content, first.headers)
    assert await api.changes() == written


async def test_a_key_belongs_to_one_request_of_one_tenant(api: Api) -> None:
    assert (await api.post(ENTITIES, json=car(1), headers=KEY)).status_code == 201
    others: list[Awaitable[httpx.Response]] = [
        api.post(ENTITIES, json=car(2), headers=KEY),
        api.post(ENTITIES + "?local=true", json=car(1), headers=KEY),
        api.post(ENTITIES, json=car(1), headers=KEY | {"Link": "<https://example.org/>; rel=x"}),
        api.post(BATCH + "/create", json=car(1), headers=KEY),
        api.patch(f"{ENTITIES}/urn:x:1", json=car(1), headers=KEY),
        api.patch(f"{ENTITIES}/urn:x:1", json=car(1), headers=KEY | {"If-Match": "*"}),
    ]
    for other in others:
        refused = await other
        assert (refused.status_code, refused.json()["type"]) == (422, ERRORS + "IdempotencyKeyReused")
    elsewhere = await api.post(ENTITIES, json=car(2), headers=KEY | {"NGSILD-Tenant": "other"})
    assert elsewhere.status_code == 201
    nowhere = await api.post(ENTITIES, json=car(1), headers=KEY | {"NGSILD-Tenant": "no tenant"})
    assert nowhere.status_code == 400
    assert (await api.changes(), await api.kept()) == (2, 2)


async def test_a_request_without_a_key_keeps_nothing(api: Api) -> None:
    assert (await api.post(ENTITIES, json=car(1))).status_code == 201
    assert (await api.post(ENTITIES, json=car(1))).status_code == 409
    assert await api.kept() == 0


async def test_of_requests_at_one_time_one_is_carried_out(api: Api) -> None:
    rounds, clients = 30, 8
    for number in range(rounds):
        headers = {"Idempotency-Key": f"round {number}"}
        answers = await asyncio.gather(*(api.post(ENTITIES, json=car(number), headers=headers) for _ in range(clients)))
        for answer in answers:
            if answer.status_code == 409:
                assert answer.json()["type"] == ERRORS + "IdempotencyKeyInUse"
                assert answer.headers["retry-after"] == "1"
            else:
                assert answer.status_code == 201
        fresh = [a for a in answers if a.status_code == 201 and "idempotency-replayed" not in a.headers]
        assert len(fresh) == 1
    assert await api.changes() == rounds


async def test_a_refusal_is_kept_as_well(api: Api) -> None:
    path = f"{ENTITIES}/urn:x:1"
    assert (await api.patch(path, json=FRAGMENT, headers=KEY)).status_code == 404
    assert (await api.post(ENTITIES, json=car(1))).status_code == 201
    again = await api.patch(path, json=FRAGMENT, headers=KEY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (404, "true")


async def test_an_error_of_the_server_frees_the_key(api: Api) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/context"
        link = {"Link": f'<{address}>; rel="http://www.w3.org/ns/json-ld#context"'}
        for _ in range(2):
            failed = await api.post(ENTITIES, json=car(1), headers=KEY | link)
            assert (failed.status_code, "idempotency-replayed" in failed.headers) == (504, False)
    assert await api.kept() == 0
    assert (await api.post(ENTITIES, json=car(1), headers=KEY)).status_code == 201


async def test_a_key_whose_process_died_is_taken_for_a_time(serve: Callable[..., Any]) -> None:
    async with serve(idempotency_reservation=0.5) as api:
        key = Key("", "", KEY["Idempotency-Key"])
        request = httpx.Request("POST", "http://127.0.0.1:9090" + ENTITIES, json=car(1), headers=KEY)
        dead = await api.broker.answers.reserve(key, b"\0" * 32, api.broker.now())
        assert (await api.send(request)).status_code == 422
        await api.broker.answers.free(key, dead)
        assert (await api.post(ENTITIES, json=car(2), headers=KEY)).status_code == 201
        [(fingerprint,)] = await api.broker.store.records.fetch(select(kept_answer.c.request))
        await api.broker.answers.sweep(2**62)

        dead = await api.broker.answers.reserve(key, fingerprint, api.broker.now())
        waiting = await api.post(ENTITIES, json=car(2), headers=KEY)
        assert (waiting.status_code, waiting.json()["type"]) == (409, ERRORS + "IdempotencyKeyInUse")
        await asyncio.sleep(0.6)
        ran = await api.post(ENTITIES, json=car(2), headers=KEY)
        assert ran.json()["type"].endswith("/AlreadyExists")
        # Had it only been slow, it would not put its answer in the place of the later one, nor free the key.
        await api.broker.answers.keep(key, dead, Response(b"late"), api.broker.now())
        await api.broker.answers.free(key, dead)
        again = await api.post(ENTITIES, json=car(2), headers=KEY)
        assert (again.json(), again.headers["idempotency-replayed"]) == (ran.json(), "true")


async def test_an_answer_above_the_limit_is_not_kept_and_its_request_not_repeated(serve: Callable[..., Any]) -> None:
    async with serve(idempotency_max_answer=20) as api:
        body = [car(1), car(2)]
        assert (await api.post(f"{BATCH}/create", json=body, headers=KEY)).status_code == 201
        again = await api.post(f"{BATCH}/create", json=body, headers=KEY)
        assert (again.status_code, again.json()["type"]) == (409, ERRORS + "AnswerNotKept")
        assert "201" in again.json()["detail"]
        assert await api.changes() == 2


async def test_answers_are_swept_after_their_time(serve: Callable[..., Any]) -> None:
    async with serve(expiry_interval=0.1, idempotency_ttl=0.4) as api:
        assert (await api.post(ENTITIES, json=car(1), headers=KEY)).status_code == 201
        assert await api.kept() == 1
        await asyncio.sleep(0.8)
        assert await api.kept() == 0
        assert (await api.post(ENTITIES, json=car(1), headers=KEY)).status_code == 409
