"""DataQualityIssue entities: one for each thing that validation finds in an entity, from the day on that it is found.

It carries the repair that its rule names, where one applies, and the value as it would be then.

`open` until the next judged write heals it (`resolved`), and again when it comes back. A person may set an issue to
`confirmed`, which it stays until it is healed, or to `dismissed`, which it stays as long as the value does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from context_api.storage.port import Change
from ngsild.context import CORE_NAMESPACE
from ngsild.entity import Attribute, Entity, Instance
from ngsild.expand import Fragment
from ngsild.merge import delete_attributes, update_attributes
from ngsild.names import format_date_time
from ontology import NAMESPACE
from shapes import model_rules

TYPE = f"{NAMESPACE}DataQualityIssue"
STATUS = f"{CORE_NAMESPACE}status"
_CONCERNS = f"{NAMESPACE}concerns"
_VALUE = f"{NAMESPACE}offendingValue"
_OBSERVED_AT = f"{NAMESPACE}observedAtOfValue"
_ACTION = f"{NAMESPACE}action"
_REPAIR, _PROPOSED = f"{NAMESPACE}repair", f"{NAMESPACE}proposedValue"
#: What a finding may leave out.
_OPTIONAL = frozenset({_VALUE, _OBSERVED_AT, _REPAIR, _PROPOSED})
_CONSTRAINTS = "http://www.w3.org/ns/shacl#{}ConstraintComponent"
#: Characters of an offending value that are told.
_MOST_VALUE = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of validation: a member of `Change.report`."""

    issue: bytes
    """The key of the issue about it: a hash of entity, shape, attribute and datasetId."""
    content: bytes
    """A hash of what the issue says."""
    result: Mapping[str, Any]

    @property
    def shape(self) -> str:
        """The shape that was broken, empty where it has no name."""
        return str(self.result.get("shape", ""))

    @property
    def value(self) -> str | None:
        """The value at fault as text, shortened; None where there is none."""
        value = self.result.get("value")
        if value is None or len(value) <= _MOST_VALUE:
            return value
        return f"{value[:_MOST_VALUE]}…"

    def attributes(self) -> dict[str, Attribute]:
        """Return what an issue says of it: what the report leaves out, the rule of the model says."""
        result = self.result
        rule = model_rules().get(result.get("rule", ""))
        told = {
            "attribute": result.get("attribute"),
            "rule": result.get("rule") or result.get("shape") or _CONSTRAINTS.format(result.get("constraint")),
            "severity": str(result.get("severity", "Violation")).lower(),
            "action": "flagged",
            "recommendedAction": result.get("recommendedAction") or ("none" if rule is None else rule.action),
            "offendingValue": self.value,
            "repair": result.get("repair"),
        }
        found: dict[str, Attribute] = {
            f"{NAMESPACE}{name}": {"type": "Property", "value": value}
            for name, value in told.items()
            if value is not None
        }
        if "proposal" in result:
            found[_PROPOSED] = result["proposal"]
        text = result.get("explanation") or (result.get("message") if rule is None else rule.explanation)
        if text:
            found[f"{NAMESPACE}explanation"] = {"type": "LanguageProperty", "languageMap": {"en": text}}
        return found


@dataclass(frozen=True, slots=True)
class Event:
    """What a change of an entity meant for one issue: a finding is new or says something else, or is healed (None)."""

    at: int
    finding: Finding | None


def findings(entity_id: str, report: Iterable[Mapping[str, Any]]) -> dict[bytes, Finding]:
    """Return what a report says of an entity, by the key of the issue; of several results with one key the first."""
    found: dict[bytes, Finding] = {}
    for result in report:
        source = result.get("shape") or [result.get("rule"), result.get("constraint"), result.get("message")]
        issue = _hash([entity_id, source, result.get("attribute"), result.get("datasetId")], 16)
        if issue not in found:
            found[issue] = Finding(issue, _hash(result, 8), result)
    return found


def issue_id(issue: bytes) -> str:
    """Return the id of the issue with a key."""
    return f"urn:ngsi-ld:DataQualityIssue:{issue.hex()}"


