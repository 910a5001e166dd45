"""/entityOperations: batch create, upsert, update, merge, delete, and query by POST (CIM 009 6.14 to 6.31)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from context_api import parameters as p
from context_api.answers import JSON, JSON_LD, NDJSON, no_content, plain
from context_api.batch import (
    BatchResult,
    ReadItem,
    creating,
    deleting_each,
    merging_each,
    run_batch,
    updating_each,
    upserting,
)
from context_api.broker import Broker
from context_api.documented import ENTITIES, LOADED, NO_CONTENT, READ_ERRORS, WRITE_ERRORS
from context_api.idempotency import repeatable
from context_api.lines import read_lines
from context_api.load import Load, named
from context_api.negotiation import ENTITIES as OFFERED
from context_api.negotiation import accept, has_lines, link_context, read_batch, read_message, tenant_of
from context_api.operation import Answer, Body, Call, Guard, Operation, guarded
from context_api.query_body import read_query_body
from context_api.routes.entities import answer_query

_BASE = "/ngsi-ld/v1/entityOperations"
_BODIES = (JSON, JSON_LD, NDJSON)
_CREATED = {201: Answer("Ids of the entities created.", "EntityIds")}


async def batch_create(call: Call) -> Response:
    """Batch Entity Creation (clause 5.6.7)."""

    def told(result: BatchResult) -> Response:
        return plain(207, result.as_dict()) if result.errors else plain(201, result.created_ids)

    return await _run(call, creating(call.state.broker), told, create=True, blind=True)


async def batch_upsert(call: Call) -> Response:
    """Batch Entity Creation or Update (clause 5.6.8)."""

    def told(result: BatchResult) -> Response:
        if result.errors:
            return plain(207, result.as_dict())
        return plain(201, result.created_ids) if result.created else no_content()

    update = "update" in call.get("options", frozenset())
    return await _run(call, upserting(call.state.broker, update), told, create=True)


async def batch_update(call: Call) -> Response:
    """Batch Entity Update (clause 5.6.9)."""
    overwrite = "noOverwrite" not in call.get("options", frozenset())
    return await _run(call, updating_each(call.state.broker, overwrite), _changed)


async def batch_merge(call: Call) -> Response:
    """Batch Entity Merge (clause 5.6.20)."""
    return await _run(call, merging_each(call.state.broker), _changed)


async def batch_delete(call: Call) -> Response:
    """Batch Entity Delete (clause 5.6.10)."""
    read = deleting_each()
    return await _run(call, named(read) if has_lines(call.request) else read, _changed)


async def _run(
    call: Call, read: ReadItem, told: Callable[[BatchResult], Response], create: bool = False, blind: bool = False
) -> Response:
    """Carry out a batch or, where the body is JSON lines, a load."""
    broker: Broker = call.state.broker
    if has_lines(call.request):
        context = await link_context(call.request, broker)
        tenant = await tenant_of(call.request, broker, create)
        lines = read_lines(call.request.stream(), broker.settings.limits.max_line_bytes)
        loaded = await Load(broker, tenant, context, read, call.access(tenant), blind).run(lines)
        call.count(loaded.lines)
        return Response(loaded.as_lines(), status_code=loaded.status, media_type=NDJSON)
    message = await read_batch(call.request, broker)
    tenant = await tenant_of(call.request, broker, create)
    access = call.access(tenant)
    call.count(len(message.body))
    return told(await run_batch(broker, tenant, message.body, message.terms, read, access, blind))


def _changed(result: BatchResult) -> Response:
    return plain(207, result.as_dict()) if result.errors else no_content()


async def post_query(call: Call) -> Response:
    """Query Entities by POST (clauses 5.7.2 and 6.23)."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, OFFERED)
    message = await read_message(call.request, broker)
    given: dict[str, Any] = read_query_body(message.body) | call.parameters
    return await answer_query(call, broker, given, message.context, media_type)


OPERATIONS = guarded(Guard.ENTITIES, [
    repeatable(Operation(
        "createBatch", "POST", _BASE + "/create", "5.6.7", "Create entities.", batch_create,
        parameters=(p.LOCAL,), body=Body("EntityList", _BODIES), answers=WRITE_ERRORS | _CREATED | LOADED,
    )),
    repeatable(Operation(
        "upsertBatch", "POST", _BASE + "/upsert", "5.6.8", "Create entities or replace or update them.", batch_upsert,
        parameters=(p.options("replace", "update"), p.LOCAL), body=Body("EntityList", _BODIES),
        answers=WRITE_ERRORS | _CREATED | NO_CONTENT | LOADED,
    )),
    repeatable(Operation(
        "updateBatch", "POST", _BASE + "/update", "5.6.9", "Update entities.", batch_update,
        parameters=(p.options("noOverwrite"), p.LOCAL), body=Body("EntityFragmentList", _BODIES),
        answers=WRITE_ERRORS | NO_CONTENT | LOADED,
    )),
    repeatable(Operation(
        "mergeBatch", "POST", _BASE + "/merge", "5.6.20", "Merge fragments into entities.", batch_merge,
        parameters=(p.LOCAL,), body=Body("EntityFragmentList", _BODIES), answers=WRITE_ERRORS | NO_CONTENT | LOADED,
    )),
    repeatable(Operation(
        "deleteBatch", "POST", _BASE + "/delete", "5.6.10", "Delete entities.", batch_delete,
        parameters=(p.LOCAL,), body=Body("EntityIds", _BODIES), answers=WRITE_ERRORS | NO_CONTENT | LOADED,
    )),
    Operation(
        "queryBatch", "POST", _BASE + "/query", "5.7.2", "Query entities with a Query in the body.", post_query,
        parameters=(*p.PAGING, p.FORMAT, p.READ_OPTIONS, p.GEOMETRY_PROPERTY, p.LOCAL), body=Body("Query"),
        answers=WRITE_ERRORS | READ_ERRORS | ENTITIES,
    ),
])  # fmt: skip
