"""Components on what is there beside: a required attribute, known attributes only, times of observation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ngsild.rdf import PREDICATES
from shapes import terms
from shapes.components import conditions
from shapes.components.component import Asked, Component, Fault, Given, Parameter, Scope
from shapes.components.nodes import moment, values
from shapes.components.sparql import moment as moment_text
from shapes.expressions import expression
from shapes.shape import Step

#: Names of attributes that a check remembers as known.
_MOST_NAMES = 4096


# What another attribute requires


def _lacking(asked: Asked) -> Iterator[Fault]:
    data, given = asked.data, asked.given
    if list(data.values(asked.focus, given["requires"])):
        return
    for node in asked.values:
        if "ifPattern" not in given or any(conditions.matches(given["ifPattern"], v) for v in values(data, node)):
            yield Fault(node)


def _surely_complete(given: Given, scope: Scope) -> str:
    own, needed = scope.own, scope.operand(given["requires"])
    tests = [f"{needed.instance} is not None", f"{own.instance} is None"]
    if "ifPattern" in given:
        search = scope.name(expression(given["ifPattern"]).search, ("matches", given["ifPattern"]))
        tests.append(f"{own.kind} is str and not {search}({own.value})")
        tests.append(f"{own.kind} is bool and not {search}('true' if {own.value} else 'false')")
    return " or ".join(tests)


REQUIRES = Component(
    "Requires",
    "Where an attribute is there, or has some value, another is there too.",
    (
        Parameter("requires", "iri", "the attribute that is needed, of any datasetId"),
        Parameter("ifPattern", "pattern", "only where the value, as text, matches this pattern", optional=True),
    ),
    """  $this $PATH ?value .
  FILTER NOT EXISTS { $this $requires ?needed }
  FILTER(IF(BOUND($ifPattern), EXISTS {
    ?value ngsi-ld:hasValue ?v0 .
    FILTER(!isBlank(?v0) && REGEX(STR(?v0), $ifPattern))
  }, true))""",
    _lacking,
    _surely_complete,
)


# Attributes outside a vocabulary


def _unknown(asked: Asked) -> Iterator[Fault]:
    for predicate, _ in asked.data.predicates(asked.focus):
        if predicate.startswith(f"<{asked.given['noAttributeFrom']}"):
            yield Fault(asked.focus, Step(predicate))


def _surely_known(given: Given, scope: Scope) -> str:
    namespace = given["noAttributeFrom"]
    return f"{scope.name(_all_known(namespace), ('known', namespace))}(attributes)"


def _all_known(namespace: str) -> Callable[[dict[str, Any]], bool]:
    known: set[str] = set()

    def test(attributes: dict[str, Any]) -> bool:
        if known.issuperset(attributes):
            return True
        if any(name.startswith(namespace) for name in attributes):
            return False
        if len(known) < _MOST_NAMES:
            known.update(attributes)
        return True

    return test


NO_ATTRIBUTE_FROM = Component(
    "NoAttributeFrom",
    "No attribute of the entity is in a namespace; the result names each that is.",
    (Parameter("noAttributeFrom", "text", "the namespace"),),
    """  $this ?path ?anything .
  FILTER(STRSTARTS(STR(?path), $noAttributeFrom))""",
    _unknown,
    _surely_known,
    on_entity=True,
)


# A moment before all observations


def _too_late(asked: Asked) -> Iterator[Fault]:
    data = asked.data
    if not asked.given["beforeObservations"]:
        return
    times = [
        seconds
        for predicate, found in data.predicates(asked.focus)
        for instance in found
        for term in data.values(instance, PREDICATES["observedAt"])
        if (seconds := moment(terms.text_of(term) or "")) is not None
    ]
    for node in asked.values:
        begin = [s for value in values(data, node) if (s := moment(terms.text_of(value) or "")) is not None]
        if times and any(each > min(times) for each in begin):
            yield Fault(node)


def _surely_before(given: Given, scope: Scope) -> str:
    value, kind, _ = scope.own
    return f"{value} is None or {kind} is str and {scope.name(_before_all, 'before all')}({value}, attributes)"


def _before_all(begin: str, attributes: dict[str, Any]) -> bool:
    """Tell whether a date or moment surely is no later than any observation; a date is its first moment."""
    length = {10: 10, 20: 19}.get(len(begin))
    return length is not None and all(
        instance.get("observedAt", begin)[:length] >= begin[:length]
        for attribute in attributes.values()
        for instance in (attribute if type(attribute) is list else (attribute,))
    )


BEFORE_OBSERVATIONS = Component(
    "BeforeObservations",
    "A moment is no later than any observedAt of the entity.",
    (Parameter("beforeObservations", "flag", "whether it is asked"),),
    f"""  $this $PATH ?value .
  ?value ngsi-ld:hasValue ?v0 .
  $this ?attribute ?instance .
  ?instance ngsi-ld:observedAt ?v1 .
  FILTER($beforeObservations && {moment_text("?v0")} > {moment_text("?v1")})""",
    _too_late,
    _surely_before,
)
