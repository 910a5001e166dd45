"""Dates and times: explicit formats, explicit zones, UTC inside.

A format says where day, month and year stand (%d/%m/%Y is day first, %Y-%d-%m is what a tool leaves that swapped them);
nothing is guessed. A time without offset is read in the zone that the mapping names. Where a clock shows an hour twice,
the first reading counts, unless the second is the only one that does not lie before `not_before`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.mapping.values import Unusable, exact

_DIRECTIVES: Final = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{1,2})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,9})",
    "z": r"(?P<z>Z|[+-]\d{2}(?::?\d{2})?)",
    "%": "%",
}
_DURATION: Final = re.compile(r"(\d{1,6}):([0-5]\d):([0-5]\d)", re.ASCII)
_CENTURY: Final = 2000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS: Final = {"s": 10**6, "ms": 10**3, "us": 1}
ISO: Final = "iso"


def zone(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database; raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(f"{name!r} is no time zone of the IANA database") from None


def _pattern(layout: str) -> re.Pattern[str]:
    parts, seen, position = [], set(), 0
    while position < len(layout):
        char = layout[position]
        if char != "%":
            parts.append(re.escape(char))
            position += 1
            continue
        directive = layout[position + 1 : position + 2]
        if directive not in _DIRECTIVES or directive in seen:
            raise ValueError(f"the format {layout!r} has a wrong or repeated %{directive}")
        seen.add(directive)
        parts.append(_DIRECTIVES[directive])
        position += 2
    return re.compile("".join(parts), re.ASCII)


@lru_cache(512)
def _offset(written: str) -> timezone:
    if written == "Z" or written[1:].strip("0:") == "":
        return UTC
    digits = written[1:].replace(":", "").ljust(4, "0")
    delta = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-delta if written[0] == "-" else delta)


def _reader(layout: str) -> Callable[[str], datetime | None]:
    """Return a function that reads a text of this format; None where the text does not have it."""
    if layout == ISO:
        return _read_iso
    pattern = _pattern(layout)
    names = pattern.groupindex
    if not ({"Y", "y"} & names.keys() and "m" in names and "d" in names):
        raise ValueError(f"the format {layout!r} lacks day, month or year")
    year, month, day = names.get("Y") or names["y"], names["m"], names["d"]
    century = 0 if "Y" in names else _CENTURY
    hour, minute, second = names.get("H"), names.get("M"), names.get("S")
    fraction, offset = names.get("f"), names.get("z")

    def read(text: str) -> datetime | None:
        match = pattern.fullmatch(text)
        if match is None:
            return None
        try:
            return datetime(
                century + int(match[year]),
                int(match[month]),
                int(match[day]),
                int(match[hour]) if hour else 0,
                int(match[minute]) if minute else 0,
                int(match[second]) if second else 0,
                int(match[fraction][:6].ljust(6, "0")) if fraction else 0,
                _offset(match[offset]) if offset else None,
            )
        except ValueError:
            return None

    return read


def _read_iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def datetime_reader(layouts: list[str], local: ZoneInfo | None) -> Callable[..., datetime]:
    """Return a function that reads a time in the first format that fits, as UTC.

    The function takes the value and, where the mapping says so, a moment that the time does not lie before. Raises
    ValueError for a wrong format.
    """
    readers = [_reader(layout) for layout in layouts]
    rule = "datetime " + " or ".join(layouts)

    def read(value: Any, not_before: Any = None) -> datetime:
        if value.__class__ is datetime:
            return value
        if value.__class__ is not str:
            raise Unusable(rule, value, "is no text")
        for reader in readers:
            found = reader(value)
            if found is not None:
                return _utc(found, local, not_before, rule, value)
        raise Unusable(rule, value, "does not have this format")

    return read


def _utc(found: datetime, local: ZoneInfo | None, not_before: Any, rule: str, value: Any) -> datetime:
    try:
        if found.tzinfo is UTC:
            return found
        if found.tzinfo is not None:
            return found.astimezone(UTC)
        if local is None:
            raise Unusable(rule, value, "has no offset and the mapping names no zone")
        first = found.replace(tzinfo=local).astimezone(UTC)
        if not_before.__class__ is datetime and first < not_before:
            second = found.replace(tzinfo=local, fold=1).astimezone(UTC)
            return second if second >= not_before else first
        return first
    except OverflowError:
        raise Unusable(rule, value, "lies outside the calendar") from None


def date_reader(layouts: list[str]) -> Callable[[Any], date]:
    """Return a function that reads a calendar date in the first format that fits; raises ValueError for a wrong one."""
    readers = [_reader(layout) for layout in layouts]
    rule = "date " + " or ".join(layouts)

    def read(value: Any) -> date:
        if value.__class__ is str:
            for reader in readers:
                found = reader(value)
                if found is not None:
                    return found.date()
        raise Unusable(rule, value, "does not have this format")

    return read


def epoch_reader(unit: str) -> Callable[[Any], datetime]:
    """Return a function that reads the time since 1970 UTC in s, ms or us."""
    factor = _EPOCH_UNITS[unit]

    def read(value: Any) -> datetime:
        try:
            return _EPOCH + timedelta(microseconds=int(exact(value) * factor))
        except (OverflowError, ValueError):
            raise Unusable(f"epoch {unit}", value, "lies outside the calendar") from None

    return read


class DayClock:
    """Puts times of day on the calendar: one that is earlier than the one before belongs to the next day."""

    __slots__ = ("_date", "_days", "_last")

    def __init__(self) -> None:
        self._date: date | None = None
        self._days = 0
        self._last: datetime | None = None

    def at(self, value: Any, day: Any, local: ZoneInfo) -> datetime:
        """Return the moment of a time of day hh:mm:ss, the first one on `day`, in the zone `local`."""
        match = _DURATION.fullmatch(value) if value.__class__ is str else None
        if match is None or int(match[1]) > 23:
            raise Unusable("timeOfDay", value, "is no time of day hh:mm:ss")
        if day.__class__ is not date:
            raise Unusable("timeOfDay", day, "is no date")
        if day != self._date:
            self._date, self._days, self._last = day, 0, None
        wall = datetime(day.year, day.month, day.day, int(match[1]), int(match[2]), int(match[3]))  # noqa: DTZ001
        wall += timedelta(days=self._days)
        if self._last is not None and wall < self._last and not _hour_repeats(self._last, wall, local):
            wall += timedelta(days=1)
            self._days += 1
        fold = int(self._last is not None and wall < self._last)
        self._last = wall
        return wall.replace(tzinfo=local, fold=fold).astimezone(UTC)


def _hour_repeats(last: datetime, wall: datetime, local: ZoneInfo) -> bool:
    """Return whether the clock was set back between two wall times, so that the later one shows the smaller time."""
    first, second = (wall.replace(tzinfo=local, fold=fold).utcoffset() for fold in (0, 1))
    return first != second and last - wall < timedelta(hours=1)


def duration(value: Any) -> int:
    """Return the seconds of h:mm:ss; hours have no upper limit."""
    match = _DURATION.fullmatch(value) if value.__class__ is str else None
    if match is None:
        raise Unusable("duration", value, "is no duration h:mm:ss")
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


def seconds_between(start: Any, end: Any) -> int | None:
    """Return the whole seconds from one moment to another, or None where one is absent."""
    if start is None or end is None:
        return None
    if start.__class__ is not datetime or end.__class__ is not datetime:
        raise Unusable("seconds", [start, end], "are no two moments")
    return round((end - start).total_seconds())


_ISO_READER: Final = datetime_reader([ISO], None)


def utc_text(value: Any) -> str:
    """Return a moment as NGSI-LD writes it: ISO 8601 in UTC with a Z, milliseconds only where there are some."""
    if value.__class__ is not datetime:
        value = _ISO_READER(value)
    micro = value.microsecond
    if not micro:
        return value.isoformat()[:19] + "Z"  # type: ignore[no-any-return]
    return value.isoformat(timespec="microseconds" if micro % 1000 else "milliseconds")[:-6] + "Z"  # type: ignore[no-any-return]


def date_text(value: Any) -> str:
    """Return a calendar date as YYYY-MM-DD."""
    if value.__class__ is date:
        return value.isoformat()
    if value.__class__ is str:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise Unusable("date", value, "is no date")
