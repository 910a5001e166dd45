"""Pieces of SPARQL that validators are made of.

Variables end in the number of an operand: `?v1` is a value, `?n1` its number (or dateTime, for a moment), 0 being that
of the attribute at the shape's path. An operand without a number leaves `?n1` unbound, so that no comparison holds and
there is no result: whether it should be a number is for other shapes to say.
"""

from __future__ import annotations

import re

from ngsild.rdf import XSD

PREFIXES = {"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "xsd": XSD}
#: Written out, for pySHACL would write a path in such a namespace with the prefix, which not every name allows.
_WRITTEN_OUT = {"ngsi-ld:": "https://uri.etsi.org/ngsi-ld/", "geojson:": "https://purl.org/geojson/vocab#"}
_NAME = re.compile(rf"(?<![\w<])({'|'.join(_WRITTEN_OUT)})(\w+)")
MOMENT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+]00:00))?$"


def written_out(text: str) -> str:
    """Return SPARQL with names in the namespaces of NGSI-LD in full."""
    return _NAME.sub(lambda found: f"<{_WRITTEN_OUT[found[1]]}{found[2]}>", text)


def pattern(*parameters: str, value: str = "ngsi-ld:hasValue") -> str:
    """Return where `?value` is an instance at the shape's path, with a value `?v0`, and others are of its datasetId.

    `?i1` is an instance of the attribute of the first parameter, `?v1` its value, and so on. All triples come first:
    an engine may evaluate what follows a filter by itself, over the whole graph.
    """
    numbers = range(1, len(parameters) + 1)
    triples = ["$this $PATH ?value ."] + ([f"?value {value} ?v0 ."] if value else [])
    for n, parameter in zip(numbers, parameters, strict=True):
        triples += [f"$this ${parameter} ?i{n} ."] + ([f"?i{n} {value} ?v{n} ."] if value else [])
    return "\n".join(f"  {line}" for line in [*triples, *(same_dataset(f"i{n}") for n in numbers)])


def same_dataset(variable: str) -> str:
    """Return what holds where another instance has the datasetId of `?value`, or neither has one."""
    return f"FILTER({_same_dataset(variable)})"


def _same_dataset(variable: str) -> str:
    def lacks(one: str, other: str, dataset: str) -> str:
        return (
            f"NOT EXISTS {{ ?{one} ngsi-ld:datasetId ?{dataset} ."
            f" FILTER NOT EXISTS {{ ?{other} ngsi-ld:datasetId ?{dataset} }} }}"
        )

    return f"{lacks('value', variable, f'a{variable}')}\n    && {lacks(variable, 'value', f'b{variable}')}"


def maybe(number: int, parameter: str, otherwise: str) -> str:
    """Return where `?n` is a number of another attribute, or a constant where the parameter is left out.

    The name of the attribute is compared, for a variable without a value would be any name.
    """
    n = number
    return f"""  {{
    FILTER(!BOUND(${parameter}))
  }} UNION {{
    $this ?p{n} ?i{n} .
    ?i{n} ngsi-ld:hasValue ?v{n} .
    FILTER(?p{n} = ${parameter})
  }}
  BIND(IF(BOUND(${parameter}), IF(isNumeric(?v{n}), xsd:double(?v{n}), ?none), {otherwise}) AS ?n{n})
  FILTER(IF(BOUND(?i{n}), {_same_dataset(f"i{n}")}, true))"""


def number(number: int) -> str:
    """Return where `?n` is a value as a number."""
    n = number
    return f"  BIND(IF(isNumeric(?v{n}), xsd:double(?v{n}), ?none) AS ?n{n})"


def moment(term: str) -> str:
    """Return a time or date in UTC, given as text, as a dateTime; a date is its first moment."""
    text = f'REPLACE(STR({term}), ",", ".")'
    return (
        f'IF(REGEX({text}, "{MOMENT}"),\n    '
        f'xsd:dateTime(IF(STRLEN({text}) = 10, CONCAT({text}, "T00:00:00Z"), {text})), ?none)'
    )


def quantity(number: int) -> str:
    """Return where `?n` is a value as a number, or the dateTime that it is as text."""
    n = number
    return f"  BIND(IF(isNumeric(?v{n}), xsd:double(?v{n}), {moment(f'?v{n}')}) AS ?n{n})"


def seconds(number: int) -> str:
    """Return where `?m` are the seconds of the dateTime `?t`; by the Gregorian calendar, years beginning in March."""
    n = number
    return f"""  BIND(IF(MONTH(?t{n}) <= 2, YEAR(?t{n}) - 1, YEAR(?t{n})) AS ?year{n})
  BIND(IF(MONTH(?t{n}) <= 2, MONTH(?t{n}) + 9, MONTH(?t{n}) - 3) AS ?month{n})
  BIND(365 * ?year{n} + FLOOR(?year{n} / 4) - FLOOR(?year{n} / 100) + FLOOR(?year{n} / 400) AS ?years{n})
  BIND(?years{n} + FLOOR((153 * ?month{n} + 2) / 5) + DAY(?t{n}) AS ?days{n})
  BIND(xsd:double(?days{n} * 86400 + HOURS(?t{n}) * 3600 + MINUTES(?t{n}) * 60 + SECONDS(?t{n})) AS ?m{n})"""


def duration(parameter: str) -> str:
    """Return a number of seconds that a shape gives, as a duration."""
    sign = f'IF(${parameter} < 0, "-PT", "PT")'
    return f'STRDT(CONCAT({sign}, STR(ABS(${parameter})), "S"), xsd:dayTimeDuration)'


def constant(parameter: str, otherwise: str) -> str:
    """Return a number of a shape, or another where it is left out."""
    return f"COALESCE(xsd:double(${parameter}), {otherwise})"


#: What an instance must meet beside, where the shape says so.
CONDITIONS = f"""  FILTER(IF(BOUND($when), EXISTS {{
    $this $when ?iw .
    ?iw ngsi-ld:hasValue ?vw .
    {same_dataset("iw")}
    FILTER(!BOUND($whenPattern) || (!isBlank(?vw) && REGEX(STR(?vw), $whenPattern)))
    FILTER(!BOUND($whenOver) || (isNumeric(?vw) && xsd:double(?vw) > xsd:double($whenOver)))
  }}, true))
  FILTER(IF(BOUND($unlessPositive), NOT EXISTS {{
    $this $unlessPositive ?iu .
    ?iu ngsi-ld:hasValue ?vu .
    {same_dataset("iu")}
    FILTER(isNumeric(?vu) && xsd:double(?vu) > 0)
  }}, true))
  FILTER(IF(BOUND($unlessMarked), NOT EXISTS {{
    ?value ?mark ?im .
    ?im ngsi-ld:hasValue ?vm .
    FILTER(STR(?mark) = "https://w3id.org/voltweave/cim#quality")
    FILTER(!isBlank(?vm) && REGEX(STR(?vm), $unlessMarked))
  }}, true))"""
