"""The registry of @contexts against real context servers and a real database (CIM 009 clauses 5.5.6 and 5.13)."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from context_api.contexts.entries import Entry, Kind
from context_api.contexts.registry import ContextRegistry
from context_api.contexts.storage import ContextStore
from context_api.settings import ContextSettings, ServerSettings, Settings, StorageSettings
from context_api.storage.sqlite.store import SqliteStore
from ngsild.context import CORE_NAMESPACE, DEFAULT_VOCABULARY
from ngsild.core_context import CORE_CONTEXT_URL
from ngsild.problems import BadRequestData, LdContextNotAvailable

T = TypeVar("T")
Body = dict[str, Any] | list[Any] | bytes
SPEED = {"@context": {"speed": "https://example.org/speed"}}


@dataclass
class Origin:
    """A context server: what it answers by path, and the requests that reached it."""

    port: int = 0
    answers: dict[str, tuple[int, dict[str, str], Body]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    delay: float = 0.0

    def serve(self, path: str, body: Body, status: int = 200, **headers: str) -> str:
        """Answer a path; return its URL."""
        self.answers[path] = (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(1 for found, _ in self.requests if found == path)


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Run a context server on a free port."""
    found = Origin()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.requests.append((self.path, dict(self.headers)))
            time.sleep(found.delay)
            status, headers, body = found.answers.get(self.path, (404, {}, b""))
            if headers.get("ETag") is not None and self.headers.get("If-None-Match") == headers["ETag"]:
                status, body = 304, b""
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def with_registry(path: Path, test: Callable[[ContextRegistry], Awaitable[None]], **settings: Any) -> None:
    """Run a test on a registry over the database in a folder; egress to loopback is allowed by default."""

    async def main() -> None:
        contexts = ContextSettings(**({"egress_allow": "127.0.0.0/8"} | settings))
        server = ServerSettings(public_url="https://broker.example/base")
        store = SqliteStore(StorageSettings(database=f"sqlite:///{path / 'contexts.db'}"))
        registry = ContextRegistry(Settings(server=server, contexts=contexts), ContextStore(store.records), False)
        await store.start()
        try:
            await registry.start()
            await test(registry)
        finally:
            await registry.close()
            await store.close()

    asyncio.run(main())


def only(registry: ContextRegistry, kind: Kind) -> Entry:
    """Return the one stored entry of a kind that is not built in."""
    [entry] = [e for e in registry.stored(1, kind) if not e.built_in]
    return entry


def test_urls_objects_and_arrays_resolve_in_their_order(origin: Origin, tmp_path: Path) -> None:
    inner = origin.serve("/inner", {"@context": {"ex": "https://example.org/", "speed": "ex:inner"}})
    outer = origin.serve("/folder/outer", {"@context": ["../inner", {"heading": "ex:heading"}, CORE_CONTEXT_URL]})

    async def test(registry: ContextRegistry) -> None:
        terms = await registry.resolve(outer)
        assert terms.expand("heading") == "https://example.org/heading"
        assert terms.expand("speed") == "https://example.org/inner"
        assert terms.expand("value") == CORE_NAMESPACE + "hasValue"
        mixed = await registry.resolve([outer, {"speed": "https://example.org/own"}])
        assert mixed.expand("speed") == "https://example.org/own"
        reverse = await registry.resolve([{"speed": "https://example.org/own"}, inner])
        assert reverse.expand("speed") == "https://example.org/inner"
        assert (await registry.resolve(None)).expand("speed") == DEFAULT_VOCABULARY + "speed"
        assert (await registry.resolve([])).expand("speed") == DEFAULT_VOCABULARY + "speed"

    with_registry(tmp_path, test)
    assert origin.count("/inner") == 1
    assert origin.count("/folder/outer") == 1


def test_core_and_built_in_urls_need_no_network(origin: Origin, tmp_path: Path) -> None:
    async def test(registry: ContextRegistry) -> None:
        registry.register_builtin("https://w3id.org/example/own.jsonld", SPEED)
        registry.register_builtin("/contexts/own.jsonld", SPEED)
        for version in ("", "-v1.3", "-v1.6", "-v1.9"):
            url = f"https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context{version}.jsonld"
            assert (await registry.resolve([url])).expand("speed") == DEFAULT_VOCABULARY + "speed"
        paths = ["https://broker.example/base/contexts/own.jsonld", "http://localhost:9090/contexts/own.jsonld"]
        for url in ["https://w3id.org/example/own.jsonld", "/contexts/own.jsonld", *paths]:
            assert (await registry.resolve(url)).expand("speed") == "https://example.org/speed"
        with pytest.raises(LdContextNotAvailable, match="no such"):
            await registry.resolve("http://localhost:9090/contexts/other.jsonld")

    with_registry(tmp_path, test, egress_allow="")
    assert origin.requests == []


