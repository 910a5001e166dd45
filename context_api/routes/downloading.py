"""Answers in JSON lines (application/x-ndjson): all that a query finds, sent while it is read (decision 52)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from context_api.answers import CONTEXT_LINK, NDJSON, dump
from context_api.broker import Broker
from context_api.consumption import read_query, read_view, stream_entities
from context_api.negotiation import RequestContext, tenant_of
from context_api.operation import Call
from context_api.routes.reading import check_geometry_property, context_link, part_of
from ngsild.entity import Entity
from ngsild.problems import BadRequestData
from ngsild.render import Renderer

log = structlog.get_logger(__name__)


async def answer_in_lines(call: Call, broker: Broker, given: dict[str, Any], context: RequestContext) -> Response:
    """Run a query, from GET or POST, and answer with all that it finds, a line an entity."""
    check_geometry_property(given, NDJSON)
    view = read_view(given, context.terms, broker)
    if view.linking.join is not None:
        raise BadRequestData(f"join: {NDJSON} holds no linked entities")
    query = read_query(given, context.terms, view)
    limit, offset, count = part_of(given, broker)
    tenant = await tenant_of(call.request, broker)
    access = call.access(tenant)
    headers = {"Link": CONTEXT_LINK.format(await context_link(context, broker, tenant))}
    if count:
        page = await broker.store.query(tenant, query, access.read, 0, 0, True)
        headers["NGSILD-Results-Count"] = str(page.total)
    found = stream_entities(broker, tenant, query, view, limit, offset, access.read)
    pieces = _pieces(call, found, Renderer(context.terms, view.representation({})))
    # What fails at once, such as a query that takes too long, still has a status of its own.
    first = await anext(pieces, b"")
    return LinesAnswer(first, pieces, headers)


async def _pieces(call: Call, found: AsyncIterator[list[Entity]], renderer: Renderer) -> AsyncIterator[bytes]:
    async for entities in found:
        call.count(len(entities))
        yield b"".join(dump(renderer.entity(entity)) + b"\n" for entity in entities)


class LinesAnswer(Response):
    """An answer whose body is made while it is sent, no faster than the client reads it.

    What fails then ends the connection without the end of the body, so that the client sees that something is missing.
    """

    def __init__(self, first: bytes, pieces: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(None, media_type=NDJSON, headers=headers)
        del self.headers["content-length"]
        self._first = first
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for piece in self._pieces:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except Exception:
            log.exception("an answer ended before all of it was sent")
        finally:
            gone.cancel()


async def _until_gone(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
