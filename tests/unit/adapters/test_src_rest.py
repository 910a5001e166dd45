"""The REST source against a real server: paging, growth, conditions, failures, nesting, and going on anywhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.errors import PermanentError, SettingError, TransientError
from adapters.raw import RawStore
from adapters.settings import AdapterSettings
from adapters.sources.chunk import Unreadable
from adapters.sources.rest import RestOptions, RestSource

QUICK = AdapterSettings(
    chunk_records=4, pull_attempts=3, pull_timeout=2.0, back_off_seconds=0.01, back_off_limit_seconds=0.02
)
NEXT_PAGES = {"path": "/records", "items": "results", "paging": {"kind": "next"}}


class Api:
    """A paged API whose records can grow and whose answers can be broken."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.size = 3
        self.conditional = True
        self.requests: list[str] = []
        self.statuses: list[int] = []
        self.failures: list[Any] = []
        """For the next requests: an HTTP status, "cut" or "slow"; None lets one through."""
        self.routes: dict[str, Any] = {}
        self.url = ""

    def page(self, query: dict[str, list[str]]) -> Any:
        number = int(query.get("page", ["1"])[0])
        results = self.records[(number - 1) * self.size : number * self.size]
        following = f"{self.url}/records?page={number + 1}" if number * self.size < len(self.records) else None
        return {"results": results, "next": following}


