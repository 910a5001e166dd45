"""An outage in the log: one line when it begins and one when nothing fails any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from context_api.outage import Outage
from context_api.settings import StorageSettings
from context_api.storage.port import StorageError
from context_api.storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

PROBE_SECONDS = 0.05


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outage]:
    monkeypatch.setattr("context_api.outage._PROBE_SECONDS", PROBE_SECONDS)
    store = SqliteStore(StorageSettings(database=f"sqlite:///{tmp_path}/outage.db"))
    await store.start()
    found = Outage(store)
    yield found
    await found.close()
    await store.close()


async def test_as_long_as_something_fails_there_is_one_line(outage: Outage) -> None:
    """The database answers all the time; a replica, for instance, does not."""
    with capture_logs() as logs:
        for _ in range(50):
            outage.met(StorageError("the replica is away"), "queryEntities")
            await asyncio.sleep(PROBE_SECONDS / 5)
        told = list(logs)
        await asyncio.sleep(PROBE_SECONDS * 5)
    assert [(line["event"], line.get("error")) for line in told] == [("storage failed", "the replica is away")]
    assert [(line["event"], line.get("met")) for line in logs[1:]] == [("storage works again", 50)]


async def test_a_second_outage_is_told_as_the_first(outage: Outage) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            outage.met(StorageError("away"), "createEntity")
            await asyncio.sleep(PROBE_SECONDS * 5)
    assert [line["event"] for line in logs] == ["storage failed", "storage works again"] * 2
