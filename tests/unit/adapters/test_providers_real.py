"""Every provider over its whole real file, against counts made without the mapping."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.intake import KeyReader
from adapters.providers import load_provider
from adapters.samples import try_file

SESSIONS = "sessions/ev-load-open-data"


@dataclass(frozen=True)
class Counted:
    """What became of a file."""

    records: int
    own: int
    rejected: int
    duplicates: int
    conflicts: int
    unique: Counter[str]
    """Different entities by type."""
    entities: list[dict[str, Any]]
    """The records' own entities."""


@cache
def counted(name: str, path: Path) -> Counted:
    """Run a provider over a file as the runner does: natural key first, then the mapping."""
    provider = load_provider(name, {})
    keys = KeyReader(provider.manifest.natural_key)
    seen: dict[bytes, bytes] = {}
    own: list[dict[str, Any]] = []
    ids: dict[str, str] = {}
    records = rejected = duplicates = conflicts = 0
    for trial in try_file(provider, path):
        records += 1
        if trial.error is not None or isinstance(trial.record, str):
            rejected += 1
            continue
        key, content = keys.key(trial.record), keys.content(trial.record)
        if seen.setdefault(key, content) != content:
            conflicts += 1
        elif len(seen) == len(own):
            duplicates += 1
        else:
            own.append(trial.entities[0])
            ids |= {entity["id"]: entity["type"] for entity in trial.entities}
    return Counted(records, len(own), rejected, duplicates, conflicts, Counter(ids.values()), own)


def rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    """Return the rows of a CSV file without its header, read by the csv module alone."""
    with path.open(encoding="utf-8-sig", newline="") as handle:
        return [row for row in csv.reader(handle, delimiter=delimiter) if row][1:]


@pytest.mark.parametrize(
    ("name", "file", "delimiter", "key", "end", "energy", "scale"),
    [
        ("boulder-sessions", "boulder_2018_2021.csv", ",", 15, 7, 11, 1.0),
        ("dundee-sessions", "dundee_2017Q4.csv", ",", 1, 6, 8, 1.0),
        ("dundee-sessions", "dundee_2018Q3.csv", ",", 0, 5, 7, 1.0),
        ("sap-sessions", "sap_labs_mougins.csv", ";", 1, 6, 14, 0.001),
    ],
)
def test_rows_are_sessions_and_rejected_rows_and_duplicates(
    shared_data: Path, name: str, file: str, delimiter: str, key: int, end: int, energy: int, scale: float
) -> None:
    path = shared_data / SESSIONS / file
    table = rows(path, delimiter)
    found = counted(name, path)
    assert found.records == len(table)
    assert found.own + found.rejected + found.duplicates + found.conflicts == len(table)
    assert (found.rejected, found.duplicates, found.conflicts) == (0, 0, len(table) - len({row[key] for row in table}))
    assert found.conflicts == 0
    assert found.unique["ChargingSession"] == found.own == len({row[key] for row in table})
    closed = sum(1 for row in table if row[end] and not row[end].startswith("1970"))
    assert sum(1 for session in found.entities if session["status"]["value"] == "completed") == closed
    assert sum(1 for session in found.entities if "endDateTime" in session) == closed
    total = sum(float(row[energy]) * scale for row in table if row[energy])
    assert sum(s["energyDelivered"]["value"] for s in found.entities if "energyDelivered" in s) == pytest.approx(total)
    assert sum("energyDelivered" in s for s in found.entities) == sum(1 for row in table if row[energy])
    assert all(_ordered(session) for session in found.entities)


def _ordered(session: dict[str, Any]) -> bool:
    if "endDateTime" not in session:
        return True
    start, end = (datetime.fromisoformat(session[n]["value"]["@value"]) for n in ("startDateTime", "endDateTime"))
    return start <= end


def test_swapped_days_and_months_of_dundee_are_put_right(shared_data: Path) -> None:
    found = counted("dundee-sessions", shared_data / SESSIONS / "dundee_2017Q4.csv")
    starts = [datetime.fromisoformat(session["startDateTime"]["value"]["@value"]) for session in found.entities]
    months = {f"{start.astimezone(ZoneInfo('Europe/London')):%Y-%m}" for start in starts}
    assert months == {"2017-09", "2017-10", "2017-11", "2017-12"}
    raw = {row[4][:7] for row in rows(shared_data / SESSIONS / "dundee_2017Q4.csv")}
    assert "2017-01" in raw


def test_a_state_of_charge_of_zero_is_absent(shared_data: Path) -> None:
    path = shared_data / SESSIONS / "sap_labs_mougins.csv"
    found = counted("sap-sessions", path)
    reported = sum(1 for row in rows(path, ";") if row[7] not in ("", "0"))
    ends = [session["stateOfChargeEnd"]["value"] for session in found.entities if "stateOfChargeEnd" in session]
    assert len(ends) == reported
    assert 0 not in ends
    home = {row[2].split("-")[0] for row in rows(path, ";") if row[0] == "Domicile"} - {""}
    assert not home & set(json.dumps(found.entities).replace("-", " ").replace('"', " ").split())


def test_a_changed_row_with_a_known_key_is_not_merged(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / SESSIONS / "boulder_2018_2021.csv").read_text(encoding="utf-8-sig").splitlines()[:4]
    changed = lines[1].replace("6.706", "7.706")
    assert changed != lines[1]
    path = tmp_path / "boulder.csv"
    path.write_text("\n".join([*lines, lines[2], changed]) + "\n")
    found = counted("boulder-sessions", path)
    assert (found.records, found.own, found.conflicts) == (5, 3, 1)
    assert load_provider("boulder-sessions").manifest.natural_key.changed == "reject"


