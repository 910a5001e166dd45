"""HTTP/1.1 as the server reads it: that of uvicorn, with a limit for the head of a request, which httptools has not.

A head is read into memory before anybody can judge it, and so is the trailer of a chunked body.
"""

from __future__ import annotations

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ngsild.problems import HeadTooLarge

#: What the parser keeps beside the bytes of a header.
_BESIDE_HEADER = 4


class _TooLarge(Exception):
    """The parser gave more than is taken."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to larger heads and closes the connection; `bounded` makes one with its limit."""

    max_head_bytes: int
    """Bytes of the request's line, headers and trailers together."""

    _head = 0
    """Those that the parser gave of the present request."""
    _kept = 0
    """An upper bound of those that the parser keeps: received since it last gave something away."""
    _is_refused = False

    def data_received(self, data: bytes) -> None:
        """Parse what came; of what nobody hears any more, nothing."""
        if self._is_refused:
            return
        self._kept += len(data)
        super().data_received(data)
        if self._kept > self.max_head_bytes and not self._is_refused:
            self._refuse()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or was not parsed further."""
        if self._head > self.max_head_bytes:
            self._refuse()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Begin to count: what came with the end of the request before is that of one read at most."""
        self._head = self._kept = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the request's line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a line of a trailer."""
        self._count(len(name) + len(value) + _BESIDE_HEADER)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take the request."""
        self._kept = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, which has limits of its own."""
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of the request."""
        self._kept = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self.max_head_bytes:
            raise _TooLarge

    def _refuse(self) -> None:
        self._is_refused = True
        # It is None before the first request.
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            problem = HeadTooLarge(f"the request's line and headers may have {self.max_head_bytes} bytes at most")
            body = orjson.dumps(problem.as_dict())
            head = (
                "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()


def bounded(max_head_bytes: int) -> type[BoundedProtocol]:
    """Return the protocol with a limit."""
    return type("BoundedProtocol", (BoundedProtocol,), {"max_head_bytes": max_head_bytes})