def test_a_document_is_downloaded_once_and_survives_a_restart(origin: Origin, tmp_path: Path) -> None:
    url = origin.serve("/speed", SPEED | {"note": "left out"})
    origin.delay = 0.2

    async def first(registry: ContextRegistry) -> None:
        found = await asyncio.gather(*(registry.resolve(s) for s in (url, [url], [url, {}]) for _ in range(10)))
        assert {t.expand("speed") for t in found} == {"https://example.org/speed"}
        entry = only(registry, Kind.CACHED)
        assert entry.document == SPEED
        assert entry.hits == 30

    async def second(registry: ContextRegistry) -> None:
        assert (await registry.resolve(url)).expand("speed") == "https://example.org/speed"
        assert only(registry, Kind.CACHED).hits == 31
        assert only(registry, Kind.CACHED).metadata("")["URL"] == url

    with_registry(tmp_path, first)
    with_registry(tmp_path, second)
    assert origin.count("/speed") == 1


def test_compiled_maps_are_shared_by_content(origin: Origin, tmp_path: Path) -> None:
    one, two = origin.serve("/one", SPEED), origin.serve("/two", SPEED)

    async def test(registry: ContextRegistry) -> None:
        assert await registry.resolve(one) is await registry.resolve(two)
        assert await registry.resolve(one) is await registry.resolve(SPEED["@context"])
        assert await registry.resolve(one) is not await registry.resolve({})

    with_registry(tmp_path, test)


UNAVAILABLE = {
    "/absent": (404, {}, b"", "404"),
    "/error": (500, {}, b"", "500"),
    "/loop": (302, {"Location": "/loop"}, b"", "redirect"),
    "/elsewhere": (302, {"Location": "ftp://example.org/x"}, b"", "ftp"),
    "/large": (200, {}, b'{"@context": {}}' + b" " * 3000, "larger than 2000"),
    "/packed": (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"@context": {}}'), "compressed"),
    "/unasked": (304, {}, b"", "304"),
}


@pytest.mark.parametrize("path", UNAVAILABLE)
def test_what_cannot_be_retrieved_names_the_url(origin: Origin, tmp_path: Path, path: str) -> None:
    status, headers, body, reason = UNAVAILABLE[path]
    url = origin.serve(path, body, status, **headers)

    async def test(registry: ContextRegistry) -> None:
        with pytest.raises(LdContextNotAvailable, match=f"{url}.*{reason}"):
            await registry.resolve([SPEED["@context"], url])
        assert [e for e in registry.stored(1) if not e.built_in] == []

    with_registry(tmp_path, test, context_max_bytes=2000)


