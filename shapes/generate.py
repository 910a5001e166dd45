"""`python -m shapes.generate` (`make model`): components as Turtle; shapes as the document read at the start."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from shapes import DOCUMENT, profile_files
from shapes.components import turtle
from shapes.document import to_document
from shapes.oracle import read_graph, shapes_graph
from shapes.reader import read_library
from shapes.surroundings import DOCUMENT as SURROUNDINGS
from shapes.surroundings.document import to_document as surroundings_to_document
from shapes.surroundings.reader import read_surroundings, surroundings_graph

COMPONENTS = DOCUMENT.with_name("components.ttl")


def document() -> bytes:
    """Return what belongs in the file: one shape or rule a line."""
    profiles = [read_graph(file) for file in profile_files()]
    members = to_document(read_library(shapes_graph(), profiles)).items()
    lists = (orjson.dumps(name) + b": [\n" + b",\n".join(map(orjson.dumps, each)) + b"\n]" for name, each in members)
    return b"{" + b",\n".join(lists) + b"}\n"


def surroundings_document() -> bytes:
    """Return what belongs in the file of the shapes about surroundings: one a line."""
    shapes = surroundings_to_document(read_surroundings(surroundings_graph()))
    return b"[\n" + b",\n".join(map(orjson.dumps, shapes)) + b"\n]\n"


def main() -> int:
    """Write the files and say of each whether it changed."""
    _write(COMPONENTS, turtle().encode())
    shapes_graph.cache_clear()
    _write(DOCUMENT, document())
    _write(SURROUNDINGS, surroundings_document())
    return 0


def _write(file: Path, found: bytes) -> None:
    changed = not file.exists() or file.read_bytes() != found
    file.write_bytes(found)
    sys.stdout.write(f"{file.name}: {'changed' if changed else 'not changed'}\n")


if __name__ == "__main__":
    sys.exit(main())
