"""The check before the sink: entities are judged by the shapes of the model, in the mode of the provider's manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import ontology
from adapters.errors import RecordError
from adapters.manifest import Validation
from adapters.quarantine import ViolationError, local_name, rule_name, rule_of
from ngsild.context import TermMap, compile_terms
from ngsild.expand import expand_entity
from ngsild.problems import Problem
from shapes import model_shapes
from shapes.report import as_json
from shapes.shape import Result

_VIOLATION = "Violation"


class Judge:
    """Judges what a mapping makes, and counts what it finds."""

    def __init__(self, validation: Validation) -> None:
        self._mode: Literal["enforce", "warn", "off"] = validation.mode
        self._shapes = model_shapes()
        self._terms = cim_terms()
        self.found: Counter[tuple[str, str]] = Counter()
        """How many entities broke a rule, by rule and severity; callers take and empty it."""

    def check(self, entities: Sequence[dict[str, Any]]) -> None:
        """Judge the entities of a record.

        Raises ViolationError where one breaks a rule so gravely that the record must not be delivered, and RecordError
        where one is no NGSI-LD; neither unless the mode is enforce.
        """
        if self._mode == "off":
            return
        results = [(entity["id"], result) for entity in entities for result in self._results(entity)]
        self.found.update(key for key, _ in {((rule_name(r.rule or r.shape), r.severity), i) for i, r in results})
        if self._mode == "enforce" and any(result.severity == _VIOLATION for _, result in results):
            raise _violation(entities, results)

    def _results(self, entity: dict[str, Any]) -> list[Result]:
        try:
            return self._shapes.judge(expand_entity(entity, self._terms, 0))
        except Problem as problem:
            self.found["NGSI-LD", _VIOLATION] += 1
            if self._mode == "enforce":
                raise RecordError(f"{entity.get('id')} is no NGSI-LD: {problem}", rule="NGSI-LD") from problem
            return []


@cache
def cim_terms() -> TermMap:
    """Return the names of the model's @context."""
    return compile_terms([ontology.context()["@context"]])


def _violation(entities: Sequence[dict[str, Any]], results: Sequence[tuple[str, Result]]) -> ViolationError:
    # The gravest result of each entity comes first; that of the first entity with a violation is told.
    report = sorted((as_json(i, result) for i, result in results), key=lambda found: found["severity"] != _VIOLATION)
    gravest = report[0]
    attribute = local_name(gravest.get("attribute"))
    message = f"{gravest['entity']}: {attribute}: {gravest['message']}"
    return ViolationError(message, field=attribute, rule=rule_of(gravest), entities=list(entities), report=report)
