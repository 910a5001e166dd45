"""The revisions on SQLite: they make the tables that the code names, from nothing and from what was there before."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from context_api.contexts.tables import jsonld_context
from context_api.storage import migrations
from context_api.storage.migrations import HEAD
from context_api.storage.migrations.upgrade import newest_revision
from context_api.storage.port import StorageError
from context_api.storage.sqlite.file import connect, prepare_schema
from context_api.storage.tables import metadata

FIRST = Path(migrations.__file__).parent / "versions" / "0001_sqlite.sql"
OPEN = """
import asyncio, sys
from context_api.settings import StorageSettings
from context_api.storage.sqlite.store import SqliteStore
asyncio.run(SqliteStore(StorageSettings(database=sys.argv[1])).start())
print(sorted(name for name in sys.modules if name.partition(".")[0] == "alembic"))
"""


@pytest.fixture
def database(sqlite_database: Any) -> Any:
    return sqlite_database


def shape(path: Path) -> dict[str, Any]:
    """Describe all tables and indexes, less alembic's own, however they came to be."""
    with closing(sqlite3.connect(path)) as con:
        found: dict[str, Any] = {}
        for _, name, kind, _, without_rowid, strict in con.execute("PRAGMA table_list").fetchall():
            columns = con.execute('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (name,))
            found[name] = (kind, without_rowid, strict, sorted(columns.fetchall()))
        for name, sql in con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'").fetchall():
            columns = con.execute("SELECT seqno, name, desc, coll FROM pragma_index_xinfo(?) WHERE key", (name,))
            where = re.sub(r"\s+", " ", (sql or "").partition(" WHERE ")[2])
            found[name] = ("UNIQUE" in (sql or "UNIQUE"), where, columns.fetchall())
    return {name: what for name, what in found.items() if "alembic_version" not in name}


def migrated(path: Path) -> dict[str, Any]:
    with closing(connect(path, read_only=False)) as con:
        prepare_schema(con, path)
        assert con.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    return shape(path)


def before_revisions(path: Path) -> None:
    """Make a database as it was before there were revisions; the first one wrote its tables down."""
    with closing(sqlite3.connect(path)) as con:
        con.executescript(FIRST.read_text(encoding="utf-8"))
        con.execute("UPDATE tenant SET created_at = 7")
        con.execute("INSERT INTO tenant (name, created_at) VALUES ('other', 8)")
        con.execute("INSERT INTO name (id, iri) VALUES (1, 'urn:x')")
        con.commit()


def test_the_constant_names_the_newest_revision() -> None:
    assert newest_revision() == HEAD


def test_the_revisions_make_the_tables_of_the_code(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'metadata.db'}")
    assert jsonld_context.metadata is metadata
    metadata.create_all(engine)
    engine.dispose()
    assert migrated(tmp_path / "new.db") == shape(tmp_path / "metadata.db")
    with closing(sqlite3.connect(tmp_path / "new.db")) as con:
        assert con.execute("SELECT id, iri FROM name").fetchall() == [(0, "")]
        ((name, created_at),) = con.execute("SELECT name, created_at FROM tenant").fetchall()
        assert name == ""
        assert abs(created_at / 1e6 - time.time()) < 60


@pytest.mark.parametrize("absent", [None, "epoch", "jsonld_context"])
def test_a_database_from_before_revisions_keeps_its_data(tmp_path: Path, absent: str | None) -> None:
    """Tables that came later than the database were added when it was opened."""
    path = tmp_path / "old.db"
    before_revisions(path)
    with closing(sqlite3.connect(path)) as con:
        if absent:
            con.execute(f"DROP TABLE {absent}")
    assert migrated(path) == migrated(tmp_path / "new.db")
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("SELECT name, created_at FROM tenant ORDER BY id").fetchall() == [("", 7), ("other", 8)]
        assert con.execute("SELECT id, iri FROM name ORDER BY id").fetchall() == [(0, ""), (1, "urn:x")]


@pytest.mark.anyio
async def test_the_store_works_on_a_database_from_before_revisions(database: Any) -> None:
    before_revisions(database.path)
    store = database.store()
    await store.start()
    assert (await store.tenant("other", create=False)).id == 2
    await store.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    before_revisions(path)
    with closing(sqlite3.connect(path)) as con:
        con.execute("DROP TABLE jsonld_context")
        con.execute("CREATE VIEW jsonld_context AS SELECT 1")
    with closing(sqlite3.connect(path)) as con:
        was = con.execute("SELECT * FROM sqlite_master").fetchall()
    with (
        closing(connect(path, read_only=False)) as con,
        pytest.raises(StorageError, match="cannot be brought up to date"),
    ):
        prepare_schema(con, path)
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("SELECT * FROM sqlite_master").fetchall() == was


def test_opening_what_is_up_to_date_does_not_load_alembic(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path / 'a.db'}"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert "'alembic.command'" in first
    assert second == "[]\n"
