"""A small context API for the tests of adapters: it takes batches of entities, keeps them, and fails on demand."""

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
        self.refused_items: dict[str, dict[str, Any]] = {}
        """Problem of each entity id that a batch answers with 207."""
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


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Iterator[Receiver]:
    """Serve a receiver on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with receiver.lock:
                receiver.requests.append((self.path, dict(self.headers.items())))
                status, answer = receiver.take(json.loads(body))
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
