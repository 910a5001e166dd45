"""`voltweave validate`: judge entities by the shapes of the model, without a server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.output import tell, write
from voltweave.problems import ExitCode, Refused
from voltweave.server import CONTEXT

if TYPE_CHECKING:
    from shapes.compiler import Shapes
    from shapes.shape import Result


class Output(StrEnum):
    """How results are shown."""

    text = "text"
    json = "json"
    turtle = "turtle"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one entity."""

    name: str
    results: list[Result] = field(default_factory=list)
    problem: str | None = None
    """Why it is no entity."""
    judged: bool = True
    """Some shape is about its types."""


def validate(
    sources: Annotated[list[str], typer.Argument(metavar="FILE|URL|-", help="What to judge; - is standard input.")],
    output: Annotated[Output, typer.Option("--output", "-o", help="How results are shown.")] = Output.text,
    context: Annotated[str, typer.Option(help="URL of the @context of entities that name none.")] = CONTEXT,
    profile: Annotated[str | None, typer.Option(help="Judge as this profile has it, such as battery2life.")] = None,
) -> None:
    """Judge entities by the shapes of the model: NGSI-LD as JSON, JSON-LD or JSON lines, or RDF as Turtle.

    It needs no server. It ends with 1 where an entity has a Violation or is no NGSI-LD; Warnings do not count.
    """
    shapes = _shapes(profile)
    verdicts = [verdict for source in sources for verdict in _verdicts(source, context, shapes)]
    match output:
        case Output.text:
            _show_text(verdicts)
        case Output.json:
            _show_json(verdicts)
        case Output.turtle:
            _show_turtle(verdicts)
    if any(not _passes(verdict) for verdict in verdicts):
        raise typer.Exit(ExitCode.REJECTED)


def _shapes(profile: str | None) -> Shapes:
    from shapes import model_shapes

    try:
        return model_shapes(profile)
    except LookupError as error:
        raise Refused(str(error)) from error


def _passes(verdict: Verdict) -> bool:
    return verdict.problem is None and all(result.severity != "Violation" for result in verdict.results)


def _verdicts(source: str, context: str, shapes: Shapes) -> Iterator[Verdict]:
    from ngsild.problems import Problem
    from voltweave.entities import Contexts, is_json, load, read_entities

    content = load(source)
    if not is_json(content):
        yield from _of_turtle(source, content, shapes)
        return
    for read in read_entities(content, Contexts(context)):
        if read.entity is None:
            yield Verdict(read.name, problem=read.problem)
            continue
        try:
            yield Verdict(read.name, shapes.judge(read.entity), judged=shapes.is_about(read.entity.types))
        except Problem as problem:
            yield Verdict(read.name, problem=str(problem))


def _of_turtle(source: str, content: bytes, shapes: Shapes) -> Iterator[Verdict]:
    from rdflib import RDF, Graph, URIRef

    from shapes.reader import triples_of_graph

    graph = Graph()
    try:
        graph.parse(data=content, format="turtle")
    except Exception as error:  # rdflib raises several kinds, none of them its own base
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Refused(f"{source}: neither JSON nor Turtle: {reason}") from error
    judged = set()
    for name, results in shapes.judge_graph(triples_of_graph(graph)):
        judged.add(name)
        yield Verdict(name, results)
    # Blank nodes are attributes and what is in them.
    named = {str(node) for node in graph.subjects(RDF.type) if isinstance(node, URIRef)}
    for name in sorted(named - judged):
        yield Verdict(name, judged=False)


def _show_text(verdicts: list[Verdict]) -> None:
    from shapes.report import as_line, as_words

    for verdict in verdicts:
        lines = [as_line(result) for result in verdict.results]
        if verdict.problem is not None:
            lines.append(f"Not an entity: {verdict.problem}")
        if lines:
            write("\n  ".join([verdict.name, *lines]))
    for explained in as_words(result for verdict in verdicts for result in verdict.results):
        tell(explained)
    found = Counter(result.severity for verdict in verdicts for result in verdict.results)
    parts = [f"{count} {severity.lower()}{'s' if count > 1 else ''}" for severity, count in found.most_common()]
    refused = sum(verdict.problem is not None for verdict in verdicts)
    if refused:
        parts.append(f"{refused} not an entity")
    of = "1 entity" if len(verdicts) == 1 else f"{len(verdicts)} entities"
    tell(f"{of}: {', '.join(parts) or 'all conforms'}")
    strange = sum(not verdict.judged for verdict in verdicts)
    if strange:
        tell(f"{strange} of them of types that no shape is about, so nothing was judged")


def _show_json(verdicts: list[Verdict]) -> None:
    from shapes.report import as_json

    results = [as_json(verdict.name, result) for verdict in verdicts for result in verdict.results]
    problems = [{"entity": v.name, "problem": v.problem} for v in verdicts if v.problem is not None]
    report = {
        "conforms": all(map(_passes, verdicts)),
        "entities": len(verdicts),
        "withoutShapes": sum(not verdict.judged for verdict in verdicts),
        "results": results,
        "notEntities": problems,
    }
    write(json.dumps(report, ensure_ascii=False, indent=2))


def _show_turtle(verdicts: list[Verdict]) -> None:
    from shapes.report import as_turtle

    write(as_turtle(verdict.results for verdict in verdicts))
    for verdict in verdicts:
        if verdict.problem is not None:
            tell(f"{verdict.name}: not an entity: {verdict.problem}")
