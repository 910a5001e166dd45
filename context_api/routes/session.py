"""/session: people sign in and out by their browser (OpenID Connect, authorization code with PKCE)."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response

from context_api.answers import plain, problem_answer
from context_api.negotiation import read_body
from context_api.operation import Answer, Body, Call, Guard, Operation, Parameter
from context_api.routes.model_pages import page
from context_api.security.issuers import KeysUnavailable
from context_api.security.session_authentication import SESSION_ID
from context_api.security.session_browser import CSRF_HEADER, csrf_token, is_csrf_token, local_path, new_id
from context_api.security.session_provider import ProviderUnavailable
from context_api.security.sessions import Sessions, SignInFailed
from context_api.security.tokens import InvalidToken
from ngsild.problems import Forbidden, InvalidRequest, IssuerUnavailable, UnsupportedMediaType

FORM = "application/x-www-form-urlencoded"
_PROBLEM = "ProblemDetails"
_HTML = ("text/html",)
_START = "/docs"
_NO_STORE = {"Cache-Control": "no-store"}
_MOST_FIELDS = 10


async def get_login(call: Call) -> Response:
    """Send a browser to the issuer."""
    sessions: Sessions = call.state.sessions
    path = local_path(call.get("next", _START))
    if path is None:
        raise InvalidRequest("next: this is no path of this server")
    browser = sessions.cookies.sign_in_id(call.request.scope) or new_id()
    try:
        url = await sessions.begin_sign_in(browser, path, call.state.broker.now())
    except ProviderUnavailable:
        return _unavailable()
    response = RedirectResponse(url, 303, _NO_STORE)
    seconds = call.state.broker.settings.sessions.sign_in_time
    sessions.cookies.give(response, sessions.cookies.sign_in, browser, int(seconds))
    return response


async def get_callback(call: Call) -> Response:
    """Take the issuer's answer; begin a session under a new id, whatever id the browser had."""
    sessions: Sessions = call.state.sessions
    now = call.state.broker.now()
    try:
        browser, state = sessions.cookies.sign_in_id(call.request.scope), call.get("state")
        if browser is None or state is None:
            raise SignInFailed("this sign-in was not begun by this browser")
        if call.get("iss", sessions.provider.issuer) != sessions.provider.issuer:
            raise SignInFailed("the answer is another issuer's")
        code = call.get("code") if "error" not in call.parameters else None
        session_id, path = await sessions.sign_in(browser, state, code, now)
    except SignInFailed as error:
        return _failed(str(error), sessions.provider.public_url)
    except (ProviderUnavailable, KeysUnavailable):
        return _unavailable()
    before = sessions.cookies.session_id(call.request.scope)
    if before is not None:
        await sessions.end(before, now)
    response = RedirectResponse(sessions.provider.public_url + path, 303, _NO_STORE)
    sessions.cookies.give(response, sessions.cookies.session, session_id)
    sessions.cookies.take(response, sessions.cookies.sign_in)
    return response


async def get_session(call: Call) -> Response:
    """Tell who has signed in, and the token that requests need beside the cookie to change something."""
    session_id = call.request.scope.get(SESSION_ID)
    principal = call.principal
    body = {
        "username": principal.name,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "csrfToken": None if session_id is None else csrf_token(session_id),
    }
    return plain(200, body, _NO_STORE)


async def post_logout(call: Call) -> Response:
    """End the session here, then at the issuer."""
    sessions: Sessions = call.state.sessions
    fields = await _form(call)
    target = f"{sessions.provider.public_url}/"
    session_id = sessions.cookies.session_id(call.request.scope)
    if session_id is not None:
        shown = fields.get("csrf") or call.request.headers.get(CSRF_HEADER, "")
        if not is_csrf_token(shown, session_id):
            raise Forbidden(f"csrf: signing out needs the token of the session, as a field or as {CSRF_HEADER}")
        identity = await sessions.end(session_id, call.state.broker.now())
        try:
            target = target if identity is None else await sessions.provider.sign_out_url(identity)
        except ProviderUnavailable:
            # The session has ended here; that at the issuer ends by its own time.
            target = f"{sessions.provider.public_url}/"
    response = RedirectResponse(target, 303, _NO_STORE)
    sessions.cookies.take(response, sessions.cookies.session)
    return response


