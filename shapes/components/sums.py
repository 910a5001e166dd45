"""Components that reckon: a duration between two moments, a sum, a product or quotient of other attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from ngsild.rdf import PREDICATES
from shapes.components.component import Asked, Component, Fault, Given, Operand, Parameter, Scope
from shapes.components.nodes import dataset, instances, moment, numbers, seconds_between, values
from shapes.components.sparql import constant, maybe, number, pattern, seconds
from shapes.components.sparql import moment as moment_text
from shapes.shape import Term
from shapes.terms import text_of

#: RDF rounds doubles to 16 digits: what compiled text is sure of keeps this far from a bound, as a share of numbers.
_MARGIN = 1e-9


# How long


def _wrong_duration(asked: Asked) -> Iterator[Fault]:
    data, given = asked.data, asked.given
    for node in asked.values:
        own = dataset(data, node)
        starts, ends = (
            [
                seconds
                for each in instances(data, asked.focus, given[name], own)
                for value in values(data, each)
                if (seconds := moment(text_of(value) or "")) is not None
            ]
            for name in ("lastsFrom", "lastsUntil")
        )
        if any(
            abs(length - (end - start)) > given["tolerance"]
            for length, start, end in product(numbers(data, node), starts, ends)
        ):
            yield Fault(node)


def _surely_lasts(given: Given, scope: Scope) -> str:
    own, start, end = scope.own, scope.operand(given["lastsFrom"]), scope.operand(given["lastsUntil"])
    test = scope.name(_lasts(given["tolerance"]), ("lasts", given["tolerance"]))
    return (
        f"{own.value} is None or {start.value} is None or {end.value} is None or {own.kind} is float and"
        f" {start.kind} is str and {end.kind} is str and {test}({own.value}, {start.value}, {end.value})"
    )


def _lasts(tolerance: float) -> Callable[[float, str, str], bool]:
    def test(length: float, start: str, end: str) -> bool:
        elapsed = seconds_between(start, end)
        return elapsed is not None and abs(length - elapsed) <= tolerance

    return test


LASTS = Component(
    "Lasts",
    "A number is the seconds from one moment to another.",
    (
        Parameter("lastsFrom", "iri", "the attribute with the earlier moment"),
        Parameter("lastsUntil", "iri", "the attribute with the later moment"),
        Parameter("tolerance", "number", "seconds by which it may differ"),
    ),
    f"""{pattern("lastsFrom", "lastsUntil")}
{number(0)}
  BIND({moment_text("?v1")} AS ?t1)
  BIND({moment_text("?v2")} AS ?t2)
{seconds(1)}
{seconds(2)}
  FILTER(ABS(?n0 - (?m2 - ?m1)) > xsd:double($tolerance))""",
    _wrong_duration,
    _surely_lasts,
)


# Sums and products


def _near(value: float, expected: float, given: Given) -> bool:
    gap = abs(value - expected)
    absolute, relative = float(given.get("tolerance", 0)), float(given.get("relativeTolerance", 0))
    return gap <= absolute or gap <= relative * abs(value)


#: Where the gap between a value and what it should be is too wide.
_GAP = f"""  FILTER(ABS(?n0 - ?expected) > {constant("tolerance", "0e0")}
    && ABS(?n0 - ?expected) > {constant("relativeTolerance", "0e0")} * ABS(?n0))"""
_TOLERANCES = (
    Parameter("tolerance", "number", "by which it may differ", optional=True),
    Parameter("relativeTolerance", "number", "or this share of the value itself", optional=True),
)


def _reckoned(names: Sequence[str], expected: Callable[[Given, Sequence[float]], float | None]) -> Any:
    """Return the check of a number that is reckoned from those of other attributes."""

    def faults(asked: Asked) -> Iterator[Fault]:
        data, given = asked.data, asked.given
        attributes = [given[name] for name in names if name in given]
        for node in asked.values:
            own = dataset(data, node)
            others = [list(instances(data, asked.focus, each, own)) for each in attributes]
            if any(
                (wanted := expected(given, found)) is not None and not _near(value, wanted, given)
                for chosen in product(*others)
                if not given.get("sameTime") or _at_once(asked, [node, *chosen])
                for found in product(*(numbers(data, each) for each in chosen))
                for value in numbers(data, node)
            ):
                yield Fault(node)

    return faults


def _at_once(asked: Asked, nodes: Sequence[Term]) -> bool:
    """Tell whether instances have the same observedAt."""
    times = {text_of(t) for node in nodes for t in asked.data.values(node, PREDICATES["observedAt"])}
    return len(times) == 1 and all(list(asked.data.values(node, PREDICATES["observedAt"])) for node in nodes)


def _surely_near(given: Given, scope: Scope, operands: Sequence[Operand], expected: str, size: str) -> str:
    """Return when a value surely is near what it should be, or an operand is absent; `size` is of what is rounded."""
    own = scope.own
    absent = " or ".join(f"{each.value} is None" for each in (own, *operands))
    kinds = " and ".join(f"{each.kind} is float" for each in (own, *operands))
    gap = f"(gap := abs({own.value} - ({expected})) + {_MARGIN!r} * ({size}))"
    near = f"{gap} <= {given.get('tolerance', 0)!r} or gap <= {given.get('relativeTolerance', 0)!r} * abs({own.value})"
    return f"{absent} or {kinds} and ({near})"


def _sum(given: Given, found: Sequence[float]) -> float:
    one, *rest = found
    second = rest.pop(0) if "plus" in given else 0.0
    return one + second - (rest.pop(0) if "less" in given else 0.0)


def _surely_the_sum(given: Given, scope: Scope) -> str:
    signs = {"sumOf": "", "plus": " + ", "less": " - "}
    operands = {name: scope.operand(given[name]) for name in signs if name in given}
    expected = "".join(f"{signs[name]}{operand.value}" for name, operand in operands.items())
    size = " + ".join(f"abs({operand.value})" for operand in operands.values())
    near = _surely_near(given, scope, list(operands.values()), expected, size)
    whole = " and ".join(f"type({each.value}) is int" for each in (scope.own, *operands.values()))
    return near if given.get("tolerance") else f"{near} or {whole} and {scope.own.value} == {expected}"


SUM = Component(
    "Sum",
    "A number is the sum of others.",
    (
        Parameter("sumOf", "iri", "the attribute with the first number"),
        Parameter("plus", "iri", "the one to add", optional=True),
        Parameter("less", "iri", "the one to take away", optional=True),
        *_TOLERANCES,
    ),
    f"""{pattern("sumOf")}
{maybe(2, "plus", "0e0")}
{maybe(3, "less", "0e0")}
{number(0)}
{number(1)}
  BIND(?n1 + ?n2 - ?n3 AS ?expected)
{_GAP}""",
    _reckoned(("sumOf", "plus", "less"), _sum),
    _surely_the_sum,
)

_FACTORS = ("productOf", "times", "dividedBy", "andBy", "andAlsoBy")


def _product(given: Given, found: Sequence[float]) -> float | None:
    result, rest = found[0], list(found[1:])
    if "times" in given:
        result *= rest.pop(0)
    for divisor in rest:
        if divisor == 0:
            return None
        result /= divisor
    return result * float(given.get("scale", 1)) + float(given.get("constant", 0))


def _surely_the_product(given: Given, scope: Scope) -> str:
    operands = {name: scope.operand(given[name]) for name in _FACTORS if name in given}
    expected = operands["productOf"].value
    expected += "".join(
        f" {'*' if name == 'times' else '/'} {operand.value}"
        for name, operand in operands.items()
        if name != "productOf"
    )
    # A divisor that is 0 is left to the engine.
    divisors = [operand.value for name, operand in operands.items() if name not in ("productOf", "times")]
    scale, constant_ = given.get("scale", 1), given.get("constant", 0)
    size = f"abs({scope.own.value}) + {2 * abs(constant_)!r}"
    near = _surely_near(given, scope, list(operands.values()), f"({expected}) * {scale!r} + {constant_!r}", size)
    near = "".join(f"{each} != 0 and " for each in divisors) + f"({near})"
    if not given.get("sameTime"):
        return near
    test = scope.name(_differ_in_time, "differ in time")
    known = [scope.own.instance, *(operand.instance for operand in operands.values())]
    return f"{near} or {test}({', '.join(known)})"


def _differ_in_time(*given: Any) -> bool:
    """Tell whether instances surely were not all observed at the same time."""
    if not all(type(each) is dict for each in given):
        return False
    times = {each.get("observedAt") for each in given}
    return len(times) > 1 or times == {None}


_AT_ONCE = " && ".join(
    f"IF({given}, EXISTS {{ ?value ngsi-ld:observedAt ?t . ?i{n} ngsi-ld:observedAt ?u ."
    " FILTER(STR(?t) = STR(?u)) }, true)"
    for n, given in enumerate(("true", *(f"BOUND(${name})" for name in _FACTORS[1:])), 1)
)

PRODUCT = Component(
    "Product",
    "A number is a product or quotient of others.",
    (
        Parameter("productOf", "iri", "the attribute with the first number"),
        Parameter("times", "iri", "the one to multiply by", optional=True),
        Parameter("dividedBy", "iri", "the one to divide by; 0 makes no result", optional=True),
        Parameter("andBy", "iri", "and this one", optional=True),
        Parameter("andAlsoBy", "iri", "and this one", optional=True),
        Parameter("scale", "number", "times this", optional=True),
        Parameter("constant", "number", "plus this", optional=True),
        Parameter("sameTime", "flag", "only where all were observed at the same time", optional=True),
        *_TOLERANCES,
    ),
    f"""{pattern("productOf")}
{maybe(2, "times", "1e0")}
{maybe(3, "dividedBy", "1e0")}
{maybe(4, "andBy", "1e0")}
{maybe(5, "andAlsoBy", "1e0")}
{number(0)}
{number(1)}
  FILTER(?n3 != 0 && ?n4 != 0 && ?n5 != 0)
  BIND(?n1 * ?n2 / ?n3 / ?n4 / ?n5 * {constant("scale", "1e0")} + {constant("constant", "0e0")} AS ?expected)
{_GAP}
  FILTER(IF(COALESCE($sameTime, false), {_AT_ONCE}, true))""",
    _reckoned(_FACTORS, _product),
    _surely_the_product,
)
