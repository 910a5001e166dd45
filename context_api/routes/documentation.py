"""/docs: the reference of the API as a page for people; nothing is loaded from outside."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from starlette.responses import HTMLResponse, Response

from context_api.operation import Answer, Call, Guard, Operation, guarded
from context_api.reference import reference_html
from context_api.routes.model_pages import page
from context_api.security.session_authentication import SESSION_ID
from context_api.security.session_browser import csrf_token


def documentation(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations that show these operations: the page, under /docs and /."""

    async def get_docs(call: Call) -> Response:
        session_id = call.request.scope.get(SESSION_ID)
        if session_id is None:
            return HTMLResponse(page("Voltweave HTTP API", list(reference_html(operations))))
        sign_out = f"{call.state.sessions.provider.public_url}/session/logout"
        body = [_signed_in(call.principal.name, session_id, sign_out), *reference_html(operations)]
        return HTMLResponse(page("Voltweave HTTP API", body), headers={"Cache-Control": "no-store"})

    answers = {200: Answer("The page.", None, ("text/html",))}
    return guarded(Guard.CALLER, [
        Operation("documentation", "GET", "/docs", "", "The API, for people.", get_docs, answers=answers),
        Operation("root", "GET", "/", "", "The same, for who starts here.", get_docs, answers=answers),
    ])  # fmt: skip


def _signed_in(name: str, session_id: str, sign_out: str) -> str:
    """Return who has signed in, and the button by which they sign out."""
    return (
        f'<form method="post" action="{escape(sign_out)}"><p>Signed in as <strong>{escape(name)}</strong> '
        f'<input type="hidden" name="csrf" value="{csrf_token(session_id)}"><button>Sign out</button></p></form>'
    )
