"""SHACL Core on the RDF of one entity, as the API serves it: exact, and fast enough for what the compiled checks doubt.

Every value node is a term of the triples that `ngsild.rdf` writes; results are those that the recommendation asks for
(SHACL 3.4 to 4.8), one each with focus node, path, component, severity and value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ngsild.rdf import PREDICATES, TYPE, Triple
from shapes import terms
from shapes.components import COMPONENTS
from shapes.components.component import Asked
from shapes.expressions import expression
from shapes.shape import (
    OWN,
    Alternative,
    Constraint,
    Path,
    Repeated,
    Result,
    Sequence,
    Shape,
    Step,
    Target,
    Term,
)

Values = list[Term]
#: (data, constraint, shape, focus, values) -> the values at fault; None is a fault of no single value.
Check = Callable[["Data", Constraint, Shape, Term, Values], Iterable[Term | None]]


class Data:
    """The triples of one entity by subject and predicate."""

    def __init__(self, triples: Iterable[Triple]) -> None:
        self._index: dict[Term, dict[Term, dict[Term, None]]] = {}
        for subject, predicate, value in triples:
            self._index.setdefault(subject, {}).setdefault(predicate, {})[value] = None
        self._above: dict[Term, tuple[Term, Term]] | None = None

    def values(self, subject: Term, predicate: Term) -> Iterable[Term]:
        """Return the objects of a subject and a predicate, each once."""
        return self._index.get(subject, {}).get(predicate, {})

    def predicates(self, subject: Term) -> Iterable[tuple[Term, Iterable[Term]]]:
        """Yield the predicates of a subject with their objects."""
        yield from self._index.get(subject, {}).items()

    def targets(self, target: Target) -> list[Term]:
        """Return the nodes that a target names."""
        match target.kind:
            case "class":
                return [s for s, found in self._index.items() if target.term in found.get(TYPE, {})]
            case "node":
                return [target.term] if target.term in self._index else []
            case "subjectsOf":
                return [s for s, found in self._index.items() if target.term in found]
            case "objectsOf":
                return list({o: None for found in self._index.values() for o in found.get(target.term, {})})

    def owner(self, node: Term) -> tuple[str | None, str | None]:
        """Return the first-level attribute that a blank node belongs to, and the datasetId of its instance."""
        above, predicate, instance = self._holders(), None, node
        while terms.is_blank(node) and node in above:
            instance, (node, predicate) = node, above[node]
        datasets = [terms.text_of(term) for term in self.values(instance, PREDICATES["datasetId"])]
        return (None if predicate is None else predicate[1:-1]), (datasets[0] if datasets else None)

    def held(self, instance: Term) -> Term | None:
        """Return the value of an instance, None where it has no value or several."""
        found = list(self.values(instance, PREDICATES["value"]))
        return found[0] if len(found) == 1 else None

    def root(self, node: Term) -> Term:
        """Return the entity that a node belongs to."""
        above = self._holders()
        while terms.is_blank(node) and node in above:
            node, _ = above[node]
        return node

    def _holders(self) -> dict[Term, tuple[Term, Term]]:
        """Return by each blank node the subject and predicate that lead to it."""
        if self._above is None:
            self._above = {
                value: (subject, predicate)
                for subject, found in self._index.items()
                for predicate, values in found.items()
                for value in values
                if terms.is_blank(value)
            }
        return self._above

    def along(self, path: Path, start: Term) -> Values:
        """Return the value nodes of a path, each once."""
        match path:
            case Step(predicate):
                return list(self.values(start, predicate))
            case Sequence(steps):
                nodes = [start]
                for step in steps:
                    nodes = list({value: None for node in nodes for value in self.along(step, node)})
                return nodes
            case Alternative(paths):
                return list({value: None for each in paths for value in self.along(each, start)})
            case Repeated(inner, least, once):
                found = {start: None} if least == 0 else {}
                edge = [start]
                while edge:
                    new = [value for node in edge for value in self.along(inner, node) if value not in found]
                    found |= dict.fromkeys(new)
                    edge = [] if once else new
                return list(found)


def judge(data: Data, shape: Shape, focus: Term) -> Iterator[Result]:
    """Yield the results of a shape for one focus node."""
    values = [focus] if shape.path is None else data.along(shape.path, focus)
    for constraint in shape.constraints:
        if constraint.name == "property":
            for inner in constraint.value:
                for value in values:
                    yield from judge(data, inner, value)
            continue
        if constraint.name.startswith(OWN):
            asked = Asked(data, focus, shape.path, values, dict(constraint.value))
            for found in COMPONENTS[constraint.name.removeprefix(OWN)].faults(asked):
                yield replace(result(shape, constraint, focus, found.value), path=found.path or shape.path)
            continue
        for fault in _CHECKS[constraint.name](data, constraint, shape, focus, values):
            yield result(shape, constraint, focus, fault)


def result(shape: Shape, constraint: Constraint, focus: Term, value: Term | None = None) -> Result:
    """Return the result of a constraint that does not hold."""
    message = shape.message or f"{constraint.name} does not hold"
    return Result(focus, shape.path, constraint.component, shape.severity, shape.name, message, value, rule=shape.rule)


def conforms(data: Data, shape: Shape, node: Term) -> bool:
    """Tell whether a node conforms to a shape: it has no result of any severity."""
    return next(judge(data, shape, node), None) is None


# Value types (SHACL 4.1)


def _class(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if constraint.value not in data.values(value, TYPE))


def _datatype(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    for value in values:
        found = terms.as_literal(value)
        if found is None or terms.iri(found.datatype) != constraint.value:
            yield value


def _node_kind(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if _kind(value) not in constraint.value)


def _kind(term: Term) -> str:
    return "IRI" if terms.is_iri(term) else "BlankNode" if terms.is_blank(term) else "Literal"


# Cardinality (4.2)


def _min_count(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[None]:
    return [None] if len(values) < constraint.value else []


def _max_count(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[None]:
    return [None] if len(values) > constraint.value else []


# Value ranges (4.3): what does not compare is a fault


def _range(holds: Callable[[Term, Term], bool | None]) -> Check:
    def check(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
        return (value for value in values if not holds(value, constraint.value))

    return check


def _at_most(one: Term, other: Term) -> bool | None:
    after = terms.less(terms.native(other), terms.native(one))
    return None if after is None else not after


def _less(one: Term, other: Term) -> bool | None:
    return terms.less(terms.native(one), terms.native(other))


# Strings (4.4)


def _length(holds: Callable[[int, int], bool]) -> Check:
    def check(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
        for value in values:
            text = terms.text_of(value)
            if text is None or not holds(len(text), constraint.value):
                yield value

    return check


def _pattern(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    search = expression(constraint.value).search
    for value in values:
        text = terms.text_of(value)
        if text is None or search(text) is None:
            yield value


def _language_in(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    for value in values:
        found = terms.as_literal(value)
        tag = found.language if found else ""
        if not any(tag == wanted or tag.startswith(f"{wanted}-") for wanted in constraint.value if tag):
            yield value


def _unique_lang(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[None]:
    tags = [found.language for value in values if (found := terms.as_literal(value)) and found.language]
    return [None for tag in dict.fromkeys(tags) if tags.count(tag) > 1]


# Pairs of properties (4.5)


def _equals(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    others = list(data.values(focus, constraint.value))
    yield from (value for value in values if value not in others)
    yield from (other for other in others if other not in values)


def _disjoint(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    others = set(data.values(focus, constraint.value))
    return (value for value in values if value in others)


def _pairwise(holds: Callable[[Term, Term], bool | None]) -> Check:
    def check(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
        others = list(data.values(focus, constraint.value))
        return (value for value in values for other in others if not holds(value, other))

    return check


# Logic (4.6) and shapes (4.7)


def _not(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if conforms(data, constraint.value, value))


def _and(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if not all(conforms(data, inner, value) for inner in constraint.value))


def _or(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if not any(conforms(data, inner, value) for inner in constraint.value))


def _xone(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if sum(conforms(data, inner, value) for inner in constraint.value) != 1)


def _node(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if not conforms(data, constraint.value, value))


# Others (4.8)


def _closed(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    for value in values:
        for predicate, found in data.predicates(value):
            if predicate not in constraint.value:
                yield from found


def _has_value(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[None]:
    return [] if constraint.value in values else [None]


def _in(data: Data, constraint: Constraint, shape: Shape, focus: Term, values: Values) -> Iterable[Term]:
    return (value for value in values if value not in constraint.value)


_CHECKS: dict[str, Check] = {
    "class": _class,
    "datatype": _datatype,
    "nodeKind": _node_kind,
    "minCount": _min_count,
    "maxCount": _max_count,
    "minInclusive": _range(lambda value, bound: _at_most(bound, value)),
    "minExclusive": _range(lambda value, bound: _less(bound, value)),
    "maxInclusive": _range(_at_most),
    "maxExclusive": _range(_less),
    "minLength": _length(lambda length, bound: length >= bound),
    "maxLength": _length(lambda length, bound: length <= bound),
    "pattern": _pattern,
    "languageIn": _language_in,
    "uniqueLang": _unique_lang,
    "equals": _equals,
    "disjoint": _disjoint,
    "lessThan": _pairwise(_less),
    "lessThanOrEquals": _pairwise(_at_most),
    "not": _not,
    "and": _and,
    "or": _or,
    "xone": _xone,
    "node": _node,
    "closed": _closed,
    "hasValue": _has_value,
    "in": _in,
}
