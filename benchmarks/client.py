"""The client of a benchmark: closed-loop connections over HTTP/1.1, so that a request waits for the answer before it.

It does what it must and no more, for it shares the machine with the servers that it measures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

LONGEST_ANSWERS_S = 7_200
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Call:
    """One request; a body that comes in pieces is sent chunked."""

    method: str
    path: str
    body: bytes | Iterable[bytes] = b""
    content_type: str = "application/json"
    token: str = ""
    """A bearer token, where the server asks for one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class UnexpectedAnswer(Exception):
    """A server gave another status than the request should have."""


class Connection:
    """One connection that is kept open."""

    def __init__(self, url: str) -> None:
        """Take the base URL of a server, below which paths are."""
        parts = urlsplit(url)
        self._host, self._port, self._prefix = parts.hostname, parts.port or 80, parts.path.rstrip("/")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, call: Call) -> Answer:
        """Send a request and return its answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=_MOST_BYTES)
        reader, writer = self._streams
        head = f"{call.method} {self._prefix}{call.path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        head += "Accept: application/json\r\n"
        if call.token:
            head += f"Authorization: Bearer {call.token}\r\n"
        if isinstance(call.body, bytes):
            if call.body:
                head += f"Content-Type: {call.content_type}\r\nContent-Length: {len(call.body)}\r\n"
            writer.write(f"{head}\r\n".encode() + call.body)
        else:
            writer.write(f"{head}Content-Type: {call.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for piece in call.body:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        answer = await _read(reader)
        if answer.headers.get("connection", "").lower() == "close":
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the connection; the next request opens it again."""
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    lines = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in lines}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, headers, await _read_chunks(reader))
    length = 0 if status in (204, 304) else int(headers.get("content-length", "0"))
    return Answer(status, headers, await reader.readexactly(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readline()) not in (b"\r\n", b""):
        pass
    return b"".join(pieces)


def drive(
    url: str, calls: Iterator[Call], connections: int, statuses: Collection[int], longest: float = LONGEST_ANSWERS_S
) -> Answer:
    """Send calls over several connections at once, until they end, and return the last answer.

    Raises:
        UnexpectedAnswer: an answer has another status than these.
        TimeoutError: all together took longer than so many seconds.
    """
    return uvloop.run(_drive(url, calls, connections, statuses, longest))


async def _drive(
    url: str, calls: Iterator[Call], connections: int, statuses: Collection[int], longest: float
) -> Answer:
    last: list[Answer] = []

    async def one_connection() -> None:
        connection = Connection(url)
        try:
            for call in calls:
                answer = await connection.send(call)
                if answer.status not in statuses:
                    what = f"{call.method} {call.path} gave {answer.status}"
                    raise UnexpectedAnswer(f"{what}: {answer.body[:500].decode(errors='replace')}")
                last[:] = [answer]
        finally:
            await connection.close()

    async with asyncio.timeout(longest):
        await asyncio.gather(*(one_connection() for _ in range(connections)))
    return last[0]
