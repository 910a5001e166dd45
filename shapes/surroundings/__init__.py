"""Rules across entities and over history: what cannot be judged on one entity alone (layers L3 and L4).

Belongs here: shapes with parametrised constraints in Turtle (components.ttl says what each constraint means, as SPARQL
over the RDF of an entity with its surroundings; the others use them, one file a domain), and their checks in Python:

    facts       Surroundings: an entity with its neighbours, earlier values and the time
    needs       what has to be read before an entity can be judged
    shape       a shape as plain data; the base of all constraints
    steps, links, ...   the constraints
    judge       SurroundingShapes: asks what is needed, and judges
    reader      Turtle to shapes; document is the same as JSON, which is read at the start
    graph       surroundings as RDF, which pySHACL judges in the tests

Does not belong here: reading anything from storage, or what becomes of a result. Everything is pure.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from shapes.surroundings.facts import DATASET_ID, Sample, Series, Surroundings
from shapes.surroundings.judge import SurroundingShapes
from shapes.surroundings.needs import NOTHING, Needs, Related, Route, SeriesNeed, When

__all__ = [
    "DATASET_ID",
    "DOCUMENT",
    "NOTHING",
    "Needs",
    "Related",
    "Route",
    "Sample",
    "Series",
    "SeriesNeed",
    "SurroundingShapes",
    "Surroundings",
    "When",
    "model_surroundings",
    "surrounding_files",
]

DOCUMENT = Path(__file__).parent / "surroundings.json"
"""All these shapes of the model as a JSON document."""


@cache
def model_surroundings() -> SurroundingShapes:
    """Return the rules of the model across entities and over history; read once."""
    import orjson

    from shapes.surroundings.document import from_document

    return SurroundingShapes(from_document(orjson.loads(DOCUMENT.read_bytes())))


def surrounding_files() -> list[Path]:
    """Return the Turtle files that hold these shapes and their constraint components, in a fixed order."""
    return sorted(Path(__file__).parent.glob("*.ttl"))
