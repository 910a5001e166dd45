"""Shapes to checks that run on every write.

For each set of types one Python function is made of the shapes that it is the target of. It looks at every attribute
once and names the shapes that it is not sure of (`shapes.certainty`); where it is sure of all, the entity conforms.
What is simply absent is a result at once; the engine judges the rest, exactly. So a check may doubt what is right,
which costs time, and must never be sure of what is wrong: the tests hold it against pySHACL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import time
from typing import Any

from ngsild.entity import Attribute, Entity
from ngsild.rdf import Triple, is_plain_name, reference, triples_of
from ngsild.render import Representation
from shapes import NAMESPACE, terms
from shapes.certainty import Certainty
from shapes.engine import Data, judge, result
from shapes.relations import Relations, is_relation
from shapes.shape import OWN, SEVERITIES, Constraint, Result, Shape, Step, Targeted
from shapes.shape import Sequence as Steps

#: (attributes of an entity) -> numbers of the shapes in doubt
Doubts = Callable[[dict[str, Attribute]], list[int]]
#: (instance, its value, the type of that) -> whether it surely conforms
Sure = Callable[[Any, Any, type], bool]

#: Constraints that hold for all values if they hold for each (SHACL 4); and minCount, for one instance is enough.
_EACH = frozenset({
    "class", "datatype", "nodeKind", "minInclusive", "minExclusive", "maxInclusive", "maxExclusive", "minLength",
    "maxLength", "pattern", "languageIn", "in", "not", "and", "or", "xone", "node", "property", "minCount",
})  # fmt: skip


#: Sets of types, given in some order, whose checks are kept.
_MOST_TYPES = 1024


class Shapes:
    """Shapes in force together; `judge` runs them on an entity."""

    def __init__(self, targeted: Iterable[Targeted]) -> None:
        self.targeted = tuple(targeted)
        self._by_types: dict[tuple[str, ...], _Compiled] = {}
        self._until = 0.0
        targets = [target for each in self.targeted for target in each.targets]
        self._classes = frozenset(target.term for target in targets if target.kind == "class")

    def judge(self, entity: Entity) -> list[Result]:
        """Return what breaks a shape, most grave first.

        Raises:
            NotAcceptable: the entity is in doubt and holds a value that RDF cannot express.
        """
        types = tuple(each for each in map(terms.iri, entity.types) if each in self._classes)
        compiled = self._by_types.get(types)
        if compiled is None:
            if len(self._by_types) >= _MOST_TYPES:
                self._by_types.clear()
            compiled = self._by_types[types] = _compile(self.targeted, types)
        if (now := time()) >= self._until:
            self._renew(now)
        doubts = compiled.doubts(entity.attributes)
        return compiled.results(entity, doubts) if doubts else []

    def _renew(self, now: float) -> None:
        """Tell the checks what time it is; they need it to the second."""
        self._until = now + 1
        for compiled in self._by_types.values():
            compiled.tell_time(now)

    def is_about(self, types: Iterable[str]) -> bool:
        """Tell whether a shape is about entities of one of these types."""
        return not {terms.iri(each) for each in types}.isdisjoint(self._classes)

    def judge_graph(self, triples: Iterable[Triple]) -> Iterator[tuple[str, list[Result]]]:
        """Yield the id of every entity in a graph that a shape is about, with what breaks a shape in it.

        Only the engine judges; that is slow, but a graph may hold what the stored form does not.
        """
        data = Data(triples)
        found: dict[str, list[Result]] = {}
        for each in self.targeted:
            for node in {n: None for target in each.targets for n in data.targets(target)}:
                entity = data.root(node)
                for one in judge(data, each.shape, node):
                    found.setdefault(entity, []).append(_placed(one, lambda: data))
                found.setdefault(entity, [])
        for entity, results in found.items():
            yield terms.text_of(entity) or entity, sorted(results, key=_gravity)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The check of one set of types."""

    doubts: Doubts
    shapes: list[Shape]
    absences: dict[int, Constraint]
    """The shapes that ask for the attribute and nothing else, with what they ask."""
    elsewhere: list[Targeted]
    """Shapes whose target is no class; their number is the one after the last of `shapes`."""
    tell_time: Callable[[float], None]
    """Says to the check what time it is."""

    def results(self, entity: Entity, doubts: Iterable[int]) -> list[Result]:
        """Return what the shapes in doubt really find."""
        focus, data = reference(entity.id) or terms.iri(entity.id), _Lazy(entity)
        found: list[Result] = []
        for number in dict.fromkeys(doubts):
            if number == len(self.shapes):
                found += self._results_elsewhere(data())
                continue
            shape, absence = self.shapes[number], self.absences.get(number)
            if absence is not None and _first(shape) not in entity.attributes:
                found.append(result(shape, absence, focus))
            else:
                found += judge(data(), shape, focus)
        return sorted((_placed(each, data) for each in found), key=_gravity)

    def _results_elsewhere(self, data: Data) -> Iterator[Result]:
        for each in self.elsewhere:
            for node in {n: None for target in each.targets if target.kind != "class" for n in data.targets(target)}:
                yield from judge(data, each.shape, node)


