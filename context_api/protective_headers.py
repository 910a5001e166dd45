"""Headers that keep browsers and caches from doing with answers what they should not."""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    # With no-referrer the forms of our own pages would say Origin: null, which is refused.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_SECURE_ONLY: Header = (b"strict-transport-security", b"max-age=31536000")
_NOT_STORED: Header = (b"cache-control", b"no-store")


class ProtectiveHeaders:
    """What answers bear, made once."""

    def __init__(self, public_url: str | None, page_policy: str) -> None:
        """Take the URL that clients use, and the Content-Security-Policy of pages."""
        is_secure = (public_url or "").lower().startswith("https://")
        self._always = (*_ALWAYS, _SECURE_ONLY) if is_secure else _ALWAYS
        self._pages = (*self._always, (b"content-security-policy", page_policy.encode()))

    def of(self, headers: Iterable[Header], with_credentials: bool) -> tuple[Header, ...]:
        """Return what goes with the headers of an answer; to a request with credentials caches keep none.

        An answer that says itself how long it may be kept, as the documents of the model do, is left as it is.
        """
        found, is_cached = self._always, False
        for name, value in headers:
            if name == b"content-type" and value.startswith(b"text/html"):
                found = self._pages
            elif name == b"cache-control":
                is_cached = True
        return (*found, _NOT_STORED) if with_credentials and not is_cached else found
