"""What is surely right by a shape, as Python text over one attribute instance of the stored form.

A text is true only where the RDF of the instance surely conforms; where nothing simple can be said there is no text
(None). It speaks of `x`, an instance, and of scalars in it, whose RDF is one term each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from ngsild.context import core_terms
from ngsild.entity import VALUE_MEMBERS
from ngsild.rdf import COORDINATES, FIRST, PREDICATES, REST, XSD, is_plain_name
from shapes import terms
from shapes.components import COMPONENTS
from shapes.components.values import Soon
from shapes.expressions import expression
from shapes.shape import OWN, Alternative, Constraint, Path, Pattern, Repeated, Shape, Step
from shapes.shape import Sequence as Steps

_GEOJSON = "https://purl.org/geojson/vocab#"
_LANG_STRING = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#langString>"
_FIRST, _REST = Step(FIRST), Step(REST)
_TAIL = Repeated(_REST, 0, False)
_COORDINATES = Step(COORDINATES)
#: The attribute types by the term that RDF types their instances with.
_TYPES = {terms.iri(core_terms().expand(name)): name for name in VALUE_MEMBERS}
#: What a member of an instance may be in RDF, by the predicate that it becomes.
_MEMBERS = {
    PREDICATES["value"]: ("value", frozenset({"str", "int", "float", "bool"})),
    PREDICATES["object"]: ("object", frozenset({"iri"})),
    PREDICATES["vocab"]: ("vocab", frozenset({"name"})),
    PREDICATES["unitCode"]: ("unitCode", frozenset({"str"})),
    PREDICATES["observedAt"]: ("observedAt", frozenset({"moment"})),
    PREDICATES["datasetId"]: ("datasetId", frozenset({"iri"})),
}
#: Where longitude and latitude of a point are, by the path to them.
_POSITION: dict[tuple[Path, ...], int] = {(_COORDINATES, _FIRST): 0, (_COORDINATES, _REST, _FIRST): 1}
_LANGUAGES, _ITEMS = Step(PREDICATES["languageMap"]), Step(PREDICATES["valueList"])
_MOMENTS = frozenset(
    {*(core_terms().expand(name) for name in ("DateTime", "Date")), *(f"{XSD}{name}" for name in ("dateTime", "date"))}
)
#: 22.0 is an integer in RDF, 22.5 a double: a float surely has a datatype only where both will do.
_OF_DATATYPE = {
    f"<{XSD}string>": frozenset({"str"}),
    f"<{XSD}boolean>": frozenset({"bool"}),
    f"<{XSD}integer>": frozenset({"int", "whole"}),
    f"<{XSD}double>": frozenset({"broken"}),
}
_OF_KIND = {
    "IRI": frozenset({"iri", "name"}),
    "Literal": frozenset({"str", "int", "float", "bool", "moment"}),
    "BlankNode": frozenset[str](),
}
_NUMBERS = frozenset({"int", "float"})
_TEXTS = frozenset({"str", "iri", "name"})
_EVERY = _NUMBERS | _TEXTS | {"bool", "moment", "whole", "broken"}
_COMPARED = {"minInclusive": ">=", "minExclusive": ">", "maxInclusive": "<=", "maxExclusive": "<"}
_LENGTHS = {"minLength": ">=", "maxLength": "<="}
#: An IRI that RDF keeps as it is, after what a pattern says of its begin.
_KEPT = r'[^\s\x00-\x20<>"{}|^`\\]*\Z'
_WELL_FORMED = re.compile(r"(?!ngsi-ld:|geojson:)[A-Za-z][A-Za-z0-9+.\-]*:" + _KEPT)
_PREFIX = re.compile(r"\^([A-Za-z][A-Za-z0-9:_-]*:)\Z")


_IS_GEOMETRY = "x['type'] == 'GeoProperty' and type(v) is dict and len(v) == 2"
#: Stands for the scalar in a test.
_IT = "\0"
#: Stands for an attribute of which nothing simple can be said: it has several instances, or a datasetId.
MANY = ()


@dataclass(frozen=True, slots=True)
class _Scalar:
    """What a scalar must be: of one of these kinds, and meet these tests, texts with `_IT` for it."""

    kinds: frozenset[str]
    tests: tuple[str, ...] = ()
    well_formed: bool = False
    """The tests let no text pass that makes no IRI."""

    def also(self, other: _Scalar) -> _Scalar:
        """Return what meets both."""
        return _Scalar(self.kinds & other.kinds, self.tests + other.tests, self.well_formed or other.well_formed)

    def text(self, held: str, kind: str) -> str:
        """Return the test of a value, given the texts of the value and of its type."""
        if self.kinds & {"iri", "name"}:
            of_kind = f"{kind} is str" if self.well_formed else f"{kind} is str and WELL({held})"
        else:
            types = [name for name in ("str", "int", "float", "bool") if name in self.kinds]
            of_kind = " or ".join(f"{kind} is {name}" for name in types)
            of_kind = f"({of_kind})" if len(types) > 1 else of_kind
        return _all([of_kind, *(test.replace(_IT, held) for test in self.tests)])


class Certainty:
    """Makes texts; what they need beside `x` is kept in `names`."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "WELL": _WELL_FORMED.match, "plain": _is_plain, "cells": _cells, "many": _many, "present": _is_present,
            "typed": _is_typed, "untyped": _untyped, "MANY": MANY,
        }  # fmt: skip
        self._clocks: list[tuple[str, Soon]] = []
        self._numbered: dict[Any, str] = {}

    def name(self, value: Any, key: Any = None) -> str:
        """Return a name for a value, the same one for the same key."""
        key = value if key is None else key
        if key not in self._numbered:
            self._numbered[key] = f"n{len(self._numbered)}"
            self.names[self._numbered[key]] = value
            if isinstance(value, Soon):
                self._clocks.append((self._numbered[key], value))
                self.tell_time(time())
        return self._numbered[key]

    def tell_time(self, now: float) -> None:
        """Write the texts that come soon after a time."""
        for name, soon in self._clocks:
            self.names[name] = soon.text(now)

    def of_instance(self, constraints: Iterable[Constraint]) -> str | None:
        """Return when an instance surely meets the constraints on itself as a node."""
        tests: list[str] = []
        for constraint in constraints:
            if constraint.name == "property":
                for inner in constraint.value:
                    test = self.of_property(inner)
                    if test is None:
                        return None
                    tests.append(test)
            elif constraint.name == "class" and constraint.value in _TYPES:
                tests.append(f"x['type'] == {_TYPES[constraint.value]!r}")
            elif constraint.name == "nodeKind" and "BlankNode" in constraint.value:
                continue
            else:
                return None
        return _all(tests)

    def of_property(self, shape: Shape) -> str | None:
        """Return when an instance surely has no result of a property shape."""
        match shape.path:
            case Step() as step:
                return self.of_values((step,), shape.constraints)
            case Steps((Step(predicate), *rest)) if predicate not in _MEMBERS and (len(rest) > 0):
                return self._of_sub_attribute(predicate, tuple(rest), shape.constraints)
            case Steps(steps):
                return self.of_values(steps, shape.constraints)
        return None

    def _of_sub_attribute(
        self, predicate: str, steps: tuple[Path, ...], constraints: Sequence[Constraint]
    ) -> str | None:
        """Of a sub-attribute with one instance; a text in a function of its own, for it speaks of another instance."""
        if predicate in (_LANGUAGES.predicate, _ITEMS.predicate):
            return self.of_values((Step(predicate), *steps), constraints)
        inner = self.of_values(steps, constraints)
        if inner is None:
            return None
        iri = terms.text_of(predicate)
        held = f"(lambda v, t: {inner})(x.get('value'), type(x.get('value')))"
        test = eval(f"lambda x: type(x) is dict and {held}", self.names)  # noqa: S307 - the text is ours
        return f"{self.name(test, (predicate, steps, inner))}(x.get({iri!r}))"

    def of_values(self, steps: tuple[Path, ...], constraints: Sequence[Constraint]) -> str | None:
        """Return when the values along a path from an instance surely meet constraints."""
        first, rest = steps[0], steps[1:]
        if first == _LANGUAGES and not rest:
            return "x['type'] == 'LanguageProperty' and plain(x)" if _takes_languages(constraints) else None
        if first == _ITEMS:
            return self._of_items(rest, constraints)
        if not isinstance(first, Step) or first.predicate not in _MEMBERS:
            return None
        member, kinds = _MEMBERS[first.predicate]
        if not rest:
            nodes = self._of_node(member, constraints)
            if nodes is not None:
                return nodes
            scalar = self._scalar(kinds, constraints)
            several = all(constraint.name != "maxCount" for constraint in constraints)
            text = None if scalar is None else self._tested(scalar, member, several)
            typed = self._of_typed(constraints) if member == "value" else None
            if member == "value" and scalar is not None and any(c.name.startswith(OWN) for c in constraints):
                typed = f"t is dict and {self._item(scalar)}(untyped(v))"
            return f"({text} or {typed})" if text is not None and typed is not None else text
        if member == "value":
            return self._of_parts(rest, constraints)
        return None

    # Scalars

    def _scalar(self, kinds: frozenset[str], constraints: Iterable[Constraint]) -> _Scalar | None:
        """Return what a single scalar of some of these kinds must be to meet the constraints."""
        scalar = _Scalar(kinds)
        for constraint in constraints:
            narrowed = self._narrowed(constraint)
            if narrowed is None:
                return None
            scalar = scalar.also(narrowed)
        return scalar if scalar.kinds else None

    def _narrowed(self, constraint: Constraint) -> _Scalar | None:
        name, value = constraint.name, constraint.value
        if name.startswith(OWN):
            return _meeting(constraint, self.name)
        if name in ("minCount", "maxCount"):
            return _Scalar(_EVERY) if _one({name: value}) else None
        if name == "datatype":
            return _Scalar(_OF_DATATYPE[value]) if value in _OF_DATATYPE else None
        if name == "nodeKind":
            return _Scalar(frozenset[str]().union(*(_OF_KIND[kind] for kind in value)))
        if name == "or":
            return self._any(value)
        if name == "pattern":
            return self._matching(value)
        if name in _LENGTHS:
            return _Scalar(_TEXTS, (f"len({_IT}) {_LENGTHS[name]} {value}",))
        if name in _COMPARED:
            bound = terms.native(value)
            if type(bound) not in (int, float):
                return None
            return _Scalar(_NUMBERS, (f"{_IT} {_COMPARED[name]} {bound!r}",))
        if name in ("in", "hasValue"):
            return self._member(value if name == "in" else (value,))
        return None

    def _any(self, shapes: Sequence[Shape]) -> _Scalar | None:
        """Of alternatives only those count that ask for a kind and nothing else."""
        kinds = frozenset[str]()
        for shape in shapes:
            scalar = None if shape.path else self._scalar(_EVERY, shape.constraints)
            if scalar is not None and not scalar.tests:
                kinds |= scalar.kinds
        if {"whole", "broken"} <= kinds:
            kinds |= {"float"}
        return _Scalar(kinds)

    def _matching(self, pattern: Pattern) -> _Scalar:
        prefix = None if pattern.flags else _PREFIX.match(pattern.text)
        if prefix is not None and not prefix[1].startswith(("ngsi-ld:", "geojson:")):
            # What begins so and is well-formed for the rest is well-formed.
            whole = re.compile(re.escape(prefix[1]) + _KEPT)
            return _Scalar(_TEXTS, (f"{self.name(whole.match, ('match', whole.pattern))}({_IT})",), True)
        search = expression(pattern).search
        return _Scalar(_TEXTS, (f"{self.name(search, ('search', pattern))}({_IT})",))

    def _member(self, allowed: Sequence[str]) -> _Scalar | None:
        iris = frozenset(term[1:-1] for term in allowed if terms.is_iri(term))
        texts = frozenset(
            found.text
            for term in allowed
            if (found := terms.as_literal(term)) is not None and found.datatype == f"{XSD}string"
        )
        if iris and not texts:
            return _Scalar(frozenset({"iri", "name"}), (f"{_IT} in {self.name(iris)}",), True)
        if len(texts) == 1:
            return _Scalar(frozenset({"str"}), (f"{_IT} == {next(iter(texts))!r}",))
        return _Scalar(frozenset({"str"}), (f"{_IT} in {self.name(texts)}",)) if texts else None

    def _tested(self, scalar: _Scalar, member: str, several: bool) -> str:
        """Return the test of a member of `x`: a scalar or, where there may be several, an array of them."""
        held, kind = ("v", "t") if member == "value" else (f"x.get({member!r})", f"type(x.get({member!r}))")
        if scalar.kinds == {"moment"}:
            return _all([f"{member!r} in x", *(test.replace(_IT, f"x[{member!r}]") for test in scalar.tests)])
        one = scalar.text(held, kind)
        return f"({one} or many({held}, {self._item(scalar)}))" if several else one

    def _of_typed(self, constraints: Sequence[Constraint]) -> str | None:
        """Of a text with its datatype, such as a DateTime, where a datatype and perhaps a pattern are asked."""
        asked = _asked(constraints)
        if asked is None or not _one(asked) or asked.keys() - {"minCount", "maxCount", "or", "datatype", "pattern"}:
            return None
        if ("or" in asked) == ("datatype" in asked):
            return None
        datatypes = {asked["datatype"]} if "datatype" in asked else _alone("datatype", asked["or"])
        search = expression(asked["pattern"]).search if "pattern" in asked else _anything
        names = frozenset(term[1:-1] for term in datatypes)
        return f"typed(v, {self.name(names)}, {self.name(search, ('typed', asked.get('pattern')))})"

    # Nodes: JSON objects as values

    def _of_node(self, member: str, constraints: Sequence[Constraint]) -> str | None:
        """Of a value that is there, or is an object: a blank node, or a geometry of given types."""
        asked = _asked(constraints)
        if member != "value" or asked is None or not _one(asked):
            return None
        left = {name: value for name, value in asked.items() if name not in ("minCount", "maxCount")}
        if not left:
            single = "type(v) is not list and " if "maxCount" in asked else ""
            return f"x['type'] == 'Property' and {single}present(v)"
        if left == {"nodeKind": ("BlankNode",)}:
            return "x['type'] == 'Property' and type(v) is dict and cells(v)"
        if left.keys() == {"or"}:
            classes = _alone("class", left["or"])
            if classes and all(each.startswith(f"<{_GEOJSON}") for each in classes):
                names = frozenset(each[len(_GEOJSON) + 1 : -1] for each in classes)
                return f"{_IS_GEOMETRY} and v['type'] in {self.name(names)}"
        return None

    def _of_items(self, rest: tuple[Path, ...], constraints: Sequence[Constraint]) -> str | None:
        """Of a list: its head, its cells or its items."""
        asked = _asked(constraints) or {}
        if not rest and not asked.keys() - {"minCount", "maxCount"} and _one(asked):
            return "type(x.get('valueList')) is list"
        if rest == (_TAIL,) and asked.keys() <= {"minCount", "maxCount"}:
            least, most = asked.get("minCount", 0) - 1, asked.get("maxCount", 1 << 62) - 1
            return f"type(x.get('valueList')) is list and {least} <= len(x['valueList']) <= {most}"
        if rest == (_TAIL, _FIRST):
            scalar = self._scalar(_NUMBERS | {"str", "bool"}, constraints)
            if scalar is not None:
                return f"type(x.get('valueList')) is list and all(map({self._item(scalar)}, x['valueList']))"
        return None

    def _of_parts(self, rest: tuple[Path, ...], constraints: Sequence[Constraint]) -> str | None:
        """Of the scalars inside a value: a coordinate, or members of an object."""
        scalar = self._scalar(_NUMBERS | {"str", "bool"}, constraints)
        if scalar is None:
            return None
        item = self._item(scalar)
        at = _POSITION.get(rest)
        if at is not None:
            return f"{_IS_GEOMETRY} and v['type'] == 'Point' and {item}(v['coordinates'][{at}])"
        steps = rest[0].paths if len(rest) == 1 and isinstance(rest[0], Alternative) else rest if len(rest) == 1 else ()
        keys = [step.predicate[1:-1] for step in steps if isinstance(step, Step)]
        if not keys or len(keys) < len(steps) or not all(map(is_plain_name, keys)):
            return None
        counted = {c.name for c in constraints} & {"minCount", "maxCount"}
        if counted and len(keys) > 1:
            return None
        held = " and ".join(f"({key!r} not in v or {item}(v[{key!r}]))" for key in keys)
        there = f" and {keys[0]!r} in v" if "minCount" in counted else ""
        return f"x['type'] == 'Property' and type(v) is dict and cells(v){there} and {held}"

    def _item(self, scalar: _Scalar) -> str:
        """Return the name of a function that tests one scalar."""
        text = scalar.text("v", "type(v)")
        test: Callable[[Any], bool] = eval(f"lambda v: {text}", self.names)  # noqa: S307 - the text is ours
        return self.name(test, ("item", text))


