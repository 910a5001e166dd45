"""How feeds write instants, pages and files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulator.agenda import Agenda, Process
from simulator.town import ZONE

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DroppedFile:
    """A file that an operator leaves in its folder; `path` is relative to the drop folder."""

    path: str
    content: bytes


Drop = Callable[[DroppedFile], None]


class PageMissing(LookupError):
    """There is no such page."""


def utc(when: int) -> str:
    """Write an instant as 2026-03-01T12:00:00Z."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local(when: int) -> datetime:
    """Return an instant in the town's time zone."""
    return datetime.fromtimestamp(when, ZONE)


def page(items: Sequence[Any], number: int, size: int, url: str) -> Record:
    """Return one page of a list, oldest first, with the links to the next one and to itself.

    The last page grows until it is full. Raises PageMissing above it.
    """
    first = (number - 1) * size
    if number < 1 or (first >= len(items) and number > 1):
        raise PageMissing(f"there is no page {number}")
    following = f"{url}?page={number + 1}&page_size={size}" if first + size < len(items) else None
    return {
        "count": len(items),
        "self": f"{url}?page={number}&page_size={size}",
        "next": following,
        "results": list(items[first : first + size]),
    }


def to_json(document: Any) -> bytes:
    """Write a document as compact JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def publish(agenda: Agenda, log: list[Record], record: Record, delay: int = 0) -> None:
    """Append a record to a feed's log, at once or after a delay in seconds."""
    if delay:
        agenda.begin(_publish_later(log, record, delay))
    else:
        log.append(record)


def _publish_later(log: list[Record], record: Record, delay: int) -> Process:
    yield delay
    log.append(record)


def tariff_cents(energy_wh: int, direct_current: bool) -> int:
    """Return the price of a charge in cents: 45 a kWh for AC, 69 for DC."""
    return (energy_wh * (69 if direct_current else 45) + 500) // 1000


def decimal(number: int, digits: int, mark: str = ".") -> str:
    """Write a whole number of the smallest units as a decimal, exactly: decimal(12345, 3) is 12.345."""
    whole, rest = divmod(abs(number), 10**digits)
    return f"{'-' if number < 0 else ''}{whole}{mark}{rest:0{digits}d}"
