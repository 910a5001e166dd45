"""The small parts of the runner: manifests, pointers, back-off, the sink's answers, and the state file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from adapters.errors import ManifestError, PermanentError, SettingError, TransientError
from adapters.manifest import MANIFEST_NAME, SCHEMA_PATH, load_manifest, manifest_schema
from adapters.pointer import resolve
from adapters.registry import find_provider, provider_folders
from adapters.retry import BackOff, retry_after, retrying
from adapters.settings import AdapterSettings
from adapters.sink import HttpSink, ItemResult
from adapters.state import STATE_NAME, AdapterState
from tests.receiver import Receiver, receiving

T = TypeVar("T")
MANIFEST: dict[str, Any] = {
    "id": "test",
    "title": "Test",
    "version": "1.0.0",
    "stream": "test",
    "source": {"protocol": "file", "format": "csv"},
    "entities": ["ChargingSession"],
    "natural_key": {"fields": ["id"]},
    "attribution": {"name": "Nobody"},
    "licence": {"id": "CC0-1.0"},
    "personal_data": "none",
}
REST = {
    "protocol": "rest",
    "url": "https://example.org",
    "authorization": {"environment": "TEST_TOKEN"},
    "steps": [{"path": "/a"}],
}


def manifest_folder(parent: Path, document: Any, name: str = "test") -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / MANIFEST_NAME).write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return folder


def test_the_schema_file_is_that_of_the_classes() -> None:
    assert json.loads(SCHEMA_PATH.read_text()) == manifest_schema(), "run: python -m adapters.manifest"


def test_every_manifest_fits_the_schema_file() -> None:
    validator = Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    folders = provider_folders(AdapterSettings(providers=""))
    for folder in folders.values():
        validator.validate(yaml.safe_load((folder / MANIFEST_NAME).read_text()))
    assert folders
    assert not validator.is_valid(MANIFEST | {"surprise": 1})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"surprise": 1}, "surprise"),
        ({"id": "Test"}, "id"),
        ({"id": "other"}, "the folder is 'test'"),
        ({"version": "1"}, "version"),
        ({"source": {"protocol": "smoke"}}, "source"),
        ({"source": {"protocol": "file", "format": "csv", "csv": {"delimiter": ";;"}}}, "delimiter"),
        ({"natural_key": {"fields": []}}, "natural_key.fields"),
        ({"schedule": {"every": "PT0S"}}, "every"),
        ({"source": REST}, "TEST_TOKEN is used by the source but not declared"),
        ("- a list", "manifest"),
        ("a: [", "no YAML"),
    ],
)
def test_a_wrong_manifest_names_the_member(tmp_path: Path, change: Any, fault: str) -> None:
    document = change if isinstance(change, str) else MANIFEST | change
    with pytest.raises(ManifestError, match=fault):
        load_manifest(manifest_folder(tmp_path, document))


def test_a_right_manifest_is_typed(tmp_path: Path) -> None:
    manifest = load_manifest(manifest_folder(tmp_path, MANIFEST | {"schedule": {"every": "PT5M"}}))
    assert manifest.schedule is not None
    assert manifest.schedule.every.total_seconds() == 300
    assert manifest.protocol == "file"
    assert manifest.missing_secrets() == []


def test_own_providers_win_over_those_that_came_along(tmp_path: Path) -> None:
    folder = manifest_folder(tmp_path, MANIFEST | {"id": "boulder-sessions"}, "boulder-sessions")
    own = AdapterSettings(providers=str(tmp_path))
    assert provider_folders(own)["boulder-sessions"] == folder
    assert "dundee-sessions" in provider_folders(own)
    with pytest.raises(ManifestError, match="no file mapping"):
        find_provider("boulder-sessions", own)
    with pytest.raises(SettingError, match="is no folder"):
        provider_folders(AdapterSettings(providers=str(tmp_path / "gone")))


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", {"a/b": {"~c": [{"d": 0}]}, "/x": 1}),
        ("a/b", {"~c": [{"d": 0}]}),
        ("/a~1b/~0c/0/d", 0),
        ("/a~1b/~0c/1", None),
        ("/a~1b/~0c/-1", None),
        ("/a~1b/d/e", None),
        ("/~1x", 1),
        ("x", None),
    ],
)
def test_a_pointer_finds_its_value(pointer: str, found: Any) -> None:
    assert resolve({"a/b": {"~c": [{"d": 0}]}, "/x": 1}, pointer) == found


@given(attempt=st.integers(1, 10**6), asked=st.none() | st.floats(0, 1e6))
def test_pauses_grow_stay_limited_and_heed_what_was_asked(attempt: int, asked: float | None) -> None:
    back_off = BackOff(first=0.5, limit=30.0)
    pause = back_off.pause(attempt, TransientError("x", retry_after=asked))
    full = 30.0 if attempt > 6 else 0.5 * 2 ** (attempt - 1)
    assert min(full / 2, 15.0) <= pause <= 30.0
    assert pause >= min(asked or 0.0, 30.0)


def test_retrying_ends_with_the_last_error_and_never_repeats_a_permanent_one() -> None:
    calls: list[int] = []

    async def fail(error: Exception) -> None:
        calls.append(1)
        raise error

    quick = BackOff(0.001, 0.001)
    with pytest.raises(TransientError):
        asyncio.run(retrying(lambda: fail(TransientError("later")), 3, quick))
    assert len(calls) == 3
    with pytest.raises(PermanentError):
        asyncio.run(retrying(lambda: fail(PermanentError("never")), 3, quick))
    assert len(calls) == 4


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("", None), ("Fri, 01 Jan 2100 00:00:00 GMT", None)])
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def asked(receiver: Receiver, ask: Callable[[HttpSink], Awaitable[T]]) -> T:
    async def run() -> T:
        sink = HttpSink(receiver.url, timeout=2.0)
        try:
            return await ask(sink)
        finally:
            await sink.aclose()

    return asyncio.run(run())


def deliver(receiver: Receiver, batch: list[dict[str, Any]], mode: Any = "update") -> list[ItemResult]:
    return asked(receiver, lambda sink: sink.deliver(batch, None, mode))


def test_each_of_several_states_of_one_entity_has_its_own_result() -> None:
    batch: list[dict[str, Any]] = [{"id": "urn:a", "n": 1}, {"id": "urn:b"}, {"id": "urn:a", "n": 2}]
    with receiving(Receiver()) as receiver:
        take = receiver.take

        def refuse_second(entities: list[dict[str, Any]]) -> tuple[int, Any]:
            if any(entity.get("n") == 2 for entity in entities):
                problem = {"entityId": "urn:a", "error": {"status": 400, "title": "no", "detail": "n"}}
                return 207, {"success": ["urn:b"], "errors": [problem]}
            return take(entities)

        receiver.take = refuse_second  # type: ignore[method-assign]
        results = deliver(receiver, batch)
    assert [result.error is None for result in results] == [True, True, False]
    assert str(results[2].error) == "no: n"


@pytest.mark.parametrize(("mode", "target"), [("replace", "upsert"), ("create", "create")])
def test_write_modes_have_their_operations(mode: str, target: str) -> None:
    with receiving(Receiver()) as receiver:
        receiver.refused_items["urn:a"] = {"status": 409, "title": "there already"}
        (result,) = deliver(receiver, [{"id": "urn:a"}], mode)
        assert receiver.requests[0][0] == f"/ngsi-ld/v1/entityOperations/{target}"
    assert (result.error is None) == (mode == "create"), "what is created twice is there: a replay is no error"


@pytest.mark.parametrize("answer", [{}, {"errors": [{}]}, {"errors": [{"entityId": "urn:stranger"}]}, []])
def test_an_answer_that_makes_no_sense_is_not_taken_for_success(answer: Any) -> None:
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: (207, answer)
        with pytest.raises(TransientError):
            deliver(receiver, [{"id": "urn:a"}])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("it is too big", "it is too big"),
        ({"status": "bad", "title": "no"}, "no"),
        ({"status": [400], "title": "no"}, "no"),
        (None, ""),
    ],
)
def test_errors_in_a_form_of_their_own_refuse_the_item(error: Any, said: str) -> None:
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: (207, {"errors": [{"entityId": "urn:a", "error": error}]})
        (result,) = deliver(receiver, [{"id": "urn:a"}])
        receiver.refuse_records = lambda records: (207, {"errors": [{"recordId": "r", "error": error or ""}]})
        (kept,) = asked(receiver, lambda sink: sink.quarantine([{"id": "r"}], None))
    assert isinstance(result.error, PermanentError) and str(result.error) == said
    assert isinstance(kept.error, PermanentError) and str(kept.error) == said


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, True), (302, True), (404, False), (405, False)])
def test_a_quarantine_that_must_not_be_seen_is_not_taken_for_none(status: int, refused: bool) -> None:
    with receiving(Receiver()) as receiver:
        receiver.look = lambda path: (status, {"title": "no"})  # type: ignore[method-assign]
        if refused:
            with pytest.raises(SettingError, match=str(status)):
                asked(receiver, lambda sink: sink.requested("s", None))
        else:
            assert asked(receiver, lambda sink: sink.requested("s", None)) == []


def test_an_id_stays_one_segment_of_the_path() -> None:
    with receiving(Receiver()) as receiver:
        receiver.look = lambda path: (401, {"title": path})  # type: ignore[method-assign]
        with pytest.raises(SettingError, match="/quarantine/a%2Fb"):
            asked(receiver, lambda sink: sink.replay("a/b", None))


@pytest.mark.parametrize("status", [301, 401, 403, 404, 415])
def test_answers_that_no_batch_would_change(status: int) -> None:
    with receiving(Receiver()) as receiver:
        receiver.refuse = lambda entities: (status, {"title": "no"})
        with pytest.raises(SettingError, match=str(status)):
            deliver(receiver, [{"id": "urn:a"}])


def test_a_time_out_is_transient() -> None:
    async def run() -> None:
        async def never(request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("slow", request=request)

        sink = HttpSink("http://127.0.0.1:9", transport=httpx.MockTransport(never))
        try:
            await sink.deliver([{"id": "urn:a"}], None)
        finally:
            await sink.aclose()

    with pytest.raises(TransientError, match="ReadTimeout"):
        asyncio.run(run())


def test_a_state_file_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / STATE_NAME).write_bytes(b"not a database, but long enough to look like one" * 20)
    with pytest.raises(SettingError, match=STATE_NAME):
        AdapterState(tmp_path)


def test_a_state_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / STATE_NAME)
    database.execute("pragma user_version = 99")
    database.close()
    with pytest.raises(SettingError, match="another version"):
        AdapterState(tmp_path)
