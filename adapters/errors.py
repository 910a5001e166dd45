"""What can go wrong between a source and the context API.

    AdapterError
    ├── TransientError       worth trying again: connection refused, time-out, 429, 5xx
    └── PermanentError       trying again changes nothing: bad manifest, bad answer, refused entity
        ├── ManifestError    a provider's manifest or mapping is wrong
        ├── RecordError      one record cannot become an entity; the others go on
        └── SettingError     a path, URL or secret that only the caller can put right
            └── StreamBusyError   another process reads the stream in this data folder

The class decides what the runner does: it waits and tries again, it sets the record aside with its reason, or it stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AdapterError(Exception):
    """An adapter could not do its work."""


class TransientError(AdapterError):
    """Trying again later may work.

    `retry_after` is the number of seconds that the other side asked to wait, where it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(AdapterError):
    """Trying again changes nothing.

    `report` holds the results of the validation of an entity that the API refused, where it sent them.
    """

    def __init__(self, message: str, *, report: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.report = report


class ManifestError(PermanentError):
    """A provider's manifest or mapping is wrong; the message names the file and the member."""


class SettingError(PermanentError):
    """Something outside the data stops the adapter; the message says what to do."""


class StreamBusyError(SettingError):
    """Another process reads the stream in this data folder."""


class RecordError(PermanentError):
    """One record cannot become an entity.

    `field` is the source's field at fault (empty for the record as a whole) and `rule` the requirement that it breaks.
    """

    def __init__(self, message: str, *, field: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.rule = rule
