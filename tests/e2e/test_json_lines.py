"""Loads and downloads in JSON lines over real sockets: any size, memory flat, whatever the other side does."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.platform import Broker, broker

ENTITIES = "/ngsi-ld/v1/entities"
BATCH = "/ngsi-ld/v1/entityOperations"
NDJSON = "application/x-ndjson"
COUNT = 50_000
#: A body of COUNT lines with it is far larger than what the server may grow by.
TEXT = "x" * 2_000
GROWTH = 90


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("lines")) as running:
        yield running


@dataclass(frozen=True)
class Load:
    """What was sent and what became of it; `grown` is by how many megabytes the server grew meanwhile."""

    sent: list[dict[str, Any]]
    status: int
    told: list[Any]
    grown: float


def car(number: int, **members: Any) -> dict[str, Any]:
    return {"id": f"urn:x:{number}", "type": "Car", "n": {"type": "Property", "value": number}} | members


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def send(server: Broker, operation: str, body: Iterator[bytes] | bytes, **headers: str) -> tuple[int, list[Any]]:
    """Send lines, chunked where they come one by one, and return status and lines of the answer."""
    answer = httpx.post(
        f"{server.url}{BATCH}/{operation}", content=body, headers={"Content-Type": NDJSON} | headers, timeout=300
    )
    assert answer.headers["content-type"] == NDJSON, answer.text
    return answer.status_code, [json.loads(text) for text in answer.text.splitlines()]


def download(server: Broker, **parameters: str) -> list[Any]:
    answer = httpx.get(f"{server.url}{ENTITIES}", params=parameters, headers={"Accept": NDJSON}, timeout=300)
    assert answer.status_code == 200, answer.text
    return [json.loads(text) for text in answer.text.splitlines()]


def megabytes(server: Broker) -> float:
    """Return the memory of the server's own; pages of the database file that are mapped in are the system's cache."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]) / 1024


