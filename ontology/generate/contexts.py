"""JSON-LD contexts: term -> IRI and nothing else.

No term is coerced and no core term is defined again, so that a context of ours changes nothing in what NGSI-LD means.
Beside classes and attributes a context holds the members of structured values (addresses, intervals) and the concepts
of the schemes that VocabProperties use, for their values are expanded like names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ontology.model import Attribute, EntityType, Kind, Model
from ontology.source import SourceError

#: The members of structured values, by the range that has them.
MEMBERS = {
    "PostalAddress": {
        name: f"https://schema.org/{name}"
        for name in ("streetAddress", "postalCode", "addressLocality", "addressRegion", "addressCountry")
    },
    "ContactPoint": {name: f"https://schema.org/{name}" for name in ("contactType", "email", "telephone")},
    "OpeningHoursSpecification": {
        name: f"https://schema.org/{name}" for name in ("dayOfWeek", "opens", "closes", "validThrough")
    },
    "Interval": {
        "begin": "http://www.w3.org/2006/time#hasBeginning",
        "end": "http://www.w3.org/2006/time#hasEnd",
    },
    "PhaseValues": {name: f"https://w3id.org/voltweave/cim#{name}" for name in ("L1", "L2", "L3")},
}


def documents(model: Model) -> dict[str, str]:
    """Return the text of every context by its name: cim, its version, and one a domain."""
    whole = _document(model, model.classes.values(), model.attributes.values())
    result = {"cim": whole, f"cim-{model.version}": whole}
    for domain in model.domains:
        classes = model.classes_of(domain)
        names = {name for c in classes for name in c.attributes}
        names |= {a.name for a in model.attributes.values() if a.sub_property}
        result[domain] = _document(model, classes, (model.attributes[name] for name in names))
    return result


def _document(model: Model, classes: Iterable[EntityType], attributes: Iterable[Attribute]) -> str:
    terms: dict[str, str] = {}
    named = [(c.name, c.iri) for c in classes]
    for attribute in attributes:
        if attribute.iri.startswith(model.namespace):
            named.append((attribute.name, attribute.iri))
        named += MEMBERS.get(attribute.range, {}).items()
        if attribute.kind is Kind.VOCAB_PROPERTY and attribute.scheme:
            named += [(c.notation, c.iri) for c in model.schemes[attribute.scheme].concepts.values()]
    for name, iri in named:
        if terms.setdefault(name, iri) != iri:
            raise SourceError(f"{name}: a context cannot mean both {terms[name]} and {iri}")
    ordered = {"cim": model.namespace} | {
        name: terms[name].replace(model.namespace, "cim:") for name in sorted(terms, key=lambda t: (t.lower(), t))
    }
    return json.dumps({"@context": ordered}, ensure_ascii=False, indent=2) + "\n"
