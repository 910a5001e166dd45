"""What the runner asks of a provider: its manifest and its mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapters.errors import RecordError
from adapters.manifest import Manifest


@dataclass(frozen=True, slots=True)
class RecordMeta:
    """Where a record comes from, for mappings that need it."""

    stream: str
    """The stream of the provider's manifest."""
    unit: str
    """What held the record: a file's name and content hash, or the path of an API."""
    number: int
    """Its place there, counted from 1."""
    received: str
    """When it was read: ISO 8601, UTC, with a Z."""


#: Raises RecordError where the entities of a record must not be delivered.
Check = Callable[[list[dict[str, Any]]], None]


class RecordMapping(Protocol):
    """Turns records into entities."""

    def apply(self, record: Mapping[str, Any], meta: RecordMeta) -> list[dict[str, Any]]:
        """Return the entities of a record, normalized, with the short names of the CIM and no @context.

        The first one is the record's own (a row of sessions: its session), the others are what it mentions. Raises
        RecordError, which names the field and the rule.
        """

    def apply_many(
        self, records: Iterable[tuple[Mapping[str, Any], RecordMeta]], check: Check | None = None
    ) -> list[list[dict[str, Any]] | RecordError]:
        """Return the entities or the error of each record of a batch, in order.

        An entity that several records mention alike may be left out after its first time in the batch. `check` is asked
        about the entities of each record; what was left out because of a record that it refuses is made again.
        """


@dataclass(frozen=True, slots=True)
class Provider:
    """A source of data that the platform knows: a folder with a manifest, a mapping and samples."""

    folder: Path
    manifest: Manifest
    mapping: RecordMapping