def change_of_issue(
    issue: bytes, entity_id: str, events: Sequence[Event], observed_at: str | None, before: Entity | None
) -> Change | None:
    """Return the change that brings an issue up to date, None where it is or where there is nothing to tell.

    `observed_at` is when the last value at fault was observed. A status that lasted only from one of the events to the
    next goes to history.
    """
    if before is None:
        while events and events[0].finding is None:
            events = events[1:]
        if not events:
            return None
    status, late = _status(before, events)
    attributes: dict[str, Attribute] = {} if status is None else {STATUS: status}
    told = next((event.finding for event in reversed(events) if event.finding is not None), None)
    if told is not None:
        attributes |= told.attributes()
        if observed_at is not None:
            attributes[_OBSERVED_AT] = {"type": "Property", "value": observed_at}
    at = events[-1].at
    past = tuple((STATUS, instance) for instance in late)
    if before is None:
        attributes[_CONCERNS] = {"type": "Relationship", "object": entity_id}
        created = Entity(issue_id(issue), [TYPE], attributes, created_at=at, modified_at=at)
        return Change(created.id, None, created, at, "createEntity", frozenset(attributes), past)
    at = max(at, before.modified_at)
    update = update_attributes(before, Fragment(attributes=attributes), at, frozenset())
    after, touched = update.after, update.touched
    if told is not None:
        obsolete = (before.attributes.keys() & _OPTIONAL) - attributes.keys()
        removal = delete_attributes(after, sorted(obsolete), at)
        after, touched = removal.after, touched | removal.touched
    if not touched:
        return None
    return Change(before.id, before, after, at, "updateAttributes", touched, past)


@dataclass(frozen=True, slots=True)
class Proposed:
    """The repair that an issue carries."""

    entity_id: str
    attribute: str
    rule: str
    repair: str
    value: Instance
    """The value as it would be, with the datasetId that it is for."""


def proposed_by(issue: Entity) -> Proposed | None:
    """Return the repair that an issue carries; None where it carries none, or is resolved."""
    value, concerns = issue.attributes.get(_PROPOSED), issue.attributes.get(_CONCERNS)
    told = [_scalar(issue, f"{NAMESPACE}{name}") for name in ("attribute", "rule", "repair")]
    attribute, rule, repair = told
    if not isinstance(value, dict) or not isinstance(concerns, dict) or not isinstance(concerns.get("object"), str):
        return None
    if attribute is None or rule is None or repair is None or status_of(issue) == "resolved":
        return None
    return Proposed(concerns["object"], attribute, rule, repair, value)


def status_of(issue: Entity) -> str | None:
    """Return the status of an issue."""
    return _scalar(issue, STATUS)


def decided(issue: Entity, at: int, *, action: str | None = None, status: str | None = None) -> Change | None:
    """Return the change that writes down what a person decided of an issue; None where it says so already."""
    attributes: dict[str, Attribute] = {}
    if action is not None:
        attributes[_ACTION] = {"type": "Property", "value": action}
    if status is not None and status != status_of(issue):
        attributes[STATUS] = {"type": "Property", "value": status, "observedAt": format_date_time(at)}
    update = update_attributes(issue, Fragment(attributes=attributes), at, frozenset())
    if not update.touched:
        return None
    return Change(issue.id, issue, update.after, at, "updateAttributes", update.touched)


def _status(before: Entity | None, events: Sequence[Event]) -> tuple[Instance | None, list[Instance]]:
    """Return the status after events, None where it stays what it was, and those that it had in between."""
    status = _scalar(before, STATUS)
    value = _scalar(before, _VALUE)
    passed: list[Instance] = []
    for event in events:
        following = _next_status(status, event.finding, event.finding is not None and event.finding.value == value)
        if following != status:
            status = following
            passed.append({"type": "Property", "value": status, "observedAt": format_date_time(event.at)})
    return (passed[-1], passed[:-1]) if passed else (None, [])


def _next_status(status: str | None, finding: Finding | None, same_value: bool) -> str:
    if finding is None:
        return "resolved"
    if status in ("open", "confirmed") or (status == "dismissed" and same_value):
        return status
    return "open"


def _scalar(entity: Entity | None, attribute: str) -> str | None:
    found = None if entity is None else entity.attributes.get(attribute)
    value = found.get("value") if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _hash(content: Any, size: int) -> bytes:
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=size).digest()
