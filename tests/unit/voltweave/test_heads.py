"""Heads of requests over raw sockets: what is too large is answered and ended, and never kept."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

LIMIT = 16_384
MIB = 1024 * 1024
#: What a connection may cost beside its limit: buffers of the socket and the parser.
MOST_MEMORY = 4 * MIB
SERVER = """
import asyncio, sys
from context_api.app import create_app
from context_api.settings import ServerSettings, Settings, StorageSettings
from voltweave.serving import listen, run_until_stopped, serving

async def main(stop):
    app = create_app(Settings(
        server=ServerSettings(max_head_bytes=int(sys.argv[2])), storage=StorageSettings(database=sys.argv[1])))
    [listener] = listen("127.0.0.1", 0)
    async with serving(app, listener):
        print(listener.getsockname()[1], flush=True)
        await stop.wait()

run_until_stopped(main)
"""
GET = b"GET /q/health/live HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /ngsi-ld/v1/entities HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    def __init__(self, port: int, process: int) -> None:
        self.port = port
        self.process = process

    def ask(self, *parts: bytes) -> bytes:
        """Send parts until the server ends the connection or all is sent, and return what it says."""
        with closing(socket.create_connection(("127.0.0.1", self.port), 10)) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
            except OSError:
                pass
            found = b""
            try:
                while piece := connection.recv(65_536):
                    found += piece
            except OSError:
                pass
            return found

    def most_memory(self, *parts: bytes) -> int:
        """Return how many bytes more the process had at most while these were sent."""
        Path(f"/proc/{self.process}/clear_refs").write_text("5")
        before = self._resident("VmRSS")
        self.ask(*parts)
        return self._resident("VmHWM") - before

    def _resident(self, which: str) -> int:
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(which))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file: Path = tmp_path_factory.mktemp("heads") / "test.db"
    command = [sys.executable, "-c", SERVER, f"sqlite:///{file}", str(LIMIT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = Server(int(process.stdout.readline()), process.pid)
            for _ in range(20):
                found.ask(GET + b"Connection: close\r\n\r\n")
            yield found
        finally:
            process.terminate()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_head_up_to_the_limit_is_taken(server: Server) -> None:
    long = b"X-Long: " + b"x" * (LIMIT - 200) + b"\r\nConnection: close\r\n\r\n"
    assert status(server.ask(GET + long)) == 200


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Long: " + b"x" * LIMIT + b"\r\n\r\n",
        GET + b"".join(b"X-%d: 1\r\n" % i for i in range(3000)) + b"\r\n",
        b"GET /" + b"x" * LIMIT + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + b"x" * (LIMIT + 1) + b": 1\r\n\r\n",
    ],
    ids=["value", "count", "line", "name"],
)
@pytest.mark.parametrize("size", [10**9, 1000], ids=["at once", "in parts"])
def test_a_larger_head_is_answered_and_the_connection_ends(server: Server, head: bytes, size: int) -> None:
    answer = server.ask(*(head[start : start + size] for start in range(0, len(head), size)))
    assert status(answer) == 431
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert body["type"].endswith("/HeadTooLarge") and str(LIMIT) in body["detail"]
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "begin",
    [
        GET + b"Authorization: Bearer ",
        GET,
        b"GET /",
        CHUNKED + b"1\r\n \r\n0\r\nX-Trailer: ",
        GET + b"\r\n" + GET + b"X-Long: ",
    ],
    ids=["value", "name", "line", "trailer", "pipelined"],
)
def test_what_does_not_end_is_not_kept(server: Server, begin: bytes) -> None:
    assert server.most_memory(begin, *([b"x" * 65_536] * 640)) < MOST_MEMORY


def test_a_trailer_that_ends_is_bounded_too(server: Server) -> None:
    lines = b"".join(b"X-%d: 1\r\n" % i for i in range(100_000))
    assert server.most_memory(CHUNKED + b"1\r\n \r\n0\r\n", lines, b"\r\n") < MOST_MEMORY
    assert status(server.ask(GET + b"Connection: close\r\n\r\n")) == 200


def test_bodies_in_small_chunks_are_no_heads(server: Server) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"id":"urn:x:1","type":"Car"}' + b" " * LIMIT)
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    answer = server.ask(head, *(body[start : start + 999] for start in range(0, len(body), 999)), b"0\r\n\r\n")
    # Of a body without Content-Length, the broker wants that.
    assert status(answer) in (201, 411)


def test_requests_one_after_the_other_are_each_counted_anew(server: Server) -> None:
    one = GET + b"X-Long: " + b"x" * (LIMIT // 2) + b"\r\n\r\n"
    last = GET + b"Connection: close\r\n\r\n"
    assert server.ask(one * 8 + last).count(b"HTTP/1.1 200") == 9
