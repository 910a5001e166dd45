"""Components on lists: of the same length as another, item by item at most the other's, items within a range."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from shapes.components import conditions
from shapes.components.component import Asked, Component, Fault, Given, Operand, Parameter, Scope
from shapes.components.nodes import dataset, instances, lists, number
from shapes.components.sparql import CONDITIONS, pattern, same_dataset
from shapes.shape import Term


def _pairwise(name: str, wrong: Callable[[list[Term], list[Term]], bool]) -> Callable[[Asked], Iterator[Fault]]:
    def faults(asked: Asked) -> Iterator[Fault]:
        data = asked.data
        for node in asked.values:
            own = dataset(data, node)
            others = [found for i in instances(data, asked.focus, asked.given[name], own) for found in lists(data, i)]
            if any(wrong(one, other) for one, other in product(lists(data, node), others)):
                yield Fault(node)

    return faults


def _surely(name: str, right: Callable[[list[Any], list[Any]], bool]) -> Callable[[Given, Scope], str]:
    def sure(given: Given, scope: Scope) -> str:
        own, other = scope.own.instance, scope.operand(given[name]).instance
        test = scope.name(right, name)
        both = f"type({own}) is dict and type({other}) is dict"
        held = f"type({own}.get('valueList')) is list and type({other}.get('valueList')) is list"
        tested = f"{test}({own}['valueList'], {other}['valueList'])"
        return f"{own} is None or {other} is None or {both} and {held} and {tested}"

    return sure


def _same_length(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other)


SAME_LENGTH = Component(
    "SameLength",
    "A list is as long as another.",
    (Parameter("sameLengthAs", "iri", "the attribute with the other list"),),
    f"""{pattern("sameLengthAs", value="ngsi-ld:hasValueList/rdf:rest*")}""",
    _pairwise("sameLengthAs", lambda one, other: len(one) != len(other)),
    _surely("sameLengthAs", _same_length),
    groups=" GROUP BY $this ?value ?i1 HAVING (COUNT(DISTINCT ?v0) != COUNT(DISTINCT ?v1))",
)


def _exceeds(one: list[Term], other: list[Term]) -> bool:
    pairs = ((number(a), number(b)) for a, b in zip(one, other, strict=False))
    return any(a is not None and b is not None and not a <= b for a, b in pairs)


def _none_exceeds(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        type(a) in (int, float) and type(b) in (int, float) and a <= b for a, b in zip(one, other, strict=True)
    )


EACH_AT_MOST = Component(
    "EachAtMost",
    "Each item of a list is at most the one at its place in another.",
    (Parameter("eachAtMost", "iri", "the attribute with the other list"),),
    # The place of a cell is the number of cells from which it is reached.
    f"""  $this $PATH ?value .
  ?value ngsi-ld:hasValueList/rdf:rest* ?before0 .
  ?before0 rdf:rest* ?cell0 .
  ?cell0 rdf:first ?item0 .
  $this $eachAtMost ?i1 .
  ?i1 ngsi-ld:hasValueList/rdf:rest* ?before1 .
  ?before1 rdf:rest* ?cell1 .
  ?cell1 rdf:first ?item1 .
  {same_dataset("i1")}
  FILTER(isNumeric(?item0) && isNumeric(?item1) && !(xsd:double(?item0) <= xsd:double(?item1)))""",
    _pairwise("eachAtMost", _exceeds),
    _surely("eachAtMost", _none_exceeds),
    groups=" GROUP BY $this ?value ?cell0 ?cell1 HAVING (COUNT(DISTINCT ?before0) = COUNT(DISTINCT ?before1))",
)


# Items within a range


def _outside(asked: Asked) -> Iterator[Fault]:
    data, given = asked.data, asked.given
    for node in asked.values:
        items = [found for each in lists(data, node) for term in each if (found := number(term)) is not None]
        if any(not given["itemsFrom"] <= each <= given["itemsTo"] for each in items) and conditions.hold(
            data, asked.focus, node, dataset(data, node), given
        ):
            yield Fault(node)


def _surely_within(given: Given, scope: Scope) -> str:
    own: Operand = scope.own
    low, high = given["itemsFrom"], given["itemsTo"]
    test = scope.name(_all_within(low, high), ("items", low, high))
    held = f"type({own.instance}) is dict and {test}({own.instance}.get('valueList'))"
    return conditions.unless([f"{own.instance} is None", held], given, scope)


def _all_within(low: float, high: float) -> Callable[[Any], bool]:
    def test(items: Any) -> bool:
        return type(items) is list and all(type(each) in (int, float) and low <= each <= high for each in items)

    return test


ITEMS_WITHIN = Component(
    "ItemsWithin",
    "The items of a list lie in a range, perhaps only where another attribute says so.",
    (
        Parameter("itemsFrom", "number", "at least this"),
        Parameter("itemsTo", "number", "at most this"),
        *conditions.PARAMETERS,
    ),
    f"""{pattern(value="ngsi-ld:hasValueList/rdf:rest*/rdf:first")}
  FILTER(isNumeric(?v0) && (xsd:double(?v0) < xsd:double($itemsFrom) || xsd:double(?v0) > xsd:double($itemsTo)))
{CONDITIONS}""",
    _outside,
    _surely_within,
)
