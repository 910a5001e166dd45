"""/quarantine: records that adapters set aside, for people to mend, replay or purge.

No part of NGSI-LD, so it stands beside /ngsi-ld/v1; tenants, paging and errors are those of the standard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from context_api.answers import JSON, no_content, plain
from context_api.broker import Broker
from context_api.documented import NO_CONTENT
from context_api.negotiation import content_type, read_json, tenant_of
from context_api.operation import Answer, Body, Call, Guard, Operation, Parameter, guarded
from context_api.parameters import PAGING, one_of
from context_api.quarantine.body import MAX_RULE, STREAM, Arrival, B, Mend, Outcome, read_body
from context_api.quarantine.records import Selection, State
from context_api.routes.reading import page_of, paging_headers
from context_api.storage.port import Tenant
from ngsild.names import date_time
from ngsild.problems import BadRequestData, InsufficientRights, InvalidRequest, Problem, TooManyResults

_BASE = "/quarantine"
_ONE = _BASE + "/{recordId}"
_PROBLEM = "ProblemDetails"


def _named(name: str, text: str) -> str:
    if not text or len(text) > MAX_RULE:
        raise BadRequestData(f"{name}: 1 to {MAX_RULE} characters are needed")
    return text


STREAM_OF = Parameter("stream", "Only records of this stream.", {"type": "string", "pattern": STREAM}, _named)
STATE = Parameter(
    "state", "Only records in this state.", {"type": "string", "enum": list(State)}, one_of(*State)
)  # fmt: skip
RULE = Parameter(
    "rule", "Only records for which this is the gravest rule.", {"type": "string", "minLength": 1}, _named
)  # fmt: skip
OLDER_THAN = Parameter(
    "olderThan", "Only records received before this moment.", {"type": "string", "format": "date-time"},
    lambda name, text: date_time(text, name),
)  # fmt: skip
TENANT = Parameter(
    "NGSILD-Tenant", "The tenant; without it the default one (CIM 009 clause 6.3.14).",
    {"type": "string", "pattern": "^[A-Za-z0-9_.:\\-]{1,256}$"}, _named, place="header",
)  # fmt: skip
_SELECTION = (STREAM_OF, STATE, RULE, OLDER_THAN)


async def post_records(call: Call) -> Response:
    """Keep records that an adapter sets aside."""
    broker: Broker = call.state.broker
    arrivals, refused = await _read_batch(call, Arrival)
    tenant = await tenant_of(call.request, broker, create=True)
    if not call.access(tenant).create.permissions:
        raise InsufficientRights("only who may create entities sets records aside")
    await broker.quarantine.keep(tenant, arrivals, broker.now(), call.principal.identity or None)
    return _told(arrivals, refused)


async def post_outcomes(call: Call) -> Response:
    """Write down what came of replays."""
    broker: Broker = call.state.broker
    outcomes, refused = await _read_batch(call, Outcome)
    tenant = await tenant_of(call.request, broker)
    await broker.quarantine.settle(tenant, outcomes, broker.now(), _whose(call, tenant))
    return _told(outcomes, refused)


async def get_records(call: Call) -> Response:
    """List what is in quarantine, the latest first."""
    broker: Broker = call.state.broker
    limit, offset, counted = page_of(call.parameters, broker)
    tenant = await tenant_of(call.request, broker)
    selection = _selection(call, tenant)
    found = await broker.quarantine.summaries(tenant, selection, limit + 1, offset)
    total = await broker.quarantine.count(tenant, selection) if counted else None
    more, public_url = len(found) > limit, broker.settings.server.public_url
    return plain(200, found[:limit], paging_headers(call.request, JSON, limit, offset, more, total, public_url))


async def get_record(call: Call) -> Response:
    """Return all that is kept of one record."""
    broker: Broker = call.state.broker
    tenant = await tenant_of(call.request, broker)
    return plain(200, await broker.quarantine.get(tenant, _one(call, tenant)))


async def patch_record(call: Call) -> Response:
    """Keep a record as it should be."""
    broker: Broker = call.state.broker
    content_type(call.request)
    mend = read_body(Mend, await read_json(call.request, broker), broker.settings.limits.max_quarantined_bytes)
    tenant = await tenant_of(call.request, broker)
    await broker.quarantine.mend(tenant, _one(call, tenant), mend.record, broker.now())
    return no_content()


async def replay_record(call: Call) -> Response:
    """Ask the adapter of its stream to try one record again."""
    broker: Broker = call.state.broker
    tenant = await tenant_of(call.request, broker)
    await broker.quarantine.request_replay(tenant, _one(call, tenant), broker.now())
    return no_content()


async def replay_records(call: Call) -> Response:
    """Ask for the replay of all records that a filter names."""
    broker: Broker = call.state.broker
    _check_filter(call)
    tenant = await tenant_of(call.request, broker)
    found = await broker.quarantine.request_replays(tenant, _selection(call, tenant), broker.now())
    return plain(200, {"records": found})


async def delete_record(call: Call) -> Response:
    """Delete one record."""
    broker: Broker = call.state.broker
    tenant = await tenant_of(call.request, broker)
    one = _one(call, tenant)
    await broker.quarantine.get(tenant, one)
    await broker.quarantine.remove(tenant, one)
    return no_content()


async def purge_records(call: Call) -> Response:
    """Delete all records that a filter names."""
    broker: Broker = call.state.broker
    _check_filter(call)
    tenant = await tenant_of(call.request, broker)
    return plain(200, {"records": await broker.quarantine.remove(tenant, _selection(call, tenant))})


async def _read_batch(call: Call, kind: type[B]) -> tuple[list[B], dict[str, Problem]]:
    """Return the items of a batch, and of those that are refused the problem by id."""
    broker: Broker = call.state.broker
    limits = broker.settings.limits
    content_type(call.request)
    body = await read_json(call.request, broker)
    if not isinstance(body, list) or not body:
        raise InvalidRequest("the body must be a JSON array with at least one record")
    if len(body) > limits.max_batch:
        raise TooManyResults(f"a batch may have {limits.max_batch} items at most")
    items: list[B] = []
    refused: dict[str, Problem] = {}
    for number, value in enumerate(body):
        try:
            items.append(read_body(kind, value, limits.max_quarantined_bytes))
        except Problem as problem:
            refused[str(value.get("id", number)) if isinstance(value, dict) else str(number)] = problem
    return items, refused


def _told(items: Iterable[Any], refused: dict[str, Problem]) -> Response:
    if not refused:
        return no_content()
    errors = [{"recordId": i, "error": problem.as_dict()} for i, problem in refused.items()]
    return plain(207, {"success": [item.id for item in items], "errors": errors})


def _selection(call: Call, tenant: Tenant) -> Selection:
    owner = _whose(call, tenant)
    return Selection(None, call.get("stream"), call.get("state"), call.get("rule"), call.get("olderThan"), owner)


def _one(call: Call, tenant: Tenant) -> Selection:
    return Selection(call.path["recordId"], owner=_whose(call, tenant))


def _whose(call: Call, tenant: Tenant) -> str | None:
    """Return whose records a caller may reach: its own, and for who may administer those of all."""
    broker: Broker = call.state.broker
    return None if broker.administers(call.principal, tenant) else call.principal.identity


def _check_filter(call: Call) -> None:
    """Refuse a request that names nothing, and would mean everything."""
    if not call.parameters:
        raise BadRequestData(f"{', '.join(p.name for p in _SELECTION)}: at least one of them is needed")


_ERRORS = {
    400: Answer("The request is invalid: BadRequestData or InvalidRequest.", _PROBLEM),
    404: Answer("The tenant, or the record, does not exist.", _PROBLEM),
    503: Answer("The storage cannot be used at the moment; try again.", _PROBLEM),
}
_BODY_ERRORS = {
    403: Answer("The batch has too many items.", _PROBLEM),
    411: Answer("Content-Length is missing."),
    413: Answer("The body, or the record, is too large.", _PROBLEM),
    415: Answer("The media type of the body is not supported."),
}
_PARTLY = {207: Answer("Some were refused; the others are kept.", "QuarantineResult")}
_REPLAYED = {409: Answer("The record was replayed: Conflict.", _PROBLEM)}
_SUM = {200: Answer("How many records it was.", "QuarantineSum")}

OPERATIONS = guarded(Guard.CALLER, [
    Operation(
        "quarantineRecords", "POST", _BASE, "", "Keep records that an adapter sets aside; what is there stays.",
        post_records, parameters=(TENANT,), body=Body("QuarantinedRecords"),
        answers=_ERRORS | _BODY_ERRORS | _PARTLY | NO_CONTENT,
    ),
    Operation(
        "listQuarantine", "GET", _BASE, "", "List records in quarantine, the latest first.", get_records,
        parameters=(*_SELECTION, *PAGING, TENANT),
        answers=_ERRORS | {
            200: Answer("A page of them.", "QuarantineList", headers=("Link", "NGSILD-Results-Count")),
            403: Answer("limit or offset is too large.", _PROBLEM),
        },
    ),
    Operation(
        "purgeQuarantine", "DELETE", _BASE, "", "Delete the records that a filter names.", purge_records,
        parameters=(*_SELECTION, TENANT), answers=_ERRORS | _SUM,
    ),
    Operation(
        "replayQuarantine", "POST", _BASE + "/replay", "", "Ask for the replay of the records that a filter names.",
        replay_records, parameters=(*_SELECTION, TENANT), answers=_ERRORS | _SUM,
    ),
    Operation(
        "settleReplays", "POST", _BASE + "/outcomes", "", "Say what came of replays; for adapters.", post_outcomes,
        parameters=(TENANT,), body=Body("ReplayOutcomes"), answers=_ERRORS | _BODY_ERRORS | _PARTLY | NO_CONTENT,
    ),
    Operation(
        "retrieveQuarantined", "GET", _ONE, "", "Return all that is kept of one record.", get_record,
        parameters=(TENANT,), answers=_ERRORS | {200: Answer("The record.", "QuarantineAnswer")},
    ),
    Operation(
        "mendRecord", "PATCH", _ONE, "", "Say how a record should be.", patch_record,
        parameters=(TENANT,), body=Body("MendedRecord"), answers=_ERRORS | _BODY_ERRORS | _REPLAYED | NO_CONTENT,
    ),
    Operation(
        "replayRecord", "POST", _ONE + "/replay", "", "Ask the adapter to try a record again.", replay_record,
        parameters=(TENANT,), answers=_ERRORS | _REPLAYED | NO_CONTENT,
    ),
    Operation(
        "deleteQuarantined", "DELETE", _ONE, "", "Delete a record.", delete_record,
        parameters=(TENANT,), answers=_ERRORS | NO_CONTENT,
    ),
])  # fmt: skip
