"""/validation and /shapes/{name}: how a tenant's writes are judged, and the shapes that it adds to the model's."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from context_api.answers import JSON, TURTLE, created, no_content, plain
from context_api.broker import Broker
from context_api.documented import BAD_REQUEST, NO_CONTENT
from context_api.negotiation import accept, content_type, link_context, read_body, read_json, tenant_of
from context_api.operation import Answer, Body, Call, Operation, Parameter
from context_api.storage.port import Tenant
from context_api.validation.documents import ShapeDocument
from context_api.validation.modes import Mode, TenantModes
from ngsild.context import TermMap
from ngsild.names import format_date_time
from ngsild.problems import BadRequestData, PayloadTooLarge, ResourceNotFound, UnsupportedMediaType
from ontology import context_url

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}\Z")
_PROBLEM = "ProblemDetails"


def _version(name: str, text: str) -> int:
    # Nine digits are what a version's column holds.
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise BadRequestData(f"{name}: {text[:80]!r} is no version; the first one is 1")
    return int(text)


VERSION = Parameter("version", "This version; else the one in force.", {"type": "integer", "minimum": 1}, _version)


# Modes


async def get_validation(call: Call) -> Response:
    """Say how writes of the tenant are judged."""
    broker: Broker = call.state.broker
    accept(call.request, (JSON,))
    tenant = await tenant_of(call.request, broker)
    return plain(200, _shown(broker, broker.validation.modes(tenant), await _terms(call.request, broker)))


async def patch_validation(call: Call) -> Response:
    """Change how writes of the tenant are judged: what the body names, null for the default."""
    broker: Broker = call.state.broker
    content_type(call.request)
    terms = await _terms(call.request, broker)
    body = await read_json(call.request, broker)
    if not isinstance(body, dict):
        raise BadRequestData("the body must be a JSON object with mode, types or both")
    unknown = body.keys() - {"mode", "types", "@context"}
    if unknown:
        raise BadRequestData(f"{min(unknown)[:80]}: only mode and types can be changed")
    named = body.get("types", {})
    if not isinstance(named, dict):
        raise BadRequestData("types: must be an object of modes by entity type")
    tenant = await tenant_of(call.request, broker, create=True)
    present = broker.validation.modes(tenant)
    mode = _mode("mode", body["mode"]) if "mode" in body else present.mode
    types = {terms.expand(name): _mode(f"types.{name}", text) for name, text in named.items()}
    limit = broker.settings.limits.max_batch
    modes = present.changed(mode, types)
    if len(modes.types) > limit:
        raise BadRequestData(f"types: {limit} types at most may have a mode of their own")
    await broker.validation.set_modes(tenant, modes)
    return plain(200, _shown(broker, modes, terms))


def _mode(member: str, value: Any) -> Mode | None:
    if value is None:
        return None
    if value not in list(Mode):
        raise BadRequestData(f"{member[:200]}: must be one of {', '.join(Mode)}, or null")
    return Mode(value)


def _shown(broker: Broker, modes: TenantModes, terms: TermMap) -> dict[str, Any]:
    return {
        "mode": modes.mode or broker.validation.default,
        "default": broker.validation.default,
        "types": {terms.compact(iri): mode for iri, mode in sorted(modes.types.items())},
    }


async def _terms(request: Request, broker: Broker) -> TermMap:
    """Return the terms of the request's @context, those of the model where it names none."""
    if "link" in request.headers:
        return (await link_context(request, broker)).terms
    return await broker.contexts.resolve(context_url("cim"))


# Shapes


async def put_shapes(call: Call) -> Response:
    """Put a document of shapes in force, in the place of its last version."""
    broker: Broker = call.state.broker
    name = _name(call)
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != TURTLE:
        raise UnsupportedMediaType(f"Content-Type: {media_type!r} is not {TURTLE}")
    content = await read_body(call.request, broker)
    limit = broker.settings.validation.max_shape_bytes
    if len(content) > limit:
        raise PayloadTooLarge(f"a document of shapes may have {limit} bytes at most")
    try:
        turtle = content.decode()
    except UnicodeDecodeError as error:
        raise BadRequestData(f"the document is not UTF-8: {error}") from None
    tenant = await tenant_of(call.request, broker, create=True)
    if await broker.validation.put_document(tenant, name, turtle, broker.now()):
        return created(f"{broker.settings.server.public_url or ''}/shapes/{name}")
    return no_content()


