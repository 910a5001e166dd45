"""Components that put values in order: at most or at least another attribute's, a range under a condition, members."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from shapes.components import conditions
from shapes.components.component import Asked, Component, Fault, Given, Parameter, Scope
from shapes.components.nodes import dataset, instances, members, moment, numbers, quantities, quantity, seconds_between
from shapes.components.sparql import CONDITIONS, constant, duration, number, pattern
from shapes.components.sparql import quantity as quantity_text

_DAY = 86400
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class _Order:
    """A value on one side of another's."""

    key: str
    sign: Literal["<=", ">="]

    def sign_of(self, given: Given) -> str:
        """Return the sign of a shape."""
        return self.sign[0] if given.get("strictly") else self.sign

    def faults(self, asked: Asked) -> Iterator[Fault]:
        data, given = asked.data, asked.given
        compare = _ORDERS[self.sign_of(given)]
        factor, offset = float(given.get("factor", 1)), float(given.get("offset", 0))
        for node in asked.values:
            own = dataset(data, node)
            bounds = [q for i in instances(data, asked.focus, given[self.key], own) for q in quantities(data, i)]
            if any(
                q.is_number is bound.is_number
                and not compare(q.amount, bound.amount * (factor if bound.is_number else 1) + offset)
                for q in quantities(data, node)
                for bound in bounds
            ) and conditions.hold(data, asked.focus, node, own, given):
                yield Fault(node)

    def sure(self, given: Given, scope: Scope) -> str:
        own, bound, compare = scope.own, scope.operand(given[self.key]), self.sign_of(given)
        factor, offset = given.get("factor", 1), given.get("offset", 0)
        if factor == 1 and offset == 0:
            limit = bound.value
            texts = f"len({own.value}) == len({bound.value}) <= 20 and {own.value} {compare} {bound.value}"
        else:
            # RDF rounds doubles to 16 digits; only a plain comparison keeps its outcome.
            away = "-" if self.sign == "<=" else "+"
            margin = f"{away} 1e-9 * (abs({bound.value}) + {abs(offset)!r})"
            limit = f"{bound.value} * {factor!r} + {offset!r} {margin}"
            test = scope.name(_apart(compare, offset), ("apart", compare, offset))
            texts = f"{test}({own.value}, {bound.value})"
            if compare == "<=" and offset >= _DAY:
                texts = f"({own.value}[:10] == {bound.value}[:10] or {texts})"
        tests = [
            f"{own.value} is None or {bound.value} is None",
            f"{own.kind} is float and {bound.kind} is float and {own.value} {compare} {limit}",
            f"{own.kind} is str and {bound.kind} is str and {texts}",
        ]
        return conditions.unless(tests, given, scope)

    def where(self) -> str:
        bound = f"?n1 * {constant('factor', '1e0')} + {constant('offset', '0e0')}"
        return f"""{pattern(self.key)}
{quantity_text(0)}
{quantity_text(1)}
  FILTER(isNumeric(?n0) = isNumeric(?n1))
  BIND(IF(isNumeric(?n1), {bound}, IF(BOUND($offset), ?n1 + {duration("offset")}, ?n1)) AS ?bound)
  FILTER(IF(COALESCE($strictly, false), !(?n0 {self.sign[0]} ?bound), !(?n0 {self.sign} ?bound)))
{CONDITIONS}"""

    def component(self, name: str, says: str) -> Component:
        parameters = (
            Parameter(self.key, "iri", "the other attribute: a number or moment in instances of the same datasetId"),
            Parameter("factor", "number", "times this, if it is a number", optional=True),
            Parameter("offset", "number", "plus this; seconds for a moment", optional=True),
            Parameter("strictly", "flag", "and not equal to it", optional=True),
            *conditions.PARAMETERS,
        )
        return Component(name, says, parameters, self.where(), self.faults, self.sure)


def _apart(sign: str, offset: float) -> Callable[[str, str], bool]:
    compare = _ORDERS[sign]

    def test(own: str, bound: str) -> bool:
        elapsed = seconds_between(bound, own)
        if elapsed is not None:
            return compare(elapsed, offset)
        one, two = moment(own), moment(bound)
        return one is None or two is None or compare(one, two + offset)

    return test


