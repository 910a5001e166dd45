"""What a request says beside its body: media types, tenant, @context (CIM 009 clauses 6.3.4, 6.3.5 and 6.3.14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from context_api.answers import GEO_JSON, JSON, JSON_LD, N_TRIPLES, NDJSON, TURTLE
from context_api.broker import Broker
from context_api.storage.port import DEFAULT_TENANT, Tenant
from ngsild.context import TermMap
from ngsild.core_context import CORE_CONTEXT_URL, is_core_context
from ngsild.payload import parse
from ngsild.problems import (
    BadRequestData,
    InvalidRequest,
    LengthRequired,
    NonexistentTenant,
    NotAcceptable,
    PayloadTooLarge,
    Problem,
    TooManyResults,
    UnsupportedMediaType,
)

LINKED = (JSON, JSON_LD)
RDF = (TURTLE, N_TRIPLES)
#: What one entity, and what a query, is answered as.
ENTITY = (JSON, JSON_LD, GEO_JSON, *RDF)
ENTITIES = (*ENTITY, NDJSON)
_MIXED = "@context: application/json takes it from the Link header; use application/ld+json"
_CONTEXT_REL = "http://www.w3.org/ns/json-ld#context"
_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*]+\s*=\s*(?:"[^"]*"|[^\s;,"]+))*)\s*(?:,|\Z)')
_LINK_PARAMETER = re.compile(r';\s*([\w*]+)\s*=\s*(?:"([^"]*)"|([^\s;,"]+))')
_TENANT = re.compile(r"[A-Za-z0-9_.:\-]{1,256}\Z")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The @context of a request: compiled, and as an answer names it."""

    terms: TermMap
    source: Any
    """The value of @context in an answer's body."""
    link: str | None
    """The URL in an answer's Link header; None for an inline @context, which gets one when an answer needs it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request's body with its @context."""

    body: Any
    context: RequestContext


@dataclass(frozen=True, slots=True)
class BatchMessage:
    """The array of a batch; each item has an @context, or the problem that it has with it."""

    body: list[Any]
    contexts: Sequence[RequestContext | Problem]

    def terms(self, item: int) -> TermMap:
        """Return the terms of one item."""
        found = self.contexts[item]
        if isinstance(found, Problem):
            raise found
        return found.terms


def accept(request: Request, offered: Sequence[str]) -> str:
    """Return the media type of the answer; equal weights are settled by the order of the offer (clause 6.3.4)."""
    header = request.headers.get("accept")
    if header is None or header == "*/*":
        return offered[0]
    ranges = [_media_range(part) for part in header.split(",") if part.strip()]
    best, best_weight = None, 0.0
    for media_type in offered:
        weight = _weight(media_type, ranges)
        if weight > best_weight:
            best, best_weight = media_type, weight
    if best is None:
        raise NotAcceptable("this resource is available as " + ", ".join(offered), available=list(offered))
    return best


def _media_range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in text.split(";"))
    weight = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 1.0
    return name.lower(), weight


