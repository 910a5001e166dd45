"""The SQLite file: its lock, its schema version, database URLs that are refused, and its settings."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from context_api.settings import StorageSettings
from context_api.storage.port import DatabaseInUse, StorageError
from context_api.storage.sqlite.file import WriterLock, connect, database_path
from context_api.storage.sqlite.store import SqliteStore

OPEN = """
import asyncio, sys
from context_api.settings import StorageSettings
from context_api.storage.sqlite.store import SqliteStore
asyncio.run(SqliteStore(StorageSettings(database=sys.argv[1])).start())
"""


@pytest.fixture
def database(sqlite_database: Any) -> Any:
    return sqlite_database


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://localhost/x", "only sqlite"),
        ("sqlite://", "no file"),
        ("sqlite:///:memory:", "no file"),
        ("nonsense", "no database URL"),
    ],
)
def test_database_urls_that_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(StorageError, match=complaint):
        SqliteStore(StorageSettings(database=url))


def test_passwords_in_a_refused_url_are_not_told() -> None:
    with pytest.raises(StorageError) as refusal:
        database_path("postgresql://me:secret@localhost/x")
    assert "secret" not in str(refusal.value)


@pytest.mark.anyio
async def test_a_second_process_is_told_who_holds_the_database(broker: Any, database: Any) -> None:
    command = [sys.executable, "-c", OPEN, f"sqlite:///{database.path}"]
    second = await asyncio.to_thread(run, command)
    assert second.returncode != 0
    assert f"in use by process {os.getpid()}" in second.stderr
    await broker.store.close()
    assert (await asyncio.to_thread(run, command)).returncode == 0
    await broker.store.start()


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    first, second = WriterLock(tmp_path / "a.db"), WriterLock(tmp_path / "a.db")
    first.acquire()
    with pytest.raises(DatabaseInUse):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("CREATE TABLE other (x)", "not made by Voltweave"),
        ("CREATE TABLE other (x); PRAGMA user_version = 2", "not made by Voltweave"),
        ("CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('9999')", "has schema 9999"),
    ],
)
async def test_foreign_databases_are_refused_and_left_alone(database: Any, sql: str, complaint: str) -> None:
    with closing(sqlite3.connect(database.path)) as con:
        con.executescript(sql)
    tables = database.rows("SELECT * FROM sqlite_master")
    store = database.store()
    for _ in range(2):
        with pytest.raises(StorageError, match=complaint):
            await store.start()
    assert database.rows("SELECT * FROM sqlite_master") == tables


@pytest.mark.anyio
async def test_the_folder_is_made(tmp_path: Path) -> None:
    store = SqliteStore(StorageSettings(database=f"sqlite:///{tmp_path}/deep/er/a.db"))
    await store.start()
    await store.close()
    assert (tmp_path / "deep/er/a.db").is_file()


def test_connections_are_durable_and_readers_cannot_write(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "a.db", read_only=False)) as con:
        assert con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert con.execute("PRAGMA synchronous").fetchone() == (2,)
        con.execute("CREATE TABLE a (x)")
        with (
            closing(connect(tmp_path / "a.db", read_only=True)) as reader,
            pytest.raises(sqlite3.OperationalError, match="readonly"),
        ):
            reader.execute("INSERT INTO a VALUES (1)")
    with closing(connect(tmp_path / "a.db", read_only=False, synchronous="NORMAL")) as con:
        assert con.execute("PRAGMA synchronous").fetchone() == (1,)
