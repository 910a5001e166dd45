"""SHACL in RDF to shapes as plain data; what cannot be judged on one entity is refused, never skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from math import isfinite
from typing import Any, cast

from rdflib import RDF, RDFS, SH, BNode, Graph, Literal, Namespace, Node, URIRef
from rdflib.collection import Collection

from ngsild.rdf import Triple
from shapes import NAMESPACE, terms
from shapes.components import COMPONENTS, PARAMETERS
from shapes.components.component import Component, Parameter
from shapes.expressions import expression
from shapes.shape import (
    OWN,
    REPAIR_KINDS,
    SEVERITIES,
    Alternative,
    Constraint,
    Library,
    Path,
    Pattern,
    Profile,
    Repair,
    Repeated,
    Rule,
    Sequence,
    Severity,
    Shape,
    Step,
    Target,
    Targeted,
    Term,
)

_VS = Namespace(NAMESPACE)
#: Shapes inside shapes; deeper ones are refused.
_DEPTH = 16
_TARGETS = {
    SH.targetClass: "class",
    SH.targetNode: "node",
    SH.targetSubjectsOf: "subjectsOf",
    SH.targetObjectsOf: "objectsOf",
}
_KINDS = {
    "IRI": ("IRI",),
    "BlankNode": ("BlankNode",),
    "Literal": ("Literal",),
    "BlankNodeOrIRI": ("BlankNode", "IRI"),
    "BlankNodeOrLiteral": ("BlankNode", "Literal"),
    "IRIOrLiteral": ("IRI", "Literal"),
}
#: What says something of a shape and constrains nothing (SHACL 2.3.2).
_SAID = {
    SH.path, SH.severity, SH.message, SH.deactivated, SH.name, SH.description, SH.order, SH.group, SH.defaultValue,
    SH.flags, SH.ignoredProperties, SH.prefixes, *_TARGETS,
}  # fmt: skip
#: The shapes that a shape lies in.
_Outer = tuple[Node, ...]
_FLAGS = frozenset("ismx")
#: Shapes that a foreign document may have, one that is referred to several times counted so often.
_MOST = 5_000


class RefusedShape(ValueError):
    """A shape that is no SHACL, or says what one entity alone cannot answer; the text names shape and reason."""


def read_library(graph: Graph, profiles: Iterable[Graph] = ()) -> Library:
    """Return the shapes and the rules of a graph, and profiles of graphs of their own.

    Raises:
        RefusedShape: one of them is wrong; it is the first.
    """
    library = Library(tuple(read_rules(graph)), tuple(read_shapes(graph)))
    known = {terms.iri(str(node)) for predicate in (SH.path, RDF.type) for node in graph.subjects(predicate)}
    return replace(library, profiles=tuple(_profile(each, known) for each in profiles))


def _profile(graph: Graph, known: set[Term]) -> Profile:
    """Return the profile of a graph; what it raises must be known."""
    nodes = [node for node in graph.subjects(RDF.type, _VS.Profile) if isinstance(node, URIRef)]
    if len(nodes) != 1:
        raise RefusedShape("a file of a profile needs one vs:Profile with an IRI")
    (node,) = nodes
    raises = sorted(terms.iri(str(each)) for each in graph.objects(node, _VS.raises))
    for each in raises:
        if each not in known:
            raise RefusedShape(f"{node}: it raises {each}, which is no shape")
    label = str(graph.value(node, RDFS.label) or node)
    return Profile(str(node).removeprefix(NAMESPACE), label, tuple(raises), tuple(read_shapes(graph)))


def read_rules(graph: Graph) -> Iterator[Rule]:
    """Yield the rules of a graph by their IRIs; raise RefusedShape for one that does not say all it must."""
    for node in sorted(graph.subjects(RDF.type, _VS.Rule), key=str):
        said = [graph.value(node, each) for each in (RDFS.label, _VS.explanation, _VS.recommendedAction)]
        if not isinstance(node, URIRef) or None in said:
            raise RefusedShape(f"{node}: a rule needs an IRI, a label, an explanation and a recommended action")
        label, explanation, action = map(str, said)
        yield Rule(str(node), label, explanation, action, _repair(graph, node))


def _repair(graph: Graph, rule: URIRef) -> Repair | None:
    kind, quality = graph.value(rule, _VS.repair), graph.value(rule, _VS.quality)
    if kind is None and quality is None:
        return None
    found = next((each for each in REPAIR_KINDS if each == str(kind)), None)
    if found is None:
        raise RefusedShape(f"{rule}: vs:repair is one of {', '.join(REPAIR_KINDS)}")
    if (quality is not None) is not (found == "markOutlier"):
        raise RefusedShape(f"{rule}: vs:quality says how markOutlier marks a value; it belongs to that and no other")
    return Repair(found, None if quality is None else str(quality))


def read_shapes(graph: Graph, foreign: bool = False) -> list[Targeted]:
    """Return the shapes of a graph that have targets, by name; raise RefusedShape for the first that is wrong.

    `foreign` says that somebody unknown wrote them: no pattern of theirs backtracks, and they have a limit.
    """
    reader = _Reader(graph, foreign)
    ours = {_VS[f"{name}ConstraintComponent"] for name in COMPONENTS}
    for component in graph.subjects(RDF.type, SH.ConstraintComponent):
        if component not in ours:
            raise RefusedShape(f"{component}: constraint components of one's own are not supported")
    found = {node for predicate in (*_TARGETS, SH.target) for node in graph.subjects(predicate)}
    found |= {node for node in graph.subjects(RDF.type, SH.NodeShape) if (node, RDF.type, RDFS.Class) in graph}
    return [read for node in sorted(found, key=str) if (read := reader.targeted(node)) is not None]


def triples_of_graph(graph: Graph) -> Iterator[Triple]:
    """Yield the triples of a graph, each term written as in N-Triples."""
    labels: dict[Node, Term] = {}
    for subject, predicate, value in graph:
        yield _term(subject, labels), _term(predicate, labels), _term(value, labels)


def _term(node: Node, labels: dict[Node, Term]) -> Term:
    if isinstance(node, URIRef):
        return terms.iri(str(node))
    if isinstance(node, Literal):
        return terms.literal(str(node), str(node.datatype or ""), node.language or "")
    if isinstance(node, BNode):
        return labels.setdefault(node, f"_:s{len(labels)}")
    raise TypeError(f"{node!r} is no term")


class _Reader:
    def __init__(self, graph: Graph, foreign: bool) -> None:
        self._graph = graph
        self._foreign = foreign
        self._read = 0
        self._labels: dict[Node, Term] = {}
        self._readers: dict[str, Callable[[Node, str, Node, _Outer], Any]] = {
            **dict.fromkeys(("minCount", "maxCount", "minLength", "maxLength"), self._number),
            **dict.fromkeys(("minInclusive", "minExclusive", "maxInclusive", "maxExclusive"), self._any_term),
            **dict.fromkeys(("class", "datatype", "equals", "disjoint", "lessThan", "lessThanOrEquals"), self._iri),
            "hasValue": self._any_term,
            "nodeKind": self._kind,
            "pattern": self._pattern,
            "in": self._terms,
            "languageIn": self._languages,
            "uniqueLang": self._flag,
            "closed": self._closed,
            "not": self._one_shape,
            "node": self._one_shape,
            **dict.fromkeys(("and", "or", "xone"), self._shapes),
        }

    def targeted(self, node: Node) -> Targeted | None:
        """Return a shape with its targets, None where it is deactivated."""
        targets = [
            Target(cast(Any, kind), self._term(value))
            for predicate, kind in _TARGETS.items()
            for value in self._graph.objects(node, predicate)
        ]
        if (node, RDF.type, RDFS.Class) in self._graph:
            targets.append(Target("class", self._term(node)))
        shape = self._shape(node, ())
        return None if shape is None else Targeted(shape, tuple(sorted(targets, key=lambda t: (t.kind, t.term))))

    def _shape(self, node: Node, outer: _Outer) -> Shape | None:
        if node in outer:
            raise self._refusal(node, "it refers to itself")
        if len(outer) > _DEPTH:
            raise self._refusal(node, f"it lies more than {_DEPTH} shapes deep")
        self._read += 1
        if self._foreign and self._read > _MOST:
            raise self._refusal(node, f"with the shapes that shapes refer to there are more than {_MOST}")
        if (node, SH.deactivated, Literal(True)) in self._graph:
            return None
        path = self._graph.value(node, SH.path)
        return Shape(
            name=self._term(node),
            path=None if path is None else self._path(node, path),
            severity=self._severity(node),
            message=self._text(node, SH.message),
            constraints=tuple(self._constraints(node, (*outer, node))),
            rule=self._rule(node),
        )

    def _rule(self, node: Node) -> str | None:
        rule = self._graph.value(node, _VS.rule)
        if rule is not None and not isinstance(rule, URIRef):
            raise self._refusal(node, "vs:rule needs the IRI of a rule")
        return None if rule is None else str(rule)

    def _severity(self, node: Node) -> Severity:
        found = self._graph.value(node, SH.severity, default=SH.Violation)
        name = str(found).removeprefix(str(SH))
        if name not in SEVERITIES:
            raise self._refusal(node, f"the severity {found} is none of {', '.join(SEVERITIES)}")
        return name

    def _text(self, node: Node, predicate: URIRef) -> str | None:
        found = [text for text in self._graph.objects(node, predicate) if isinstance(text, Literal)]
        found.sort(key=lambda text: (not (text.language or "en").startswith("en"), text.language or "", str(text)))
        return str(found[0]) if found else None

    # Constraints

    def _constraints(self, node: Node, outer: _Outer) -> Iterator[Constraint]:
        inner: list[Shape] = []
        for predicate, value in sorted(self._graph.predicate_objects(node), key=str):
            if predicate in _SAID or not str(predicate).startswith(str(SH)):
                continue
            name = str(predicate).removeprefix(str(SH))
            if name == "property":
                shape = self._shape(value, outer)
                if shape is not None and shape.path is None:
                    raise self._refusal(value, "a property shape needs a path")
                inner += [] if shape is None else [shape]
            else:
                yield from self._constraint(node, name, value, outer)
        if inner:
            yield Constraint("property", tuple(inner))
        yield from self._own(node)

    def _constraint(self, node: Node, name: str, value: Node, outer: _Outer) -> Iterator[Constraint]:
        read = self._readers.get(name)
        if read is None:
            raise self._refusal(node, _REFUSED.get(name, f"sh:{name} is not understood"))
        found = read(node, name, value, outer)
        if found is not None:
            yield Constraint(name, found)

    # Components of our own

    def _own(self, node: Node) -> Iterator[Constraint]:
        """Yield the constraints of a shape with components of ours."""
        given: dict[str, Node] = {}
        for predicate, value in self._graph.predicate_objects(node):
            name = str(predicate).removeprefix(str(_VS))
            if not str(predicate).startswith(NAMESPACE) or predicate == _VS.rule:
                continue
            if name not in PARAMETERS:
                raise self._refusal(node, f"vs:{name} is not understood")
            if name in given:
                raise self._refusal(node, f"vs:{name} is given twice")
            given[name] = value
        asked = [each for each in COMPONENTS.values() if each.key in given]
        taken = {parameter.name for each in asked for parameter in each.parameters}
        for name in sorted(given.keys() - taken):
            raise self._refusal(node, f"vs:{name} says nothing by itself")
        for component in asked:
            yield self._of_component(node, component, given)

    def _of_component(self, node: Node, component: Component, given: dict[str, Node]) -> Constraint:
        path = self._graph.value(node, SH.path)
        if component.on_entity:
            if path is not None:
                raise self._refusal(node, f"vs:{component.key} is asked of an entity, so the shape has no path")
        elif path is None or (component.scalar is None and not isinstance(path, URIRef)):
            raise self._refusal(node, f"vs:{component.key} needs a path, which is one attribute")
        for parameter in component.parameters:
            if parameter.name not in given and not parameter.optional:
                raise self._refusal(node, f"vs:{component.key} needs vs:{parameter.name}")
        found = {p.name: self._argument(node, p, given[p.name]) for p in component.parameters if p.name in given}
        return Constraint(OWN + component.name, tuple(sorted(found.items())))

    def _argument(self, node: Node, parameter: Parameter, value: Node) -> Any:
        """Return what a shape gives to a parameter, as its kind asks."""
        held = value.toPython() if isinstance(value, Literal) else None
        match parameter.kind:
            case "iri" if isinstance(value, URIRef):
                return self._term(value)
            case "number" if (number := _number(held)) is not None and (number > 0 or not parameter.positive):
                return number
            case "flag" if isinstance(held, bool):
                return held
            case "text" if isinstance(held, str):
                return str(held)
            case "pattern" if isinstance(held, str):
                return self._expression(node, f"vs:{parameter.name}", Pattern(str(held), foreign=self._foreign))
        raise self._refusal(node, f"vs:{parameter.name} needs {_NEEDED[parameter.kind]}")

    # What a constraint says, one function a kind; None is a constraint that says nothing

    def _number(self, node: Node, name: str, value: Node, outer: _Outer) -> int:
        found = value.toPython() if isinstance(value, Literal) else None
        if not isinstance(found, int) or isinstance(found, bool):
            raise self._refusal(node, f"sh:{name} needs an integer")
        return found

    def _any_term(self, node: Node, name: str, value: Node, outer: _Outer) -> Term:
        return self._term(value)

    def _iri(self, node: Node, name: str, value: Node, outer: _Outer) -> Term:
        if not isinstance(value, URIRef):
            raise self._refusal(node, f"sh:{name} needs an IRI")
        return self._term(value)

    def _kind(self, node: Node, name: str, value: Node, outer: _Outer) -> tuple[str, ...]:
        kind = str(value).removeprefix(str(SH))
        if kind not in _KINDS:
            raise self._refusal(node, f"{value} is no node kind")
        return _KINDS[kind]

    def _pattern(self, node: Node, name: str, value: Node, outer: _Outer) -> Pattern:
        pattern = Pattern(str(value), str(self._graph.value(node, SH.flags) or ""), self._foreign)
        if not _FLAGS.issuperset(pattern.flags):
            raise self._refusal(node, f"sh:flags {pattern.flags!r}: only i, s, m and x are understood")
        return self._expression(node, "sh:pattern", pattern)

    def _expression(self, node: Node, name: str, pattern: Pattern) -> Pattern:
        try:
            expression(pattern)
        except ValueError as error:
            raise self._refusal(node, f"{name} {pattern.text!r} is no regular expression: {error}") from error
        return pattern

    def _terms(self, node: Node, name: str, value: Node, outer: _Outer) -> tuple[Term, ...]:
        return tuple(self._term(item) for item in self._list(node, value))

    def _languages(self, node: Node, name: str, value: Node, outer: _Outer) -> tuple[str, ...]:
        return tuple(str(item).lower() for item in self._list(node, value))

    def _flag(self, node: Node, name: str, value: Node, outer: _Outer) -> bool | None:
        return True if isinstance(value, Literal) and value.toPython() is True else None

    def _closed(self, node: Node, name: str, value: Node, outer: _Outer) -> tuple[Term, ...] | None:
        return tuple(self._allowed(node)) if self._flag(node, name, value, outer) else None

    def _one_shape(self, node: Node, name: str, value: Node, outer: _Outer) -> Shape | None:
        return self._shape(value, outer)

    def _shapes(self, node: Node, name: str, value: Node, outer: _Outer) -> tuple[Shape, ...]:
        shapes = (self._shape(item, outer) for item in self._list(node, value))
        return tuple(shape for shape in shapes if shape is not None)

    def _allowed(self, node: Node) -> Iterator[Term]:
        """Yield the predicates that a closed shape lets stand (SHACL 4.8.1)."""
        for shape in self._graph.objects(node, SH.property):
            path = self._graph.value(shape, SH.path)
            if isinstance(path, URIRef):
                yield self._term(path)
        for ignored in self._graph.objects(node, SH.ignoredProperties):
            yield from (self._term(item) for item in self._list(node, ignored))

    def _list(self, node: Node, head: Node) -> Iterable[Node]:
        if head != RDF.nil and (head, RDF.first, None) not in self._graph:
            raise self._refusal(node, "a list is needed")
        return Collection(self._graph, head)

    # Paths (SHACL 2.3.1)

    def _path(self, node: Node, path: Node) -> Path:
        if isinstance(path, URIRef):
            return Step(self._term(path))
        if (path, RDF.first, None) in self._graph:
            return Sequence(tuple(self._path(node, step) for step in self._list(node, path)))
        alternative = self._graph.value(path, SH.alternativePath)
        if alternative is not None:
            return Alternative(tuple(self._path(node, each) for each in self._list(node, alternative)))
        for predicate, least, once in (
            (SH.zeroOrMorePath, 0, False),
            (SH.oneOrMorePath, 1, False),
            (SH.zeroOrOnePath, 0, True),
        ):
            repeated = self._graph.value(path, predicate)
            if repeated is not None:
                return Repeated(self._path(node, repeated), cast(Any, least), once)
        if (path, SH.inversePath, None) in self._graph:
            raise self._refusal(node, "an inverse path leads to other entities, and an entity is judged by itself")
        raise self._refusal(node, "its path is not understood")

    def _term(self, node: Node) -> Term:
        return _term(node, self._labels)

    def _refusal(self, node: Node, reason: str) -> RefusedShape:
        name = str(node) if isinstance(node, URIRef) else "a shape without a name"
        return RefusedShape(f"{name}: {reason}")


def _number(held: Any) -> float | None:
    """Return a literal's value as a number, whole where it is; None for what is no finite number."""
    if not isinstance(held, int | float | Decimal) or isinstance(held, bool) or not isfinite(held):
        return None
    return int(held) if held == int(held) else float(held)


_NEEDED = {"iri": "an IRI", "number": "a number", "flag": "true or false", "text": "a text", "pattern": "a text"}
_REFUSED = {
    "sparql": "sh:sparql is free SPARQL, which cannot be compiled; use a rule component",
    "qualifiedValueShape": "sh:qualifiedValueShape is not supported",
    "qualifiedMinCount": "sh:qualifiedMinCount is not supported",
    "qualifiedMaxCount": "sh:qualifiedMaxCount is not supported",
    "js": "sh:js runs code",
}
