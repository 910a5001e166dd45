"""The reference of the HTTP API, made from the operation records: a page for docs/ and one that the broker serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from context_api.operation import Operation

_INTRODUCTION = (
    "Every operation of the broker, made from the same records as its routes and its OpenAPI document. The clauses are "
    "those of ETSI GS CIM 009 V1.9.1. Errors are problem details; the parameters of an operation are all that it takes."
    " Where the broker has an issuer, what is not said to be public needs a token, and is answered with 401 without "
    "a good one."
)


def reference_markdown(operations: Iterable[Operation]) -> str:
    """Return the reference as Markdown."""
    lines = ["# HTTP API", "", _INTRODUCTION]
    for operation in operations:
        lines += ["", f"## {operation.method} {operation.path}", "", _summary(operation)]
        rows = [(f"`{p.name}`", p.description + (" Deprecated." if p.deprecated else "")) for p in operation.parameters]
        if rows:
            lines += ["", "| parameter | meaning |", "|---|---|", *(f"| {n} | {_cell(m)} |" for n, m in rows)]
        lines += ["", "| answer | meaning |", "|---|---|"]
        lines += [f"| {status} | {_cell(a.description)} |" for status, a in sorted(operation.answers.items())]
    return "\n".join(lines) + "\n"


def reference_html(operations: Iterable[Operation]) -> Iterator[str]:
    """Yield the parts of the reference's body as HTML."""
    yield f'<p>{escape(_INTRODUCTION)} The same for machines: <a href="openapi.json">openapi.json</a>.</p>'
    for operation in operations:
        yield f"<h2><code>{operation.method} {escape(operation.path)}</code></h2><p>{escape(_summary(operation))}</p>"
        rows = [(p.name, p.description) for p in operation.parameters]
        rows += [(str(status), answer.description) for status, answer in sorted(operation.answers.items())]
        cells = "".join(f"<tr><td><code>{escape(n)}</code></td><td>{escape(m)}</td></tr>" for n, m in rows)
        yield f"<table><tbody>{cells}</tbody></table>"


def _summary(operation: Operation) -> str:
    body = f" Takes {operation.body.schema}: {', '.join(operation.body.media_types)}." if operation.body else ""
    clause = f" Clause {operation.clause}." if operation.clause else ""
    return operation.summary + clause + body + (" Public." if operation.public else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
