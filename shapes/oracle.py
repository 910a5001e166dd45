"""What a shape means: an entity as RDF, judged by pySHACL. Exact and slow; tests and offline checks use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pyshacl
from pyld import jsonld
from pyshacl.helper.sparql_query_helper import SPARQLQueryHelper
from rdflib import RDF, SH, Graph, Node, URIRef, plugin
from rdflib.plugins.sparql import prepareQuery
from rdflib.plugins.sparql.processor import SPARQLProcessor
from rdflib.plugins.sparql.sparql import Query
from rdflib.query import Processor

from ngsild.core_context import core_document, is_core_context
from ontology import contexts
from shapes import shape_files

Json = Mapping[str, Any]


class UnknownContext(LookupError):
    """An entity names an @context that is not at hand; nothing is fetched."""


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a validation."""

    shape: str
    """The IRI of the shape that is broken."""
    severity: str
    """Violation, Warning or Info."""
    focus: str
    message: str
    value: str | None


class PreparedQueries(SPARQLProcessor):
    """rdflib's processor, which remembers queries: pySHACL asks the same few of every node, and reading one is slow."""

    def query(self, strOrQuery: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a query, given as text or prepared."""
        return super().query(_prepared(strOrQuery) if isinstance(strOrQuery, str) else strOrQuery, *args, **kwargs)


@lru_cache(maxsize=1024)
def _prepared(text: str) -> Query:
    return prepareQuery(text)


plugin.register("sparql", Processor, __name__, PreparedQueries.__name__)


def _bind_paths() -> None:
    """Let pySHACL bind a path of one predicate as it binds other parameters, and not write it into the query.

    So the shapes with a component share one query, and whether it may be asked is looked at once.
    """
    write, seen = SPARQLQueryHelper.pre_bind_variables, set[str]()

    def bind(self: SPARQLQueryHelper, this: Node, valuenode: Node, extravars: Any) -> tuple[dict[str, Any], str]:
        path, text = self.shape.path(), self.select_text
        if text not in seen or not isinstance(path, URIRef):
            seen.add(text)
            bound: tuple[dict[str, Any], str] = write(self, this, valuenode=valuenode, extravars=extravars)  # type: ignore[no-untyped-call]
            return bound
        return {"this": this, "PATH": path} | ({"value": valuenode} if "?value" in text else {}), text

    SPARQLQueryHelper.pre_bind_variables = bind  # type: ignore[method-assign,assignment]


_bind_paths()


@cache
def shapes_graph() -> Graph:
    """Return all shapes of the model as one graph, parsed once; callers must not change it."""
    return read_graph(*shape_files())


def read_graph(*files: Path) -> Graph:
    """Return what Turtle files hold as one graph."""
    graph = Graph()
    for file in files:
        graph.parse(file, format="turtle")
    return graph


def to_graph(entities: Iterable[Json], documents: Mapping[str, Any] | None = None) -> Graph:
    """Return normalized NGSI-LD entities, each with its @context, as RDF.

    `documents` holds @contexts by URL beside ours and the core one; raise UnknownContext for any other.
    """
    graph = Graph()
    options = {"documentLoader": loader(documents), "format": "application/n-quads"}
    for entity in entities:
        try:
            quads = jsonld.to_rdf(dict(entity), options)
        except jsonld.JsonLdError as error:
            raise _cause(error) from error
        graph.parse(data=quads, format="nt")
    return graph


def _cause(error: BaseException) -> BaseException:
    """Return the error in our own loader that pyld wrapped, else the error itself."""
    while isinstance(error, jsonld.JsonLdError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def loader(documents: Mapping[str, Any] | None = None) -> Any:
    """Return a pyld document loader that serves the core @context, ours and `documents`, and never opens a socket."""
    known = {**contexts(), **(documents or {})}

    def load(url: str, _: Any) -> dict[str, Any]:
        document = core_document() if is_core_context(url) else known.get(url)
        if document is None:
            raise UnknownContext(url)
        return {"contextUrl": None, "documentUrl": url, "contentType": "application/ld+json", "document": document}

    return load


def validate(data: Graph, shapes: Graph | None = None) -> list[Result]:
    """Return what breaks the shapes (all of them by default), most grave first."""
    _, report, _ = pyshacl.validate(data, shacl_graph=shapes if shapes is not None else shapes_graph(), advanced=False)
    if not isinstance(report, Graph):
        raise TypeError(f"pySHACL answered with {type(report).__name__}")
    results = [_result(report, node) for node in report.subjects(RDF.type, SH.ValidationResult)]
    order = ["Violation", "Warning", "Info"]
    return sorted(results, key=lambda r: (order.index(r.severity), r.shape, r.focus, r.value or ""))


def _result(report: Graph, node: Node) -> Result:
    value = report.value(node, SH.value)
    return Result(
        shape=str(report.value(node, SH.sourceShape)),
        severity=str(report.value(node, SH.resultSeverity)).rpartition("#")[2],
        focus=str(report.value(node, SH.focusNode)),
        message=str(report.value(node, SH.resultMessage)),
        value=None if value is None else str(value),
    )