def _weight(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Return the weight of the most specific range that covers a media type."""
    family = media_type.split("/")[0] + "/*"
    for wanted in (media_type, family, "*/*"):
        for name, weight in ranges:
            if name == wanted:
                return weight
    return 0.0


def prefers_plain(request: Request) -> bool:
    """Tell whether Prefer: body=json asks for GeoJSON without @context (clause 6.3.6)."""
    preferences = request.headers.get("prefer", "").replace(" ", "").split(",")
    return "body=json" in preferences


def tenant_name(request: Request) -> str | None:
    """Return the name of the tenant that a request addresses, None for the default one (clause 6.3.14)."""
    name = request.headers.get("ngsild-tenant")
    if name is not None and not _TENANT.match(name):
        raise BadRequestData("NGSILD-Tenant: a tenant's name has 1 to 256 letters, digits, '_', '-', '.' or ':'")
    return name


async def tenant_of(request: Request, broker: Broker, create: bool = False) -> Tenant:
    """Return the tenant that a request addresses; operations that create make it (clauses 5.5.10 and 6.3.14).

    One that its sender may not use does not exist for him, whether it does or not.
    """
    name = tenant_name(request)
    if not request.scope["principal"].may_use(name):
        raise NonexistentTenant(f"tenant {name or DEFAULT_TENANT!r} does not exist")
    return await broker.store.tenant(name, create)


async def link_context(request: Request, broker: Broker) -> RequestContext:
    """Return the @context that the Link header names, else the default one (clause 6.3.5)."""
    url = _context_link(request)
    if url is None:
        url = broker.settings.contexts.default_context
    if url is None:
        return RequestContext(broker.core, CORE_CONTEXT_URL, CORE_CONTEXT_URL)
    return RequestContext(await broker.contexts.resolve(url), url, url)


def _context_link(request: Request) -> str | None:
    found = []
    for header in request.headers.getlist("link"):
        for target, parameters in _LINK.findall(header):
            pairs = {m[1].lower(): m[2] or m[3] for m in _LINK_PARAMETER.finditer(parameters)}
            if pairs.get("rel") == _CONTEXT_REL:
                found.append(target)
    if len(found) > 1:
        raise BadRequestData("Link: more than one @context is given")
    return found[0] if found else None


async def read_message(request: Request, broker: Broker) -> Message:
    """Return body and @context of a POST, PATCH or PUT (clauses 6.3.4 and 6.3.5)."""
    media_type = content_type(request)
    body = await read_json(request, broker)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    if media_type == JSON_LD:
        _refuse_link(request)
        return Message(body, await _inline_context(body, broker))
    if "@context" in body:
        raise BadRequestData(_MIXED)
    return Message(body, await link_context(request, broker))


async def read_batch(request: Request, broker: Broker) -> BatchMessage:
    """Return the items of a batch, each with its @context; a problem with one is that item's alone (clause 5.6.7)."""
    media_type = content_type(request)
    body = await read_json(request, broker)
    items = _items(body, broker.settings.limits.max_batch)
    if media_type == JSON_LD:
        _refuse_link(request)
        return BatchMessage(items, await _inline_contexts(items, broker))
    context = await link_context(request, broker)
    mixed = BadRequestData(_MIXED)
    return BatchMessage(items, [mixed if isinstance(i, dict) and "@context" in i else context for i in items])


def _items(body: Any, limit: int) -> list[Any]:
    if not isinstance(body, list) or not body:
        raise BadRequestData("a batch is a JSON array with at least one item")
    if any(item is None for item in body):
        raise BadRequestData("a batch holds no null")
    if len(body) > limit:
        raise TooManyResults(f"a batch may have {limit} items at most")
    return body


async def _inline_contexts(items: list[Any], broker: Broker) -> list[RequestContext | Problem]:
    """Return the @context of each item; an id, as a batch of deletions has them, needs none."""
    core = RequestContext(broker.core, CORE_CONTEXT_URL, CORE_CONTEXT_URL)
    found: list[RequestContext | Problem] = []
    last: Any = None
    for item in items:
        if not isinstance(item, dict):
            found.append(core)
        elif found and last is not None and item.get("@context") == last:
            found.append(found[-1])
        else:
            last = item.get("@context")
            found.append(await item_context(item, broker))
    return found


async def item_context(item: Any, broker: Broker) -> RequestContext | Problem:
    """Return the @context that an item holds, or the problem with it."""
    try:
        return await _inline_context(item, broker)
    except Problem as problem:
        return problem


def has_lines(request: Request) -> bool:
    """Tell whether a body is JSON lines, of any size and length."""
    return _media_type(request) == NDJSON


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def content_type(request: Request) -> str:
    """Return the media type of a body, application/merge-patch+json as application/json (clause 6.3.4)."""
    media_type = _media_type(request)
    if media_type == "application/merge-patch+json" and request.method == "PATCH":
        return JSON
    if media_type not in LINKED:
        raise UnsupportedMediaType(f"Content-Type: {media_type!r} is neither {JSON} nor {JSON_LD}")
    return media_type


async def read_json(request: Request, broker: Broker) -> Any:
    """Return the JSON value of a body, within the limits of bodies."""
    limits = broker.settings.limits
    return parse(await read_body(request, broker), limits.max_nesting, limits.max_name_length)


async def read_body(request: Request, broker: Broker) -> bytes:
    """Return a body, within its limit and of a declared length (clause 6.3.4)."""
    length = request.headers.get("content-length")
    limit = broker.settings.limits.max_body_bytes
    if length is None:
        raise LengthRequired("Content-Length is missing")
    too_large = PayloadTooLarge(f"the body may have {limit} bytes at most")
    if not (length.isascii() and length.isdigit()) or len(length) > 18 or int(length) > limit:
        raise too_large
    chunks: list[bytes] = []
    left = limit
    # A chunked body may be longer than the length that is declared beside it.
    async for chunk in request.stream():
        chunks.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise too_large
    return b"".join(chunks)


def _refuse_link(request: Request) -> None:
    if _context_link(request) is not None:
        raise BadRequestData("Link: application/ld+json takes its @context from the body alone")


async def _inline_context(body: Any, broker: Broker) -> RequestContext:
    source = body.get("@context") if isinstance(body, dict) else None
    if source is None:
        raise BadRequestData("@context: application/ld+json needs it in the body")
    return RequestContext(await broker.contexts.resolve(source), source, _single_url(source))


def _single_url(source: Any) -> str | None:
    """Return the URL of an @context that is just a URL, with or without the core one beside it."""
    found = source if isinstance(source, list) else [source]
    found = [c for c in found if not (isinstance(c, str) and is_core_context(c))] or [CORE_CONTEXT_URL]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else None
