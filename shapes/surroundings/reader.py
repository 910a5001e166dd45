"""SHACL in RDF to shapes about surroundings; what has no check is refused, never skipped."""

from __future__ import annotations

from collections.abc import Iterator

from rdflib import RDF, SH, Graph, Literal, Namespace, Node, URIRef

from shapes import NAMESPACE, terms
from shapes.reader import RefusedShape
from shapes.shape import SEVERITIES
from shapes.surroundings.components import CONSTRAINTS
from shapes.surroundings.needs import WHENS
from shapes.surroundings.shape import Parameter, SurroundingShape

_VS = Namespace(NAMESPACE)
#: What a shape says beside its constraint.
_SAID = {RDF.type, SH.path, SH.severity, SH.message, _VS.rule, _VS.when}


def surroundings_graph() -> Graph:
    """Return all shapes about surroundings with their components as one graph."""
    from shapes.surroundings import surrounding_files

    graph = Graph()
    for file in surrounding_files():
        graph.parse(file, format="turtle")
    return graph


def read_surroundings(graph: Graph) -> list[SurroundingShape]:
    """Return the shapes of a graph by name; raise RefusedShape for the first that is wrong."""
    nodes = {
        property for node in graph.subjects(RDF.type, SH.NodeShape) for property in graph.objects(node, SH.property)
    }
    return [_shape(graph, node) for node in sorted(nodes, key=str)]


def _shape(graph: Graph, node: Node) -> SurroundingShape:
    if not isinstance(node, URIRef):
        raise RefusedShape(f"{node}: a shape about surroundings needs an IRI")
    component, parameters = _constraint(graph, node)
    types = tuple(sorted({str(each) for outer in graph.subjects(SH.property, node) for each in _targets(graph, outer)}))
    when, severity = str(graph.value(node, _VS.when)), _local(graph.value(node, SH.severity))
    path, message, rule = (graph.value(node, each) for each in (SH.path, SH.message, _VS.rule))
    if when not in WHENS or severity not in SEVERITIES:
        raise RefusedShape(
            f"{node}: vs:when is one of {', '.join(WHENS)}, sh:severity is sh:Violation, sh:Warning or sh:Info"
        )
    if not isinstance(path, URIRef) or message is None or rule is None or not types:
        raise RefusedShape(f"{node}: it needs a target class, an attribute at sh:path, sh:message and vs:rule")
    return SurroundingShape(
        name=terms.iri(str(node)),
        types=types,
        attribute=str(path),
        component=component,
        parameters=parameters,
        severity=severity,
        message=str(message),
        rule=str(rule),
        when=when,
    )


def _targets(graph: Graph, node: Node) -> Iterator[Node]:
    yield from graph.objects(node, SH.targetClass)


def _constraint(graph: Graph, node: URIRef) -> tuple[str, dict[str, Parameter]]:
    """Return the component of a property shape, by its first parameter, and all its parameters."""
    parameters = {
        _local(predicate): _parameter(node, value)
        for predicate, value in graph.predicate_objects(node)
        if predicate not in _SAID
    }
    named = [name for name in parameters if name in CONSTRAINTS]
    if len(named) != 1:
        raise RefusedShape(f"{node}: it must have one constraint, it has {', '.join(sorted(named)) or 'none'}")
    constraint = CONSTRAINTS[named[0]]
    missing = set(constraint.required) - parameters.keys()
    strange = parameters.keys() - {named[0], *constraint.required, *constraint.optional}
    if missing or strange:
        wrong = [*(f"lacks {each}" for each in sorted(missing)), *(f"has {each}" for each in sorted(strange))]
        raise RefusedShape(f"{node}: {named[0]} {', '.join(wrong)}")
    return named[0], dict(sorted(parameters.items()))


def _parameter(node: URIRef, value: Node) -> Parameter:
    if isinstance(value, URIRef):
        return str(value)
    found = value.value if isinstance(value, Literal) else None
    if not isinstance(found, str | int | float):
        raise RefusedShape(f"{node}: a parameter is an IRI, a text, a boolean, an integer or a double, not {value}")
    return found


def _local(node: Node | None) -> str:
    return str(node).rpartition("#")[2]