class _Lazy:
    """The RDF of an entity, made when it is asked for."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._data: Data | None = None

    def __call__(self) -> Data:
        if self._data is None:
            self._data = Data(triples_of([self._entity], Representation()))
        return self._data


def _gravity(found: Result) -> tuple[int, str, str]:
    return SEVERITIES.index(found.severity), found.shape, found.focus


def _placed(found: Result, data: Callable[[], Data]) -> Result:
    """Say to which attribute and dataset of the entity a result belongs."""
    if terms.is_blank(found.focus):
        attribute, dataset = data().owner(found.focus)
        return replace(found, attribute=attribute, dataset=dataset)
    if found.component.startswith(NAMESPACE) and found.value is not None and terms.is_blank(found.value):
        # The value node is an instance: what it holds says more than its label.
        attribute, dataset = data().owner(found.value)
        return replace(found, attribute=attribute, dataset=dataset, value=data().held(found.value))
    path = found.path.steps[0] if isinstance(found.path, Steps) else found.path
    return replace(found, attribute=path.predicate[1:-1]) if isinstance(path, Step) else found


def _compile(targeted: Sequence[Targeted], types: Sequence[str]) -> _Compiled:
    """Make the check of a set of types."""
    shapes = [
        shape
        for each in targeted
        if any(target.kind == "class" and target.term in types for target in each.targets)
        for shape in _split(each.shape)
    ]
    elsewhere = [each for each in targeted if any(target.kind != "class" for target in each.targets)]
    absences = {number: asked for number, shape in enumerate(shapes) if (asked := _absence(shape)) is not None}
    text = _Text(shapes, elsewhere)
    return _Compiled(text.function(), shapes, absences, elsewhere, text.tell_time)


def _split(shape: Shape) -> Iterator[Shape]:
    """Yield a node shape as its property shapes, and one with what it asks of the node itself."""
    own = tuple(c for c in shape.constraints if c.name != "property")
    if own:
        yield replace(shape, constraints=own)
    for constraint in shape.constraints:
        if constraint.name == "property":
            yield from constraint.value


def _absence(shape: Shape) -> Constraint | None:
    """Return the minCount of a shape that asks for an attribute and nothing else."""
    asked = shape.constraints
    return asked[0] if isinstance(shape.path, Step) and len(asked) == 1 and asked[0].name == "minCount" else None


def _first(shape: Shape) -> str | None:
    """Return the IRI of the attribute that the path of a shape of the entity begins with."""
    path = shape.path.steps[0] if isinstance(shape.path, Steps) else shape.path
    return path.predicate[1:-1] if isinstance(path, Step) else None


class _Text:
    """The Python text of a check."""

    def __init__(self, shapes: Sequence[Shape], elsewhere: Sequence[Targeted]) -> None:
        self._shapes = shapes
        self._elsewhere = elsewhere
        self._certainty = Certainty()
        self._relations = Relations(shapes, self._certainty)

    @property
    def tell_time(self) -> Callable[[float], None]:
        """What says to the check what time it is."""
        return self._certainty.tell_time

    def function(self) -> Doubts:
        """Return the function `doubts`."""
        by_attribute: dict[str | None, list[int]] = {attribute: [] for attribute in self._relations.attributes}
        for number, shape in enumerate(self._shapes):
            if any(not is_relation(constraint) for constraint in shape.constraints):
                by_attribute.setdefault(_first(shape), []).append(number)
        always = by_attribute.pop(None, [])
        lines = ["def doubts(attributes):", f" found = {always!r}[:]", " get = attributes.get"]
        for attribute, numbers in by_attribute.items():
            lines += self._of_attribute(attribute or "", numbers)
        lines += self._relations.lines()
        if self._elsewhere:
            lines.append(f" if {self._doubts_elsewhere()}: found.append({len(self._shapes)})")
        lines.append(" return found")
        names = self._certainty.names
        exec("\n".join(lines), names)  # noqa: S102 - the text is ours; what shapes say is in it as literals
        doubts: Doubts = names["doubts"]
        return doubts

    def _of_attribute(self, attribute: str, numbers: Sequence[int]) -> Iterator[str]:
        absent = [number for number in numbers if _needs_values(self._shapes[number])]
        counting = [number for number in numbers if any(map(_counts, self._shapes[number].constraints))]
        yield f" a = get({attribute!r})"
        yield " if a is None:"
        yield f"  found += {absent!r}" if absent else "  pass"
        yield from self._relations.absent(attribute)
        yield " else:"
        if counting:
            yield f"  if type(a) is list: found += {counting!r}"
        yield "  for x in a if type(a) is list else (a,):"
        yield "   v = x.get('value'); t = type(v)"
        for number in numbers:
            text = self._sure(self._shapes[number]) if is_plain_name(attribute) else "False"
            yield f"   if not ({text}): found.append({number})"
        yield from self._relations.present(attribute)

    def _sure(self, shape: Shape) -> str:
        """Return when an instance of its attribute surely meets a shape of the entity."""
        text: str | None = None
        asked = [constraint for constraint in shape.constraints if not is_relation(constraint)]
        if isinstance(shape.path, Steps):
            text = self._certainty.of_values(shape.path.steps[1:], asked)
        elif all(_one_will_do(constraint) for constraint in asked):
            text = self._certainty.of_instance(c for c in asked if c.name not in ("minCount", "maxCount"))
        return text or "False"

    def _doubts_elsewhere(self) -> str:
        """Return when nodes with shapes elsewhere, such as sub-attributes, are in doubt."""
        sure: dict[str, Sure] = {}
        for each in self._elsewhere:
            text = self._certainty.of_instance(each.shape.constraints) or "False"
            test: Sure = eval(f"lambda x, v, t: {text}", self._certainty.names)  # noqa: S307 - the text is ours
            for target in each.targets:
                if target.kind != "objectsOf":
                    return "True"
                sure[target.term[1:-1]] = test
        return f"{self._certainty.name(_in_doubt, 'elsewhere')}(attributes, {self._certainty.name(sure, 'sure')})"


def _needs_values(shape: Shape) -> bool:
    """Tell whether a shape may have a result where its path leads nowhere."""
    return any(c.name in ("hasValue", "equals") or (c.name == "minCount" and c.value > 0) for c in shape.constraints)


def _counts(constraint: Constraint) -> bool:
    """Tell whether a constraint may hold for each value and not for all."""
    return constraint.name not in _EACH and not constraint.name.startswith(OWN)


def _one_will_do(constraint: Constraint) -> bool:
    """Tell whether one instance meets a constraint on their number."""
    return not (
        (constraint.name == "minCount" and constraint.value > 1)
        or (constraint.name == "maxCount" and constraint.value < 1)
    )


def _in_doubt(attributes: dict[str, Any], sure: dict[str, Sure]) -> bool:
    """Tell whether an attribute or sub-attribute that has a shape of its own is not surely right."""
    for name, attribute in attributes.items():
        for x in attribute if type(attribute) is list else (attribute,):
            if name in sure and not sure[name](x, x.get("value"), type(x.get("value"))):
                return True
            for key in x:
                if ":" in key:
                    sub = x[key]
                    if type(sub) is not dict or any(":" in inner for inner in sub):
                        return True
                    if key in sure and not sure[key](sub, sub.get("value"), type(sub.get("value"))):
                        return True
    return False
