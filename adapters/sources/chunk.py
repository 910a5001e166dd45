"""What a source yields: records in groups, with the checkpoint that follows them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.errors import RecordError

#: The state of a source: one JSON document a thing read (a file, a collection), by the source's own key.
Checkpoint = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something in a record's place that is none: `raw` is what stood there (shortened), `error` says why."""

    raw: str
    error: RecordError


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records that were read together, in the source's order; none where a unit was found to be read already."""

    unit: str
    """What they were read from: a file's name and content hash, or the path of an API."""
    first: int
    """The place of the first one there, counted from 1."""
    records: list[Mapping[str, Any] | Unreadable]
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """Entries of the source's state as they are once these records are safe; None drops an entry."""
    done: float | None = None
    """How much of the unit is read, 0 to 1, where the source knows."""
    raw: str = ""
    """The raw copy that holds them: `sha256:` and the hash of its content; empty where there are several."""


class Source(Protocol):
    """Reads records from somewhere."""

    def chunks(self, checkpoint: Checkpoint) -> AsyncGenerator[Chunk, None]:
        """Yield what is new since `checkpoint`, once through; raise TransientError or PermanentError."""
