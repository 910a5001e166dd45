"""The client of the benchmarks: bodies and answers in pieces, several connections, an answer with another status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.client import Answer, Call, UnexpectedAnswer, drive
from benchmarks.processes import free_port, server
from benchmarks.scenarios import SCENARIOS, Requests, Scenario
from benchmarks.targets import from_memory, sqlite, voltweave

ECHO = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

async def echo(request):
    pieces = [piece async for piece in request.stream()]
    async def back():
        for piece in pieces:
            yield piece
    return StreamingResponse(back(), 201 if "transfer-encoding" in request.headers else 200)

app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """Serve an application that gives bodies back in pieces; 201 for those that came in pieces."""
    port = free_port()
    with server([sys.executable, "-c", ECHO, str(port)], port, "/"):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("body", "status"), [(b"x" * 300_000, 200), ([b"a" * 70_000, b"b"] * 20, 201)])
def test_a_body_comes_back(echo: str, body: bytes | list[bytes], status: int) -> None:
    answer = drive(echo, iter([Call("POST", "/", body)]), 1, {status})
    assert answer.body == (body if isinstance(body, bytes) else b"".join(body))


def test_every_call_is_sent_once_over_several_connections(echo: str) -> None:
    sent = []

    def calls() -> Iterator[Call]:
        for number in range(100):
            sent.append(number)
            yield Call("POST", "/", str(number).encode())

    assert drive(echo, calls(), 8, {200}).status == 200
    assert sent == list(range(100))


def test_another_status_ends_the_run(tmp_path: Path) -> None:
    stored = Answer(404, {"content-type": "text/plain"}, b"gone")
    with from_memory(tmp_path, stored) as target:
        with pytest.raises(UnexpectedAnswer, match="GET /x gave 404: gone"):
            drive(target.url, iter([Call("GET", "/x")]), 4, {200})
        assert drive(target.url, iter([Call("PATCH", "/x", b"{}")]), 1, {404}).body == b"gone"


def test_the_broker_answers_every_scenario(tmp_path: Path) -> None:
    requests = Requests(50)
    with voltweave(sqlite(tmp_path)) as target:
        drive(target.url, requests.fill(), 1, {201})

        def body(scenario: Scenario) -> bytes:
            return drive(target.url, iter([scenario.call(requests)]), 1, scenario.statuses).body

        answers = {scenario.what: body(scenario) for scenario in SCENARIOS}
    assert b"LoadVehicle" in answers["retrieve"]
    assert answers["load by NDJSON, an entity"].endswith(b'"created":10000,"success":10000,"errors":0}\n')
