"""/jsonldContexts: add, list, serve, delete and reload @contexts (CIM 009 clauses 5.13, 6.29 and 6.30)."""

from __future__ import annotations

from starlette.responses import Response

from context_api.answers import JSON, created, dump, no_content, plain
from context_api.broker import Broker
from context_api.contexts.entries import RESOURCE, Entry, Kind
from context_api.documented import BAD_REQUEST, NO_CONTENT
from context_api.negotiation import LINKED, accept, content_type, read_json, tenant_of
from context_api.operation import Answer, Body, Call, Guard, Operation, Parameter
from context_api.parameters import DETAILS
from ngsild.names import is_uri
from ngsild.problems import (
    BadRequestData,
    InvalidRequest,
    NonexistentTenant,
    OperationNotSupported,
    ResourceNotFound,
)

_PROBLEM = "ProblemDetails"


def _kind(name: str, text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        kinds = ", ".join(kind.value for kind in Kind)
        raise BadRequestData(f"{name}: {text[:80]!r} is none of {kinds}") from None


KIND = Parameter("kind", "Only @contexts of this kind.", {"type": "string", "enum": [k.value for k in Kind]}, _kind)
RELOAD = Parameter("reload", "Download a Cached @context again instead.", DETAILS.schema, DETAILS.parse)


async def post_context(call: Call) -> Response:
    """Add an @context (clause 5.13.2)."""
    broker: Broker = call.state.broker
    content_type(call.request)
    body = await read_json(call.request, broker)
    if not isinstance(body, dict) or "@context" not in body:
        raise InvalidRequest("@context: the body must be a JSON object with this member")
    tenant = await tenant_of(call.request, broker, create=True)
    entry = await broker.contexts.add(body["@context"], tenant.id)
    return created(f"{broker.settings.server.public_url or ''}{entry.path()}")


async def get_contexts(call: Call) -> Response:
    """List @contexts: their URLs or, with details, what is known of them (clause 5.13.3)."""
    broker: Broker = call.state.broker
    accept(call.request, (JSON,))
    tenant = await _existing_tenant(call, broker)
    origin = broker.contexts.origin
    entries = broker.contexts.stored(tenant, call.get("kind"))
    found = [e.metadata(origin) if call.get("details") else e.address(origin) for e in entries]
    return plain(200, found)


async def get_context(call: Call) -> Response:
    """Serve an @context or, with details, what is known of it (clause 5.13.4)."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, LINKED)
    entry = await _existing(call, broker)
    if call.get("details"):
        metadata = entry.metadata(broker.contexts.origin)
        if entry.kind is not Kind.HOSTED:
            broker.contexts.count(entry)
        return plain(200, metadata)
    if entry.kind is Kind.CACHED:
        raise OperationNotSupported(f"{entry.url}: a Cached @context is not served; its origin has it")
    return Response(dump(entry.document), media_type=media_type)


async def delete_context(call: Call) -> Response:
    """Delete an @context, or download a Cached one again (clause 5.13.5)."""
    broker: Broker = call.state.broker
    if call.get("reload"):
        name = call.path["contextId"]
        if not is_uri(name):
            raise BadRequestData(
                f"contextId: {name[:200]!r} is not a URI, so no Cached @context that could be reloaded"
            )
        await broker.contexts.reload(await _existing(call, broker))
    else:
        await broker.contexts.remove(await _existing(call, broker))
    return no_content()


async def _existing(call: Call, broker: Broker) -> Entry:
    name = call.path["contextId"]
    if not name:
        raise BadRequestData("contextId: the identifier of the @context is missing")
    entry = await broker.contexts.find(name, await _existing_tenant(call, broker))
    if entry is None:
        raise ResourceNotFound(f"{name[:200]}: there is no such @context")
    return entry


async def _existing_tenant(call: Call, broker: Broker) -> int | None:
    """Return the tenant; None for one that does not exist, which still sees the @contexts that all share."""
    try:
        return (await tenant_of(call.request, broker)).id
    except NonexistentTenant:
        return None


_ERRORS = {400: BAD_REQUEST[400], 404: Answer("There is no such @context.", _PROBLEM)}
_NOT_ACCEPTABLE = {406: Answer("None of the accepted media types can be produced.", _PROBLEM)}

OPERATIONS = [
    Operation(
        "addContext",
        "POST",
        RESOURCE,
        "5.13.2",
        "Store an @context of one's own.",
        post_context,
        body=Body("ContextDocument", LINKED),
        answers={
            201: Answer("Stored.", headers=("Location",)),
            400: BAD_REQUEST[400],
            411: Answer("Content-Length is missing."),
            413: Answer("The body is too large.", _PROBLEM),
            415: Answer("The media type of the body is not supported."),
        },
    ),
    Operation(
        "listContexts",
        "GET",
        RESOURCE,
        "5.13.3",
        "List the stored @contexts.",
        get_contexts,
        parameters=(DETAILS, KIND),
        answers=_NOT_ACCEPTABLE | {200: Answer("URLs or metadata.", "ContextList"), 400: BAD_REQUEST[400]},
    ),
    Operation(
        "serveContext",
        "GET",
        RESOURCE + "/{contextId}",
        "5.13.4",
        "Serve a stored @context or its metadata.",
        get_context,
        parameters=(DETAILS,),
        guard=Guard.CALLER,
        answers=_ERRORS
        | _NOT_ACCEPTABLE
        | {
            200: Answer("The @context or its metadata.", "ContextAnswer", LINKED),
            422: Answer("A Cached @context is not served: OperationNotSupported.", _PROBLEM),
        },
    ),
    Operation(
        "deleteContext",
        "DELETE",
        RESOURCE + "/{contextId}",
        "5.13.5",
        "Remove a stored @context, or download a Cached one again.",
        delete_context,
        parameters=(RELOAD,),
        answers=_ERRORS | NO_CONTENT | {504: Answer("It could not be downloaded: LdContextNotAvailable.", _PROBLEM)},
    ),
]
