"""/api/token: tokens for a name and a password, as clients of Battery2Life ask for them."""

from __future__ import annotations

from starlette.responses import Response

from context_api.answers import JSON, plain, problem_answer
from context_api.negotiation import content_type, read_json
from context_api.operation import Answer, Body, Call, Guard, Operation
from context_api.security.authentication import CHALLENGE
from context_api.security.login import Login, LoginRefused, LoginUnavailable
from ngsild.problems import InvalidRequest, IssuerUnavailable, Unauthorized

_PROBLEM = "ProblemDetails"
_MAX_PASSWORD = 1024
_NO_STORE = {"Cache-Control": "no-store"}
_MISSING = "This field is required."


async def post_token(call: Call) -> Response:
    """Give an access token and a refresh token for a name and a password."""
    username, password = await _fields(call, "username", "password")
    login: Login = call.state.login
    try:
        access, refresh = await login.sign_in(username, password)
    except LoginRefused:
        return _unauthorized("No active account found with the given credentials")
    except LoginUnavailable:
        return _unavailable()
    return plain(200, {"refresh": refresh, "access": access}, _NO_STORE)


async def post_refresh(call: Call) -> Response:
    """Give a new access token for a refresh token, and the refresh token that takes its place."""
    [token] = await _fields(call, "refresh")
    login: Login = call.state.login
    try:
        access, refresh = await login.refresh(token)
    except LoginRefused:
        return _unauthorized("Token is invalid or expired")
    except LoginUnavailable:
        return _unavailable()
    return plain(200, {"access": access, "refresh": refresh}, _NO_STORE)


async def _fields(call: Call, *names: str) -> list[str]:
    """Return texts of the body; a problem names those that are missing, and never says what was sent."""
    content_type(call.request)
    body = await read_json(call.request, call.state.broker)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    wrong = [name for name in names if not isinstance(body.get(name), str) or not body[name]]
    if wrong:
        raise InvalidRequest(f"{', '.join(wrong)}: {_MISSING}", **{name: [_MISSING] for name in wrong})
    limit = call.state.broker.settings.security.max_token_bytes if names == ("refresh",) else _MAX_PASSWORD
    for name in names:
        if len(body[name]) > limit:
            raise InvalidRequest(f"{name}: the field may have {limit} characters at most")
    return [body[name] for name in names]


def _unauthorized(detail: str) -> Response:
    return problem_answer(Unauthorized(detail), {"WWW-Authenticate": CHALLENGE} | _NO_STORE)


def _unavailable() -> Response:
    problem = IssuerUnavailable("nobody can be signed in at the moment; try again later")
    return problem_answer(problem, {"Retry-After": "1"} | _NO_STORE)


_ERRORS = {
    400: Answer("A field is missing, or the body is no JSON.", _PROBLEM),
    401: Answer("The issuer does not take them.", _PROBLEM, headers=("WWW-Authenticate",)),
    411: Answer("Content-Length is missing."),
    413: Answer("The body is too large.", _PROBLEM),
    415: Answer("The media type of the body is not supported."),
    503: Answer("The issuer does not answer, or too many sign in at once.", _PROBLEM, headers=("Retry-After",)),
}

OPERATIONS = [
    Operation(
        "obtainTokens", "POST", "/api/token", "", "Sign in with a name and a password.", post_token,
        body=Body("NameAndPassword", (JSON,)), answers={200: Answer("The tokens.", "Tokens")} | _ERRORS,
        guard=Guard.PUBLIC,
    ),
    Operation(
        "refreshToken", "POST", "/api/token/refresh", "", "Get a new access token.", post_refresh,
        body=Body("RefreshToken", (JSON,)), answers={200: Answer("The tokens.", "Tokens")} | _ERRORS,
        guard=Guard.PUBLIC,
    ),
]  # fmt: skip
