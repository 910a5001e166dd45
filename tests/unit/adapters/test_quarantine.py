"""What fails the check or the mapping goes to quarantine, once, and comes back by a replay."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters import schema
from adapters.errors import StreamBusyError
from adapters.judging import Judge
from adapters.manifest import Validation, parse_manifest
from adapters.mapping.compiler import compile_mapping
from adapters.mapping.vocabulary import cim
from adapters.provider import Provider
from adapters.quarantine import Finding, Quarantined, ViolationError, record_id
from adapters.runner import Progress, replay_provider, run_provider
from adapters.settings import AdapterSettings
from adapters.sink import HttpSink
from adapters.state import STATE_NAME, AdapterState, Counts, stream_lock
from ngsild.entity import Entity
from shapes.compiler import Shapes
from shapes.shape import Result
from tests.receiver import Receiver, receiving

QUICK = AdapterSettings(
    chunk_records=7, batch_entities=5, settle_seconds=0.0, delivery_patience=0.2, back_off_seconds=0.01
)
STREAM = "test-sessions"
MANIFEST = {
    "id": "test", "title": "Test", "version": "1.0.0", "stream": STREAM,
    "source": {"protocol": "file", "format": "csv"}, "entities": ["ChargingSession", "EVSE", "ChargingStation"],
    "natural_key": {"fields": ["id"], "ignore": ["row"]}, "attribution": {"name": "Nobody"},
    "licence": {"id": "CC0-1.0"}, "personal_data": "none",
}  # fmt: skip
MAPPING = {
    "version": 1,
    "source": "test",
    "entities": [
        {
            "type": "ChargingSession",
            "id": ["id"],
            "observedAt": {"const": "2020-01-01T00:00:00Z"},
            "attributes": {
                "sessionId": "id",
                "evse": {"entity": "EVSE"},
                "startDateTime": ["from", {"datetime": "%Y-%m-%d %H:%M"}],
                "status": {"const": "completed"},
                "energyDelivered": ["kwh", "number"],
            },
        },
        {
            "type": "EVSE",
            "shared": True,
            "id": ["evse"],
            "attributes": {"evseId": "evse", "station": {"entity": "ChargingStation"}},
        },
        {"type": "ChargingStation", "shared": True, "id": ["evse"], "attributes": {"stationId": "evse"}},
    ],
    "zone": "UTC",
}


def provider(mode: str = "enforce") -> Provider:
    manifest = parse_manifest(MANIFEST | {"validation": {"mode": mode}}, "test")
    return Provider(Path("test"), manifest, compile_mapping(MAPPING, "test", cim(), {}))


def write(path: Path, energies: list[str]) -> Path:
    """Write one session an energy: a negative one breaks a rule, one that is no number cannot be mapped."""
    lines = ["row,id,evse,from,kwh"] + [f"{n},{n},E{n % 3},2020-01-01 10:00,{kwh}" for n, kwh in enumerate(energies)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(url: str, data: Path, path: Path | None, mode: str = "enforce") -> Progress:
    """Read a file, or only replay."""

    async def go() -> Progress:
        sink = HttpSink(url, timeout=2.0)
        try:
            if path is None:
                return await replay_provider(provider(mode), sink, data, asyncio.Event(), settings=QUICK)
            return await run_provider(
                provider(mode), sink, data, asyncio.Event(), location=str(path), follow=False, settings=QUICK
            )
        finally:
            await sink.aclose()

    return asyncio.run(go())


def totals(data: Path) -> Counts:
    state = AdapterState(data)
    try:
        return state.streams()[0].counts
    finally:
        state.close()


def sessions(receiver: Receiver) -> set[int]:
    return {int(i.rpartition(":")[2]) for i in receiver.entities if ":ChargingSession:" in i}


def test_a_record_with_a_violation_goes_whole_to_quarantine(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["1", "-1", "2", "much", "-3"])
    with receiving(Receiver()) as receiver:
        done = run(receiver.url, tmp_path / "data", path)
    assert done.counts == Counts(records=5, entities=2, quarantined=3)
    assert sessions(receiver) == {0, 2}
    assert "urn:ngsi-ld:EVSE:test:E1" not in receiver.entities, "only a record in quarantine mentions it"
    by_number = {held["number"]: held for held in receiver.quarantined.values()}
    assert set(by_number) == {2, 4, 5}
    negative = by_number[2]
    assert negative["record"]["kwh"] == "-1"
    assert (negative["stage"], negative["field"], negative["provider"]) == ("check", "energyDelivered", "test")
    assert [entity["type"] for entity in negative["entities"]] == ["ChargingSession", "EVSE", "ChargingStation"]
    assert {(r["severity"], r["attribute"].rpartition("#")[2]) for r in negative["report"]} >= {
        ("Violation", "energyDelivered")
    }
    assert negative["rule"] == negative["report"][0].get("rule", "").rpartition("#")[2]
    assert negative["rawReference"].startswith("sha256:")
    [copy] = (tmp_path / "data" / "raw").rglob("*.gz")
    assert copy.name.startswith(negative["rawReference"].removeprefix("sha256:")[:16])
    assert (by_number[4]["stage"], by_number[4]["field"], by_number[4]["entities"]) == ("map", "kwh", [])


def test_what_only_a_quarantined_record_mentioned_is_made_again_for_the_next(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["-1", "1", "1", "5"])
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path)
    assert sessions(receiver) == {1, 2, 3}
    assert "urn:ngsi-ld:EVSE:test:E0" in receiver.entities, "session 3 mentions what session 0 did in the same batch"


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_in_the_other_modes_it_is_delivered(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "rows.csv", ["1", "-1", "much"])
    with receiving(Receiver()) as receiver:
        done = run(receiver.url, tmp_path / "data", path, mode)
    assert done.counts == Counts(records=3, entities=2, quarantined=1)
    assert sessions(receiver) == {0, 1}
    state = AdapterState(tmp_path / "data")
    found = state.findings(STREAM)
    state.close()
    violations = sum(count for (_, severity), count in found.items() if severity == "Violation")
    assert violations == (1 if mode == "warn" else 0)


def test_what_is_no_ngsi_ld_is_set_aside() -> None:
    with pytest.raises(ViolationError) as broken:
        Judge(Validation(mode="enforce")).check([{"id": "urn:x:1", "type": "ChargingSession"}])
    assert broken.value.rule
    with pytest.raises(Exception, match="is no NGSI-LD"):
        Judge(Validation(mode="enforce")).check([{"id": "no uri", "type": "ChargingSession"}])
    lenient = Judge(Validation(mode="warn"))
    lenient.check([{"id": "no uri", "type": "ChargingSession"}])
    assert lenient.found == {("NGSI-LD", "Violation"): 1}


@pytest.mark.parametrize("mode", ["enforce", "warn"])
def test_a_check_that_fails_says_so_and_the_mode_decides(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge = Shapes.judge

    def judged(self: Shapes, entity: Entity, *others: Any) -> list[Result]:
        if entity.id.endswith(":ChargingSession:test:1"):
            raise ZeroDivisionError("a rule that nobody tried with this")
        return judge(self, entity, *others)

    monkeypatch.setattr(Shapes, "judge", judged)
    path = write(tmp_path / "rows.csv", ["1", "2", "3"])
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path, mode)
    assert sessions(receiver) == ({0, 2} if mode == "enforce" else {0, 1, 2})
    state = AdapterState(tmp_path / "data")
    assert state.findings(STREAM)["check", "Violation"] == 1
    state.close()
    said = [
        (held["stage"], held["rule"], "the check failed" in held["reason"]) for held in receiver.quarantined.values()
    ]
    assert said == ([("check", "check", True)] if mode == "enforce" else [])
    assert "ZeroDivisionError: a rule that nobody tried with this" in caplog.text


def test_the_same_record_again_is_a_duplicate_and_quarantined_once(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["1", "-1"])
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path)
        write(path, ["1", "-1", "2"])
        again = run(receiver.url, tmp_path / "data", path)
    assert again.counts == Counts(records=3, entities=1, duplicates=2)
    assert len(receiver.arrivals) == 1
    assert totals(tmp_path / "data").balanced()


def test_a_record_that_passes_when_it_comes_again_leaves_the_quarantine(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["1", "-1"])
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path)
        write(path, ["1", "-1", "2"])
        run(receiver.url, tmp_path / "data", path, "warn")
    assert sessions(receiver) == {0, 1, 2}
    assert [held["state"] for held in receiver.quarantined.values()] == ["replayed"]
    assert totals(tmp_path / "data") == Counts(records=5, entities=3, duplicates=2)


def test_an_api_that_is_away_gets_the_quarantine_later(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["-1", "1"])
    receiver = Receiver()
    with receiving(receiver):
        port = int(receiver.url.rpartition(":")[2])
    with pytest.raises(Exception, match="stays in the spool"):
        run(receiver.url, tmp_path / "data", path)
    assert totals(tmp_path / "data") == Counts(records=2, entities=1, quarantined=1)
    with receiving(receiver, port):
        run(receiver.url, tmp_path / "data", path)
    assert len(receiver.arrivals) == 1
    assert sessions(receiver) == {1}


def test_a_mended_record_is_replayed_and_counted_as_an_entity(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["1", "-1", "-2"])
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path)
        first, second = sorted(receiver.quarantined.values(), key=lambda held: int(held["number"]))
        first |= {"mended": {**first["record"], "kwh": "7"}, "state": "replayRequested", "version": 3}
        second |= {"state": "replayRequested", "version": 2}
        done = run(receiver.url, tmp_path / "data", None)
        assert (done.replayed, done.replays_failed) == (1, 1)
        assert (first["state"], second["state"]) == ("replayed", "open")
        assert totals(tmp_path / "data") == Counts(records=3, entities=2, quarantined=1)
        assert receiver.entities["urn:ngsi-ld:ChargingSession:test:1"]["energyDelivered"]["value"] == 7
        # The record as the source has it is known by now, and does not undo the mend.
        write(path, ["1", "-1", "-2", "3"])
        again = run(receiver.url, tmp_path / "data", path)
        assert again.counts == Counts(records=4, entities=1, duplicates=3)
        assert receiver.entities["urn:ngsi-ld:ChargingSession:test:1"]["energyDelivered"]["value"] == 7


def test_a_reading_takes_up_replays_before_it_reads(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["-1"])
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path)
        [held] = receiver.quarantined.values()
        held |= {"mended": {**held["record"], "kwh": "7"}, "state": "replayRequested", "version": 3}
        done = run(receiver.url, tmp_path / "data", path)
    assert (done.replayed, sessions(receiver)) == (1, {0})


def test_a_replay_that_the_api_refuses_stays_in_quarantine(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["-1"])
    session = "urn:ngsi-ld:ChargingSession:test:0"
    with receiving(Receiver()) as receiver:
        run(receiver.url, tmp_path / "data", path)
        [held] = receiver.quarantined.values()
        held |= {"mended": {**held["record"], "kwh": "7"}, "state": "replayRequested", "version": 3}
        receiver.refused_items[session] = {"status": 400, "title": "no"}
        done = run(receiver.url, tmp_path / "data", None)
    assert (done.replayed, done.replays_failed, held["state"]) == (0, 1, "open")
    assert totals(tmp_path / "data") == Counts(records=1, quarantined=1)
    state = AdapterState(tmp_path / "data")
    [kept] = state.set_aside(STREAM)
    state.close()
    assert (kept.stage, kept.reason) == ("deliver", f"{session}: no")


def test_entities_that_the_api_refuses_put_their_record_into_quarantine(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["1", "2"])
    with receiving(Receiver()) as receiver:
        receiver.refused_items["urn:ngsi-ld:EVSE:test:E1"] = {"status": 400, "title": "no"}
        run(receiver.url, tmp_path / "data", path)
    [held] = receiver.quarantined.values()
    assert (held["stage"], held["number"], held["record"]["kwh"]) == ("deliver", 2, "2")
    assert held["report"][0]["entity"] == "urn:ngsi-ld:EVSE:test:E1"
    assert totals(tmp_path / "data") == Counts(records=2, entities=1, quarantined=1)


def test_an_api_without_a_quarantine_leaves_records_with_the_adapter(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["1", "-1"])
    with receiving(Receiver()) as receiver:
        receiver.refuse_records = lambda records: (404, {"title": "nothing here"})
        done = run(receiver.url, tmp_path / "data", path)
    assert done.counts == Counts(records=2, entities=1, quarantined=1)
    state = AdapterState(tmp_path / "data")
    [kept] = state.set_aside(STREAM)
    state.close()
    assert "has no quarantine" in kept.refusal
    assert orjson.loads(kept.record)["kwh"] == "-1"


def test_a_replay_beside_a_running_adapter_is_left_to_it(tmp_path: Path) -> None:
    with receiving(Receiver()) as receiver, stream_lock(tmp_path, STREAM), pytest.raises(StreamBusyError):
        run(receiver.url, tmp_path, None)


@pytest.mark.parametrize("text", ["x" * 10_000, "é" * 10_000, "\0" * 3000])
def test_a_record_above_the_limit_keeps_its_place_and_its_beginning(text: str) -> None:
    finding = Finding("map", "a", "r", text, [{"id": "urn:x", "a": text}], [{"message": text}] * 30)
    found = Quarantined("0" * 32, "p", "s", "u", 1, {"a": text}, None, "", finding)
    kept: Any = found.as_json(8192)
    assert len(orjson.dumps(kept)) <= 8192 + 6 * 4000
    assert (kept["id"], kept["stage"], kept["record"]) == ("0" * 32, "map", None)
    assert kept["raw"].startswith('{"a":')
    assert b"\\u0000" not in orjson.dumps(kept).replace(b"\\\\u0000", b"")
    assert found.as_json(10**6)["record"] == (None if "\0" in text else {"a": text})


def test_ids_differ_where_parts_meet_differently() -> None:
    assert record_id("ab", "c") != record_id("a", "bc")
    assert record_id("s", b"k") == record_id("s", "k")


def test_a_state_file_of_the_first_version_keeps_its_counters_and_records(tmp_path: Path) -> None:
    first = (
        schema.NEW.replace("quarantined integer", "rejected integer").partition("create table set_aside")[0]
        + "create table reject (id integer primary key autoincrement, stream integer not null, unit text not null,"
        " number integer not null, stage text not null, field text not null, rule text not null, reason text not null,"
        " entity text not null, record text not null, at text not null)"
    )
    with closing(sqlite3.connect(tmp_path / STATE_NAME)) as old:
        old.executescript(first)
        old.execute("insert into stream (id, name) values (1, 's')")
        old.execute("insert into unit values (1, 'u', 3, 2, 0, 1, 0)")
        old.execute("insert into reject values (1, 1, 'u', 2, 'map', 'f', 'r', 'why', '', '{}', 'now')")
        old.execute("insert into spool (stream, bytes, body) values (1, 9, ?)", (b'["u",[[1,false,{},[]]]]',))
        old.execute("pragma user_version=1")
        old.commit()
    state = AdapterState(tmp_path)
    assert state.streams()[0].counts == Counts(3, 2, 0, 1, 0)
    [kept] = state.set_aside("s")
    assert (kept.number, kept.reason, len(kept.id)) == (2, "why", 32)
    state.close()
