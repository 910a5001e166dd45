"""Pages of other origins: which may use the broker (CORS), and the headers that tell browsers so (Fetch standard)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response

Header = tuple[bytes, bytes]

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Link, NGSILD-Tenant, X-Request-Id"
)
_EXPOSED = b"Link, NGSILD-Results-Count, ETag, Location, NGSILD-Tenant, Retry-After, X-Request-Id"
_PREFLIGHT_SECONDS = "600"


class CrossOrigin:
    """The origins that may use the broker with credentials; none by default."""

    def __init__(self, origins: Iterable[str]) -> None:
        """Take origins as browsers send them."""
        self._headers: dict[bytes, tuple[Header, ...]] = {
            origin.encode(): (
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", _EXPOSED),
            )
            for origin in origins
        }
        #: What all answers bear where they depend on the origin.
        self.varying: tuple[Header, ...] = ((b"vary", b"Origin"),) if self._headers else ()

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return what an answer to a page of an origin bears; nothing where it is none of the list."""
        return self._headers.get(origin, ()) if origin is not None else ()

    def preflight(self, method: str, headers: dict[bytes, bytes]) -> Response | None:
        """Return the answer to a browser that asks before a request of a page; None where this is no such question."""
        if method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        if not self.headers(headers.get(b"origin")):
            return None
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _REQUEST_HEADERS,
                "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
            },
        )
