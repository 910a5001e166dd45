"""Validation reports: results as JSON, as SHACL's own Turtle (SHACL 3.6), and as lines of text.

A result of a shape that names a rule carries what the rule says in plain words, and what it recommends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shapes import NAMESPACE, model_rules, terms
from shapes.shape import Alternative, Path, Repeated, Result, Rule, Step
from shapes.shape import Sequence as Steps

_PREFIXES = f"@prefix sh: <http://www.w3.org/ns/shacl#> .\n@prefix vs: <{NAMESPACE}> .\n"
_REPEATED = {(0, False): "zeroOrMorePath", (1, False): "oneOrMorePath", (0, True): "zeroOrOnePath"}


def rule_of(result: Result, rules: Mapping[str, Rule] | None = None) -> Rule | None:
    """Return the rule of a result, by default one of the model; None where its shape names none that is known."""
    return (model_rules() if rules is None else rules).get(result.rule or "")


def as_json(entity_id: str | None, result: Result, rules: Mapping[str, Rule] | None = None) -> dict[str, Any]:
    """Return a result as a JSON object; what there is not is left out."""
    rule = rule_of(result, rules)
    found = {
        "entity": entity_id,
        "attribute": result.attribute,
        "datasetId": result.dataset,
        "severity": result.severity,
        "shape": terms.text_of(result.shape),
        "constraint": result.component.rpartition("#")[2].removesuffix("ConstraintComponent"),
        "message": result.message,
        "value": None if result.value is None else terms.text_of(result.value),
        "rule": result.rule,
        "explanation": None if rule is None else rule.explanation,
        "recommendedAction": None if rule is None else rule.action,
    }
    return {name: value for name, value in found.items() if value is not None}


def as_line(result: Result) -> str:
    """Return a result as one line: severity, attribute, message, value, rule and shape; `as_words` explains rules."""
    name = "" if result.attribute is None else _local(result.attribute)
    message = result.message if not name or result.message.startswith(name) else f"{name}: {result.message}"
    value = None if result.value is None else terms.text_of(result.value)
    shown = "" if value is None else f" (it is {value})"
    dataset = "" if result.dataset is None else f" in dataset {result.dataset}"
    named = " ".join(_local(each) for each in (result.rule, terms.text_of(result.shape)) if each is not None)
    return f"{result.severity}: {message}{shown}{dataset}" + (f" [{named}]" if named else "")


def as_words(results: Iterable[Result], rules: Mapping[str, Rule] | None = None) -> list[str]:
    """Return the rules that results name, one line each: what is odd, what it may mean, what to do."""
    found = {rule.iri: rule for result in results if (rule := rule_of(result, rules)) is not None}
    return [f"{_local(iri)} {rule.label}: {rule.explanation} ({rule.action})" for iri, rule in sorted(found.items())]


def _local(iri: str) -> str:
    return iri.rpartition("#")[2].rpartition("/")[2]


def as_turtle(judged: Iterable[Sequence[Result]], rules: Mapping[str, Rule] | None = None) -> str:
    """Return a sh:ValidationReport on entities, of each its results; blank nodes of two entities stay apart."""
    results = [_apart(result, number) for number, found in enumerate(judged) for result in found]
    conforms = "false" if results else "true"
    parts = [f"[] a sh:ValidationReport ;\n    sh:conforms {conforms}"]
    parts += ["    sh:result [\n        " + " ;\n        ".join(_result(result, rules)) + " ]" for result in results]
    return f"{_PREFIXES}\n" + " ;\n".join(parts) + " .\n"


def _apart(result: Result, number: int) -> Result:
    def named(term: str) -> str:
        return f"_:e{number}{term[2:]}" if terms.is_blank(term) else term

    return replace(
        result,
        focus=named(result.focus),
        value=None if result.value is None else named(result.value),
    )


def _result(result: Result, rules: Mapping[str, Rule] | None) -> Iterator[str]:
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
    if result.rule is not None:
        yield f"vs:rule {terms.iri(result.rule)}"
    rule = rule_of(result, rules)
    if rule is not None:
        yield f"vs:explanation {terms.literal(rule.explanation, language='en')}"
        yield f"vs:recommendedAction {terms.literal(rule.action)}"


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
