"""`voltweave issues` against a real server, and repairs that a manifest accepts in a real ingest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.providers import FOLDER
from tests.e2e.test_quality import until
from tests.e2e.test_quarantine_command import STREAM, ingest, sample, voltweave
from tests.platform import LINK, Broker, broker
from tests.postgres import postgres_database

__all__ = ["sample"]
SESSION = "urn:ngsi-ld:ChargingSession:test:1"
ISSUE = "DataQualityIssue"


@pytest.fixture(params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "sqlite":
        with broker(tmp_path / "broker") as found:
            yield found
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    with postgres_database(server, template) as url, broker(tmp_path / "broker", url) as found:
        yield found


def energy(value: float, unit: str) -> dict[str, Any]:
    return {"type": "Property", "value": value, "unitCode": unit, "observedAt": "2026-05-04T08:30:00Z"}


def post(running: Broker, name: str, value: float, unit: str) -> None:
    entity = {"id": f"urn:ngsi-ld:ChargingSession:test:{name}", "type": "ChargingSession"}
    body = entity | {"energyDelivered": energy(value, unit)}
    answer = httpx.post(f"{running.url}/ngsi-ld/v1/entities", json=body, headers={"Link": LINK})
    assert answer.status_code == 201, answer.text


def issue_of(running: Broker, name: str) -> dict[str, Any]:
    """Wait for the one issue of a session that proposes something."""
    q = f'concerns=="urn:ngsi-ld:ChargingSession:test:{name}";repair=="convertUnit"'
    until(lambda: running.count(type=ISSUE, q=q) == 1)
    [found] = running.all(type=ISSUE, q=q)
    return found


def test_a_repair_is_listed_accepted_and_stored(running: Broker, tmp_path: Path) -> None:
    def issues(*arguments: str, code: int = 0) -> str:
        done = voltweave(tmp_path, "issues", *arguments, "--server", running.url)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    post(running, "1", 7500, "WHR")
    found = issue_of(running, "1")
    assert found["proposedValue"]["value"] == 7.5
    listed = issues("list", "--repair", "convertUnit")
    assert found["id"] in listed
    assert "convertUnit: 7.5 KWH, from 7500 WHR" in listed
    assert "1 issue" in listed
    assert "convert the value" in issues("show", found["id"])
    assert json.loads(issues("show", found["id"], "-o", "json"))["id"] == found["id"]
    assert "1 repair made" in issues("accept", found["id"])
    [stored] = running.all(type="ChargingSession")
    assert (stored["energyDelivered"]["value"], stored["energyDelivered"]["unitCode"]) == (7.5, "KWH")
    assert stored["energyDelivered"]["sourceValue"]["value"] == 7500
    until(lambda: running.get(f"entities/{found['id']}").json()["status"]["value"] == "resolved")
    assert running.get(f"entities/{found['id']}").json()["action"]["value"] == "corrected"
    assert "the issue is resolved, or proposes no repair" in issues("accept", found["id"], code=1)

    post(running, "2", 8500, "WHR")
    other = issue_of(running, "2")
    assert "1 issue dismissed" in issues("dismiss", other["id"])
    assert issue_of(running, "2")["status"]["value"] == "dismissed"
    assert other["id"] in issues("list", "--status", "dismissed")


@pytest.mark.parametrize("verb", ["accept", "dismiss"])
def test_what_is_not_there_is_answered_with_its_problem(tmp_path: Path, verb: str) -> None:
    with broker(tmp_path) as running:
        post(running, "1", 7.5, "KWH")
        for issue, status in ((SESSION, 404), ("urn:ngsi-ld:DataQualityIssue:0", 404), ("no uri", 400)):
            answer = httpx.post(f"{running.url}/validation/issues/{issue}/{verb}")
            assert answer.status_code == status, answer.text
            assert answer.json()["type"].startswith("https://uri.etsi.org/ngsi-ld/errors/")


def test_a_manifest_accepts_marks_beforehand(tmp_path: Path, sample: Path) -> None:
    shutil.copytree(FOLDER / STREAM, tmp_path / "providers" / STREAM)
    manifest = tmp_path / "providers" / STREAM / "manifest.yaml"
    with broker(tmp_path / "broker") as running:
        ingest(tmp_path, running, sample)
        assert running.count(type="ChargingSession") == 2
        manifest.write_text(manifest.read_text("utf-8") + "\nvalidation: {accept: [markOutlier]}\n", "utf-8")
        arguments = ("ingest", "--provider", STREAM, "--url", running.url, "--data", "e", sample)
        done = voltweave(tmp_path, *arguments, VOLTWEAVE_PROVIDERS=str(tmp_path / "providers"))
        assert done.returncode == 0, done.stderr
        assert "5 rows = 3 entities + 2 quarantined" in done.stdout
        [marked] = running.all(type="ChargingSession", q="energyDelivered<0")
        assert marked["energyDelivered"]["value"] == -4
        assert marked["energyDelivered"]["quality"]["value"] == "suspect"
        listed = voltweave(tmp_path, "adapters", "list", "--data", "e", "--json").stdout
        [counters] = [each for each in json.loads(listed) if each["provider"] == STREAM]
        assert counters["findings"]["repaired"] == {"C05": 1}
        # The value says itself that it is in doubt: there is no issue of it.
        assert running.count(type=ISSUE, q='rule=="https://w3id.org/voltweave/shapes#C05"') == 0
