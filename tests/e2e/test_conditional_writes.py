"""Conditional and idempotent writes by clients that do not know of each other, on a real broker."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.platform import Broker, broker

ROUNDS = 60
CLIENTS = 4
PATH = "entities/urn:x:1"


def counter(value: int) -> dict[str, Any]:
    return {"n": {"type": "Property", "value": value}}


def at_once(running: Broker, send: Any) -> list[Any]:
    """Let every client send at the same moment, each on a connection of its own; return their results."""
    barrier = Barrier(CLIENTS)

    def client(number: int) -> Any:
        with httpx.Client(base_url=f"{running.url}/ngsi-ld/v1/", timeout=60, trust_env=False) as api:
            api.get(PATH)
            barrier.wait()
            return send(api, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(client, range(CLIENTS)))


@pytest.fixture
def running(tmp_path: Path) -> Any:
    with broker(tmp_path) as found:
        yield found


def create(running: Broker) -> httpx.Response:
    body = {"id": "urn:x:1", "type": "Counter"} | counter(0)
    key = {"Idempotency-Key": "create"}
    return httpx.post(f"{running.url}/ngsi-ld/v1/entities", json=body, headers=key, timeout=60)


def test_of_writers_that_know_one_version_one_wins(running: Broker) -> None:
    assert create(running).status_code == 201
    for number in range(1, ROUNDS + 1):
        tag = running.get(PATH).headers["etag"]

        def write(api: httpx.Client, client: int, tag: str = tag, number: int = number) -> int:
            path, body = [(PATH, counter(number)), (f"{PATH}/attrs", counter(-number))][client % 2]
            return api.patch(path, json=body, headers={"If-Match": tag}).status_code

        assert sorted(at_once(running, write)) == [204] + [412] * (CLIENTS - 1)
    assert running.select("SELECT count(*) FROM change") == [(ROUNDS + 1,)]


def test_read_change_and_write_on_condition_loses_no_update(running: Broker) -> None:
    assert create(running).status_code == 201

    def count(api: httpx.Client, client: int) -> int:
        refused = 0
        for _ in range(ROUNDS):
            while True:
                read = api.get(PATH)
                body = counter(read.json()["n"]["value"] + 1)
                status = api.patch(PATH, json=body, headers={"If-Match": read.headers["etag"]}).status_code
                if status == 204:
                    break
                assert status == 412
                refused += 1
        return refused

    refused = at_once(running, count)
    assert running.get(PATH).json()["n"]["value"] == ROUNDS * CLIENTS
    assert sum(refused) > 0, "no race was lost, so none was run"


def test_an_answer_outlives_the_process(running: Broker) -> None:
    first = create(running)
    running.end(signal.SIGKILL)
    running.start()
    running.wait_until_ready()
    again = create(running)
    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (201, 201, "true")
    assert again.headers["location"] == first.headers["location"]
    assert running.select("SELECT count(*) FROM change") == [(1,)]
