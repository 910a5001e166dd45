"""`voltweave ingest` and `voltweave adapters` as a user runs them: output, files and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.receiver import Receiver, receiving

SESSIONS = [
    ("boulder-sessions", "boulder_2018_2021.csv", "boulder"),
    ("dundee-sessions", "dundee_2017Q4.csv", "dundee"),
    ("dundee-sessions", "dundee_2018Q3.csv", "dundee"),
    ("sap-sessions", "sap_labs_mougins.csv", "sap"),
]
BALANCE = re.compile(r"(\d+) rows = (\d+) entities(?: \+ \d+ updates)? \+ (\d+) quarantined \+ (\d+) duplicates")


def voltweave(*arguments: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "voltweave", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "200"} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    header = "Station_Name,Address,City,State_Province,Zip_Postal_Code,Start_Date___Time,Start_Time_Zone,"
    header += "End_Date___Time,End_Time_Zone,Total_Duration__hh_mm_ss_,Charging_Time__hh_mm_ss_,Energy__kWh_,"
    header += "GHG_Savings__kg_,Gasoline_Savings__gallons_,Port_Type,ObjectId"
    row = "EXAMPLE / A,1 Sample Ave,Boulder,Colorado,80300,2020/02/03 10:00:00+00,MST,2020/02/03 {hour}:00:00+00,MST,"
    row += "1:00:00,1:00:00,7.5,1,1,Level 2,{number}"
    rows = [row.format(hour=12, number=n) for n in (1, 2, 2)] + [row.format(hour="09", number=3)]
    path = tmp_path / "sessions.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_ingest_accounts_for_every_row_and_the_list_shows_it(tmp_path: Path, sample: Path) -> None:
    with receiving(Receiver()) as receiver:
        done = voltweave(
            "ingest", "--provider", "boulder-sessions", "--url", receiver.url, "--data", "d", sample, folder=tmp_path
        )
    assert done.returncode == 0, done.stderr
    assert "4 rows = 2 entities + 1 quarantined + 1 duplicates" in done.stdout
    assert len([i for i in receiver.entities if ":ChargingSession:" in i]) == 2
    listed = voltweave("adapters", "list", "--data", "d", "--json", folder=tmp_path)
    (row,) = [r for r in json.loads(listed.stdout) if r["provider"] == "boulder-sessions"]
    assert (row["records"], row["entities"], row["quarantined"], row["duplicates"]) == (4, 2, 1, 1)
    assert row["delivered"] == len(receiver.entities)
    assert row["last_error"] is None
    rejected = voltweave("adapters", "rejects", "boulder-sessions", "--data", "d", folder=tmp_path)
    (reject,) = map(json.loads, rejected.stdout.splitlines())
    assert (reject["number"], reject["stage"]) == (4, "map")
    assert json.loads(reject["record"])["ObjectId"] == "3"
    table = voltweave("adapters", "list", "--data", "d", folder=tmp_path)
    assert "boulder-sessions" in table.stdout


def test_what_the_api_could_not_take_is_delivered_by_the_next_run(tmp_path: Path, sample: Path) -> None:
    command: list[str | Path] = ["ingest", "--provider", "boulder-sessions", "--data", "d", sample]
    receiver = Receiver()
    with receiving(receiver):
        pass
    away = voltweave(*command, "--url", receiver.url, folder=tmp_path, VOLTWEAVE_DELIVERY_PATIENCE="0.1")
    assert away.returncode == 4
    assert "run the same command again" in away.stderr
    with receiving(receiver, int(receiver.url.rpartition(":")[2])):
        done = voltweave(*command, "--url", receiver.url, folder=tmp_path)
    assert done.returncode == 0
    assert "4 rows = 2 entities" in done.stdout
    assert len([i for i in receiver.deliveries if ":ChargingSession:" in i]) == 2


def test_a_folder_is_followed_until_ctrl_c(tmp_path: Path, sample: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    command = ["ingest", "--follow", "--provider", "boulder-sessions", "--data", "d", str(folder)]
    with receiving(Receiver()) as receiver:
        following = subprocess.Popen(
            [sys.executable, "-m", "voltweave", *command, "--url", receiver.url],
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            sample.rename(folder / sample.name)
            limit = time.monotonic() + 60
            while not receiver.entities and time.monotonic() < limit:
                time.sleep(0.05)
            second = voltweave(*command, "--url", receiver.url, folder=tmp_path)
            assert second.returncode == 3, "one reader a stream"
            assert "another process reads boulder-sessions" in second.stderr
            following.send_signal(signal.SIGINT)
            output, errors = following.communicate(timeout=30)
        finally:
            following.kill()
            following.communicate()
    assert following.returncode == 0, errors.decode()
    assert b"4 rows = 2 entities" in output
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["ingest", "--provider", "no-such"], 3, "there is no provider 'no-such'"),
        (["ingest", "--provider", "boulder-sessions", "nowhere.csv"], 3, "nowhere.csv does not exist"),
        (["ingest"], 2, "--provider"),
        (["adapters", "check", "no-such"], 3, "there is no provider no-such"),
        (["adapters", "rejects", "x", "--data", "none"], 3, "no adapter has run"),
        (["adapters", "list"], 3, "VOLTWEAVE_PROVIDERS: missing is no folder"),
    ],
)
def test_errors_say_what_to_do(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    extra = {"VOLTWEAVE_PROVIDERS": "missing"} if arguments == ["adapters", "list"] else {}
    failed = voltweave(*arguments, folder=tmp_path, **extra)
    assert failed.returncode == code
    assert says in re.sub(r"\s+", " ", failed.stderr)
    assert "Traceback" not in failed.stderr


def test_a_provider_is_started_tried_checked_and_used(tmp_path: Path) -> None:
    source = tmp_path / "log.csv"
    source.write_text("Session ID;Energy Delivered;When\nA1;5.5;2030-01-01T10:00:00Z\nA2;6;2030-01-01T11:00:00Z\n")
    made = voltweave("adapters", "new", "my-log", source, "--folder", "mine", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "Energy Delivered -> energyDelivered" in made.stdout
    assert "not recognised: When" in made.stdout
    own = {"VOLTWEAVE_PROVIDERS": "mine"}
    tried = voltweave("adapters", "try", "my-log", source, folder=tmp_path, **own)
    assert "urn:ngsi-ld:ChargingSession:my-log:A1" in tried.stdout
    assert "2 records shown, 0 with errors" in tried.stdout
    unchecked = voltweave("adapters", "check", "my-log", folder=tmp_path, **own)
    assert unchecked.returncode == 1
    assert "there is no log.expected.json" in unchecked.stdout
    expected = voltweave("adapters", "try", "my-log", source, "--json", folder=tmp_path, **own).stdout
    (tmp_path / "mine/my-log/samples/log.expected.json").write_text(expected)
    assert voltweave("adapters", "check", "my-log", folder=tmp_path, **own).returncode == 0
    (tmp_path / "mine/my-log/samples/log.expected.json").write_text(expected.replace("5.5", "5.6"))
    wrong = voltweave("adapters", "check", "my-log", folder=tmp_path, **own)
    assert wrong.returncode == 1
    assert "record 1: /entities/0/energyDelivered/value is 5.5, expected is 5.6" in wrong.stdout
    again = voltweave("adapters", "new", "my-log", source, "--folder", "mine", folder=tmp_path)
    assert again.returncode == 3
    assert "is there already" in again.stderr


def test_the_real_sessions_are_all_accounted_for(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "sessions" / "ev-load-open-data"
    with receiving(Receiver()) as receiver:
        before = 0
        for provider, name, source in SESSIONS:
            done = voltweave(
                "ingest", "--provider", provider, "--url", receiver.url, "--data", "d", folder / name, folder=tmp_path
            )
            assert done.returncode == 0, done.stderr
            found = BALANCE.search(done.stdout)
            assert found is not None, done.stdout
            rows, entities, rejected, duplicates = map(int, found.groups())
            assert rows == entities + rejected + duplicates
            assert rows == (folder / name).read_bytes().strip().count(b"\n"), "the file's lines but the header"
            prefix = f"urn:ngsi-ld:ChargingSession:{source}:"
            sessions = sum(identifier.startswith(prefix) for identifier in receiver.entities)
            assert sessions - (before if name == "dundee_2018Q3.csv" else 0) == entities
            before = sessions
