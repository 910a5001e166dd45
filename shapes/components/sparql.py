"""Pieces of SPARQL that validators are made of.

Variables end in the number of an operand: `?v1` is a value, `?n1` its number (or seconds, for a moment), 0 being that
of the attribute at the shape's path. An operand without a number leaves `?n1` unbound, so that no comparison holds and
there is no result: whether it should be a number is for other shapes to say.
"""

from __future__ import annotations

from ngsild.rdf import XSD

PREFIXES = {
    "ngsi-ld": "https://uri.etsi.org/ngsi-ld/",
    "geojson": "https://purl.org/geojson/vocab#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xsd": XSD,
}
MOMENT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+]00:00))?$"


#: Days of a year before each month, three digits each, the month 00 included.
MONTHS = "999000031059090120151181212243273304334"


def pattern(*parameters: str, value: str = "ngsi-ld:hasValue") -> str:
    """Return where `?value` is an instance at the shape's path, with a value `?v0`, and others are of its datasetId.

    `?i1` is an instance of the attribute of the first parameter, `?v1` its value, and so on. All triples come first:
    an engine may evaluate what follows a filter by itself, over the whole graph.
    """
    numbers = range(1, len(parameters) + 1)
    triples = ["$this $PATH ?value ."] + ([f"?value {value} ?v0 ."] if value else [])
    for n, parameter in zip(numbers, parameters, strict=True):
        triples += [f"$this ${parameter} ?i{n} ."] + ([f"?i{n} {value} ?v{n} ."] if value else [])
    datasets = [
        "OPTIONAL { ?value ngsi-ld:datasetId ?d0 }",
        *(f"OPTIONAL {{ ?i{n} ngsi-ld:datasetId ?d{n} }}" for n in numbers),
        'BIND(COALESCE(STR(?d0), "") AS ?dataset)',
        *(f'FILTER(COALESCE(STR(?d{n}), "") = ?dataset)' for n in numbers),
    ]
    return "\n".join(f"  {line}" for line in [*triples, *datasets])


def maybe(number: int, parameter: str) -> str:
    """Return the same for a parameter that may be left out; the name is compared, for an unbound one is any name."""
    n = number
    return f"""  OPTIONAL {{
    $this ?p{n} ?i{n} .
    FILTER(?p{n} = ${parameter})
    ?i{n} ngsi-ld:hasValue ?v{n} .
    OPTIONAL {{ ?i{n} ngsi-ld:datasetId ?d{n} }}
    FILTER(COALESCE(STR(?d{n}), "") = ?dataset)
  }}"""


def number(number: int) -> str:
    """Return where `?n` is a value as a number."""
    n = number
    return f"  BIND(IF(isNumeric(?v{n}), xsd:double(?v{n}), ?none) AS ?n{n})"


def number_or(number: int, parameter: str, otherwise: str) -> str:
    """Return where `?n` is a value as a number, or a constant where the parameter is left out."""
    n = number
    return f"  BIND(IF(BOUND(${parameter}), IF(isNumeric(?v{n}), xsd:double(?v{n}), ?none), {otherwise}) AS ?n{n})"


def moment(number: int, term: str) -> str:
    """Return where `?m` are the seconds of a time or date in UTC, given as text; by the Gregorian calendar."""
    s, year = f"?s{number}", f"?y{number}"
    return f"""  BIND(REPLACE(STR({term}), ",", ".") AS {s})
  BIND(IF(REGEX({s}, "{MOMENT}"), xsd:integer(SUBSTR({s}, 1, 4)), ?none) AS ?a{number})
  BIND(IF(SUBSTR({s}, 6, 2) <= "02", ?a{number} - 1, ?a{number}) AS {year})
  BIND(365 * ?a{number} + FLOOR({year} / 4) - FLOOR({year} / 100) + FLOOR({year} / 400) AS ?b{number})
  BIND(xsd:integer(SUBSTR("{MONTHS}", xsd:integer(3 * xsd:integer(SUBSTR({s}, 6, 2)) + 1), 3)) AS ?c{number})
  BIND(?b{number} + ?c{number} + xsd:integer(SUBSTR({s}, 9, 2)) AS ?day{number})
  BIND(IF(STRLEN({s}) = 10, 0e0, xsd:integer(SUBSTR({s}, 12, 2)) * 3600 + xsd:integer(SUBSTR({s}, 15, 2)) * 60
    + xsd:double(REPLACE(SUBSTR({s}, 18), "(Z|[+]00:00)$", ""))) AS ?time{number})
  BIND(xsd:double(?day{number}) * 86400 + ?time{number} AS ?m{number})"""


def quantity(number: int) -> str:
    """Return where `?n` is a value as a number, or its seconds where it is a moment; `?k` tells which."""
    n = number
    return f"""{moment(n, f"?v{n}")}
  BIND(isNumeric(?v{n}) AS ?k{n})
  BIND(IF(?k{n}, xsd:double(?v{n}), ?m{n}) AS ?n{n})"""


def constant(parameter: str, otherwise: str) -> str:
    """Return a number of a shape, or another where it is left out."""
    return f"COALESCE(xsd:double(${parameter}), {otherwise})"


#: What an instance must meet beside, where the shape says so.
CONDITIONS = """  FILTER(IF(BOUND($when), EXISTS {
    $this $when ?iw .
    ?iw ngsi-ld:hasValue ?vw .
    OPTIONAL { ?iw ngsi-ld:datasetId ?dw }
    FILTER(COALESCE(STR(?dw), "") = ?dataset)
    FILTER(!BOUND($whenPattern) || REGEX(STR(?vw), $whenPattern))
    FILTER(!BOUND($whenOver) || (isNumeric(?vw) && xsd:double(?vw) > xsd:double($whenOver)))
  }, true))
  FILTER(IF(BOUND($unlessPositive), NOT EXISTS {
    $this $unlessPositive ?iu .
    ?iu ngsi-ld:hasValue ?vu .
    OPTIONAL { ?iu ngsi-ld:datasetId ?du }
    FILTER(COALESCE(STR(?du), "") = ?dataset)
    FILTER(isNumeric(?vu) && xsd:double(?vu) > 0)
  }, true))
  FILTER(IF(BOUND($unlessMarked), NOT EXISTS {
    ?value ?mark ?im .
    FILTER(STR(?mark) = "https://w3id.org/voltweave/cim#quality")
    ?im ngsi-ld:hasValue ?vm .
    FILTER(REGEX(STR(?vm), $unlessMarked))
  }, true))"""
