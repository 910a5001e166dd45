"""The contract on data: SHACL shapes of the common information model, and what checks entities with them.

Belongs here: the shapes as Turtle (generated/ is made from the ontology by `make model`; rules across attributes,
entities and time are written by hand beside it), the pySHACL oracle that says what a shape means, and what compiles
shapes for the write path. Does not belong here: what to do about a violation (validation modes, quarantine).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["NAMESPACE", "shape_files"]

NAMESPACE = "https://w3id.org/voltweave/shapes#"


def shape_files() -> list[Path]:
    """Return the Turtle files that hold the shapes, in a fixed order."""
    return sorted(Path(__file__).parent.glob("generated/*.ttl"))