@contextmanager
def growth(server: Broker) -> Iterator[list[float]]:
    """Give a list whose one item will be by how many megabytes the server grew at most in the block."""
    begin, most, stop = megabytes(server), [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            most[0] = max(most[0], megabytes(server) - begin)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        stop.set()
        watching.join()


@pytest.fixture(scope="module")
def load(server: Broker) -> Load:
    """Load COUNT cars."""
    # What the process needs anyway is there before it is measured.
    assert send(server, "upsert", b"".join(line(car(n)) for n in range(3000)), **{"NGSILD-Tenant": "warm"})[0] == 200
    sent = [car(n, text={"type": "Property", "value": TEXT}) for n in range(COUNT)]
    with growth(server) as grown:
        status, told = send(server, "create", (line(entity) for entity in sent))
    return Load(sent, status, told, grown[0])


def test_a_load_of_any_size_comes_back_whole_and_memory_stays_flat(server: Broker, load: Load) -> None:
    assert (load.status, load.told) == (200, [{"lines": COUNT, "created": COUNT, "success": COUNT, "errors": 0}])
    assert load.grown < GROWTH
    with growth(server) as grown:
        found = download(server, type="Car")
    assert sorted(found, key=lambda e: e["n"]["value"]) == load.sent
    assert grown[0] < GROWTH, grown


@pytest.mark.usefixtures("load")
def test_a_slow_reader_gets_all_and_one_that_leaves_harms_nobody(server: Broker) -> None:
    with growth(server) as grown, closing(open_download(server)) as slow, closing(open_download(server)) as leaving:
        leaving.recv(1000)
        leaving.close()
        time.sleep(2)
        assert httpx.get(f"{server.url}{ENTITIES}/urn:x:7", timeout=5).status_code == 200
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        assert len(answer.read().splitlines()) == COUNT
    assert grown[0] < GROWTH, grown


def open_download(server: Broker) -> socket.socket:
    """Ask for everything and read none of it."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    found.connect(("127.0.0.1", server.port))
    found.sendall(f"GET {ENTITIES}?type=Car HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {NDJSON}\r\n\r\n".encode())
    return found


def test_an_interrupted_load_keeps_what_was_written(server: Broker) -> None:
    tenant = {"NGSILD-Tenant": "interrupted"}
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    client.putrequest("POST", f"{BATCH}/create")
    for name, value in ({"Content-Type": NDJSON, "Transfer-Encoding": "chunked"} | tenant).items():
        client.putheader(name, value)
    client.endheaders()
    for n in range(2500):
        data = line(car(n))
        client.send(b"%x\r\n%s\r\n" % (len(data), data))
    wait_until(lambda: stored(server, tenant) == 2000)
    client.close()
    wait_until(lambda: "load interrupted by its client" in server.log())
    assert stored(server, tenant) == 2000
    assert "Traceback" not in server.log()
    status, told = send(server, "upsert", (line(car(n)) for n in range(2500)), **tenant)
    assert (status, told[-1]["created"], stored(server, tenant)) == (200, 500, 2500)


def stored(server: Broker, tenant: dict[str, str]) -> int:
    answer = httpx.get(
        f"{server.url}{ENTITIES}", params={"type": "Car", "count": "true", "limit": "0"}, headers=tenant, timeout=30
    )
    return int(answer.headers.get("NGSILD-Results-Count", -1))


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_wrong_lines_are_named_and_the_others_stored(server: Broker) -> None:
    tenant = {"NGSILD-Tenant": "wrong"}
    lines = [
        line(car(1)),
        b"  \r\n",
        b'{"id": \n',
        line(car(2))[:-1] + b"\r\n",
        line({"id": "urn:x:3", "type": "Car", "text": "x" * 2_000_000}),
        b'{"id": "urn:x:4", "type": "Car", "id": "urn:x:5"}\n',
        b'{"id": "urn:x:6", "type": "Car", "n": 99999999999999999999}\n',
        b"null\n",
        line(car(1, extra={"value": 2})),
        line({"id": "urn:x:7"}),
        line(car(8) | {"@context": {"n": "https://example.org/n"}}),
        line(car(9) | {"@context": 5}),
        line(car(10))[:-1],
    ]
    status, told = send(server, "upsert", iter(lines), **tenant)
    assert status == 207
    assert told[-1] == {"lines": 13, "created": 4, "success": 5, "errors": 7}
    assert [each["line"] for each in told[:-1]] == [3, 5, 6, 7, 8, 10, 12]
    details = {each["line"]: each["error"]["detail"] for each in told[:-1]}
    assert "1048576 bytes" in details[5] and "twice" in details[6] and "64 bits" in details[7]
    assert told[5]["entityId"] == "urn:x:7"
    found = {e["id"]: e for e in json.loads(
        httpx.get(f"{server.url}{ENTITIES}", params={"type": "Car"}, headers=tenant, timeout=30).text
    )}  # fmt: skip
    assert found.keys() == {"urn:x:1", "urn:x:2", "urn:x:8", "urn:x:10"}
    # Replaced by the later line of the same entity; expanded by the line's own @context.
    assert found["urn:x:1"]["extra"]["value"] == 2
    assert "https://example.org/n" in found["urn:x:8"]


def test_each_operation_takes_lines(server: Broker) -> None:
    tenant = {"NGSILD-Tenant": "each"}
    assert send(server, "create", line(car(1)) + line(car(2)) + line(car(1)), **tenant)[0] == 207
    changed = {"id": "urn:x:1", "n": {"type": "Property", "value": 5}}
    assert send(server, "update", line(changed), **tenant) == (200, [sums(1)])
    assert send(server, "merge", line(changed | {"m": {"value": 6}}), **tenant) == (200, [sums(1)])
    status, told = send(server, "delete", line("urn:x:1") + line({"id": "urn:x:2"}) + line("urn:x:3"), **tenant)
    assert (status, told[0]["line"], told[-1]) == (207, 3, sums(2) | {"lines": 3, "errors": 1})
    assert stored(server, tenant) == 0
    assert send(server, "create", b"", **tenant) == (200, [sums(0)])


def sums(lines: int) -> dict[str, int]:
    return {"lines": lines, "created": 0, "success": lines, "errors": 0}


def test_a_client_that_reads_nothing_until_all_is_sent_is_not_blocked(server: Broker) -> None:
    """An answer larger than every buffer on the way."""
    status, told = send(
        server, "update", (b'{"id": "urn:x:%d"}\n' % n for n in range(30_000)), **{"NGSILD-Tenant": "each"}
    )
    assert (status, len(told)) == (207, 10_001)
    assert told[-1]["errors"] == 30_000


@pytest.mark.usefixtures("load")
def test_a_download_has_no_cap_but_the_one_asked_for(server: Broker) -> None:
    answer = httpx.get(
        f"{server.url}{ENTITIES}",
        params={
            "type": "Car",
            "limit": "2500",
            "offset": "10",
            "count": "true",
            "format": "simplified",
            "pick": "id,n",
        },
        headers={"Accept": f"text/turtle;q=0.1, {NDJSON}"},
        timeout=60,
    )
    found = [json.loads(text) for text in answer.text.splitlines()]
    assert len(found) == 2500 and all(each == {"id": each["id"], "n": each["n"]} for each in found)
    assert answer.headers["NGSILD-Results-Count"] == str(COUNT)
    assert "http://www.w3.org/ns/json-ld#context" in answer.headers["Link"]
    ordered = download(server, type="Car", orderBy="n;desc", limit="3", offset="150", q="n<40000")
    assert [e["n"]["value"] for e in ordered] == [39849, 39848, 39847]
    body = {"type": "Query", "entities": [{"type": "Car"}], "q": "n<1500", "pick": ["id"]}
    posted = httpx.post(f"{server.url}{BATCH}/query", json=body, headers={"Accept": NDJSON}, timeout=60)
    assert {json.loads(text)["id"] for text in posted.text.splitlines()} == {f"urn:x:{n}" for n in range(1500)}
    assert download(server, type="None") == []


def test_a_load_takes_no_idempotency_key_and_a_download_has_no_tag(server: Broker) -> None:
    headers = {"Content-Type": NDJSON, "Idempotency-Key": "k"}
    answer = httpx.post(f"{server.url}{BATCH}/upsert", content=iter([line(car(1))]), headers=headers, timeout=30)
    assert answer.status_code == 400 and "Idempotency-Key" in answer.json()["detail"]
    asked = {"type": "Car", "limit": "1"}
    found = httpx.get(f"{server.url}{ENTITIES}", params=asked, headers={"Accept": NDJSON}, timeout=30)
    assert "etag" not in found.headers


@pytest.mark.parametrize("parameters", [{"join": "inline"}, {"join": "flat"}, {"geometryProperty": "a"}])
def test_what_lines_cannot_hold_is_refused(server: Broker, parameters: dict[str, str]) -> None:
    answer = httpx.get(
        f"{server.url}{ENTITIES}", params={"type": "Car"} | parameters, headers={"Accept": NDJSON}, timeout=30
    )
    assert answer.status_code == 400 and next(iter(parameters)) in answer.json()["detail"]


@pytest.mark.usefixtures("load")
def test_a_download_that_fails_half_way_is_seen_to_be_incomplete(server: Broker) -> None:
    with closing(sqlite3.connect(server.database)) as con, con:
        k, doc = con.execute("SELECT k, doc FROM entity WHERE id > 'urn:x:3' ORDER BY k DESC").fetchone()
        con.execute("UPDATE entity SET doc = '{' WHERE k = ?", (k,))
    with closing(open_download(server)) as reading:
        answer = http.client.HTTPResponse(reading)
        answer.begin()
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    assert "an answer ended before all of it was sent" in server.log()
    assert httpx.get(f"{server.url}{ENTITIES}/urn:x:1", timeout=5).status_code == 200
    with closing(sqlite3.connect(server.database)) as con, con:
        con.execute("UPDATE entity SET doc = ? WHERE k = ?", (doc, k))
