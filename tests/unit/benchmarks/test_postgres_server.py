"""The server that tests and benchmarks start: databases of a test's own, and an end without goodbye."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from benchmarks.postgres import PostgresServer, execute, postgres, query


def processes(server: PostgresServer) -> list[str]:
    """List the processes that name the server's port or its folder."""
    lines = [entry.read_bytes() for entry in Path("/proc").glob("[0-9]*/cmdline")]
    return [line.decode() for line in lines if f"--port={server.port}".encode() in line]


def test_a_database_of_a_test_is_empty_and_has_the_schema(postgres_url: str) -> None:
    assert query(postgres_url, "SELECT name FROM tenant WHERE id = ? AND name = ?", 1, "") == [("",)]
    assert query(postgres_url, "SELECT count(*) FROM entity") == [(0,)]
    assert query(postgres_url, "SELECT ST_AsText(ST_Point(1, 2))") == [("POINT(1 2)",)]
    execute(postgres_url, "DROP TABLE entity")


def test_each_test_has_a_database_of_its_own(postgres_url: str, postgres_server: PostgresServer) -> None:
    """The one before left its database without the table."""
    assert query(postgres_url, "SELECT count(*) FROM entity") == [(0,)]
    names = [name for (name,) in query(postgres_server.url(), "SELECT datname FROM pg_database")]
    assert len([name for name in names if name.startswith("test_")]) == 1


def test_the_server_is_durable_and_on_loopback_alone(postgres_server: PostgresServer) -> None:
    settings = dict(query(postgres_server.url(), "SELECT name, setting FROM pg_settings"))
    assert (settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"]) == ("on", "on", "on")
    assert settings["listen_addresses"] == "127.0.0.1"
    assert query(postgres_server.url(), "SELECT datcollate FROM pg_database LIMIT 1") == [("C.UTF-8",)]


def test_what_was_committed_survives_a_kill(postgres_url: str, postgres_server: PostgresServer) -> None:
    async def cut_off() -> None:
        """Have a transaction open when the server dies."""
        con = await asyncpg.connect(postgres_url)
        await con.execute("INSERT INTO epoch VALUES ('committed', 1, 1)")
        await con.execute("BEGIN; INSERT INTO epoch VALUES ('open', 1, 1)")
        await asyncio.to_thread(postgres_server.kill)
        assert processes(postgres_server) == []
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
            await con.fetch("SELECT 1")
        con.terminate()

    asyncio.run(cut_off())
    with pytest.raises(OSError, match="111"):
        query(postgres_url, "SELECT 1")
    started = time.monotonic()
    postgres_server.start()
    assert time.monotonic() - started < 30
    assert query(postgres_url, "SELECT kind FROM epoch") == [("committed",)]
    assert "database system was not properly shut down" in postgres_server.log()


def test_nothing_stays_after_a_failed_test(postgres_programs: Path) -> None:
    with pytest.raises(ZeroDivisionError), postgres(postgres_programs) as server:
        folder = server.folder
        assert processes(server)
        raise ZeroDivisionError
    assert processes(server) == []
    assert not folder.exists()
