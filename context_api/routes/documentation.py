"""/docs: the reference of the API as a page for people; nothing is loaded from outside."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import HTMLResponse, RedirectResponse, Response

from context_api.operation import Answer, Call, Operation
from context_api.reference import reference_html
from context_api.routes.model_pages import page


def documentation(operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations that show these operations: /docs, and / that leads there."""

    async def get_docs(call: Call) -> Response:
        return HTMLResponse(page("Voltweave HTTP API", list(reference_html(operations))))

    async def get_root(call: Call) -> Response:
        return RedirectResponse("/docs", 307)

    page_answer = {200: Answer("The page.", None, ("text/html",))}
    root_answer = {307: Answer("The documentation is at /docs.", headers=("Location",))}
    return [
        Operation("documentation", "GET", "/docs", "", "The API, for people.", get_docs, answers=page_answer),
        Operation("root", "GET", "/", "", "Where the documentation is.", get_root, answers=root_answer),
    ]
