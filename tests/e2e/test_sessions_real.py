"""The published charging sessions, file by file: every row is a session in the broker, quarantined, or a duplicate."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.platform import Broker, broker, ingest

Row = dict[str, str]
FOLDER = Path("sessions/ev-load-open-data")
SAMPLED = 30
LONDON = ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a row says about a session, read without the adapter's code."""

    start: datetime
    end: datetime | None
    energy: float | None
    evse: str | None

    def is_possible(self) -> bool:
        """Tell whether it keeps to the limits of the model: 14 days, and 0 to 1,000 kWh."""
        long = self.end is not None and self.end - self.start > timedelta(days=14)
        return not long and (self.energy is None or 0 <= self.energy <= 1000)


@dataclass(frozen=True, slots=True)
class Published:
    """A file of sessions, and how to read its rows."""

    file: str
    provider: str
    source: str
    key: str
    read: Callable[[Row], Reading]
    delimiter: str = ","

    def rows(self, shared_data: Path) -> list[Row]:
        with (shared_data / FOLDER / self.file).open(encoding="utf-8-sig", newline="") as handle:
            return list(csv.DictReader(handle, delimiter=self.delimiter))

    def entity_id(self, row: Row) -> str:
        return f"urn:ngsi-ld:ChargingSession:{self.source}:{row[self.key]}"


def energy(text: str, scale: str = "1") -> float | None:
    return float(Decimal(text) * Decimal(scale)) if text else None


def boulder(row: Row) -> Reading:
    def moment(text: str) -> datetime | None:
        return None if text.startswith("1970") else datetime.strptime(text, "%Y/%m/%d %H:%M:%S+00").replace(tzinfo=UTC)

    start = moment(row["Start_Date___Time"])
    assert start is not None
    station = re.sub("[^a-z0-9]+", "-", row["Station_Name"].lower()).strip("-")
    return Reading(start, moment(row["End_Date___Time"]), energy(row["Energy__kWh_"]), station)


def dundee(row: Row) -> Reading:
    def moment(date: str, time: str) -> datetime | None:
        if not date or date.startswith("1970"):
            return None
        if "/" in date:
            day, month, year = map(int, date.split("/"))
        else:
            # Where the last number can be a month, it is one: the publisher's tool swapped day and month.
            year, first, last = map(int, date.removesuffix("T00:00:00").split("-"))
            day, month = (first, last) if last <= 12 else (last, first)
        hour, minute = map(int, time.split(":"))
        return datetime(year, month, day, hour, minute, tzinfo=LONDON)

    start, end = moment(row["Start Date"], row["Start Time"]), moment(row["End Date"], row["End Time"])
    assert start is not None
    if end is not None and end.astimezone(UTC) < start.astimezone(UTC):
        end = end.replace(fold=1)
    evse = f"{row['CP ID']}:{row['Connector']}" if row["CP ID"] else None
    return Reading(start, end, energy(row["Total kWh"]), evse)


def sap(row: Row) -> Reading:
    end = datetime.fromisoformat(row["Date fin"]) if row["Date fin"] else None
    at_work = row["Type Lieu de charge"] == "Travail"
    evse = f"{row['ID borne']}:{row['ID connecteur borne']}" if at_work else None
    start = datetime.fromisoformat(row["Date demarrage"])
    return Reading(start, end, energy(row["Consommation totale (Wh)"], "0.001"), evse)


FILES = (
    Published("boulder_2018_2021.csv", "boulder-sessions", "boulder", "ObjectId", boulder),
    Published("dundee_2017Q4.csv", "dundee-sessions", "dundee", "Charging event", dundee),
    Published("dundee_2018Q3.csv", "dundee-sessions", "dundee", "Charging event", dundee),
    Published("sap_labs_mougins.csv", "sap-sessions", "sap", "ID transaction", sap, ";"),
)


def check_sample(platform: Broker, published: Published, rows: list[Row]) -> None:
    """Compare sessions in the broker with their rows, one by one."""
    sample = [rows[0], rows[-1], *random.Random(1).sample(rows, SAMPLED)]
    for row in sample:
        expected = published.read(row)
        found = platform.get(f"entities/{published.entity_id(row)}", format="simplified").json()
        assert moment_of(found["startDateTime"]) == expected.start.astimezone(UTC)
        assert ("endDateTime" in found) == (expected.end is not None)
        if expected.end is not None:
            assert moment_of(found["endDateTime"]) == expected.end.astimezone(UTC)
        assert found.get("energyDelivered") == expected.energy
        if expected.evse is not None:
            assert found["evse"] == f"urn:ngsi-ld:EVSE:{published.source}:{expected.evse}"