class Handler(BaseHTTPRequestHandler):
    """Answers for the Api of its server."""

    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        api = self.api
        api.requests.append(self.path)
        parts = urlsplit(self.path)
        failure = api.failures.pop(0) if api.failures else None
        if isinstance(failure, int):
            self.answer(failure, {"Retry-After": "0"}, b"")
            return
        found = api.page(parse_qs(parts.query)) if parts.path == "/records" else api.routes.get(parts.path)
        if found is None:
            self.answer(404, {}, b"")
            return
        body = json.dumps(found).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
        if api.conditional and self.headers.get("If-None-Match") == etag:
            self.answer(304, {"ETag": etag}, b"")
        elif failure == "cut":
            self.answer(200, {"Content-Length": str(len(body) + 10)}, body)
            self.close_connection = True
        else:
            self.answer(200, {"ETag": etag}, body)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.api.statuses.append(status)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that went away."""


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    server = Server(("127.0.0.1", 0), type("ApiHandler", (Handler,), {"api": api}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as served:
        yield served


class Reader:
    """Reads a source again and again, keeping its checkpoint as the runner does."""

    def __init__(
        self, url: str, folder: Path, *steps: dict[str, Any], limits: AdapterSettings = QUICK, **more: Any
    ) -> None:
        options = RestOptions.model_validate({"protocol": "rest", "url": url, "steps": list(steps), **more})
        self.raw = RawStore(folder, "s")
        self.source = RestSource(options, self.raw, settings=limits)
        self.checkpoint: dict[str, Any] = {}
        self.numbers: list[int] = []

    def read(self, stop_after: int | None = None) -> list[Any]:
        """Return what is new; `stop_after` chunks the reader is killed."""

        async def run() -> list[Any]:
            found: list[Any] = []
            left = stop_after or -1
            chunks = self.source.chunks(dict(self.checkpoint))
            try:
                async for chunk in chunks:
                    found += chunk.records
                    self.numbers += range(chunk.first, chunk.first + len(chunk.records))
                    for name, value in json.loads(json.dumps(chunk.checkpoint)).items():
                        if value is None:
                            self.checkpoint.pop(name, None)
                        else:
                            self.checkpoint[name] = value
                    left -= 1
                    if left == 0:
                        break
            finally:
                await chunks.aclose()
            return found

        return asyncio.run(run())


def records(count: int) -> list[dict[str, Any]]:
    return [{"id": n} for n in range(count)]


def test_the_whole_history_then_what_is_new(api: Api, tmp_path: Path) -> None:
    api.records = records(8)
    reader = Reader(api.url, tmp_path, NEXT_PAGES)
    assert reader.read() == records(8)
    assert api.requests == ["/records", "/records?page=2", "/records?page=3"]
    api.requests.clear()
    assert reader.read() == []
    assert (api.requests, api.statuses[-1]) == (["/records?page=3"], 304), (
        "only the last page is asked for, on condition"
    )
    api.records = records(11)
    assert reader.read() == records(11)[8:]
    assert reader.numbers == list(range(1, 12))


def test_a_changed_record_on_the_last_page_comes_again(api: Api, tmp_path: Path) -> None:
    api.records = records(5)
    reader = Reader(api.url, tmp_path, NEXT_PAGES)
    reader.read()
    api.records[3] = {"id": 3, "done": True}
    assert reader.read() == [{"id": 3, "done": True}, {"id": 4}]


def test_numbered_pages_end_at_a_short_an_empty_or_a_missing_page(api: Api, tmp_path: Path) -> None:
    step = {"path": "/records", "items": "results", "paging": {"kind": "number", "size": 3}}
    api.records = records(7)
    reader = Reader(api.url, tmp_path / "short", step)
    assert reader.read() == records(7)
    assert len(api.requests) == 3
    api.records = records(9)
    assert reader.read() == records(9)[7:]
    api.records = records(10)
    assert reader.read() == [{"id": 9}], "a full last page is followed by a new one although it did not change"
    unsized = step | {"paging": {"kind": "number"}}
    reader = Reader(api.url, tmp_path / "empty", unsized)
    assert reader.read() == records(10)
    api.records = records(11)
    assert reader.read() == [{"id": 10}], "a page is not left for an empty one"


@pytest.mark.parametrize("failure", [500, 503, 429, "cut"])
def test_a_stumbling_source_is_tried_again(api: Api, tmp_path: Path, failure: Any) -> None:
    api.records = records(5)
    api.failures = [failure, None, failure, failure]
    assert Reader(api.url, tmp_path, NEXT_PAGES).read() == records(5)


def test_a_source_that_stays_away_keeps_its_place(api: Api, tmp_path: Path) -> None:
    api.records = records(8)
    reader = Reader(api.url, tmp_path, NEXT_PAGES)
    api.failures = [None, 503, 503, 503]
    with pytest.raises(TransientError, match="503"):
        reader.read()
    assert reader.read() == records(8)[3:]


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="ConnectError"):
        Reader("http://127.0.0.1:9", tmp_path, NEXT_PAGES).read()


@pytest.mark.parametrize("status", [400, 401, 403, 301])
def test_a_refusal_is_permanent(api: Api, tmp_path: Path, status: int) -> None:
    api.failures = [status]
    with pytest.raises(PermanentError, match=str(status)):
        Reader(api.url, tmp_path, NEXT_PAGES).read()
    assert len(api.requests) == 1


def test_credentials_stay_with_their_origin(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", "s3cret")
    api.routes["/leak"] = {"results": [{"id": 1}], "next": "http://127.0.0.2:1/records"}
    reader = Reader(api.url, tmp_path, NEXT_PAGES | {"path": "/leak"}, authorization={"environment": "TEST_TOKEN"})
    with pytest.raises(PermanentError, match="another host") as caught:
        reader.read()
    assert "s3cret" not in str(caught.value)


def test_pages_in_a_circle_end(api: Api, tmp_path: Path) -> None:
    api.routes["/a"] = {"results": [], "next": "/b"}
    api.routes["/b"] = {"results": [], "next": "/a"}
    with pytest.raises(PermanentError, match="circle"):
        Reader(api.url, tmp_path, NEXT_PAGES | {"path": "/a"}).read()


def test_an_answer_over_the_limit_is_refused(api: Api, tmp_path: Path) -> None:
    api.routes["/big"] = {"results": [{"id": "x" * 5000}]}
    limits = QUICK.model_copy(update={"pull_body_bytes": 2048})
    with pytest.raises(PermanentError, match="larger than 2048"):
        Reader(api.url, tmp_path, NEXT_PAGES | {"path": "/big"}, limits=limits).read()


def test_an_answer_without_the_records_names_what_is_missing(api: Api, tmp_path: Path) -> None:
    api.routes["/odd"] = {"data": []}
    with pytest.raises(PermanentError, match="'results'"):
        Reader(api.url, tmp_path, NEXT_PAGES | {"path": "/odd"}).read()


def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no address"):
        RestSource(
            RestOptions.model_validate({"protocol": "rest", "url": "http://x", "steps": [NEXT_PAGES]}),
            RawStore(tmp_path, "s"),
            url="sessions.csv",
            settings=QUICK,
        )


VEHICLES = (
    {"path": "/vehicles", "bind": {"vehicle": ""}},
    {"path": "/vehicles/{vehicle}/charges", "bind": {"charge": "id"}, "descend": "new"},
    {"path": "/charges/{charge}"},
)


def fleet(api: Api, charges: dict[str, list[int]]) -> None:
    api.routes = {"/vehicles": list(charges)}
    for vehicle, ids in charges.items():
        api.routes[f"/vehicles/{vehicle}/charges"] = [{"id": n} for n in ids]
        api.routes |= {f"/charges/{n}": {"kwh": n} for n in ids}


def test_ids_lead_to_details_and_only_new_ones_are_asked_for(api: Api, tmp_path: Path) -> None:
    fleet(api, {"A": [1, 2], "B": [7]})
    reader = Reader(api.url, tmp_path, *VEHICLES)
    assert reader.read() == [
        {"kwh": 1, "vehicle": "A", "charge": "1"},
        {"kwh": 2, "vehicle": "A", "charge": "2"},
        {"kwh": 7, "vehicle": "B", "charge": "7"},
    ]
    assert not [name for name in reader.checkpoint if "/charges/" in name], "done details leave no checkpoints"
    fleet(api, {"A": [1, 2, 3], "B": [7], "C": [9]})
    api.requests.clear()
    assert reader.read() == [{"kwh": 3, "vehicle": "A", "charge": "3"}, {"kwh": 9, "vehicle": "C", "charge": "9"}]
    assert [r for r in api.requests if r.startswith("/charges/")] == ["/charges/3", "/charges/9"]


def test_a_detail_that_is_gone_is_set_aside_and_the_rest_goes_on(api: Api, tmp_path: Path) -> None:
    fleet(api, {"A": [1, 2], "B": []})
    del api.routes["/charges/1"]
    del api.routes["/vehicles/B/charges"]
    reader = Reader(api.url, tmp_path, *VEHICLES)
    gone, found = reader.read()
    assert isinstance(gone, Unreadable)
    assert "404" in str(gone.error)
    assert found["kwh"] == 2
    assert reader.read() == []


def test_a_path_cannot_be_left_through_an_id(api: Api, tmp_path: Path) -> None:
    fleet(api, {"../../admin": [1]})
    Reader(api.url, tmp_path, *VEHICLES).read()
    assert not any("admin/" in request and "%2F" not in request for request in api.requests)
    assert any(re.search(r"%2Fadmin", request) for request in api.requests)


def test_a_step_that_uses_an_unbound_name_is_refused() -> None:
    with pytest.raises(ValueError, match="bound by no earlier step"):
        RestOptions.model_validate({"protocol": "rest", "url": "http://x", "steps": [{"path": "/a/{b}"}]})


def test_every_answer_is_kept_raw(api: Api, tmp_path: Path) -> None:
    api.records = records(5)
    reader = Reader(api.url, tmp_path, NEXT_PAGES)
    reader.read()
    reader.read()
    assert len(list(tmp_path.rglob("*.gz"))) == 2


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(1, 5),
    growth=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    kills=st.lists(st.integers(1, 4), max_size=5),
    kind=st.sampled_from(["next", "number"]),
    conditional=st.booleans(),
)
def test_whatever_stops_it_nothing_is_missed_or_read_twice(
    api: Api, tmp_path: Path, size: int, growth: list[int], kills: list[int], kind: str, conditional: bool
) -> None:
    api.size, api.conditional, api.records = size, conditional, []
    reader = Reader(api.url, tmp_path, NEXT_PAGES | {"paging": {"kind": kind, "size": size}})
    found: list[Any] = []
    for count in growth:
        api.records = records(len(api.records) + count)
        if kills:
            found += reader.read(stop_after=kills.pop())
        found += reader.read()
        assert found == api.records
    assert reader.numbers == list(range(1, len(found) + 1))
