"""Who sends a request, by the cookie of a session; and where browsers without one are sent."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final
from urllib.parse import quote

from starlette.types import Scope

from context_api.outage import Outage
from context_api.security.authentication import Authenticate, Refusal
from context_api.security.issuers import KeysUnavailable
from context_api.security.principal import Principal
from context_api.security.session_browser import CSRF_HEADER, is_csrf_token
from context_api.security.session_provider import ProviderUnavailable
from context_api.security.sessions import Sessions
from context_api.storage.port import StorageError
from ngsild.problems import Forbidden, IssuerUnavailable, Unauthorized, Unavailable

#: The member of a request's scope that holds the id of its session, where it came by one.
SESSION_ID: Final = "voltweave.session"
_PAGES = frozenset({"", "/docs"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_RETRY_S = 5.0


class SignInFirst(Unauthorized):
    """The page is shown to who has signed in."""

    status = 303


def with_sessions(
    by_token: Authenticate,
    sessions: Sessions,
    is_public: Callable[[Scope], bool],
    now: Callable[[], int],
    outage: Outage,
) -> Authenticate:
    """Return what authenticates by sessions whoever shows no token; `now` is in microseconds since 1970 UTC."""

    async def authenticate(scope: Scope) -> Principal:
        if is_public(scope) or any(name == b"authorization" for name, _ in scope["headers"]):
            return await by_token(scope)
        session_id = sessions.cookies.session_id(scope)
        try:
            principal = None if session_id is None else await _principal(sessions, session_id, now())
        except StorageError as error:
            outage.met(error, "session")
            raise Refusal(Unavailable("the storage cannot be used at the moment; try again later")) from None
        if principal is None or session_id is None:
            if _is_page(scope):
                raise _to_sign_in(scope, sessions.provider.public_url)
            return await by_token(scope)
        _check_not_forged(scope, session_id)
        scope[SESSION_ID] = session_id
        return principal

    return authenticate


async def _principal(sessions: Sessions, session_id: str, now: int) -> Principal | None:
    try:
        session = await sessions.find(session_id, now)
        return None if session is None else await sessions.principal(session)
    except KeysUnavailable as error:
        raise _issuer_unavailable(error.retry_after) from None
    except ProviderUnavailable:
        raise _issuer_unavailable(_RETRY_S) from None


def _issuer_unavailable(seconds: float) -> Refusal:
    problem = IssuerUnavailable("the session cannot be renewed at its issuer; try again later")
    return Refusal(problem, {"Retry-After": str(ceil(seconds))})


def _check_not_forged(scope: Scope, session_id: str) -> None:
    """Refuse to change anything for a page that has the browser's cookie sent along but not the session's token."""
    if scope["method"] in _SAFE:
        return
    name = CSRF_HEADER.lower().encode()
    shown = [value for header, value in scope["headers"] if header == name]
    if len(shown) != 1 or not is_csrf_token(shown[0].decode("latin-1"), session_id):
        raise Refusal(Forbidden(f"{CSRF_HEADER}: with a session, what changes something needs its token"))


def _is_page(scope: Scope) -> bool:
    """Tell whether a browser asks for a page that people see."""
    if scope["method"] not in ("GET", "HEAD") or scope["path"].rstrip("/") not in _PAGES:
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _to_sign_in(scope: Scope, public_url: str) -> Refusal:
    location = f"{public_url}/session/login?next={quote(scope['path'], safe='/')}"
    return Refusal(SignInFirst("sign in first"), {"Location": location, "Cache-Control": "no-store"})
