"""Constraint components of our own: rules across the attributes of one entity, each with parameters that are scalars.

Free SPARQL is not compiled (docs/decisions/0061). A component has one SPARQL validator, which is what it means, one
exact check on the triples of an entity, and a text for the compiler; tests hold the three against each other.

    component      what a component is
    sparql, nodes  pieces of validators and of checks
    conditions     parameters that say when a component asks anything
    order, sums, lists, presence, values
                   the components
"""

from __future__ import annotations

import json

from ngsild.rdf import XSD
from shapes import NAMESPACE
from shapes.components.component import Component, Parameter
from shapes.components.lists import EACH_AT_MOST, ITEMS_WITHIN, SAME_LENGTH
from shapes.components.order import AT_LEAST, AT_MOST, MEMBERS_IN_ORDER, RANGE_WHEN
from shapes.components.presence import BEFORE_OBSERVATIONS, NO_ATTRIBUTE_FROM, REQUIRES
from shapes.components.sparql import PREFIXES
from shapes.components.sums import LASTS, PRODUCT, SUM
from shapes.components.values import BOX, CHECK_DIGIT, MULTIPLE_OF, POSSIBLE_TIME

_TURTLE = {
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "sh": "http://www.w3.org/ns/shacl#",
    "xsd": XSD,
}

COMPONENTS: dict[str, Component] = {
    each.name: each
    for each in (
        AT_MOST, AT_LEAST, RANGE_WHEN, MEMBERS_IN_ORDER, LASTS, SUM, PRODUCT, REQUIRES, NO_ATTRIBUTE_FROM,
        BEFORE_OBSERVATIONS, SAME_LENGTH, EACH_AT_MOST, ITEMS_WITHIN, POSSIBLE_TIME, MULTIPLE_OF, CHECK_DIGIT, BOX,
    )
}  # fmt: skip
"""The components by their names."""

PARAMETERS: dict[str, Parameter] = {p.name: p for each in COMPONENTS.values() for p in each.parameters}
"""All parameters by their names; several components may take one, with the same kind of value."""


def turtle() -> str:
    """Return the components as SHACL."""
    declared = " ,\n    ".join(
        f'[ sh:prefix "{prefix}" ; sh:namespace "{iri}"^^xsd:anyURI ]' for prefix, iri in PREFIXES.items()
    )
    head = "".join(f"@prefix {prefix}: <{iri}> .\n" for prefix, iri in {**_TURTLE, "vs": NAMESPACE}.items())
    return f"{head}\n<{NAMESPACE}> sh:declare {declared} .\n" + "".join(map(_component, COMPONENTS.values()))


def _component(component: Component) -> str:
    parameters = " ,\n    ".join(map(_parameter, component.parameters))
    kind = "nodeValidator" if component.on_entity else "propertyValidator"
    return f"""
vs:{component.name}ConstraintComponent a sh:ConstraintComponent ;
  rdfs:comment {json.dumps(component.says)}@en ;
  sh:parameter {parameters} ;
  sh:{kind} [ a sh:SPARQLSelectValidator ; sh:prefixes <{NAMESPACE}> ; sh:select \"\"\"
{component.select().replace(chr(92), chr(92) * 2)}
\"\"\" ] .
"""


def _parameter(parameter: Parameter) -> str:
    optional = " ; sh:optional true" if parameter.optional else ""
    return f"[ sh:path vs:{parameter.name} ; sh:description {json.dumps(parameter.says)}@en{optional} ]"
