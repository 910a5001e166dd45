"""Operation records: one declaration that yields the route, the parameter parser and the OpenAPI of an API operation.

A hot path costs one dictionary look-up here: a `Resource` is a plain ASGI endpoint that dispatches on the method,
runs the handler and turns every Problem into its answer (CIM 009 clauses 6.3.2 and 6.3.3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

import structlog
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from context_api.answers import problem_answer
from context_api.broker import Broker
from context_api.negotiation import tenant_name, tenant_of
from context_api.security.access import Access
from context_api.security.policies.compiling import too_many
from context_api.security.policies.profile import actions_of
from context_api.security.policies.quotas import Use
from context_api.security.principal import LOCAL, Principal
from context_api.storage.port import StorageError, Tenant
from ngsild.problems import (
    BadRequestData,
    InsufficientRights,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NonexistentTenant,
    Problem,
    ResourceNotFound,
    Unavailable,
)

log = structlog.get_logger(__name__)

#: Clients that forget the id of an entity end up here; clauses 5.6.17.4 and 5.6.18.4 call that BadRequestData.
_ENTITIES_SLASH = "/ngsi-ld/v1/entities/"
#: Where the scope of a request has what it uses of quotas.
_USE = "voltweave.use"

Handler = Callable[["Call"], Awaitable[Response]]
Parse = Callable[[str, str], Any]
"""(parameter name, text) -> value; raises BadRequestData or InvalidRequest naming the parameter."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header of an operation."""

    name: str
    description: str
    schema: Mapping[str, Any]
    parse: Parse
    place: str = "query"
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What an operation takes: the name of its schema in the OpenAPI document and its media types."""

    schema: str
    media_types: Sequence[str] = ("application/json", "application/ld+json")


@dataclass(frozen=True, slots=True)
class Answer:
    """One documented answer: what it means, the name of the schema of its body, its headers."""

    description: str
    schema: str | None = None
    media_types: Sequence[str] = ("application/json",)
    headers: Sequence[str] = ()


class Guard(StrEnum):
    """Whom an operation is for. What says nothing is for administrators, so that nothing is open by oversight."""

    PUBLIC = "public"
    """Everybody, with a token or without."""
    CALLER = "caller"
    """Everybody with a valid token; the operation itself shows no more than is the caller's."""
    ENTITIES = "entities"
    """The same; what it reads and writes of entities goes by the caller's policies."""
    ADMINISTER = "administer"
    """Who may administer the tenant."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API on one resource."""

    id: str
    method: str
    path: str
    clause: str
    summary: str
    handler: Handler
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    answers: Mapping[int, Answer] = field(default_factory=dict)
    guard: Guard = Guard.ADMINISTER
    """Whom it is for, where the broker has an issuer."""

    @property
    def public(self) -> bool:
        """Tell whether it is open to those who bear no token."""
        return self.guard is Guard.PUBLIC


def guarded(guard: Guard, operations: Iterable[Operation]) -> list[Operation]:
    """Return operations that are all for the same."""
    return [replace(operation, guard=guard) for operation in operations]