INVALID = [
    b"this is { not json",
    b'{"note": "no context member"}',
    b"[]",
    b'{"@context": 7}',
    b'{"@context": [[]]}',
    b'{"@context": {"a": {"@id": "http://a.b/c", "@context": {}}}}',
    b'{"@context": {"a": 7}}',
    b'{"@context": {"a": "b:c", "b": "a:c"}}',
    b'{"@context": {}, "@context": {}}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", INVALID)
def test_what_is_retrieved_but_invalid_is_bad_request_data(origin: Origin, tmp_path: Path, body: bytes) -> None:
    url = origin.serve("/invalid", body)

    async def test(registry: ContextRegistry) -> None:
        with pytest.raises(BadRequestData):
            await registry.resolve(url)

    with_registry(tmp_path, test)


def test_an_unreachable_or_slow_server_is_not_asked_again_for_a_while(origin: Origin, tmp_path: Path) -> None:
    slow = origin.serve("/slow", SPEED)
    origin.delay = 1.0

    async def test(registry: ContextRegistry) -> None:
        with pytest.raises(LdContextNotAvailable, match=r"http://127.0.0.1:1/x"):
            await registry.resolve("http://127.0.0.1:1/x")
        for _ in range(3):
            with pytest.raises(LdContextNotAvailable, match=rf"{slow}: no answer within 0.2 s"):
                await registry.resolve(slow)
        assert origin.count("/slow") == 1
        origin.delay = 0.0
        await asyncio.sleep(0.5)
        assert (await registry.resolve(slow)).expand("speed") == "https://example.org/speed"

    with_registry(tmp_path, test, context_timeout=0.2, context_retry=0.4)


def test_the_egress_guard_refuses_and_names_the_setting(origin: Origin, tmp_path: Path) -> None:
    url = origin.serve("/speed", SPEED)

    async def test(registry: ContextRegistry) -> None:
        with pytest.raises(LdContextNotAvailable, match=f"{url}.*VOLTWEAVE_EGRESS_ALLOW"):
            await registry.resolve(url)

    with_registry(tmp_path, test, egress_allow="10.0.0.0/8")
    assert origin.requests == []


@pytest.mark.parametrize(
    "source", ["ftp://example.org/x", "urn:x:y", "http://", "http://[", 7, True, [[]], ["a b c", 7]]
)
def test_what_is_no_context_is_bad_request_data(tmp_path: Path, source: Any) -> None:
    async def test(registry: ContextRegistry) -> None:
        with pytest.raises((BadRequestData, LdContextNotAvailable)):
            await registry.resolve(source)
        if not isinstance(source, str):
            with pytest.raises(BadRequestData):
                await registry.add(source, 1)

    with_registry(tmp_path, test)


def test_limits_of_depth_number_and_size(origin: Origin, tmp_path: Path) -> None:
    for number in range(6):
        origin.serve(f"/deep{number}", {"@context": [f"/deep{number + 1}", f"/wide{number}"]})
        origin.serve(f"/wide{number}", SPEED)
    origin.serve("/deep6", SPEED)
    itself = origin.serve("/itself", {"@context": ["/other"]})
    origin.serve("/other", {"@context": "/itself"})

    async def test(registry: ContextRegistry) -> None:
        assert (await registry.resolve(origin.url("/deep4"))).expand("speed") == "https://example.org/speed"
        with pytest.raises(BadRequestData, match="deeper than 4"):
            await registry.resolve(origin.url("/deep0"))
        with pytest.raises(BadRequestData, match="refers to itself"):
            await registry.resolve(itself)
        with pytest.raises(BadRequestData, match="more than 5 documents"):
            await registry.resolve([origin.url(f"/wide{n}") for n in range(6)])
        with pytest.raises(BadRequestData, match="larger than 2000"):
            await registry.resolve({f"name{n}": "https://example.org/a" for n in range(100)})

    with_registry(tmp_path, test, context_max_depth=4, context_max_imports=5, context_max_bytes=2000)


def test_import_merges_and_the_importing_context_wins(origin: Origin, tmp_path: Path) -> None:
    url = origin.serve("/imported", {"@context": {"a": "https://example.org/a", "b": "https://example.org/b"}})
    origin.serve("/array", {"@context": []})

    async def test(registry: ContextRegistry) -> None:
        terms = await registry.resolve({"@import": url, "b": "https://example.org/mine"})
        assert terms.expand("a") == "https://example.org/a"
        assert terms.expand("b") == "https://example.org/mine"
        for wrong in (7, origin.url("/array")):
            with pytest.raises(BadRequestData, match="import"):
                await registry.resolve({"@import": wrong})

    with_registry(tmp_path, test)


def test_a_page_that_names_its_json_ld_is_followed_once(origin: Origin, tmp_path: Path) -> None:
    link = '</style>; rel="stylesheet", </real.jsonld>; rel="alternate"; type="application/ld+json"'
    page = origin.serve("/", b"<html>", Content_Type="text/html; charset=utf-8", Link=link)
    origin.serve("/real.jsonld", SPEED, Content_Type="application/ld+json")

    async def test(registry: ContextRegistry) -> None:
        assert (await registry.resolve(page)).expand("speed") == "https://example.org/speed"
        assert only(registry, Kind.CACHED).url == page

    with_registry(tmp_path, test)


def test_an_expired_document_is_asked_for_again_and_kept_while_that_fails(origin: Origin, tmp_path: Path) -> None:
    url = origin.serve("/speed", SPEED, ETag='"1"', Cache_Control="max-age=1")

    async def test(registry: ContextRegistry) -> None:
        await registry.resolve(url)
        entry = only(registry, Kind.CACHED)
        assert entry.expires_at is not None
        assert entry.expires_at - entry.created_at < 1_100_000
        await asyncio.sleep(1.1)
        await registry.resolve(url)
        assert origin.requests[-1][1]["If-None-Match"] == '"1"'
        changed = {"@context": {"speed": "https://example.org/changed"}}
        origin.serve("/speed", changed, ETag='"2"', Cache_Control="max-age=1")
        assert (await registry.resolve(url)).expand("speed") == "https://example.org/speed"
        await asyncio.sleep(1.1)
        assert (await registry.resolve(url)).expand("speed") == "https://example.org/changed"
        origin.serve("/speed", b"", 500)
        await asyncio.sleep(1.1)
        assert (await registry.resolve(url)).expand("speed") == "https://example.org/changed"
        assert (await registry.resolve(url)).expand("speed") == "https://example.org/changed"

    with_registry(tmp_path, test)
    assert origin.count("/speed") == 4


def test_a_reload_replaces_the_copy_or_keeps_the_old_one(origin: Origin, tmp_path: Path) -> None:
    url = origin.serve("/speed", SPEED)

    async def test(registry: ContextRegistry) -> None:
        await registry.resolve(url)
        entry = only(registry, Kind.CACHED)
        for status, body in ((404, b""), (200, b"{}"), (200, b'{"@context": {"speed": 7}}')):
            origin.serve("/speed", body, status)
            with pytest.raises(LdContextNotAvailable):
                await registry.reload(entry)
            assert (await registry.resolve(url)).expand("speed") == "https://example.org/speed"
        origin.serve("/speed", {"@context": {"speed": "https://example.org/new"}})
        created_at = entry.created_at
        await registry.reload(entry)
        assert (await registry.resolve(url)).expand("speed") == "https://example.org/new"
        assert only(registry, Kind.CACHED).created_at > created_at

    with_registry(tmp_path, test)


def test_a_hosted_context_serves_its_tenant_and_is_found_by_its_url(origin: Origin, tmp_path: Path) -> None:
    async def test(registry: ContextRegistry) -> None:
        entry = await registry.add(SPEED["@context"], tenant=1)
        assert await registry.find(entry.id, 1) is entry
        assert await registry.find(entry.id, 2) is None
        assert await registry.find(entry.id, None) is None
        assert entry not in registry.stored(2)
        assert entry.address(registry.origin) == f"https://broker.example/base/ngsi-ld/v1/jsonldContexts/{entry.id}"
        for url in (entry.address(registry.origin), entry.path(), f"http://localhost:9090{entry.path()}"):
            assert (await registry.resolve(url)).expand("speed") == "https://example.org/speed"
        assert entry.hits == 3
        await registry.remove(entry)
        with pytest.raises(LdContextNotAvailable, match="no such"):
            await registry.resolve(entry.path())
        with pytest.raises(BadRequestData, match="part of the broker"):
            await registry.remove(registry.stored(1)[0])

    with_registry(tmp_path, test)
    assert origin.requests == []


def test_an_inline_context_gets_one_url(tmp_path: Path) -> None:
    async def test(registry: ContextRegistry) -> None:
        inline = [{"speed": "https://example.org/speed"}, "https://example.org/c", CORE_CONTEXT_URL]
        url = await registry.link(inline, 1)
        assert await registry.link(inline, 1) == url
        assert await registry.link(inline, 2) != url
        assert only(registry, Kind.IMPLICITLY_CREATED).document == {"@context": inline}
        assert await registry.link(["https://example.org/c", CORE_CONTEXT_URL]) == "https://example.org/c"
        assert await registry.link(CORE_CONTEXT_URL) == CORE_CONTEXT_URL

    with_registry(tmp_path, test)


def test_room_is_made_among_cached_contexts_but_not_among_hosted_ones(origin: Origin, tmp_path: Path) -> None:
    urls = [origin.serve(f"/{number}", SPEED) for number in range(3)]

    async def test(registry: ContextRegistry) -> None:
        for url in (urls[0], urls[1], urls[0], urls[2]):
            await registry.resolve(url)
        assert {e.url for e in registry.stored(1) if not e.built_in} == {urls[0], urls[2]}
        hosted = [await registry.add(SPEED["@context"], 1) for _ in range(2)]
        with pytest.raises(BadRequestData, match="limit"):
            await registry.add(SPEED["@context"], 1)
        await registry.remove(hosted[0])
        await registry.link({"a": "https://example.org/a"}, 1)
        await registry.add(SPEED["@context"], 1)
        assert registry.stored(1, Kind.IMPLICITLY_CREATED) == []

    with_registry(tmp_path, test, context_max_stored=2)
    assert len(origin.requests) == 3
