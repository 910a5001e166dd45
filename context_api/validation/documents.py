"""Shapes that tenants bring: a SHACL document in Turtle, taken in whole or refused with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ngsild.problems import BadRequestData
from shapes.shape import Targeted

#: Documents that are read once, not at every change of another.
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class ShapeDocument:
    """One version of a document of shapes."""

    name: str
    version: int
    turtle: str
    created_at: int
    """Microseconds since 1970 UTC."""


@lru_cache(_REMEMBERED)
def read_document(turtle: str) -> tuple[Targeted, ...]:
    """Return the shapes of a document.

    Raises:
        BadRequestData: it is no Turtle, has no shape with a target, or one that cannot be judged, with its reason.
    """
    from rdflib import Graph

    from shapes.reader import RefusedShape, read_shapes

    graph = Graph()
    try:
        graph.parse(data=turtle, format="turtle")
    except Exception as error:  # rdflib raises several kinds, none of them its own base
        reason = " ".join(str(error).split())
        raise BadRequestData(f"the document is no Turtle: {reason[:300]}") from error
    try:
        found = read_shapes(graph, foreign=True)
    except RefusedShape as refused:
        raise BadRequestData(f"refused: {refused}") from refused
    if not found:
        raise BadRequestData("the document has no shape with a target (sh:targetClass and the like)")
    return tuple(found)
