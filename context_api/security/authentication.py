"""Who sends a request, by its Authorization header (RFC 6750), and the answers to those who do not say or say it wrong.

Without an issuer everybody is the local user, on loopback only. With one, what is not open to the public needs a token.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from math import ceil

from starlette.types import Scope

from context_api.security.issuers import KeysUnavailable
from context_api.security.principal import ANONYMOUS, LOCAL, Principal
from context_api.security.tokens import InvalidToken, Tokens
from ngsild.problems import Forbidden, InvalidRequest, IssuerUnavailable, Problem, Unauthorized

Authenticate = Callable[[Scope], Awaitable[Principal]]
"""Returns who sends a request; raises Refusal."""

#: What an answer 401 asks for, to who said nothing.
CHALLENGE = 'Bearer realm="voltweave"'
_TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*\Z")
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


class Refusal(Exception):
    """A request is not taken: the problem, and the headers of its answer."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers or {}


def authentication(tokens: Tokens, is_public: Callable[[Scope], bool]) -> Authenticate:
    """Return what authenticates by tokens; who has none is the public, and sees what is public."""

    async def authenticate(scope: Scope) -> Principal:
        token = bearer_token(scope)
        if token is not None:
            return await _principal(tokens, token)
        if not is_public(scope):
            raise unauthorized("this needs a token: Authorization: Bearer TOKEN")
        return ANONYMOUS

    return authenticate


async def _principal(tokens: Tokens, token: bytes) -> Principal:
    try:
        return await tokens.principal(token)
    except InvalidToken as error:
        raise unauthorized(str(error), "invalid_token") from None
    except KeysUnavailable as error:
        problem = IssuerUnavailable("the keys of the token's issuer cannot be had; try again later")
        raise Refusal(problem, {"Retry-After": str(ceil(error.retry_after))}) from None


async def local_user(scope: Scope) -> Principal:
    """Return the local user; refuse what did not come over loopback, whoever made the server listen elsewhere."""
    for end in ("server", "client"):
        place = scope.get(end)
        if place is not None and place[0] not in _LOOPBACK and _is_elsewhere(place[0]):
            raise Refusal(
                Forbidden("without an issuer of tokens only loopback is served; VOLTWEAVE_ISSUERS names the issuers")
            )
    return LOCAL


def _is_elsewhere(host: str) -> bool:
    """Tell an address that others can reach; a name is none of a socket's but of a call within the process."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bearer_token(scope: Scope) -> bytes | None:
    """Return the token of a request, None where it has no credentials of this kind."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        return None
    if len(found) > 1:
        raise _malformed("Authorization: the header is given twice")
    scheme, _, rest = found[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    token: bytes = rest.strip(b" ")
    if not _TOKEN.match(token):
        raise _malformed("Authorization: after Bearer there must be one token")
    return token


def unauthorized(description: str, error: str | None = None) -> Refusal:
    """Return the refusal of who has no credentials or, with an error of RFC 6750, not good ones.

    A description holds nothing that the client sent, and neither quotes nor backslashes.
    """
    challenge = CHALLENGE if error is None else f'{CHALLENGE}, error="{error}", error_description="{description}"'
    return Refusal(Unauthorized(description), {"WWW-Authenticate": challenge})


def _malformed(description: str) -> Refusal:
    challenge = f'{CHALLENGE}, error="invalid_request", error_description="{description}"'
    return Refusal(InvalidRequest(description), {"WWW-Authenticate": challenge})
