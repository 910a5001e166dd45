"""Idempotent writes: a request that is sent again with its Idempotency-Key is answered, not carried out, again.

As draft-ietf-httpapi-idempotency-key-header describes it. An answer of 5xx says nothing final, so it frees the key.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from context_api.answers import problem_answer
from context_api.broker import Broker
from context_api.documented import IDEMPOTENT
from context_api.kept_answers import Kept, Key
from context_api.negotiation import has_lines, read_body, tenant_name
from context_api.operation import Answer, Call, Handler, Operation, Parameter
from context_api.storage.port import DEFAULT_TENANT, StorageError
from ngsild.problems import (
    AnswerNotKept,
    BadRequestData,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InternalError,
    Problem,
    TooManyRequests,
)

_KEY = re.compile(r"[\x20-\x7e]{1,255}\Z")
_IN_USE = {"Retry-After": "1"}
#: Headers that change what a request asks for, beside its tenant.
_MEANING = ("content-type", "link", "if-match", "if-none-match")


def _key(name: str, text: str) -> str:
    if not _KEY.match(text):
        raise BadRequestData(f"{name}: a key has 1 to 255 printable ASCII characters")
    return text


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "A key of the client's choice: the same request with it is carried out once, and answered the same again.",
    {"type": "string", "pattern": "^[ -~]{1,255}$"},
    _key,
    place="header",
)


def repeatable(operation: Operation) -> Operation:
    """Return an operation that takes an Idempotency-Key."""
    return replace(
        operation,
        handler=_once(operation.handler),
        parameters=(*operation.parameters, IDEMPOTENCY_KEY),
        answers={**operation.answers, **{status: _beside(operation, status) for status in IDEMPOTENT}},
    )


def _beside(operation: Operation, status: int) -> Answer:
    """Return what an answer means here beside what it means to the operation anyway."""
    found, own = IDEMPOTENT[status], operation.answers.get(status)
    return found if own is None else replace(found, description=f"{own.description} {found.description}")


def _once(handler: Handler) -> Handler:
    async def handle(call: Call) -> Response:
        text = call.header(IDEMPOTENCY_KEY)
        if text is None:
            return await handler(call)
        if has_lines(call.request):
            raise BadRequestData("Idempotency-Key: JSON lines take none; sent again as an upsert they do no harm")
        return await _carry_out(call, handler, text)

    return handle


async def _carry_out(call: Call, handler: Handler, text: str) -> Response:
    """Run a request, unless it has run before."""
    broker: Broker = call.state.broker
    body = await read_body(call.request, broker)
    key = Key(tenant_name(call.request) or DEFAULT_TENANT, call.principal.identity, text)
    fingerprint = _fingerprint(call.request, body)
    found = await broker.answers.reserve(key, fingerprint, broker.now())
    if not isinstance(found, str):
        return _again(found, fingerprint)
    try:
        response = await _answer(
            Call(call.operation, _with_body(call.request, body), call.path, call.parameters), handler
        )
    except Exception:
        await broker.answers.free(key, found)
        raise
    try:
        await broker.answers.keep(key, found, response, broker.now())
    except StorageError as error:
        # The write is committed, and its client is told so; the key stays reserved for its time.
        broker.outage.met(error, "keeping an answer")
    return response


async def _answer(call: Call, handler: Handler) -> Response:
    """Return the answer of a handler; what is not the client's doing stays an exception."""
    try:
        return await handler(call)
    except Problem as problem:
        told = call.told(problem)
        if told.status >= InternalError.status or isinstance(told, TooManyRequests):
            raise told from None
        return problem_answer(told)


def _again(found: Kept | None, fingerprint: bytes) -> Response:
    """Answer a request whose key is taken."""
    if found is not None and found.request != fingerprint:
        raise IdempotencyKeyReused("Idempotency-Key: it came with another request before; take a new key")
    if found is None or found.status is None:
        problem = IdempotencyKeyInUse("Idempotency-Key: the first request with it is not answered yet; try again later")
        return problem_answer(problem, _IN_USE)
    if found.body is None:
        raise AnswerNotKept(
            f"Idempotency-Key: the request was carried out and answered with {found.status}; the answer is not kept"
        )
    return Response(found.body or None, found.status, found.headers | {"Idempotency-Replayed": "true"})


def _with_body(request: Request, body: bytes) -> Request:
    """Return a request whose body has been read."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


def _fingerprint(request: Request, body: bytes) -> bytes:
    """Return a hash of all that a request asks for; NUL occurs in no part of it but the last."""
    parts = [request.method.encode(), request.scope["path"].encode(), request.scope["query_string"]]
    parts += [", ".join(request.headers.getlist(name)).encode() for name in _MEANING]
    return hashlib.sha256(b"\0".join([*parts, body])).digest()
