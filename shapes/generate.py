"""`python -m shapes.generate` (`make model`): the shapes of the model as the document that is read at the start."""

from __future__ import annotations

import sys

import orjson

from shapes import DOCUMENT
from shapes.document import to_document
from shapes.oracle import shapes_graph
from shapes.reader import read_library


def document() -> bytes:
    """Return what belongs in the file: one shape or rule a line."""
    members = to_document(read_library(shapes_graph())).items()
    lists = (orjson.dumps(name) + b": [\n" + b",\n".join(map(orjson.dumps, each)) + b"\n]" for name, each in members)
    return b"{" + b",\n".join(lists) + b"}\n"


def main() -> int:
    """Write the file and say whether it changed."""
    found = document()
    changed = not DOCUMENT.exists() or DOCUMENT.read_bytes() != found
    DOCUMENT.write_bytes(found)
    sys.stdout.write(f"{DOCUMENT.name}: {'changed' if changed else 'not changed'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