def _meeting(constraint: Constraint, name: Callable[..., str]) -> _Scalar | None:
    """Return what a scalar must be to meet a component of ours, None where it is not asked of scalars."""
    scalar = COMPONENTS[constraint.name.removeprefix(OWN)].scalar
    if scalar is None:
        return None
    kinds, test = scalar(dict(constraint.value), name)
    return _Scalar(kinds, (test,))


def _one(asked: dict[str, Any]) -> bool:
    return bool(asked.get("minCount", 0) <= 1 <= asked.get("maxCount", 1))


def _all(tests: Sequence[str]) -> str:
    return " and ".join(tests) or "True"


def _asked(constraints: Iterable[Constraint]) -> dict[str, Any] | None:
    """Return what constraints ask by their names, None where one is asked twice."""
    given = tuple(constraints)
    asked = {c.name: c.value for c in given}
    return asked if len(asked) == len(given) else None


def _alone(name: str, shapes: Iterable[Shape]) -> set[str]:
    """Return what those of the alternatives ask that ask for this one thing only."""
    return {
        shape.constraints[0].value
        for shape in shapes
        if shape.path is None and len(shape.constraints) == 1 and shape.constraints[0].name == name
    }


def _takes_languages(constraints: Iterable[Constraint]) -> bool:
    asked = _asked(constraints)
    if asked is None or asked.keys() - {"minCount", "or"} or not _one(asked):
        return False
    return "or" not in asked or _alone("datatype", asked["or"]) >= {_LANG_STRING, f"<{XSD}string>"}


