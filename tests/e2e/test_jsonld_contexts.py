"""/jsonldContexts of a running broker: what clients see, across a restart (CIM 009 clauses 5.13, 6.29 and 6.30)."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

ERRORS = "https://uri.etsi.org/ngsi-ld/errors/"
CORE = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.6.jsonld"
SPEED = {"@context": {"speed": "https://example.org/speed"}}
CONTEXT_REL = '; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'


class Broker:
    """A broker in a process of its own, over the database in a folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = os.environ | {
            "VOLTWEAVE_PORT": str(self.port),
            "VOLTWEAVE_DATABASE": f"sqlite:///{folder / 'broker.db'}",
            "VOLTWEAVE_EGRESS_ALLOW": "127.0.0.0/8",
            "VOLTWEAVE_CONTEXT_RETRY": "0",
        }
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/ngsi-ld/v1", timeout=30, trust_env=False)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        command = [sys.executable, "-m", "uvicorn", "--factory", "context_api.app:create_app", "--log-level", "warning"]
        self.process = subprocess.Popen([*command, "--port", str(self.port)], env=self.environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.api.get("/jsonldContexts")
                return
            except httpx.TransportError:
                time.sleep(0.1)
        pytest.fail(f"the broker did not answer (exit code {self.process.poll()})")

    def stop(self) -> None:
        """End the process and wait for it."""
        self.process.terminate()
        self.process.wait(30)

    def metadata(self, name: str) -> dict[str, Any]:
        """Return what the broker knows of an @context."""
        answer = self.api.get(f"/jsonldContexts/{quote(name, safe='')}", params={"details": "true"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def create_entity(self, number: int, context: str) -> httpx.Response:
        """Create an entity of one attribute whose @context is this URL."""
        entity = {"id": f"urn:ngsi-ld:Car:e2e:{number}", "type": "Car", "speed": {"type": "Property", "value": 1}}
        return self.api.post("/entities", json=entity, headers={"Link": f"<{context}>{CONTEXT_REL}"})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Run a broker for the tests of this file."""
    found = Broker(tmp_path_factory.mktemp("broker"))
    found.start()
    yield found
    found.stop()
    found.api.close()


@contextmanager
def context_server(document: Any, port: int = 0) -> Iterator[int]:
    """Serve one document at every path."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/ld+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def add(broker: Broker, body: Any, **headers: str) -> str:
    """Host an @context; return the path at which it is served, below the base URL of the client."""
    answer = broker.api.post("/jsonldContexts", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.content == b""
    location = answer.headers["Location"]
    assert location.startswith("/ngsi-ld/v1/jsonldContexts/")
    return str(location).removeprefix("/ngsi-ld/v1")


def refused(answer: httpx.Response, status: int, error: str) -> None:
    """Check that an answer is this problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    problem = answer.json()
    assert problem["type"] == ERRORS + error
    assert problem["title"]
    assert problem["detail"]


def test_a_hosted_context_is_listed_served_counted_and_deleted(broker: Broker) -> None:
    path = add(broker, SPEED | {"note": "left out"})
    identifier = path.rpartition("/")[2]
    served = broker.api.get(path)
    assert served.json() == SPEED
    assert served.headers["Content-Type"] == "application/json"
    linked = broker.api.get(path, headers={"Accept": "application/ld+json"})
    assert linked.headers["Content-Type"] == "application/ld+json"
    url = f"http://127.0.0.1:{broker.port}/ngsi-ld/v1{path}"
    assert url in broker.api.get("/jsonldContexts").json()
    assert url in broker.api.get("/jsonldContexts", params={"kind": "Hosted"}).json()
    assert url not in broker.api.get("/jsonldContexts", params={"kind": "Cached"}).json()
    before = broker.metadata(identifier)
    assert before.keys() == {"URL", "localId", "kind", "createdAt", "numberOfHits"}
    assert (before["URL"], before["localId"], before["kind"]) == (url, identifier, "Hosted")
    assert before["numberOfHits"] == 0
    assert broker.create_entity(1, url.replace("127.0.0.1", "localhost")).status_code == 201
    after = broker.metadata(identifier)
    assert after["numberOfHits"] == 1
    assert after["lastUsage"] >= before["createdAt"]
    [listed] = [e for e in broker.api.get("/jsonldContexts?details=true").json() if e["localId"] == identifier]
    assert listed == after
    deleted = broker.api.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    refused(broker.api.get(path), 404, "ResourceNotFound")
    refused(broker.api.delete(path), 404, "ResourceNotFound")
    refused(broker.create_entity(2, url), 504, "LdContextNotAvailable")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"speed": "https://example.org/speed"}', "InvalidRequest"),
        (b'{"@context": {"speed": "https://example.org/speed"}', "InvalidRequest"),
        (b"[]", "InvalidRequest"),
        (b'{"@context": 42}', "BadRequestData"),
        (b'{"@context": true}', "BadRequestData"),
        (b'{"@context": ["https://example.org/c.jsonld", 7]}', "BadRequestData"),
        (b'{"@context": {"a": {"@id": "https://a.b/c", "@context": {}}}}', "BadRequestData"),
        (b'{"@context": {"a": 7}}', "BadRequestData"),
    ],
)
def test_an_invalid_context_is_not_stored(broker: Broker, body: bytes, error: str) -> None:
    before = broker.api.get("/jsonldContexts").json()
    answer = broker.api.post("/jsonldContexts", content=body, headers={"Content-Type": "application/json"})
    refused(answer, 400, error)
    assert "Location" not in answer.headers
    assert broker.api.get("/jsonldContexts").json() == before


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "?kind=other", 400, "BadRequestData"),
        ("GET", "?details=other", 400, "BadRequestData"),
        ("GET", "?limit=1", 400, "InvalidRequest"),
        ("GET", "/unknown", 404, "ResourceNotFound"),
        ("GET", "/unknown?details=true", 404, "ResourceNotFound"),
        ("GET", f"/{quote(CORE, safe='')}", 422, "OperationNotSupported"),
        ("DELETE", "/unknown", 404, "ResourceNotFound"),
        ("DELETE", "/unknown?reload=false", 404, "ResourceNotFound"),
        ("DELETE", "/unknown?reload=true", 400, "BadRequestData"),
        ("DELETE", "/unknown?reload=xxx", 400, "BadRequestData"),
        ("DELETE", "/urn:ngsi-ld:Context:unknown?reload=true", 404, "ResourceNotFound"),
        ("DELETE", f"/{quote(CORE, safe='')}", 400, "BadRequestData"),
    ],
)
def test_requests_that_are_refused(broker: Broker, method: str, path: str, status: int, error: str) -> None:
    refused(broker.api.request(method, "/jsonldContexts" + path), status, error)


def test_the_core_context_is_pinned(broker: Broker) -> None:
    assert broker.metadata(CORE)["kind"] == "Cached"
    assert broker.api.delete(f"/jsonldContexts/{quote(CORE, safe='')}?reload=true").status_code == 204
    assert broker.metadata(CORE)["kind"] == "Cached"


def test_a_hosted_context_cannot_be_reloaded(broker: Broker) -> None:
    path = add(broker, SPEED)
    refused(broker.api.delete(path, params={"reload": "true"}), 400, "BadRequestData")
    assert broker.api.get(path).status_code == 200
    assert broker.api.delete(path, params={"reload": "false"}).status_code == 204


def test_a_cached_context_outlives_its_origin_and_a_failed_reload(broker: Broker) -> None:
    with context_server(SPEED) as port:
        url = f"http://127.0.0.1:{port}/context.jsonld"
        assert broker.create_entity(10, url).status_code == 201
        assert broker.metadata(url)["numberOfHits"] == 1
        refused(broker.api.get(f"/jsonldContexts/{quote(url, safe='')}"), 422, "OperationNotSupported")
    refused(broker.api.delete(f"/jsonldContexts/{quote(url, safe='')}?reload=true"), 504, "LdContextNotAvailable")
    assert broker.metadata(url)["kind"] == "Cached"
    assert broker.create_entity(11, url).status_code == 201
    with context_server({"@context": {"speed": "https://example.org/other"}}, port):
        assert broker.api.delete(f"/jsonldContexts/{quote(url, safe='')}?reload=true").status_code == 204
    answer = broker.api.get("/entities/urn:ngsi-ld:Car:e2e:11", headers={"Link": f"<{url}>{CONTEXT_REL}"})
    assert "https://example.org/speed" in answer.json()
    assert broker.api.delete(f"/jsonldContexts/{quote(url, safe='')}").status_code == 204
    refused(broker.create_entity(12, url), 504, "LdContextNotAvailable")


def test_a_hosted_array_caches_what_it_names(broker: Broker) -> None:
    with context_server(SPEED) as port:
        url = f"http://127.0.0.1:{port}/named.jsonld"
        path = add(broker, {"@context": [url]})
        refused(broker.api.get(f"/jsonldContexts/{quote(url, safe='')}"), 404, "ResourceNotFound")
        assert broker.create_entity(20, f"http://localhost:{broker.port}/ngsi-ld/v1{path}").status_code == 201
    assert broker.metadata(url)["kind"] == "Cached"


def test_an_invalid_document_is_the_clients_error(broker: Broker) -> None:
    for document in (b'{"note": "no context"}', b"this is { not json"):
        with context_server(document) as port:
            refused(broker.create_entity(30, f"http://127.0.0.1:{port}/invalid.jsonld"), 400, "BadRequestData")
    refused(broker.api.get("/entities/urn:ngsi-ld:Car:e2e:30"), 404, "ResourceNotFound")


def test_a_hosted_context_belongs_to_its_tenant(broker: Broker) -> None:
    path = add(broker, SPEED, **{"NGSILD-Tenant": "one"})
    for headers in ({"NGSILD-Tenant": "two"}, {}):
        refused(broker.api.get(path, headers=headers), 404, "ResourceNotFound")
        refused(broker.api.get(path, headers=headers, params={"details": "true"}), 404, "ResourceNotFound")
        refused(broker.api.delete(path, headers=headers), 404, "ResourceNotFound")
        listed = broker.api.get("/jsonldContexts", headers=headers)
        assert listed.status_code == 200
        assert path not in listed.text
    assert broker.api.get(path, headers={"NGSILD-Tenant": "one"}).json() == SPEED
    assert path in broker.api.get("/jsonldContexts", headers={"NGSILD-Tenant": "one"}).text
    assert broker.api.delete(path, headers={"NGSILD-Tenant": "one"}).status_code == 204


def test_contexts_and_their_usage_survive_a_restart(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    try:
        path = add(broker, SPEED)
        with context_server(SPEED) as port:
            url = f"http://127.0.0.1:{port}/context.jsonld"
            assert broker.create_entity(1, url).status_code == 201
        cached = broker.metadata(url)
        broker.stop()
        broker.start()
        assert broker.api.get(path).json() == SPEED
        found = broker.metadata(url)
        assert found["lastUsage"] >= cached["lastUsage"]
        assert found == cached | {"numberOfHits": 2, "lastUsage": found["lastUsage"]}
        assert broker.create_entity(2, url).status_code == 201
    finally:
        broker.stop()
        broker.api.close()
