"""The common information model (CIM): what entities, attributes and units mean.

Belongs here: the OWL ontology in Turtle, the only source of the model (one file a domain, units.ttl, schemes.ttl;
vocabulary.ttl says how they are written); the generator and what it makes of them (model.json, contexts/, examples/);
and this small API. Does not belong here: anything that reads or checks entities.

    model()              the model: classes, attributes, units, value lists
    telemetry_iris()     the attributes whose late values go to history only (decision 7)
    contexts()           every @context of ours by its URL; they resolve without a network call
    context(name)        one of them
    conversion           (a module) from one unit to another
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ontology.model import (
    Attribute,
    AttributeUse,
    Concept,
    Domain,
    EntityType,
    Kind,
    Limits,
    Match,
    Model,
    Scheme,
    Unit,
    build,
)

__all__ = [
    "CONTEXT_BASE",
    "CONTEXT_URL",
    "NAMESPACE",
    "Attribute",
    "AttributeUse",
    "Concept",
    "Domain",
    "EntityType",
    "Kind",
    "Limits",
    "Match",
    "Model",
    "Scheme",
    "Unit",
    "context",
    "context_file",
    "context_names",
    "context_url",
    "contexts",
    "model",
    "telemetry_iris",
    "turtle_files",
]

NAMESPACE = "https://w3id.org/voltweave/cim#"
CONTEXT_BASE = "https://w3id.org/voltweave/contexts/"
CONTEXT_URL = CONTEXT_BASE + "cim.jsonld"
"""The @context of the whole model, in its latest version."""

_FOLDER = Path(__file__).parent
_CONTEXTS = _FOLDER / "contexts"


@cache
def model() -> Model:
    """Return the model, read once from the generated model.json."""
    return build(json.loads((_FOLDER / "model.json").read_text("utf-8")))


def turtle_files() -> list[Path]:
    """Return the Turtle files of the ontology, in a fixed order."""
    return sorted(_FOLDER.glob("*.ttl"))


@cache
def telemetry_iris() -> frozenset[str]:
    """Return the IRIs of the attributes that the model marks telemetry (decision 7)."""
    return frozenset(a.iri for a in model().attributes.values() if a.telemetry)


@cache
def context_names() -> tuple[str, ...]:
    """Return the names of our contexts: the whole model, its kept versions, and one a domain."""
    return tuple(sorted(file.stem for file in _CONTEXTS.glob("*.jsonld")))


def context_url(name: str = "cim") -> str:
    """Return the canonical URL of a context: "cim", a version such as "cim-0.1", or a domain such as "charging"."""
    return f"{CONTEXT_BASE}{name}.jsonld"


def context_file(name: str) -> Path:
    """Return the file of a context; KeyError for an unknown name."""
    if name not in context_names():
        raise KeyError(name)
    return _CONTEXTS / f"{name}.jsonld"


@cache
def context(name: str = "cim") -> dict[str, Any]:
    """Return a context as a JSON-LD document, which callers must not change; KeyError for an unknown name."""
    document: dict[str, Any] = json.loads(context_file(name).read_text("utf-8"))
    return document


@cache
def contexts() -> MappingProxyType[str, dict[str, Any]]:
    """Return every context of ours by its canonical URL."""
    return MappingProxyType({context_url(name): context(name) for name in context_names()})
