"""Answers as RDF: Turtle and N-Triples of what application/ld+json says with the core @context (decision 53)."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from context_api.answers import TURTLE
from context_api.consumption import Found, View
from context_api.negotiation import RDF, RequestContext
from ngsild.problems import BadRequestData
from ngsild.rdf import n_triples, triples_of
from ngsild.turtle import turtle


def check_graph(view: View, media_type: str) -> None:
    """Refuse what has no meaning in RDF: other formats than normalized, and entities inside of others."""
    if media_type not in RDF:
        return
    if view.format != "normalized":
        raise BadRequestData(f"format: {media_type} is made of the normalized format alone")
    if view.linking.join is not None:
        raise BadRequestData(f"join: {media_type} holds no linked entities")


async def answer_as_graph(
    found: Found, context: RequestContext, view: View, media_type: str, headers: dict[str, str]
) -> Response:
    """Return entities as a graph; Turtle has the prefixes of the request's @context."""

    def write() -> str:
        triples = triples_of(found.entities, view.representation({}))
        return turtle(triples, context.terms.prefixes) if media_type == TURTLE else n_triples(triples)

    # A page may hold values that need a JSON-LD processor, which is slow.
    return Response(await asyncio.to_thread(write), media_type=media_type, headers=headers)