async def get_shape_document(call: Call) -> Response:
    """Serve a document of shapes as Turtle, or what is known of it as JSON."""
    broker: Broker = call.state.broker
    media_type = accept(call.request, (TURTLE, JSON))
    tenant = await tenant_of(call.request, broker)
    document = await _document(call, broker, tenant)
    if media_type == TURTLE:
        return Response(document.turtle, media_type=TURTLE, headers={"Vary": "Accept"})
    versions = await broker.validation.versions(tenant, document.name)
    known = [
        {"version": number, "createdAt": format_date_time(at), "removed": removed} for number, at, removed in versions
    ]
    return plain(200, _described(document) | {"versions": known}, {"Vary": "Accept"})


async def delete_shapes(call: Call) -> Response:
    """Take a document of shapes out of force; its versions stay."""
    broker: Broker = call.state.broker
    tenant = await tenant_of(call.request, broker)
    document = _in_force(call, broker, tenant)
    await broker.validation.remove_document(tenant, document.name, broker.now())
    return no_content()


async def list_shape_documents(call: Call) -> Response:
    """List the documents of shapes that are in force for the tenant."""
    broker: Broker = call.state.broker
    accept(call.request, (JSON,))
    tenant = await tenant_of(call.request, broker)
    return plain(200, [_described(document) for document in broker.validation.documents(tenant)])


def _described(document: ShapeDocument) -> dict[str, Any]:
    return {
        "name": document.name,
        "version": document.version,
        "createdAt": format_date_time(document.created_at),
        "bytes": len(document.turtle.encode()),
    }


async def _document(call: Call, broker: Broker, tenant: Tenant) -> ShapeDocument:
    version = call.get("version")
    if version is None:
        return _in_force(call, broker, tenant)
    found = await broker.validation.version(tenant, _name(call), version)
    if found is None:
        raise ResourceNotFound(
            f"{_name(call)}: there is no version {version}, or it says that the document was removed"
        )
    return found


def _in_force(call: Call, broker: Broker, tenant: Tenant) -> ShapeDocument:
    name = _name(call)
    for document in broker.validation.documents(tenant):
        if document.name == name:
            return document
    raise ResourceNotFound(f"{name}: there are no such shapes in force")


def _name(call: Call) -> str:
    name = call.path["name"]
    if not _NAME.match(name):
        raise BadRequestData("name: has 1 to 64 letters, digits, '_', '-' or '.', and begins with a letter or digit")
    return name


_READ = BAD_REQUEST | {
    404: Answer("There are no such shapes, or no such tenant.", _PROBLEM),
    406: Answer("None of the accepted media types can be produced.", _PROBLEM),
}
_BODY_ERRORS = BAD_REQUEST | {
    411: Answer("Content-Length is missing."),
    413: Answer("The body is too large.", _PROBLEM),
    415: Answer("The media type of the body is not supported."),
}

OPERATIONS = [
    Operation(
        "getValidation", "GET", "/validation", "", "How writes of the tenant are judged.", get_validation,
        answers=_READ | {200: Answer("The modes.", "ValidationModes")},
    ),
    Operation(
        "changeValidation", "PATCH", "/validation", "", "Change how writes are judged: off, warn or enforce.",
        patch_validation, body=Body("ValidationModesChange"),
        answers=_BODY_ERRORS | {200: Answer("The modes from now on.", "ValidationModes")},
    ),
    Operation(
        "listShapeDocuments", "GET", "/validation/shapes", "", "The documents of shapes in force beside the model.",
        list_shape_documents, answers=_READ | {200: Answer("The documents.", "ShapeDocuments")},
    ),
    Operation(
        "retrieveShapeDocument", "GET", "/shapes/{name}", "", "A document of shapes of the tenant.",
        get_shape_document, parameters=(VERSION,),
        answers=_READ | {200: Answer("The document, or what is known of it.", "ShapeDocument", (TURTLE, JSON))},
    ),
    Operation(
        "putShapes", "PUT", "/shapes/{name}", "", "Put a document of shapes in force.", put_shapes,
        body=Body("Shapes", (TURTLE,)),
        answers=_BODY_ERRORS | NO_CONTENT | {
            201: Answer("In force; it is new.", headers=("Location",)),
            204: Answer("In force, in the place of its last version."),
            409: Answer("Another version came at the same time: Conflict.", _PROBLEM),
        },
    ),
    Operation(
        "deleteShapes", "DELETE", "/shapes/{name}", "", "Take a document of shapes out of force.", delete_shapes,
        answers=_READ | NO_CONTENT | {409: Answer("Another version came at the same time: Conflict.", _PROBLEM)},
    ),
]  # fmt: skip
