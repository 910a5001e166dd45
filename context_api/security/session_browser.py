"""What a browser holds and sends of a session: cookies with random ids, the token against forgery, local paths."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.responses import Response
from starlette.types import Scope

#: The header that requests which change something show, beside the cookie.
CSRF_HEADER: Final = "X-CSRF-Token"
_ID = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_MAX_PATH = 2000
_PATH_SAFE = "/:@!$&'()*+,;=-._~%?"


def new_id() -> str:
    """Return a random text that nobody guesses: 256 bits."""
    return secrets.token_urlsafe(32)


def hashed(text: str) -> bytes:
    """Return what stands for a secret in the database."""
    return hashlib.sha256(text.encode()).digest()


def csrf_token(session_id: str) -> str:
    """Return the token of a session against requests that other pages forge; it does not tell the id."""
    return hmac.new(session_id.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_csrf_token(text: str, session_id: str) -> bool:
    """Tell whether a text is the token of a session."""
    return hmac.compare_digest(text.encode(), csrf_token(session_id).encode())


class Cookies:
    """The two cookies: of sessions, and of sign-ins that have begun.

    Where browsers use https, the prefix __Host- lets no other host and no unencrypted answer set them.
    """

    def __init__(self, public_url: str) -> None:
        self._secure = urlsplit(public_url).scheme == "https"
        prefix = "__Host-" if self._secure else ""
        self.session = f"{prefix}voltweave-session"
        self.sign_in = f"{prefix}voltweave-sign-in"

    def session_id(self, scope: Scope) -> str | None:
        """Return the id of the session that a request names, None where there is none or more than one."""
        return _cookie(scope, self.session)

    def sign_in_id(self, scope: Scope) -> str | None:
        """Return what a browser got when it began to sign in."""
        return _cookie(scope, self.sign_in)

    def give(self, response: Response, name: str, value: str, seconds: int | None = None) -> None:
        """Give a cookie to a browser, which forgets it after so many seconds or when it is closed."""
        response.set_cookie(name, value, max_age=seconds, secure=self._secure, httponly=True, samesite="lax")

    def take(self, response: Response, name: str) -> None:
        """Take a cookie away."""
        response.delete_cookie(name, secure=self._secure, httponly=True, samesite="lax")


def _cookie(scope: Scope, name: str) -> str | None:
    """Return a cookie that has the form of our ids."""
    found: set[str] = set()
    for header, value in scope["headers"]:
        if header == b"cookie":
            pairs = (part.strip().partition("=") for part in value.decode("latin-1").split(";"))
            found.update(text for key, _, text in pairs if key == name)
    if len(found) != 1:
        return None
    text = found.pop()
    return text if _ID.match(text) else None


def local_path(text: str) -> str | None:
    """Return a path of this server as it stands in a Location header, None for what may lead elsewhere.

    Browsers read backslashes as slashes, skip control characters, and take two slashes for the begin of a host.
    """
    if len(text) > _MAX_PATH or not text.startswith("/") or text.startswith("//") or "\\" in text:
        return None
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        return None
    return quote(text, safe=_PATH_SAFE)
