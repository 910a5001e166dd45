"""A small context API for the tests of adapters: it keeps entities and a quarantine, and fails on demand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Entity = dict[str, Any]
#: Given the entities of a request, the status and problem of an answer that is no success; None: take them.
Refusal = Callable[[list[Entity]], tuple[int, dict[str, Any]] | None]


class Receiver:
    """What a receiver got and how it answers."""

    def __init__(self) -> None:
        self.entities: dict[str, Entity] = {}
        self.deliveries: list[str] = []
        """Every entity id that was stored, in order: more than once where it was sent again."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Path and headers of every request."""
        self.refuse: Refusal = lambda entities: None
        self.refuse_records: Refusal = lambda records: None
        self.refused_items: dict[str, dict[str, Any]] = {}
        """Problem of each entity id that a batch answers with 207."""
        self.quarantined: dict[str, dict[str, Any]] = {}
        """Records in quarantine, with version and state beside what was sent."""
        self.arrivals: list[str] = []
        """Every record id that was sent to the quarantine, in order."""
        self.url = ""
        self.lock = threading.Lock()

    async def holds(self, count: int) -> None:
        """Wait until at least this many entities are stored; the caller sets the time limit."""
        while True:
            with self.lock:
                if len(self.entities) >= count:
                    return
            await asyncio.sleep(0.02)

    def take(self, entities: list[Entity]) -> tuple[int, Any]:
        """Return status and body of the answer to a batch."""
        refused = self.refuse(entities)
        if refused is not None:
            return refused
        errors = []
        created = []
        for entity in entities:
            problem = self.refused_items.get(entity["id"])
            if problem is not None:
                errors.append({"entityId": entity["id"], "error": problem})
                continue
            if entity["id"] not in self.entities:
                created.append(entity["id"])
            self.entities[entity["id"]] = {**self.entities.get(entity["id"], {}), **entity}
            self.deliveries.append(entity["id"])
        if errors:
            return 207, {"success": created, "errors": errors}
        return (201, created) if created else (204, None)

    def quarantine(self, path: str, items: list[dict[str, Any]]) -> tuple[int, Any]:
        """Return the answer to records for the quarantine, or to the outcomes of replays."""
        refused = self.refuse_records(items)
        if refused is not None:
            return refused
        for item in items:
            if path.endswith("/outcomes"):
                held = self.quarantined.get(item["id"])
                if held is not None and item.get("version") in (None, held["version"]):
                    held["state"] = "open" if "finding" in item else "replayed"
                    held["version"] += 1
            else:
                self.arrivals.append(item["id"])
                self.quarantined.setdefault(item["id"], {**item, "version": 1, "state": "open"})
        return 204, None

    def look(self, path: str) -> tuple[int, Any]:
        """Return the answer to a question about the quarantine: the records to replay, or one record."""
        name = path.partition("?")[0].rpartition("/")[2]
        if name != "quarantine":
            return (200, self.quarantined[name]) if name in self.quarantined else (404, {})
        return 200, [held for held in self.quarantined.values() if held["state"] == "replayRequested"]


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[Receiver]:
    """Serve a receiver on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with receiver.lock:
                receiver.requests.append((self.path, dict(self.headers.items())))
                if self.path.startswith("/quarantine"):
                    status, answer = receiver.quarantine(self.path, items)
                else:
                    status, answer = receiver.take(items)
            self.answer(status, answer)

        def do_GET(self) -> None:
            with receiver.lock:
                status, answer = receiver.look(self.path)
            self.answer(status, answer)

        def answer(self, status: int, answer: Any) -> None:
            payload = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Stay quiet about clients that were killed."""

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
