"""/contexts, /ontology and /shapes: the common information model as others read it.

@contexts are static bytes; a version of one never changes. The ontology and the shapes come as Turtle (the default),
JSON-LD or a page for people. Turtle is the source files one after the other; the other two are made once, off the event
loop, on first use.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from context_api.answers import JSON_LD, TURTLE
from context_api.negotiation import accept
from context_api.operation import Answer, Call, Guard, Operation, guarded
from context_api.routes.model_pages import ontology_page, shapes_page
from context_api.security.policies import profile
from ngsild.problems import ResourceNotFound
from ontology import context_file, context_names, model, turtle_files
from shapes import shape_files

HTML = "text/html"
GRAPH_TYPES = (TURTLE, JSON_LD, HTML)
_VERSION = re.compile(r".*-[0-9.]+\Z")
_A_DAY = "public, max-age=86400"
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Representation:
    """Ready bytes with their entity tag."""

    body: bytes
    etag: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Published:
    """A set of Turtle files with the page that shows it to people."""

    files: Callable[[], list[Path]]
    page: Callable[[], str]


ONTOLOGY = Published(turtle_files, lambda: ontology_page(model()))
SHAPES = Published(shape_files, lambda: shapes_page(shape_files()))


async def get_context(call: Call) -> Response:
    """Serve an @context: the latest of the whole model, a kept version, one domain's, or that of policies."""
    name = call.path["name"]
    if name != profile.CONTEXT_NAME and name not in context_names():
        raise ResourceNotFound(f"contexts/{name[:80]}.jsonld: there is no such @context")
    caching = _FOR_EVER if _VERSION.match(name) else _A_DAY
    return _answer(call.request, _context(name), caching)


async def get_ontology(call: Call) -> Response:
    """Serve the ontology as Turtle, JSON-LD or a page."""
    return await _graph(call.request, ONTOLOGY)


async def get_shapes(call: Call) -> Response:
    """Serve the shapes as Turtle, JSON-LD or a page."""
    return await _graph(call.request, SHAPES)


async def _graph(request: Request, published: Published) -> Response:
    media_type = accept(request, GRAPH_TYPES)
    found = await asyncio.to_thread(_representation, published, media_type)
    return _answer(request, found, _A_DAY)


def _answer(request: Request, found: Representation, caching: str) -> Response:
    headers = {"ETag": found.etag, "Cache-Control": caching, "Vary": "Accept"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if found.etag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)


@cache
def _context(name: str) -> Representation:
    file = profile.CONTEXT_FILE if name == profile.CONTEXT_NAME else context_file(name)
    body = file.read_bytes()
    return Representation(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', JSON_LD)


@cache
def _representation(published: Published, media_type: str) -> Representation:
    turtle = b"\n".join(file.read_bytes() for file in published.files())
    # Blank nodes get new names in each process, so the tag follows the source and not the bytes made of it.
    tag = hashlib.sha256(turtle + media_type.encode()).hexdigest()[:32]
    if media_type == TURTLE:
        body = turtle
    elif media_type == JSON_LD:
        body = _json_ld(turtle)
    else:
        body = published.page().encode()
    return Representation(body, f'"{tag}"', media_type)


def _json_ld(turtle: bytes) -> bytes:
    # rdflib takes 0.2 s to import, and only this representation needs it.
    from rdflib import Graph

    return Graph().parse(data=turtle, format="turtle").serialize(format="json-ld", auto_compact=True).encode()


_GRAPH_ANSWERS = {
    200: Answer("The graph.", None, GRAPH_TYPES, ("ETag", "Cache-Control")),
    304: Answer("It has not changed."),
    406: Answer("None of the accepted media types is offered.", "ProblemDetails"),
}

OPERATIONS = guarded(Guard.CALLER, [
    Operation(
        "retrieveModelContext", "GET", "/contexts/{name}.jsonld", "", "An @context of the model.", get_context,
        answers={
            200: Answer("The @context.", None, (JSON_LD,), ("ETag", "Cache-Control")),
            304: Answer("It has not changed."),
            404: Answer("There is no such @context.", "ProblemDetails"),
        },
    ),
    Operation("retrieveOntology", "GET", "/ontology", "", "The ontology.", get_ontology, answers=_GRAPH_ANSWERS),
    Operation("retrieveShapes", "GET", "/shapes", "", "The SHACL shapes.", get_shapes, answers=_GRAPH_ANSWERS),
])  # fmt: skip
