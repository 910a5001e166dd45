"""The floor of an HTTP benchmark: the same server, returning the same bytes from memory to every request.

`python -m benchmarks.floor PORT FILE` serves the answer in FILE: status, headers and body as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def application(status: int, headers: dict[str, str], body: bytes) -> Starlette:
    """Make an application that reads each request whole and gives the one answer."""

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, status, headers)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "PATCH", "PUT", "DELETE"])])


if __name__ == "__main__":
    stored = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    app = application(stored["status"], stored["headers"], stored["body"].encode())
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)
