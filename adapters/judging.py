"""The check before the sink: entities are judged by the shapes of the model, in the mode of the provider's manifest.

Repairs that the manifest accepts are made first; what the source gave stays beside the value.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import ontology
from adapters.errors import RecordError
from adapters.manifest import Validation
from adapters.quarantine import ViolationError, local_name, rule_name, rule_of
from ngsild.context import TermMap, compile_terms
from ngsild.entity import Entity as Expanded
from ngsild.entity import Instance
from ngsild.expand import expand_entity
from ngsild.problems import Problem
from shapes import model_shapes
from shapes.repair import in_doubt, proposal, repaired_entity
from shapes.report import as_json
from shapes.report import rule_of as rule_of_result
from shapes.shape import REPAIR_KINDS, RepairKind, Result

_log = logging.getLogger(__name__)
_VIOLATION = "Violation"
#: What stands in the place of a rule where the check itself failed.
_CHECK = "check"
#: What stands in the place of the severity where a value was repaired.
_REPAIRED = "repaired"


class Judge:
    """Judges what a mapping makes, and counts what it finds."""

    def __init__(self, validation: Validation) -> None:
        self._mode: Literal["enforce", "warn", "off"] = validation.mode
        self._accepted = frozenset(validation.accept)
        self._shapes = model_shapes(validation.profile)
        self._terms = cim_terms()
        self.found: Counter[tuple[str, str]] = Counter()
        """How many entities broke a rule, by rule and severity, and how many values were repaired, by rule and
        "repaired"; callers take and empty it."""

    def check(self, entities: Sequence[dict[str, Any]]) -> None:
        """Judge the entities of a record, after the repairs that are accepted, which change the entities given.

        Raises ViolationError where one breaks a rule so gravely that the record must not be delivered, or where the
        check fails, and RecordError where one is no NGSI-LD; neither unless the mode is enforce.
        """
        if self._mode == "off":
            return
        results = [(entity["id"], result) for entity in entities for result in self._results(entity)]
        self.found.update(key for key, _ in {((rule_name(r.rule or r.shape), r.severity), i) for i, r in results})
        if self._mode == "enforce" and any(result.severity == _VIOLATION for _, result in results):
            raise _violation(entities, results)

    def _results(self, entity: dict[str, Any]) -> list[Result]:
        try:
            expanded = expand_entity(entity, self._terms, 0)
            results = self._shapes.judge(expanded)
            return self._repaired(entity, expanded, results) if results and self._accepted else results
        except Problem as problem:
            self.found["NGSI-LD", _VIOLATION] += 1
            if self._mode == "enforce":
                raise RecordError(f"{entity.get('id')} is no NGSI-LD: {problem}", rule="NGSI-LD") from problem
            return []
        except Exception as error:
            # A rule may meet what nobody thought of: that is no fault of the mapping, and the mode decides as ever.
            if not self.found[_CHECK, _VIOLATION]:
                # There may be one a record; the counter has the others.
                _log.exception("the check of %s failed", entity.get("id"))
            self.found[_CHECK, _VIOLATION] += 1
            if self._mode == "enforce":
                message = f"{entity.get('id')}: the check failed: {type(error).__name__}: {error}"
                raise ViolationError(message, field="", rule=_CHECK, entities=[entity], report=[]) from error
            return []

    def _repaired(self, entity: dict[str, Any], expanded: Expanded, results: Sequence[Result]) -> list[Result]:
        """Make the repairs that are accepted; return what is still wrong after them."""
        for kind in REPAIR_KINDS:
            made = False
            for result in results:
                by = proposal(expanded, result) if self._accepts(result, kind) else None
                if by is None or result.attribute is None:
                    continue
                self._lay(entity, result.attribute, by)
                expanded, made = repaired_entity(expanded, result.attribute, by), True
                self.found[rule_name(result.rule or result.shape), _REPAIRED] += 1
            if made:
                results = self._shapes.judge(expanded)
        return [each for each in results if not (self._accepts(each, "markOutlier") and in_doubt(expanded, each))]

    def _accepts(self, result: Result, kind: RepairKind) -> bool:
        rule = rule_of_result(result)
        if rule is None or rule.repair is None or rule.repair.kind != kind:
            return False
        return kind in self._accepted or rule_name(rule.iri) in self._accepted

    def _lay(self, entity: dict[str, Any], attribute: str, by: Instance) -> None:
        """Lay a proposal over an attribute of an entity as the sink takes it, with the names of the model."""
        short = self._terms.compact(attribute)
        found = entity[short if short in entity else attribute]
        for each in found if isinstance(found, list) else [found]:
            if each.get("datasetId") == by.get("datasetId"):
                each.update({self._terms.compact(name) if ":" in name else name: value for name, value in by.items()})


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