AT_MOST = _Order("atMost", "<=").component("AtMost", "A value is at most that of another attribute.")
AT_LEAST = _Order("atLeast", ">=").component("AtLeast", "A value is at least that of another attribute.")


# A range that holds where another attribute says so


def _outside(asked: Asked) -> Iterator[Fault]:
    data, given = asked.data, asked.given
    when = {**given, "when": given["rangeWhen"]}
    for node in asked.values:
        found = numbers(data, node)
        if not all(_within(value, given) for value in found) and conditions.hold(
            data, asked.focus, node, dataset(data, node), when
        ):
            yield Fault(node)


def _within(value: float, given: Given) -> bool:
    low, high, open_low = given.get("least"), given.get("most"), given.get("over")
    return not (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (open_low is not None and value <= open_low)
    )


def _surely_within(given: Given, scope: Scope) -> str:
    value, kind, _ = scope.own
    signs = {"least": ">=", "most": "<=", "over": ">"}
    bounds = " and ".join(f"{value} {sign} {given[name]!r}" for name, sign in signs.items() if name in given)
    tests = [f"{value} is None", f"{kind} is str", f"{kind} is float and {bounds or 'True'}"]
    return conditions.unless(tests, {**given, "when": given["rangeWhen"]}, scope)


RANGE_WHEN = Component(
    "RangeWhen",
    "A value lies in a range where another attribute says so.",
    (
        Parameter("rangeWhen", "iri", "the attribute that must have a value (of the same datasetId)"),
        Parameter("least", "number", "at least this", optional=True),
        Parameter("over", "number", "more than this", optional=True),
        Parameter("most", "number", "at most this", optional=True),
        *(each for each in conditions.PARAMETERS if each.name != "when"),
    ),
    f"""{pattern()}
{number(0)}
  FILTER((BOUND($least) && ?n0 < xsd:double($least)) || (BOUND($most) && ?n0 > xsd:double($most))
    || (BOUND($over) && ?n0 <= xsd:double($over)))
{CONDITIONS.replace("$when)", "$rangeWhen)").replace("$when ", "$rangeWhen ")}""",
    _outside,
    _surely_within,
)


# Members of an object


def _disordered(asked: Asked) -> Iterator[Fault]:
    data, given = asked.data, asked.given
    for node in asked.values:
        lesser, greater = (
            [q for term in members(data, node, given[name]) if (q := quantity(term)) is not None]
            for name in ("lesserMember", "greaterMember")
        )
        if any(a.is_number is b.is_number and not a.amount < b.amount for a in lesser for b in greater):
            yield Fault(node)


def _surely_ordered(given: Given, scope: Scope) -> str:
    value, kind, _ = scope.own
    lesser, greater = (given[name][1:-1] for name in ("lesserMember", "greaterMember"))
    test = scope.name(_in_order(lesser, greater), ("members", lesser, greater))
    return f"{value} is None or {kind} is dict and {test}({value})"


def _in_order(lesser: str, greater: str) -> Callable[[dict[str, object]], bool]:
    def test(value: dict[str, object]) -> bool:
        one, two = value.get(lesser), value.get(greater)
        return type(one) is str and type(two) is str and len(one) == len(two) <= 20 and one < two

    return test


MEMBERS_IN_ORDER = Component(
    "MembersInOrder",
    "One member of an object comes before another, or is less.",
    (
        Parameter("lesserMember", "iri", "the member that is less: a number or moment"),
        Parameter("greaterMember", "iri", "the member that is more"),
    ),
    f"""  $this $PATH ?value .
  ?value ngsi-ld:hasValue ?object .
  ?object $lesserMember ?v0 .
  ?object $greaterMember ?v1 .
{quantity_text(0)}
{quantity_text(1)}
  FILTER(isNumeric(?n0) = isNumeric(?n1))
  FILTER(!(?n0 < ?n1))""",
    _disordered,
    _surely_ordered,
)
