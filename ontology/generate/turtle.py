"""Turtle as text: the same model always gives the same bytes, which no serialiser of graphs promises."""

from __future__ import annotations

import json

PREFIXES = {
    "vs": "https://w3id.org/voltweave/shapes#",
    "cim": "https://w3id.org/voltweave/cim#",
    "ngsi-ld": "https://uri.etsi.org/ngsi-ld/",
    "geojson": "https://purl.org/geojson/vocab#",
    "dct": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "sh": "http://www.w3.org/ns/shacl#",
    "time": "http://www.w3.org/2006/time#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


def prefixes() -> str:
    """Return the prefix lines."""
    return "".join(f"@prefix {prefix}: <{iri}> .\n" for prefix, iri in PREFIXES.items())


def compact(iri: str) -> str:
    """Return an IRI as a prefixed name, or in angle brackets when no prefix fits."""
    for prefix, namespace in PREFIXES.items():
        if iri.startswith(namespace):
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return f"<{iri}>"


def subject(name: str, lines: list[str]) -> str:
    """Return one subject with its predicates and objects."""
    return f"{name} " + " ;\n    ".join(lines) + " .\n"


def text(value: str) -> str:
    """Return a quoted string."""
    return json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """Return a number in its shortest form."""
    return str(int(value)) if value == int(value) else repr(float(value))
