"""Policies judged by their shapes (shapes/policies) before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pyld import jsonld

from context_api.security.policies.profile import short
from ngsild.problems import BadRequestData
from shapes import policy_file
from shapes.report import as_json, as_line
from shapes.shape import Result, Step

if TYPE_CHECKING:
    from shapes.compiler import Shapes

_MOST_RESULTS = 100


def check(expanded: Mapping[str, Any]) -> None:
    """Refuse a policy in expanded JSON-LD that breaks a shape: BadRequestData with the report."""
    from rdflib import Graph

    from shapes.reader import triples_of_graph

    quads = jsonld.to_rdf(expanded, {"format": "application/n-quads"})
    graph = Graph().parse(data=quads, format="nt")
    named = expanded.get("@id")
    results = [result for _, found in _shapes().judge_graph(triples_of_graph(graph)) for result in found]
    if not results:
        return
    report = {
        "conforms": False,
        "resultCount": len(results),
        "results": [as_json(named, result, {}) | _member(result) for result in results[:_MOST_RESULTS]],
    }
    member = _member(results[0]).get("member")
    place = f"{member}: " if member else ""
    raise BadRequestData(f"{place}the policy breaks its shapes: {as_line(results[0])}", validationReport=report)


def _member(result: Result) -> dict[str, str]:
    """Say which member of its node a result is about."""
    return {"member": short(result.path.predicate[1:-1])} if isinstance(result.path, Step) else {}


@cache
def _shapes() -> Shapes:
    from rdflib import Graph

    from shapes.compiler import Shapes
    from shapes.reader import read_shapes

    return Shapes(read_shapes(Graph().parse(policy_file(), format="turtle")))
