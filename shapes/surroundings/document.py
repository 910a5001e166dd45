"""These shapes as a JSON document, which is read in a fraction of the time that their Turtle takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from shapes.surroundings.shape import SurroundingShape


def to_document(shapes: Iterable[SurroundingShape]) -> list[dict[str, Any]]:
    """Return shapes as JSON data."""
    return [asdict(shape) for shape in shapes]


def from_document(document: Iterable[dict[str, Any]]) -> list[SurroundingShape]:
    """Return the shapes that a document of `to_document` holds."""
    return [SurroundingShape(**(each | {"types": tuple(each["types"])})) for each in document]
