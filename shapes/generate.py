"""`python -m shapes.generate` (`make model`): the shapes of the model as the document that is read at the start."""

from __future__ import annotations

import sys

import orjson

from shapes import DOCUMENT
from shapes.document import to_document
from shapes.oracle import shapes_graph
from shapes.reader import read_library
from shapes.surroundings import DOCUMENT as SURROUNDINGS
from shapes.surroundings.document import to_document as surroundings_to_document
from shapes.surroundings.reader import read_surroundings, surroundings_graph


def document() -> bytes:
    """Return what belongs in the file: one shape or rule a line."""
    members = to_document(read_library(shapes_graph())).items()
    lists = (orjson.dumps(name) + b": [\n" + b",\n".join(map(orjson.dumps, each)) + b"\n]" for name, each in members)
    return b"{" + b",\n".join(lists) + b"}\n"


def surroundings_document() -> bytes:
    """Return what belongs in the file of the shapes about surroundings: one a line."""
    shapes = surroundings_to_document(read_surroundings(surroundings_graph()))
    return b"[\n" + b",\n".join(map(orjson.dumps, shapes)) + b"\n]\n"


def main() -> int:
    """Write the files and say of each whether it changed."""
    for file, found in ((DOCUMENT, document()), (SURROUNDINGS, surroundings_document())):
        changed = not file.exists() or file.read_bytes() != found
        file.write_bytes(found)
        sys.stdout.write(f"{file.name}: {'changed' if changed else 'not changed'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
