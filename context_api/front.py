"""The front of the application: the one layer of middleware that every request passes, pure ASGI.

It gives the request an id, refuses what a web page of another origin sends to a loopback server (decision 22), keeps
the percent-encoding of paths for the routes of the API (an entity id may hold a slash), says who sends the request,
echoes the tenant, adds the headers that protect answers, and logs.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from context_api.answers import problem_answer
from context_api.cross_origin import CrossOrigin
from context_api.protective_headers import ProtectiveHeaders
from context_api.security.authentication import Authenticate, Refusal
from context_api.settings import ServerSettings
from ngsild.problems import Forbidden, TooComplexQuery, Unauthorized

log = structlog.get_logger("voltweave.request")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,128}\Z")
_PORT = re.compile(r":\d{1,5}\Z")


class Front:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str],
        max_query_length: int,
        authenticate: Authenticate,
        failed: Callable[[Scope], None],
        protective: ProtectiveHeaders,
        cross_origin: CrossOrigin,
    ) -> None:
        """Take the host names that the server is known by, besides loopback, and who hears of each answer 401."""
        self.app = app
        self.failed = failed
        self.protective = protective
        self.cross_origin = cross_origin
        self.authenticate = authenticate
        self.hosts = _LOOPBACK | {h.lower() for h in hosts}
        self.max_query_length = max_query_length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.match(request_id):
            request_id = uuid4().hex.encode()
        structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        origin = headers.get(b"origin")
        extra = [(b"x-request-id", request_id), *self.cross_origin.varying, *self.cross_origin.headers(origin)]
        has_credentials = b"authorization" in headers or b"cookie" in headers
        if b"ngsild-tenant" in headers:
            extra.append((b"ngsild-tenant", headers[b"ngsild-tenant"]))
        began = time.perf_counter()
        status, sender = 0, ""

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = message["headers"]
                message["headers"] = [*own, *extra, *self.protective.of(own, has_credentials)]
            await send(message)

        try:
            self._check(scope, headers)
            preflight = self.cross_origin.preflight(scope["method"], headers)
            if preflight is not None:
                await preflight(scope, receive, send_with_headers)
                return
            if scope["path"].startswith("/ngsi-ld/"):
                scope["path"] = scope.get("raw_path", scope["path"].encode()).decode("ascii", "replace")
            principal = scope["principal"] = await self.authenticate(scope)
            sender = principal.name
        except Refusal as refusal:
            await problem_answer(refusal.problem, refusal.headers)(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)
        finally:
            if status == Unauthorized.status:
                self.failed(scope)
            elapsed = round((time.perf_counter() - began) * 1000, 2)
            log.debug(
                "request", method=scope["method"], path=scope["path"], status=status, ms=elapsed, principal=sender
            )
            structlog.contextvars.unbind_contextvars("request_id")

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse what is refused whoever sends it."""
        if len(scope["query_string"]) > self.max_query_length:
            raise Refusal(TooComplexQuery(f"the query string may have {self.max_query_length} bytes at most"))
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if _PORT.sub("", host) not in self.hosts:
            raise Refusal(
                Forbidden("Host: this server is not known by that name; VOLTWEAVE_PUBLIC_URL sets its public one")
            )
        origin = headers.get(b"origin")
        if origin is not None and _authority(origin) != host and not self.cross_origin.headers(origin):
            raise Refusal(Forbidden("Origin: pages of other origins may not use this server"))


def known_hosts(server: ServerSettings) -> list[str]:
    """Return the names and addresses that clients may call a server by, besides loopback."""
    names = [name.strip() for name in server.server_names.split(",")]
    try:
        address = ipaddress.ip_address(server.host)
    except ValueError:
        names.append(server.host)
    else:
        if not address.is_unspecified:
            names.append(f"[{address}]" if address.version == 6 else str(address))
    return [name for name in (*names, urlsplit(server.public_url or "").hostname) if name]


def _authority(origin: bytes) -> str | None:
    """Return host and port of an origin, None when it has none."""
    try:
        return urlsplit(origin.decode("latin-1").lower()).netloc or None
    except ValueError:
        return None
