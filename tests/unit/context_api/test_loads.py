"""How JSON lines are split and gathered, and loads into a storage that is full; the rest goes over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from context_api.app import create_app
from context_api.lines import read_lines
from context_api.settings import Settings, StorageSettings

BATCH = "/ngsi-ld/v1/entityOperations"
LIMIT = 8


async def gathered(pieces: list[bytes]) -> tuple[list[tuple[int, bytes | None]], int]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    chunks = [chunk async for chunk in read_lines(stream(), LIMIT)]
    return [each for chunk in chunks for each in chunk.numbered], chunks[-1].last


@given(st.lists(st.text("ab \n\r", max_size=12).map(str.encode), max_size=12))
def test_lines_are_those_of_the_whole_body_however_it_is_cut(pieces: list[bytes]) -> None:
    lines = b"".join(pieces).split(b"\n")
    if not lines[-1]:
        lines.pop()
    named = [(n, line if len(line) <= LIMIT else None) for n, line in enumerate(lines, 1)]
    expected = [(n, line) for n, line in named if line is None or line.strip()]
    assert asyncio.run(gathered(pieces)) == (expected, len(lines))


def test_many_lines_come_in_chunks_and_long_ones_in_smaller_ones() -> None:
    async def sizes(lines: int, length: int) -> list[int]:
        async def stream() -> AsyncIterator[bytes]:
            for _ in range(lines):
                yield b"x" * length + b"\n"

        return [len(chunk.numbered) async for chunk in read_lines(stream(), 2**20)]

    assert asyncio.run(sizes(2500, 10)) == [1000, 1000, 500]
    assert asyncio.run(sizes(10, 2**20)) == [4, 4, 2]


def car(number: int) -> dict[str, Any]:
    return {"id": f"urn:x:{number}", "type": "Car", "text": {"type": "Property", "value": f"{number}" * 100}}


def test_a_load_into_a_full_storage_says_how_far_it_came(tmp_path: Path) -> None:
    async def load() -> tuple[httpx.Response, int]:
        app = create_app(Settings(storage=StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}")))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9090") as client,
        ):
            await app.state.broker.store._writer.run(lambda con: con.execute("PRAGMA max_page_count = 1200").fetchall())
            body = b"".join(json.dumps(car(n)).encode() + b"\n" for n in range(6000))
            answer = await client.post(
                f"{BATCH}/create", content=body, headers={"Content-Type": "application/x-ndjson"}
            )
            query: dict[str, str | int] = {"type": "Car", "count": "true", "limit": 0}
            counted = await client.get("/ngsi-ld/v1/entities", params=query)
            return answer, int(counted.headers["NGSILD-Results-Count"])

    answer, count = asyncio.run(load())
    failure, sums = [json.loads(text) for text in answer.text.splitlines()]
    assert answer.status_code == 503 == failure["error"]["status"]
    assert sums == {"lines": count, "created": count, "success": count, "errors": 0}
    assert count in range(1000, 6000, 1000)
