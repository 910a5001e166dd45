"""/docs: the reference of the API as a page for people; nothing is loaded from outside."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import HTMLResponse, Response

from context_api.operation import Answer, Call, Guard, Operation, guarded
from context_api.reference import reference_html
from context_api.routes.model_pages import page


def documentation(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations that show these operations: the page, under /docs and /."""

    async def get_docs(call: Call) -> Response:
        return HTMLResponse(page("Voltweave HTTP API", list(reference_html(operations))))

    answers = {200: Answer("The page.", None, ("text/html",))}
    return guarded(Guard.CALLER, [
        Operation("documentation", "GET", "/docs", "", "The API, for people.", get_docs, answers=answers),
        Operation("root", "GET", "/", "", "The same, for who starts here.", get_docs, answers=answers),
    ])  # fmt: skip