def test_swiss_stations(shared_data: Path) -> None:
    folder = shared_data / "chargepoints/feeds/opendata_swiss"
    document = json.loads((folder / "opendata_swiss_static.json").read_text())
    records = [record for operator in document["EVSEData"] for record in operator["EVSEDataRecord"]]
    found = counted("swiss-stations", folder / "opendata_swiss_static.json")
    assert (found.records, found.own, found.rejected, found.conflicts) == (len(records), len(records), 0, 0)
    assert sum(entity["id"].startswith("urn:ngsi-ld:EVSE:swiss:%2B41") for entity in found.entities) == sum(
        record["EvseID"].startswith("+41") for record in records
    )
    assert found.unique == {
        "Organisation": len(document["EVSEData"]),
        "EVSE": len({record["EvseID"] for record in records}),
        "ChargingStation": len({record["ChargingStationId"] for record in records}),
        "ChargingSite": len({record["GeoCoordinates"]["Google"] for record in records}),
        "Connector": sum(len(record["Plugs"]) for record in records),
    }


def test_swiss_status(shared_data: Path) -> None:
    path = shared_data / "chargepoints/feeds/opendata_swiss/opendata_swiss_realtime.json"
    states = [s for o in json.loads(path.read_text())["EVSEStatuses"] for s in o["EVSEStatusRecord"]]
    provider = load_provider("swiss-status")
    made = [e for trial in try_file(provider, path) for e in trial.entities if e["type"] == "EVSE"]
    assert len(made) == len(states)
    words = Counter(e["status"]["value"] for e in made)
    sent = Counter(s["EVSEStatus"] for s in states)
    assert (words["available"], words["charging"]) == (sent["Available"], sent["Occupied"])
    stations = [e["station"] for e in counted("swiss-stations", path.with_name("opendata_swiss_static.json")).entities]
    assert sorted(e["station"]["object"] for e in made) == sorted(station["object"] for station in stations)
    assert (words["unavailable"], words["unknown"]) == (sent["OutOfService"], sent["Unknown"])


def test_german_register(shared_data: Path) -> None:
    path = shared_data / "chargepoints/feeds/bnetza/bnetza.json"
    stations = json.loads(path.read_text())["chargingStations"]
    found = counted("german-register", path)
    assert (found.records, found.own, found.rejected) == (len(stations), len(stations), 0)
    assert found.unique["EVSE"] == sum(len(s["evses"]) for s in stations)
    assert found.unique["Connector"] == sum(len(e["connectors"]) for s in stations for e in s["evses"])
    assert found.unique["ChargingSite"] == len(
        {(s["coordinates"]["latitude"], s["coordinates"]["longitude"]) for s in stations}
    )
    assert found.unique["Organisation"] == len({s["operator"]["companyName"] for s in stations})


@pytest.mark.parametrize("city", ["brussels", "lyon"])
def test_open_charge_map(shared_data: Path, city: str) -> None:
    path = shared_data / f"ocm/ocm_{city}.ccbysa.json"
    places = json.loads(path.read_text())
    found = counted("open-charge-map", path)
    assert (found.records, found.own, found.rejected) == (len(places), len(places), 0)
    connections = sum(len(place["Connections"] or []) for place in places)
    assert found.unique["EVSE"] == found.unique["Connector"] == connections
    assert found.unique["ChargingSite"] == found.unique["ChargingStation"] == len(places)


def test_vehicle_models(shared_data: Path) -> None:
    path = shared_data / "vehicles/open-ev-data/ev-data.json"
    models = json.loads(path.read_text())["data"]
    found = counted("ev-models", path)
    assert (found.records, found.own, found.rejected) == (len(models), len({m["id"] for m in models}), 0)
    for model, entity in zip(models, found.entities, strict=True):
        ports = {*(model["ac_charger"] or {}).get("ports", ()), *(model["dc_charger"] or {}).get("ports", ())}
        assert ("connectorType" in entity) is bool(ports)
        assert entity["usableBatteryEnergy"]["value"] == model["usable_battery_size"]


def test_series_inside_python_packages() -> None:
    for name, package, reader in (
        ("pv-serf-east", "pvanalytics", _plain_rows),
        ("weather-nrel", "pvanalytics", _plain_rows),
        ("building-eemeter", "eemeter", _packed_rows),
    ):
        if find_spec(package) is None:
            pytest.skip(f"the Python package {package} is not installed")
        source = load_provider(name).manifest.source
        assert source.protocol == "file"
        path = source.location(None)
        found = counted(name, path)
        lines = reader(path)
        assert found.records == found.own == lines
        assert found.rejected == found.duplicates == 0
        assert len(found.unique) == 1
        assert len({entity["id"] for entity in found.entities}) == 1


def _plain_rows(path: Path) -> int:
    return len(rows(path))


def _packed_rows(path: Path) -> int:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
        return sum(1 for _ in csv.reader(handle)) - 1


def test_a_damaged_file_loses_rows_to_reasons_and_not_silently(shared_data: Path, tmp_path: Path) -> None:
    lines = (shared_data / SESSIONS / "dundee_2018Q3.csv").read_text(encoding="utf-8-sig").splitlines()[:6]
    lines[2] = lines[2].replace("06/09/2018", "2018-06-09 ?", 1)
    lines[3] = ",".join(lines[3].split(",")[:5])
    path = tmp_path / "dundee.csv"
    path.write_text("\n".join(lines) + "\n")
    trials = list(try_file(load_provider("dundee-sessions"), path))
    errors = [trial.error for trial in trials if trial.error]
    assert (len(trials), len(errors)) == (5, 2)
    assert all(error.rule in ("columns", "datetime") or error.field for error in errors)
