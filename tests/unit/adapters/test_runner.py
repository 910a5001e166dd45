"""The runner: every record is accounted for, nothing is lost, nothing is delivered that the counters do not know."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import RecordError, SettingError, TransientError
from adapters.manifest import parse_manifest
from adapters.provider import Check, Provider, RecordMeta
from adapters.raw import RawStore
from adapters.runner import Progress, run_provider
from adapters.settings import AdapterSettings
from adapters.sink import HttpSink
from adapters.state import AdapterState, Counts
from tests.receiver import Receiver, receiving

QUICK = AdapterSettings(
    chunk_records=7,
    batch_entities=5,
    settle_seconds=0.0,
    delivery_patience=0.2,
    back_off_seconds=0.01,
    back_off_limit_seconds=0.05,
)


class SessionMapping:
    """Makes a session of a row, and the station that it mentions."""

    def apply(self, record: Mapping[str, Any], meta: RecordMeta) -> list[dict[str, Any]]:
        if record["kwh"] == "crash":
            raise ZeroDivisionError("a mapping that was not written for this")
        if not record["kwh"].isdigit():
            raise RecordError(f"kwh is no number: {record['kwh']!r}", field="kwh", rule="number")
        station = f"urn:ngsi-ld:ChargingStation:test:{record['station']}"
        return [
            {
                "id": f"urn:ngsi-ld:ChargingSession:test:{record['id']}",
                "type": "ChargingSession",
                "energy": {"type": "Property", "value": int(record["kwh"])},
                "station": {"type": "Relationship", "object": station},
            },
            {"id": station, "type": "ChargingStation"},
        ]

    def apply_many(
        self, records: Iterable[tuple[Mapping[str, Any], RecordMeta]], check: Check | None = None
    ) -> list[list[dict[str, Any]] | RecordError]:
        made: list[list[dict[str, Any]] | RecordError] = []
        for record, meta in records:
            try:
                entities = self.apply(record, meta)
                if check is not None:
                    check(entities)
                made.append(entities)
            except RecordError as error:
                made.append(error)
        return made


def provider(**changes: Any) -> Provider:
    document = {
        "id": "test",
        "title": "Test",
        "version": "1.0.0",
        "stream": "test.sessions",
        "source": {"protocol": "file", "format": "csv"},
        "entities": ["ChargingSession", "ChargingStation"],
        "natural_key": {"fields": ["id"], "ignore": ["row"]},
        "validation": {"mode": "off"},
        "attribution": {"name": "Nobody"},
        "licence": {"id": "CC0-1.0"},
        "personal_data": "none",
    }
    return Provider(Path("test"), parse_manifest(document | changes, "test"), SessionMapping())


def write_rows(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["row,id,station,kwh"] + [f"{n},{','.join(row)}" for n, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ingest(receiver_url: str, data: Path, path: Path, **options: Any) -> Progress:
    chosen = options.pop("provider", None) or provider()

    async def run() -> Progress:
        sink = HttpSink(receiver_url, timeout=2.0)
        try:
            return await run_provider(
                chosen,
                sink,
                data,
                options.pop("stop", None) or asyncio.Event(),
                location=str(path),
                follow=False,
                **{"settings": QUICK} | options,
            )
        finally:
            await sink.aclose()

    return asyncio.run(run())


def totals(data: Path) -> Counts:
    state = AdapterState(data)
    try:
        return state.streams()[0].counts
    finally:
        state.close()


def test_rows_become_entities_rejects_and_duplicates(tmp_path: Path) -> None:
    rows = [(str(n), f"S{n % 3}", "5") for n in range(40)]
    rows += [("3", "S0", "5"), ("41", "S0", "much"), ("", "S0", "5"), ("42", "S1", "crash"), ("43", "S1")]  # type: ignore[list-item]
    path = write_rows(tmp_path / "rows.csv", rows)
    with receiving(Receiver()) as receiver:
        run = ingest(receiver.url, tmp_path / "data", path, tenant="t1")
    assert run.counts == Counts(records=45, entities=40, quarantined=4, duplicates=1)
    assert run.counts.balanced()
    assert {i for i in receiver.entities if ":ChargingSession:" in i} == {
        f"urn:ngsi-ld:ChargingSession:test:{n}" for n in range(40)
    }
    assert receiver.deliveries.count("urn:ngsi-ld:ChargingStation:test:S0") == 1, "an unchanged station is sent once"
    target, headers = receiver.requests[0]
    assert target == "/ngsi-ld/v1/entityOperations/upsert?options=update"
    assert headers["NGSILD-Tenant"] == "t1"
    assert headers["Link"].startswith("<https://w3id.org/voltweave/contexts/cim.jsonld>")
    state = AdapterState(tmp_path / "data")
    rejects = {r.number: (r.stage, r.field, r.rule) for r in state.set_aside("test.sessions")}
    assert rejects == {
        42: ("map", "kwh", "number"),
        43: ("key", "id", "natural key"),
        44: ("map", "", "mapping"),
        45: ("read", "", "columns"),
    }
    kept = next(r for r in state.set_aside("test.sessions") if r.number == 42)
    assert json.loads(kept.record)["kwh"] == "much"
    state.close()


def test_a_file_is_read_once_and_a_grown_one_brings_its_new_rows(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(20)])
    with receiving(Receiver()) as receiver:
        ingest(receiver.url, tmp_path / "data", path)
        again = ingest(receiver.url, tmp_path / "data", path)
        assert again.counts == Counts(), "the same content is not read again"
        write_rows(path, [(str(n), "S", "1") for n in range(25)])
        grown = ingest(receiver.url, tmp_path / "data", path)
    assert grown.counts == Counts(records=25, entities=5, duplicates=20)
    assert sum(":ChargingSession:" in i for i in receiver.deliveries) == 25


@pytest.mark.parametrize("changed", ["update", "reject"])
def test_a_known_key_with_other_content(tmp_path: Path, changed: str) -> None:
    chosen = provider(natural_key={"fields": ["id"], "changed": changed, "ignore": ["row"]})
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "1"), ("1", "S", "2"), ("1", "S", "2")])
    with receiving(Receiver()) as receiver:
        run = ingest(receiver.url, tmp_path / "data", path, provider=chosen)
    energy = receiver.entities["urn:ngsi-ld:ChargingSession:test:1"]["energy"]["value"]
    if changed == "update":
        assert run.counts == Counts(records=3, entities=1, updates=1, duplicates=1)
        assert energy == 2
    else:
        assert run.counts == Counts(records=3, entities=1, quarantined=1, duplicates=1)
        assert energy == 1


def test_an_api_that_is_away_loses_nothing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(30)])
    receiver = Receiver()
    with receiving(receiver):
        port = int(receiver.url.rpartition(":")[2])
    with pytest.raises(TransientError, match="stays in the spool"):
        ingest(receiver.url, tmp_path / "data", path)
    assert not receiver.entities
    assert totals(tmp_path / "data").entities == 30, "all of the file is safe although the API is away"
    path.unlink()
    write_rows(path, [])
    with receiving(receiver, port):
        ingest(receiver.url, tmp_path / "data", path)
    assert len(receiver.deliveries) == 31
    assert len(receiver.entities) == 31


def test_an_api_that_stumbles_is_tried_again(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(30)])
    answers = iter([(503, {}), (429, {}), None, (500, {"title": "broken"})])
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: next(answers, None)
        run = ingest(receiver.url, tmp_path / "data", path)
    assert run.retried == 3
    assert len(receiver.entities) == 31
    assert run.delivered == 31


def test_entities_that_are_refused_are_kept_with_their_record(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(12)])
    with receiving(Receiver()) as receiver:
        receiver.refused_items["urn:ngsi-ld:ChargingSession:test:4"] = {
            "status": 400,
            "title": "no",
            "detail": "energy",
        }
        ingest(receiver.url, tmp_path / "data", path)
        assert totals(tmp_path / "data") == Counts(records=12, entities=11, quarantined=1)
        state = AdapterState(tmp_path / "data")
        (reject,) = state.set_aside("test.sessions")
        state.close()
        assert (reject.number, reject.stage) == (5, "deliver")
        assert reject.reason.startswith("urn:ngsi-ld:ChargingSession:test:4: ")
        assert json.loads(reject.record)["id"] == "4"
        # The record is no duplicate once the API takes it.
        receiver.refused_items.clear()
        write_rows(path, [(str(n), "S", "1") for n in range(13)])
        run = ingest(receiver.url, tmp_path / "data", path)
    assert run.counts == Counts(records=13, entities=2, duplicates=11)


def test_one_bad_entity_does_not_take_its_batch_along(tmp_path: Path) -> None:
    bad = "urn:ngsi-ld:ChargingSession:test:7"
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(20)])
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: (400, {"title": "bad"}) if any(e["id"] == bad for e in entities) else None
        ingest(receiver.url, tmp_path / "data", path)
    assert bad not in receiver.entities
    assert len(receiver.entities) == 20
    assert totals(tmp_path / "data") == Counts(records=20, entities=19, quarantined=1)


def test_an_item_that_stays_transient_is_given_up_and_kept(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(3)])
    with receiving(Receiver()) as receiver:
        receiver.refused_items["urn:ngsi-ld:ChargingSession:test:1"] = {"status": 503, "title": "later"}
        ingest(receiver.url, tmp_path / "data", path, settings=QUICK.model_copy(update={"delivery_patience": 30.0}))
    assert totals(tmp_path / "data") == Counts(records=3, entities=2, quarantined=1)


def test_an_api_that_takes_nothing_is_a_setting_to_put_right(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "1")])
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: (404, {"title": "Not found"})
        with pytest.raises(SettingError, match="check address"):
            ingest(receiver.url, tmp_path / "data", path)
        receiver.refuse = lambda entities: None
        ingest(receiver.url, tmp_path / "data", path)
    assert "urn:ngsi-ld:ChargingSession:test:1" in receiver.entities


def test_two_runners_of_one_stream_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "1")])

    async def both(url: str) -> list[BaseException | Progress]:
        sink = HttpSink(url)
        runs = [
            run_provider(
                provider(), sink, tmp_path / "data", asyncio.Event(), location=str(path), follow=False, settings=QUICK
            )
            for _ in range(2)
        ]
        try:
            return await asyncio.gather(*runs, return_exceptions=True)
        finally:
            await sink.aclose()

    with receiving(Receiver()) as receiver:
        results = asyncio.run(both(receiver.url))
    assert sum(isinstance(result, SettingError) for result in results) == 1
    assert sum(isinstance(result, Progress) for result in results) == 1


def test_a_missing_secret_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    chosen = provider(secrets=[{"environment": "TEST_KEY", "description": "the key"}])
    with pytest.raises(SettingError, match="TEST_KEY"):
        ingest("http://127.0.0.1:9", tmp_path / "data", tmp_path, provider=chosen)


def test_raw_copies_are_partitioned_whole_and_kept_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "1")])
    with receiving(Receiver()) as receiver:
        ingest(receiver.url, tmp_path / "data", path)
        ingest(receiver.url, tmp_path / "data", path)
    (copy,) = (tmp_path / "data" / "raw").rglob("*.gz")
    stream, day, name = copy.relative_to(tmp_path / "data" / "raw").parts
    assert stream == "stream_id=test.sessions"
    assert day.startswith("date=")
    assert name.endswith("-rows.csv.gz")
    assert gzip.decompress(copy.read_bytes()) == path.read_bytes()


def test_raw_copies_go_when_their_days_are_over(tmp_path: Path) -> None:
    raw = RawStore(tmp_path, "s")
    raw.keep_bytes("a", b"x")
    (tmp_path / "stream_id=s" / "date=2020-01-01").mkdir()
    assert raw.expire(30) == ["date=2020-01-01"]
    assert raw.expire(30, date(2999, 1, 1)) != []
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "1")])
    with receiving(Receiver()) as receiver:
        ingest(receiver.url, tmp_path / "d", path, settings=QUICK.model_copy(update={"raw_days": 0}))
    assert not list((tmp_path / "d" / "raw").rglob("*.gz"))


def test_a_watched_folder_is_followed_until_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_rows(folder / "a.csv", [("1", "S", "1")])
    (folder / "link.csv").symlink_to(write_rows(tmp_path / "secret.csv", [("9", "S", "1")]))
    write_rows(folder / "b.csv.part", [("8", "S", "1")])
    chosen = provider(schedule={"every": "PT1S"})

    async def run(url: str) -> Progress:
        stop = asyncio.Event()
        sink = HttpSink(url)
        running = asyncio.create_task(
            run_provider(chosen, sink, tmp_path / "data", stop, location=str(folder), settings=QUICK)
        )
        try:
            async with asyncio.timeout(20):
                await receiver.holds(2)
                write_rows(folder / "b.tmp", [("2", "S", "1")]).rename(folder / "b.csv")
                await receiver.holds(3)
            stop.set()
            return await running
        finally:
            await sink.aclose()

    with receiving(Receiver()) as receiver:
        run_result = asyncio.run(run(receiver.url))
    assert run_result.counts == Counts(records=2, entities=2)
    assert not any(i.endswith((":8", ":9")) for i in receiver.entities), "neither links nor unfinished files are read"


def test_a_full_spool_holds_the_source_back(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(100)])
    stop = asyncio.Event()
    settings = QUICK.model_copy(update={"spool_bytes": 4096, "delivery_patience": 0.5})
    with pytest.raises(TransientError):
        ingest("http://127.0.0.1:9", tmp_path / "data", path, settings=settings, stop=stop)
    held = totals(tmp_path / "data").records
    assert 0 < held < 100
    with receiving(Receiver()) as receiver:
        ingest(receiver.url, tmp_path / "data", path, settings=settings)
    assert totals(tmp_path / "data") == Counts(records=100, entities=100)
    assert len(receiver.entities) == 101
