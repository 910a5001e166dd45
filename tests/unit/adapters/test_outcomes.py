"""What comes of a delivery stays right where the API refuses, lags or is away, and where records are mended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import TransientError
from adapters.runner import Progress, replay_provider, run_provider
from adapters.sink import HttpSink
from adapters.state import AdapterState, Counts
from tests.receiver import Entity, Receiver, receiving
from tests.unit.adapters.test_runner import QUICK, ingest, provider, totals, write_rows

STREAM = "test.sessions"
STATION = "urn:ngsi-ld:ChargingStation:test:S"


def session(number: int) -> str:
    return f"urn:ngsi-ld:ChargingSession:test:{number}"


def refuse_energy(energy: int) -> Any:
    """Return what refuses every batch that holds an entity with this energy."""

    def refuse(entities: list[Entity]) -> tuple[int, dict[str, Any]] | None:
        return (400, {"title": "no"}) if any(e.get("energy", {}).get("value") == energy for e in entities) else None

    return refuse


def mend(receiver: Receiver, **changes: str) -> None:
    """Change the only record in quarantine and ask for its replay."""
    [held] = receiver.quarantined.values()
    held |= {"mended": {**held["record"], **changes}, "state": "replayRequested", "version": 3}


def replay(url: str, data: Path, **changes: Any) -> Progress:
    async def go() -> Progress:
        sink = HttpSink(url, timeout=2.0)
        try:
            return await replay_provider(provider(**changes), sink, data, asyncio.Event(), settings=QUICK)
        finally:
            await sink.aclose()

    return asyncio.run(go())


def test_replays_that_could_not_be_read_are_taken_up_at_the_next_round(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "much"), ("2", "S", "much")])
    chosen = provider(schedule={"every": "PT1S"})

    async def follow(receiver: Receiver) -> Progress:
        stop = asyncio.Event()
        sink = HttpSink(receiver.url)
        running = asyncio.create_task(
            run_provider(chosen, sink, tmp_path / "data", stop, location=str(path), settings=QUICK)
        )
        try:
            async with asyncio.timeout(20):
                await receiver.holds(3)
            stop.set()
            return await running
        finally:
            running.cancel()
            await sink.aclose()

    with receiving(Receiver()) as receiver:
        ingest(receiver.url, tmp_path / "data", path)
        for held in receiver.quarantined.values():
            held |= {"mended": {**held["record"], "kwh": "7"}, "state": "replayRequested", "version": 3}
        look, second = receiver.look, list(receiver.quarantined)[1]
        stumbles: Iterator[tuple[int, Any]] = iter([(503, {})])

        def stumble(path: str) -> tuple[int, Any]:
            return next(stumbles, None) or look(path) if path.endswith(second) else look(path)

        receiver.look = stumble  # type: ignore[method-assign]
        done = asyncio.run(follow(receiver))
    assert (done.replayed, done.replays_failed) == (2, 0)
    assert next(stumbles, None) is None
    assert totals(tmp_path / "data") == Counts(records=2, entities=2)


def test_an_outage_of_the_whole_counts_against_no_item(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "1")])
    later = {"entityId": session(1), "error": {"status": 503, "title": "later"}}
    answers: Any = iter([(503, {})] * 9 + [(207, {"success": [], "errors": [later]})])
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: next(answers, None)
        settings = QUICK.model_copy(update={"delivery_patience": 30.0})
        done = ingest(receiver.url, tmp_path / "data", path, settings=settings)
    assert done.retried == 10
    assert totals(tmp_path / "data") == Counts(records=1, entities=1)


@pytest.mark.parametrize(
    ("changed", "faulty", "mended"),
    [
        ("reject", "2", {"id": "3"}),
        ("reject", "2", {"kwh": "4"}),
        ("reject", "much", {"id": "3", "kwh": "4"}),
        ("update", "much", {"id": "3", "kwh": "4"}),
    ],
)
def test_a_replay_leaves_alone_what_is_known_of_another_record(
    tmp_path: Path, changed: str, faulty: str, mended: dict[str, str]
) -> None:
    changes = {"natural_key": {"fields": ["id"], "changed": changed, "ignore": ["row"]}}
    rows = [("1", "S", "1"), ("1", "S", faulty)]
    path = write_rows(tmp_path / "rows.csv", rows)
    with receiving(Receiver()) as receiver:
        ingest(receiver.url, tmp_path / "data", path, provider=provider(**changes))
        mend(receiver, **mended)
        assert replay(receiver.url, tmp_path / "data", **changes).replayed == 1
        for again in (1, 2):
            write_rows(path, [*rows, (f"9{again}", "S", "1")])
            run = ingest(receiver.url, tmp_path / "data", path, provider=provider(**changes))
            assert run.counts == Counts(records=3, entities=1, duplicates=2)
    assert len(receiver.arrivals) == 1


def test_a_newer_state_is_known_where_an_older_one_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "666"), ("1", "S", "2")])
    with receiving(Receiver()) as receiver:
        receiver.refuse = refuse_energy(666)
        ingest(receiver.url, tmp_path / "data", path)
        assert totals(tmp_path / "data") == Counts(records=2, updates=1, quarantined=1)
        write_rows(path, [("1", "S", "2")])
        assert ingest(receiver.url, tmp_path / "data", path).counts == Counts(records=1, duplicates=1)


@pytest.mark.parametrize("together", [True, False])
def test_a_record_that_is_refused_twice_is_set_aside_once(tmp_path: Path, together: bool) -> None:
    path = write_rows(tmp_path / "rows.csv", [("1", "S", "666"), ("1", "S", "2"), ("1", "S", "666")])
    settings = QUICK.model_copy(update={"chunk_records": 7 if together else 1})
    receiver = Receiver()
    receiver.refuse = refuse_energy(666)
    with receiving(receiver):
        port = int(receiver.url.rpartition(":")[2])
    with pytest.raises(TransientError, match="stays in the spool"):
        ingest(receiver.url, tmp_path / "data", path, settings=settings)
    with receiving(receiver, port):
        ingest(receiver.url, tmp_path / "data", path, settings=settings)
        assert totals(tmp_path / "data") == Counts(records=3, updates=1, quarantined=1, duplicates=1)
        state = AdapterState(tmp_path / "data")
        assert len(state.set_aside(STREAM)) == 1
        state.close()
        mend(receiver, kwh="7")
        replay(receiver.url, tmp_path / "data")
    assert totals(tmp_path / "data").quarantined == 0
    assert totals(tmp_path / "data").balanced()


def test_a_mentioned_entity_that_was_refused_comes_with_the_next_record(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [(str(n), "S", "1") for n in range(14)])
    with receiving(Receiver()) as receiver:
        receiver.refused_items[STATION] = {"status": 400, "title": "no"}

        def take_later(entities: list[Entity]) -> None:
            if any(entity["id"] == session(7) for entity in entities):
                receiver.refused_items.clear()

        receiver.refuse = take_later
        # One chunk waits until the one before it is delivered.
        ingest(receiver.url, tmp_path / "data", path, settings=QUICK.model_copy(update={"spool_bytes": 1}))
    assert STATION in receiver.entities
    assert totals(tmp_path / "data") == Counts(records=14, entities=13, quarantined=1)