class Call:
    """One request to one operation: path and query parameters parsed, everything else on demand."""

    __slots__ = ("operation", "parameters", "path", "request")

    def __init__(self, operation: Operation, request: Request, path: Mapping[str, str], parameters: dict[str, Any]):
        self.operation = operation
        self.request = request
        self.path = path
        self.parameters = parameters

    @property
    def principal(self) -> Principal:
        """Who sends the request."""
        found: Principal = self.request.scope["principal"]
        return found

    @property
    def state(self) -> Any:
        """The application's state: `broker` and what else the factory wired."""
        return self.request.app.state

    def access(self, tenant: Tenant) -> Access:
        """Return what the caller may do with entities of a tenant by this request, which counts for its quotas.

        Raises TooManyRequests where a quota is spent.
        """
        broker: Broker = self.state.broker
        given = broker.accesses.of(self.principal, tenant, broker.now(), actions_of(self.operation.id))
        self.request.scope[_USE] = given.use
        return given.access

    def count(self, entities: int) -> None:
        """Count entities that the answer holds, or that a write names."""
        use: Use | None = self.request.scope.get(_USE)
        if use is not None:
            use.entities += entities

    def told(self, problem: Problem) -> Problem:
        """Return what a caller is told of a problem: what is missing may be so because a quota is spent."""
        use: Use | None = self.request.scope.get(_USE)
        if use is None or not use.spent or not isinstance(problem, (ResourceNotFound, InsufficientRights)):
            return problem
        return too_many(use.spent, self.state.broker.now())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a query parameter."""
        return self.parameters.get(name, default)

    def header(self, parameter: Parameter) -> Any:
        """Return the value of a header, None without it; lines of one name count as one list (RFC 9110 clause 5.3)."""
        lines = self.request.headers.getlist(parameter.name)
        return parameter.parse(parameter.name, ", ".join(lines)) if lines else None


class Resource:
    """The operations on one path as an ASGI endpoint."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = {o.method: o for o in operations}
        self.parsers = {
            method: {p.name: p.parse for p in o.parameters if p.place == "query"}
            for method, o in self.operations.items()
        }
        self.allow = ", ".join(sorted(self.operations))

    def is_public(self, method: str) -> bool:
        """Tell whether the operation of this method is open to those who bear no token."""
        operation = self.operations.get(method)
        return operation is not None and operation.public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        use: Use | None = scope.get(_USE)
        if use is None:
            await response(scope, receive, send)
        else:
            await _measured(response, use, scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        operation = self.operations.get(request.method)
        if operation is None and request.url.path == _ENTITIES_SLASH:
            return problem_answer(BadRequestData("entityId: the id in the path is missing"))
        if operation is None:
            problem = MethodNotAllowed(f"this resource takes {self.allow}")
            return problem_answer(problem, {"Allow": self.allow})
        try:
            path = {name: unquote(text) for name, text in request.path_params.items()}
            parameters = parse_query(request.scope["query_string"], self.parsers[request.method])
            call = Call(operation, request, path, parameters)
        except Problem as problem:
            return problem_answer(problem)
        return await self._handled(call)

    async def _handled(self, call: Call) -> Response:
        operation, request = call.operation, call.request
        try:
            if operation.guard is Guard.ADMINISTER and call.principal is not LOCAL:
                await _check_administrator(call)
            return await operation.handler(call)
        except Problem as problem:
            return problem_answer(call.told(problem))
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except StorageError as error:
            request.app.state.broker.outage.met(error, operation.id)
            return problem_answer(Unavailable("the storage cannot be used at the moment; try again later"))
        except Exception:
            log.exception("operation failed", operation=operation.id)
            return problem_answer(InternalError("the operation could not be executed; the log has the details"))


async def _measured(response: Response, use: Use, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer and count its bytes, those of the request by its Content-Length, and the entities."""
    length = Headers(scope=scope).get("content-length", "")
    use.bytes += int(length) if length.isdecimal() else 0

    async def counting(message: Message) -> None:
        use.bytes += len(message.get("body", b""))
        await send(message)

    try:
        await response(scope, receive, counting)
    finally:
        broker: Broker = scope["app"].state.broker
        use.settle(broker.now())


async def _check_administrator(call: Call) -> None:
    """Raise InsufficientRights unless the caller may administer the tenant of the request, there or not."""
    broker: Broker = call.state.broker
    try:
        tenant = await tenant_of(call.request, broker)
    except NonexistentTenant:
        if not call.principal.may_use(tenant_name(call.request)):
            raise
        tenant = None
    if not broker.accesses.administers(call.principal, tenant, broker.now()):
        raise InsufficientRights("this needs a permission to administer")


def routes(operations: Iterable[Operation]) -> list[Route]:
    """Return one route a path, in the order in which the paths first occur."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    return [Route(_pattern(path), Resource(found), include_in_schema=False) for path, found in by_path.items()]


def is_public(found: Iterable[BaseRoute], scope: Scope) -> bool:
    """Tell whether a request goes to a public operation, by the routes that it will be led by.

    What is no operation, or does not exist at all, is not public.
    """
    for route in found:
        if route.matches(scope)[0] is Match.FULL:
            endpoint = getattr(route, "endpoint", None)
            return isinstance(endpoint, Resource) and endpoint.is_public(scope["method"])
    return False


class _Segment(Convertor[str]):
    """One part of a path, which may be empty: the operation then says what is missing."""

    regex = "[^/]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return quote(value, safe=":")


class _Slash(Convertor[str]):
    """The slash that some clients put behind a collection."""

    regex = "/?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("segment", _Segment())
register_url_convertor("slash", _Slash())


def _pattern(path: str) -> str:
    """Return the route of a documented path."""
    return path.replace("}", ":segment}") + "{_:slash}"


def parse_query(query: bytes, parsers: Mapping[str, Parse]) -> dict[str, Any]:
    """Return the values of a query string; a parameter that the operation does not have is refused (clause 6.3.20)."""
    if not query:
        return {}
    values: dict[str, Any] = {}
    for pair in query.decode("ascii", "replace").split("&"):
        if not pair:
            continue
        raw_name, _, raw_text = pair.partition("=")
        name = unquote_plus(raw_name)
        parse = parsers.get(name)
        if parse is None:
            raise InvalidRequest(f"{name[:80]}: this operation has no such parameter")
        if name in values:
            raise InvalidRequest(f"{name}: the parameter is given twice")
        try:
            text = unquote_plus(raw_text, errors="strict")
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name}: the value is not valid UTF-8") from None
        if "\0" in text:
            raise BadRequestData(f"{name}: NUL characters are not allowed")
        values[name] = parse(name, text)
    return values


async def not_found(request: Request, _: Exception) -> Response:
    """Answer for a path that is no resource."""
    return problem_answer(ResourceNotFound(f"{request.url.path[:200]}: no such resource"))
