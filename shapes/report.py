"""Validation reports: results as JSON, as SHACL's own Turtle (SHACL 3.6), and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from shapes import NAMESPACE, terms
from shapes.shape import Alternative, Path, Repeated, Result, Step
from shapes.shape import Sequence as Steps

_PREFIXES = f"@prefix sh: <http://www.w3.org/ns/shacl#> .\n@prefix vs: <{NAMESPACE}> .\n"
_REPEATED = {(0, False): "zeroOrMorePath", (1, False): "oneOrMorePath", (0, True): "zeroOrOnePath"}


def as_json(entity_id: str | None, result: Result) -> dict[str, Any]:
    """Return a result as a JSON object; what there is not is left out."""
    found = {
        "entity": entity_id,
        "attribute": result.attribute,
        "datasetId": result.dataset,
        "severity": result.severity,
        "shape": terms.text_of(result.shape),
        "constraint": result.component.rpartition("#")[2].removesuffix("ConstraintComponent"),
        "message": result.message,
        "value": None if result.value is None else terms.text_of(result.value),
    }
    return {name: value for name, value in found.items() if value is not None}


def as_line(result: Result) -> str:
    """Return a result as one line: severity, attribute, message, value and shape."""
    name = "" if result.attribute is None else _local(result.attribute)
    message = result.message if not name or result.message.startswith(name) else f"{name}: {result.message}"
    value = None if result.value is None else terms.text_of(result.value)
    shown = "" if value is None else f" (it is {value})"
    dataset = "" if result.dataset is None else f" in dataset {result.dataset}"
    shape = terms.text_of(result.shape)
    return f"{result.severity}: {message}{shown}{dataset}" + ("" if shape is None else f" [{_local(shape)}]")


def _local(iri: str) -> str:
    return iri.rpartition("#")[2].rpartition("/")[2]


def as_turtle(judged: Iterable[Sequence[Result]]) -> str:
    """Return a sh:ValidationReport on entities, of each its results; blank nodes of two entities stay apart."""
    results = [_apart(result, number) for number, found in enumerate(judged) for result in found]
    conforms = "false" if results else "true"
    parts = [f"[] a sh:ValidationReport ;\n    sh:conforms {conforms}"]
    parts += ["    sh:result [\n        " + " ;\n        ".join(_result(result)) + " ]" for result in results]
    return f"{_PREFIXES}\n" + " ;\n".join(parts) + " .\n"


def _apart(result: Result, number: int) -> Result:
    def named(term: str) -> str:
        return f"_:e{number}{term[2:]}" if terms.is_blank(term) else term

    return replace(
        result,
        focus=named(result.focus),
        value=None if result.value is None else named(result.value),
    )


def _result(result: Result) -> Iterator[str]:
    yield "a sh:ValidationResult"
    yield f"sh:focusNode {result.focus}"
    if result.path is not None:
        yield f"sh:resultPath {_path(result.path)}"
    if result.value is not None:
        yield f"sh:value {result.value}"
    yield f"sh:resultSeverity sh:{result.severity}"
    yield f"sh:sourceConstraintComponent <{result.component}>"
    yield f"sh:sourceShape {result.shape}"
    yield f"sh:resultMessage {terms.literal(result.message, language='en')}"


def _path(path: Path) -> str:
    match path:
        case Step(predicate):
            return predicate
        case Steps(steps):
            return _list(steps)
        case Alternative(paths):
            return f"[ sh:alternativePath {_list(paths)} ]"
        case Repeated(inner, least, once):
            return f"[ sh:{_REPEATED[least, once]} {_path(inner)} ]"


def _list(paths: Iterable[Path]) -> str:
    return f"( {' '.join(map(_path, paths))} )"
