"""A body of JSON lines (application/x-ndjson), read as it comes: of any size, chunked or not, memory flat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass, field

#: Lines treated together: enough to make a commit cheap. Four times as many cost SQLite a fifth less CPU time a line,
#: for a commit writes each page once, but three times the memory.
_LINES = 1_000
#: Bytes treated together, where lines are long: what is kept of a body is twice that, one chunk being written and one
#: being read.
_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Lines:
    """Lines that are treated together."""

    numbered: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(number of the line, from 1, its bytes or None where it is too long); blank lines are left out."""
    last: int = 0
    """Number of the last line read, blank or not."""
    size: int = 0
    """Bytes held."""

    @property
    def is_full(self) -> bool:
        """Tell whether these are enough."""
        return len(self.numbered) >= _LINES or self.size >= _BYTES


async def read_lines(stream: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[Lines]:
    """Yield the lines of a body in chunks, the next of which is read meanwhile; a line has `max_bytes` at most."""
    chunks = _chunks(stream, max_bytes)
    coming = asyncio.create_task(_next(chunks))
    try:
        while (chunk := await coming) is not None:
            coming = asyncio.create_task(_next(chunks))
            yield chunk
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next(chunks: AsyncIterator[Lines]) -> Lines | None:
    return await anext(chunks, None)


async def _chunks(stream: AsyncIterable[bytes], max_bytes: int) -> AsyncIterator[Lines]:
    splitter = _Splitter(max_bytes)
    chunk = Lines()
    async for data in stream:
        for line in splitter.feed(data):
            _add(chunk, line)
            if chunk.is_full:
                yield chunk
                chunk = Lines(last=chunk.last)
    if splitter.holds_some:
        _add(chunk, splitter.take(b""))
    yield chunk


def _add(chunk: Lines, line: bytes | None) -> None:
    chunk.last += 1
    if line is None or (not line.isspace() and line):
        chunk.numbered.append((chunk.last, line))
        chunk.size += len(line or b"")


class _Splitter:
    """Splits what comes into lines, holding one at most."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def holds_some(self) -> bool:
        """Tell whether a line has begun."""
        return self._size > 0

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Yield the lines that end in this data, None for one that is too long."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            yield self.take(end)
        self._hold(rest)

    def take(self, end: bytes) -> bytes | None:
        """Return the line that ends so, None where it is too long."""
        self._hold(end)
        line = b"".join(self._parts) if self._size <= self._max_bytes else None
        self._parts.clear()
        self._size = 0
        return line

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            self._parts.clear()
        elif part:
            self._parts.append(part)
