"""The contract on data: SHACL shapes of the common information model, and what checks entities with them.

Belongs here: the shapes as Turtle, and what judges entities by them. generated/ is made from the ontology by
`make model`; the files beside this one, one a domain, hold the rules across attributes, written by hand; profiles/
holds what a provider asks beside; policies/ holds the shapes of access policies, which are no entities; rules.ttl says
in plain words what each rule is about, and examples/ shows each, broken and met.

    components  constraint components of our own, by which rules across attributes are written

    reader      SHACL in RDF to shapes as plain data (shape); what one entity cannot answer is refused
    document    the same as JSON, which is read at the start
    engine      SHACL Core on the RDF of one entity, exactly
    compiler    a fast check for each set of types (certainty and relations say of what it is sure); the engine judges
                what it doubts
    repair      what the attribute at fault would be after the repair that a rule names; nothing is done here
    oracle      pySHACL, which says what a shape means
    report      results as JSON, lines of text and Turtle
    reference   the page of rules

Does not belong here: what to do about a violation (validation modes, quarantine).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shapes.compiler import Shapes
    from shapes.shape import Library, Rule

__all__ = [
    "DOCUMENT",
    "NAMESPACE",
    "example_files",
    "model_library",
    "model_rules",
    "model_shapes",
    "policy_file",
    "profile_files",
    "shape_files",
]

NAMESPACE = "https://w3id.org/voltweave/shapes#"


DOCUMENT = Path(__file__).parent / "shapes.json"
"""All shapes of the model, and its rules, as a JSON document."""


@cache
def model_shapes(profile: str | None = None) -> Shapes:
    """Return the shapes of the model, as a profile has them where one is named, ready to judge entities; read once.

    Raises:
        LookupError: there is no such profile.
    """
    from shapes.compiler import Shapes

    return Shapes(model_library().shapes if profile is None else model_library().with_profile(profile))


@cache
def model_rules() -> dict[str, Rule]:
    """Return the rules of the model by their IRIs; read once, callers must not change it."""
    return {rule.iri: rule for rule in model_library().rules}


@cache
def model_library() -> Library:
    """Return shapes, rules and profiles of the model as plain data; read once."""
    import orjson

    from shapes.document import from_document

    return from_document(orjson.loads(DOCUMENT.read_bytes()))


def example_files() -> list[Path]:
    """Return the files with examples of rules: for shapes, an entity that breaks each and one that passes."""
    return sorted((Path(__file__).parent / "examples").glob("*.json"))


def profile_files() -> list[Path]:
    """Return the Turtle files that hold a profile each."""
    return sorted((Path(__file__).parent / "profiles").glob("*.ttl"))


def policy_file() -> Path:
    """Return the Turtle file with the shapes of access policies, which are no entities."""
    return Path(__file__).parent / "policies" / "policies.ttl"


def shape_files() -> list[Path]:
    """Return the Turtle files that hold rules and shapes, in a fixed order."""
    folder = Path(__file__).parent
    return [*sorted(folder.glob("*.ttl")), *sorted(folder.glob("generated/*.ttl"))]
