"""The broker's application behind real sockets: uvicorn in a thread of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

LONGEST_START_S = 30


@contextmanager
def served(application: FastAPI, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Iterator[int]:
    """Serve an application at a port, by default a free one, which is given; options are those of uvicorn."""
    config = uvicorn.Config(application, host=host, port=port, log_level="error", access_log=False, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until = time.monotonic() + LONGEST_START_S
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(LONGEST_START_S)
