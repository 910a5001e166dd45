"""/entityOperations: batch create, upsert, update, merge, delete, and query by POST (CIM 009 6.14 to 6.31)."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from context_api import parameters as p
from context_api.answers import no_content, plain
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
from context_api.documented import ENTITIES, NO_CONTENT, PARTLY, READ_ERRORS, WRITE_ERRORS
from context_api.idempotency import repeatable
from context_api.negotiation import SPATIAL, accept, read_batch, read_message, tenant_of
from context_api.operation import Answer, Body, Call, Operation
from context_api.query_body import read_query_body
from context_api.routes.entities import answer_query

_BASE = "/ngsi-ld/v1/entityOperations"
_CREATED = {201: Answer("Ids of the entities created.", "EntityIds")}


async def batch_create(call: Call) -> Response:
    """Batch Entity Creation (clause 5.6.7)."""
    result = await _run(call, creating(call.state.broker), create=True, blind=True)
    return plain(207, result.as_dict()) if result.errors else plain(201, result.created_ids)


async def batch_upsert(call: Call) -> Response:
    """Batch Entity Creation or Update (clause 5.6.8)."""
    update = "update" in call.get("options", frozenset())
    result = await _run(call, upserting(call.state.broker, update), create=True)
    if result.errors:
        return plain(207, result.as_dict())
    return plain(201, result.created_ids) if result.created else no_content()


async def batch_update(call: Call) -> Response:
    """Batch Entity Update (clause 5.6.9)."""
    overwrite = "noOverwrite" not in call.get("options", frozenset())
    return _changed(await _run(call, updating_each(call.state.broker, overwrite)))


async def batch_merge(call: Call) -> Response:
    """Batch Entity Merge (clause 5.6.20)."""
    return _changed(await _run(call, merging_each(call.state.broker)))


async def batch_delete(call: Call) -> Response:
    """Batch Entity Delete (clause 5.6.10)."""
    return _changed(await _run(call, deleting_each()))


async def _run(call: Call, read: ReadItem, create: bool = False, blind: bool = False) -> BatchResult:
    broker: Broker = call.state.broker
    message = await read_batch(call.request, broker)
    tenant = await tenant_of(call.request, broker, create)
    return await run_batch(broker, tenant, message.body, message.terms, read, blind)


def _changed(result: BatchResult) -> Response:
    return plain(207, result.as_dict()) if result.errors else no_content()


async def post_query(call: Call) -> Response:
    """Query Entities by POST (clauses 5.7.2 and 6.23)."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, SPATIAL)
    message = await read_message(call.request, broker)
    given: dict[str, Any] = read_query_body(message.body) | call.parameters
    return await answer_query(call, broker, given, message.context, media_type)


OPERATIONS = [
    repeatable(Operation(
        "createBatch", "POST", _BASE + "/create", "5.6.7", "Create entities.", batch_create,
        parameters=(p.LOCAL,), body=Body("EntityList"), answers=WRITE_ERRORS | _CREATED | PARTLY,
    )),
    repeatable(Operation(
        "upsertBatch", "POST", _BASE + "/upsert", "5.6.8", "Create entities or replace or update them.", batch_upsert,
        parameters=(p.options("replace", "update"), p.LOCAL), body=Body("EntityList"),
        answers=WRITE_ERRORS | _CREATED | NO_CONTENT | PARTLY,
    )),
    repeatable(Operation(
        "updateBatch", "POST", _BASE + "/update", "5.6.9", "Update entities.", batch_update,
        parameters=(p.options("noOverwrite"), p.LOCAL), body=Body("EntityFragmentList"),
        answers=WRITE_ERRORS | NO_CONTENT | PARTLY,
    )),
    repeatable(Operation(
        "mergeBatch", "POST", _BASE + "/merge", "5.6.20", "Merge fragments into entities.", batch_merge,
        parameters=(p.LOCAL,), body=Body("EntityFragmentList"), answers=WRITE_ERRORS | NO_CONTENT | PARTLY,
    )),
    repeatable(Operation(
        "deleteBatch", "POST", _BASE + "/delete", "5.6.10", "Delete entities.", batch_delete,
        parameters=(p.LOCAL,), body=Body("EntityIds"), answers=WRITE_ERRORS | NO_CONTENT | PARTLY,
    )),
    Operation(
        "queryBatch", "POST", _BASE + "/query", "5.7.2", "Query entities with a Query in the body.", post_query,
        parameters=(*p.PAGING, p.FORMAT, p.READ_OPTIONS, p.GEOMETRY_PROPERTY, p.LOCAL), body=Body("Query"),
        answers=WRITE_ERRORS | READ_ERRORS | ENTITIES,
    ),
]  # fmt: skip