def moment_of(value: dict[str, str]) -> datetime:
    return datetime.fromisoformat(value["@value"])


def check_queries(platform: Broker, published: Published, rows: list[Row]) -> None:
    """Compare what queries count and put first with what the rows say."""
    readings = [published.read(row) for row in rows]
    much = [r for r in readings if r.energy is not None and r.energy > 20]
    assert platform.count(type="ChargingSession", q="energyDelivered>20") == len(much) > 0
    middle = sorted(r.start.astimezone(UTC) for r in readings)[len(readings) // 2]
    shown = f"{middle:%Y-%m-%dT%H:%M:%SZ}"
    early = sum(r.start < middle for r in readings)
    assert platform.count(type="ChargingSession", q=f"startDateTime<{shown}") == early > 0
    assert platform.count(type="ChargingSession", q=f"startDateTime>={shown}") == len(readings) - early
    closed = sum(r.end is not None for r in readings)
    assert platform.count(type="ChargingSession", q="endDateTime") == closed > 0
    evse = next(r.evse for r in readings if r.evse is not None)
    at = [r for r in readings if r.evse == evse]
    linked = f'evse=="urn:ngsi-ld:EVSE:{published.source}:{evse}"'
    assert platform.count(type="ChargingSession", q=linked) == len(at) > 0
    first = platform.get(
        "entities", type="ChargingSession", q=linked, orderBy="startDateTime", limit=1, join="inline",
    ).json()  # fmt: skip
    assert moment_of(first[0]["startDateTime"]["value"]) == min(r.start.astimezone(UTC) for r in at)
    assert first[0]["evse"]["entity"]["id"] == f"urn:ngsi-ld:EVSE:{published.source}:{evse}"


def stored(platform: Broker) -> list[Any]:
    """Return counts of the rows of sessions and of their versions and times, from the database file."""
    return platform.select(
        "WITH session AS (SELECT k, version, modified_at FROM entity WHERE id LIKE 'urn:ngsi-ld:ChargingSession:%')"
        " SELECT count(*), sum(version), max(modified_at),"
        " (SELECT count(*) FROM history WHERE k IN (SELECT k FROM session)),"
        " (SELECT count(*) FROM change WHERE k IN (SELECT k FROM session)) FROM session"
    )


@pytest.mark.parametrize("published", FILES, ids=lambda published: published.file.removesuffix(".csv"))
def test_every_row_is_accounted_for(published: Published, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / FOLDER / published.file
    rows = published.rows(shared_data)
    ours: dict[str, object] = {
        "type": "ChargingSession", "idPattern": f"^urn:ngsi-ld:ChargingSession:{published.source}:",
    }  # fmt: skip
    with broker(tmp_path) as platform:
        told = ingest(published.provider, path, platform.url, tmp_path / "data")
        sessions = platform.count(**ours)
        assert told.rows == len(rows)
        assert len(rows) == sessions + told.quarantined + told.duplicates
        assert told.updates == 0
        assert platform.count(type="ChargingSession", idPattern=":elsewhere:") == 0
        assert len(rows) - len({row[published.key] for row in rows}) == told.duplicates
        ids = {entity["id"] for entity in platform.all(**ours, pick="id")}
        assert len(ids) == sessions
        possible = [row for row in rows if published.read(row).is_possible()]
        assert {published.entity_id(row) for row in possible} == ids, "what is not possible is in quarantine"
        check_sample(platform, published, possible)
        check_queries(platform, published, possible)

        before = stored(platform)
        (counted, *_, history, changes) = before[0]
        assert (counted, changes) == (sessions, sessions)
        assert history > 5 * sessions
        again = ingest(published.provider, path, platform.url, tmp_path / "data")
        assert (again.rows, again.delivered) == (told.rows, 0), "a file that is known is not delivered again"
        anew = ingest(published.provider, path, platform.url, tmp_path / "other")
        assert anew.delivered == told.delivered, "an adapter without memory delivers all again"
        assert stored(platform) == before, "what is delivered again changes no session, history or change row"
        assert platform.count(**ours) == sessions
