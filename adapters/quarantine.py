"""Records that became no entities, as the API's quarantine takes them, and their replays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from adapters.errors import RecordError
from shapes import NAMESPACE

Record = Mapping[str, Any]
_ID_BYTES = 16
_MAX_TEXT = 4000
_MAX_RULE = 512
_MAX_REFERENCE = 1000
#: Results that are kept of a report that is too long; the gravest come first.
_KEPT_RESULTS = 20
#: JSON writes one character as six bytes at most.
_BYTES_A_CHARACTER = 6


class ViolationError(RecordError):
    """The entities that were made of a record break rules, or cannot be judged."""

    def __init__(
        self, message: str, *, field: str, rule: str, entities: list[dict[str, Any]], report: list[dict[str, Any]]
    ) -> None:
        super().__init__(message, field=field, rule=rule)
        self.entities = entities
        self.report = report


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a record was set aside."""

    stage: str
    """Where it failed: read, key, map, check or deliver."""
    field: str = ""
    rule: str = ""
    reason: str = ""
    entities: Sequence[dict[str, Any]] = ()
    """What the mapping made of it."""
    report: Sequence[dict[str, Any]] = ()
    """All results of its validation."""

    @classmethod
    def of(cls, stage: str, error: RecordError) -> Finding:
        """Return what an error says; a violation is of the stage check, whatever was done."""
        if isinstance(error, ViolationError):
            return cls("check", error.field, error.rule, str(error), error.entities, error.report)
        return cls(stage, error.field, error.rule, str(error))

    def as_json(self) -> dict[str, Any]:
        """Return it as the API takes it, its texts within their limits."""
        found = asdict(self)
        found |= {name: _text(found[name], _MAX_TEXT) for name in ("field", "reason")}
        return found | {"rule": _text(self.rule, _MAX_RULE)}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that is set aside."""

    id: str
    provider: str
    stream: str
    unit: str
    number: int
    record: Record | None
    raw: str | None
    """What stood in its place, where it is no record."""
    raw_reference: str
    """The raw copy that holds it: `sha256:` and the hash of the content, with which the copy's name begins."""
    finding: Finding

    def as_json(self, max_bytes: int) -> dict[str, Any]:
        """Return it as the API takes it; above the limit, what was made of it goes first, then what is known of it."""
        kept = self
        for smaller in (_without_entities, _with_few_results, _as_text):
            if len(body := orjson.dumps(kept._members())) <= max_bytes and b"\\u0000" not in body:
                break
            kept = smaller(kept, max_bytes)
        return kept._members()

    def _members(self) -> dict[str, Any]:
        place = {"id": self.id, "provider": self.provider, "stream": self.stream, "number": self.number}
        place |= {"unit": _text(self.unit, _MAX_REFERENCE), "record": self.record, "raw": self.raw}
        if self.raw_reference:
            place["rawReference"] = self.raw_reference
        return place | self.finding.as_json()

    def text(self) -> str:
        """Return the record as JSON, or what stood in its place."""
        return orjson.dumps(self.record).decode() if self.record is not None else self.raw or ""


def _without_entities(found: Quarantined, _: int) -> Quarantined:
    return replace(found, finding=replace(found.finding, entities=()))


def _with_few_results(found: Quarantined, _: int) -> Quarantined:
    return replace(found, finding=replace(found.finding, report=found.finding.report[:_KEPT_RESULTS]))


def _as_text(found: Quarantined, max_bytes: int) -> Quarantined:
    """Return it with the beginning of the record's text in its place; the raw copy has the whole."""
    text = _text(found.text(), max_bytes // (2 * _BYTES_A_CHARACTER))
    return replace(found, record=None, raw=text, finding=replace(found.finding, report=()))


def _text(text: str, most: int) -> str:
    return text[:most].replace("\0", "\\u0000")[:most]


@dataclass(frozen=True, slots=True)
class Replay:
    """A record in quarantine that is to be tried again."""

    id: str
    version: int
    unit: str
    number: int
    record: Record | None
    """As it is in the source; None where it could not be read."""
    mended: Record | None
    """As somebody said it should be."""

    @property
    def best(self) -> Record | None:
        """The record to try."""
        return self.record if self.mended is None else self.mended


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a replay, or of a record in quarantine that the source brought again."""

    id: str
    version: int | None
    """The version that was replayed; None: the source brought the record again, and its entities are stored now."""
    finding: Finding | None = None
    """Why it was set aside again; None: its entities are stored."""

    def as_json(self) -> dict[str, Any]:
        """Return it as the API takes it."""
        found: dict[str, Any] = {"id": self.id}
        if self.version is not None:
            found["version"] = self.version
        return found if self.finding is None else found | {"finding": self.finding.as_json()}


def rule_of(result: Mapping[str, Any]) -> str:
    """Return the name of the rule, or else of the shape, of a result as a report has it."""
    return rule_name(str(result.get("rule") or result.get("shape") or ""))


def rule_name(iri: str) -> str:
    """Return the name of a rule or shape: its IRI, without the namespace of the model's own ones."""
    return iri.strip("<>").removeprefix(NAMESPACE)


def local_name(iri: object) -> str:
    """Return the last part of an attribute's IRI, nothing for none."""
    return iri.rpartition("#")[2].rpartition("/")[2] if isinstance(iri, str) else ""


def record_id(*parts: str | bytes) -> str:
    """Return the id of a record: the hash of its stream and what identifies it there."""
    found = hashlib.blake2b(digest_size=_ID_BYTES)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8) + data)
    return found.hexdigest()
