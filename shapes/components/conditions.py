"""What must hold beside before a component asks anything of an instance; parameters that several components take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shapes import terms
from shapes.components.component import Given, Parameter, Scope
from shapes.components.nodes import instances, number, values
from shapes.expressions import expression
from shapes.shape import Pattern, Term

if TYPE_CHECKING:
    from shapes.engine import Data

_QUALITY = "https://w3id.org/voltweave/cim#quality"

PARAMETERS = (
    Parameter("when", "iri", "only where this attribute has a value (of the same datasetId)", optional=True),
    Parameter("whenPattern", "pattern", "and that value, as text, matches this pattern", optional=True),
    Parameter("whenOver", "number", "and that value is a number above this one", optional=True),
    Parameter("unlessPositive", "iri", "not where this attribute has a number above 0", optional=True),
    Parameter("unlessMarked", "pattern", "not where the sub-attribute quality matches this pattern", optional=True),
)


def hold(data: Data, focus: Term, instance: Term, dataset_id: str, given: Given) -> bool:
    """Tell whether an instance of a datasetId is to be judged."""
    if "when" in given and not any(
        _meets(value, given)
        for node in instances(data, focus, given["when"], dataset_id)
        for value in values(data, node)
    ):
        return False
    if "unlessPositive" in given and any(
        (number(value) or 0) > 0
        for node in instances(data, focus, given["unlessPositive"], dataset_id)
        for value in values(data, node)
    ):
        return False
    return "unlessMarked" not in given or not any(
        matches(given["unlessMarked"], value)
        for mark in data.values(instance, terms.iri(_QUALITY))
        for value in values(data, mark)
    )


def _meets(value: Term, given: Given) -> bool:
    if "whenPattern" in given and not matches(given["whenPattern"], value):
        return False
    if "whenOver" not in given:
        return True
    found = number(value)
    return found is not None and found > given["whenOver"]


def matches(pattern: Pattern, value: Term) -> bool:
    """Tell whether a term, as text, matches a pattern."""
    text = terms.text_of(value)
    return text is not None and bool(expression(pattern).search(text))


def fail(given: Given, scope: Scope) -> str:
    """Return the text of when the conditions surely do not hold, so that nothing is asked; "" where there are none."""
    if "when" not in given:
        return ""
    value, kind, _ = scope.operand(given["when"])
    tests = [f"{value} is None"]
    if "whenPattern" in given:
        search = scope.name(expression(given["whenPattern"]).search, ("matches", given["whenPattern"]))
        tests.append(f"{kind} is str and not {search}({value})")
        tests.append(f"{kind} is bool and not {search}('true' if {value} else 'false')")
    if "whenOver" in given:
        tests.append(f"{kind} is float and {value} <= {given['whenOver']!r}")
    return " or ".join(tests)


def unless(tests: list[str], given: Given, scope: Scope) -> str:
    """Return the text of when all is surely right: one of the tests holds, or the conditions fail."""
    return " or ".join([*tests, *filter(None, [fail(given, scope)])])