async def post_back_channel_logout(call: Call) -> Response:
    """End the sessions that the issuer says have ended."""
    sessions: Sessions = call.state.sessions
    token = (await _form(call)).get("logout_token")
    if token is None:
        raise InvalidRequest("logout_token: the field is missing")
    try:
        await sessions.end_at_issuer(token, call.state.broker.now())
    except InvalidToken as error:
        return problem_answer(InvalidRequest(f"logout_token: {error}"), _NO_STORE)
    except KeysUnavailable:
        return _unavailable()
    return Response(status_code=200, headers=_NO_STORE)


async def _form(call: Call) -> dict[str, str]:
    """Return the fields of a form; none may be given twice."""
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise UnsupportedMediaType(f"Content-Type: this takes {FORM}")
    body = await read_body(call.request, call.state.broker)
    try:
        found = parse_qs(body.decode("ascii"), strict_parsing=bool(body), max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise InvalidRequest("the body is no form") from None
    twice = [name for name, values in found.items() if len(values) > 1]
    if twice:
        raise InvalidRequest(f"{twice[0][:80]}: the field is given twice")
    return {name: values[0] for name, values in found.items()}


def _failed(reason: str, public_url: str) -> Response:
    again = f'<p><a href="{escape(public_url)}/session/login">Sign in</a></p>'
    text = f"<p>You are not signed in: {escape(reason)}.</p>"
    return HTMLResponse(page("Sign-in failed", [text, again]), 400, _NO_STORE)


def _unavailable() -> Response:
    problem = IssuerUnavailable("nobody can be signed in or out at the moment; try again later")
    return problem_answer(problem, {"Retry-After": "5"} | _NO_STORE)


def _parameter(name: str, description: str) -> Parameter:
    return Parameter(name, description, {"type": "string"}, lambda _, text: text)


_CALLBACK_PARAMETERS = (
    _parameter("state", "What this server gave the issuer."),
    _parameter("code", "What tokens are had for."),
    _parameter("iss", "The issuer."),
    _parameter("session_state", "Of the issuer's own; not read."),
    _parameter("error", "Why nobody was signed in."),
    _parameter("error_description", "The same in words; not shown."),
    _parameter("error_uri", "The same on a page; not read."),
)
_AWAY = {503: Answer("The issuer does not answer.", _PROBLEM, headers=("Retry-After",))}
_FORM_ERRORS = {
    400: Answer("A field is missing or not taken, or the body is no form.", _PROBLEM),
    411: Answer("Content-Length is missing."),
    413: Answer("The body is too large.", _PROBLEM),
    415: Answer("The media type of the body is not supported."),
}
_SENT_ON = Answer("Where to go on.", headers=("Location", "Set-Cookie"))

OPERATIONS = [
    Operation(
        "beginSignIn", "GET", "/session/login", "", "Sign in by the browser.", get_login,
        parameters=(_parameter("next", "Path of this server to go on to."),),
        answers={303: _SENT_ON, 400: Answer("The path is none of this server.", _PROBLEM)} | _AWAY,
        guard=Guard.PUBLIC,
    ),
    Operation(
        "completeSignIn", "GET", "/session/callback", "", "Take the issuer's answer to a sign-in.", get_callback,
        parameters=_CALLBACK_PARAMETERS,
        answers={303: _SENT_ON, 400: Answer("Nobody was signed in.", "Page", _HTML)} | _AWAY,
        guard=Guard.PUBLIC,
    ),
    Operation(
        "retrieveSession", "GET", "/session", "", "Who has signed in.", get_session,
        answers={200: Answer("The person, and the token of the session.", "Session")}, guard=Guard.CALLER,
    ),
    Operation(
        "signOut", "POST", "/session/logout", "", "Sign out, here and at the issuer.", post_logout,
        body=Body("SignOut", (FORM,)),
        answers={303: _SENT_ON, 403: Answer("The token of the session is missing.", _PROBLEM)} | _FORM_ERRORS,
        guard=Guard.PUBLIC,
    ),
    Operation(
        "endSessions", "POST", "/session/back-channel-logout", "",
        "End sessions for the issuer (OpenID Connect Back-Channel Logout 1.0).", post_back_channel_logout,
        body=Body("LogoutToken", (FORM,)),
        answers={200: Answer("They have ended.")} | _FORM_ERRORS | _AWAY, guard=Guard.PUBLIC,
    ),
]  # fmt: skip