def _is_plain(x: dict[str, Any]) -> bool:
    """Tell whether a LanguageProperty has a text, and texts alone."""
    return bool(x["languageMap"]) and all(type(text) is str for text in x["languageMap"].values())


def _cells(value: dict[str, Any]) -> bool:
    """Tell whether an object is surely a blank node whose members mean no more than they say."""
    return all(":" in key or key == "type" for key in value)


def _anything(_: str) -> bool:
    return True


def _is_typed(value: Any, datatypes: frozenset[str], search: Callable[[str], Any]) -> bool:
    """Tell whether a value is a text with one of these datatypes, and found by `search`."""
    if type(value) is not dict or len(value) != 2 or value.get("@type") not in datatypes:
        return False
    text = value.get("@value")
    return type(text) is str and bool(search(text))


def _untyped(value: dict[str, Any]) -> Any:
    """Return the text of a time or date with its datatype, any other object as it is."""
    text = value.get("@value")
    return text if len(value) == 2 and type(text) is str and value.get("@type") in _MOMENTS else value


def _is_present(value: Any) -> bool:
    """Tell whether a value is surely a node or several: a scalar, an object, or an array of them."""
    if type(value) is list:
        return bool(value) and all(map(_is_present, value))
    return _cells(value) if type(value) is dict else value is not None


def _many(value: Any, test: Callable[[Any], bool]) -> bool:
    """Tell whether a value is an array, not an empty one, of which every item passes."""
    return type(value) is list and bool(value) and all(map(test, value))
