"""`voltweave migrate` on PostgreSQL: what it makes, what it leaves alone, and what it says where it cannot."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from benchmarks.postgres import PostgresServer, execute, query
from benchmarks.processes import free_port
from context_api.contexts.tables import jsonld_context
from context_api.settings import StorageSettings
from context_api.storage.migrations import HEAD
from context_api.storage.port import StorageError
from context_api.storage.postgres.migration import Facts, Migration, migrate
from context_api.storage.postgres.store import PostgresStore
from context_api.storage.tables import metadata
from tests.postgres import postgres_database

PASSWORD = "pa/ss@wo:rd?#%41"
ONLY_ON_POSTGRESQL = {"occurrence_delta", "history_rest", "alembic_version"}
_COLUMNS = """
    SELECT c.relname, a.attname, NOT a.attnotnull FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of a database with nothing in it."""
    with postgres_database(postgres_server) as url:
        yield url


@pytest.fixture
def role(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the name of a user without rights who must give PASSWORD."""
    access = postgres_server.folder / "data" / "pg_hba.conf"
    before = access.read_text(encoding="utf-8")
    quoted = PASSWORD.replace("'", "''")
    execute(postgres_server.url(), f"CREATE ROLE visitor LOGIN PASSWORD '{quoted}'")
    access.write_text(f"host all visitor 127.0.0.1/32 scram-sha-256\n{before}", encoding="utf-8")
    query(postgres_server.url(), "SELECT pg_reload_conf()")
    yield "visitor"
    access.write_text(before, encoding="utf-8")
    query(postgres_server.url(), "SELECT pg_reload_conf()")
    query(postgres_server.url(), "DROP ROLE visitor")


def as_role(url: str, role: str, password: str = PASSWORD) -> str:
    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)


def refusal(url: str) -> str:
    with pytest.raises(StorageError) as refused:
        asyncio.run(migrate(url))
    assert PASSWORD not in str(refused.value)
    return str(refused.value)


def test_the_revisions_make_the_tables_of_the_code(empty_url: str) -> None:
    assert asyncio.run(migrate(empty_url)) == Migration(None, HEAD)
    assert asyncio.run(migrate(empty_url)) == Migration(HEAD, HEAD)
    found: dict[str, set[tuple[str, bool]]] = {}
    for table, column, nullable in query(empty_url, _COLUMNS):
        found.setdefault(table, set()).add((column, nullable))
    assert jsonld_context.metadata is metadata
    wanted = {
        table.name: {(column.name, bool(column.nullable)) for column in table.columns}
        for table in metadata.sorted_tables
    }
    geometry = wanted.pop("geometry") - {("id", False)}
    wanted["entity_geometry"] = geometry | {("box", False), ("shape", True)}
    assert {name: columns for name, columns in found.items() if name not in ONLY_ON_POSTGRESQL} == wanted
    assert set(found) >= ONLY_ON_POSTGRESQL


def test_several_at_once_make_one_migration(empty_url: str) -> None:
    async def several() -> list[Migration]:
        return await asyncio.gather(*(migrate(empty_url) for _ in range(4)))

    assert sorted(asyncio.run(several()), key=lambda done: done.before or "") == [
        Migration(None, HEAD),
        *[Migration(HEAD, HEAD)] * 3,
    ]


def test_a_migration_cut_off_leaves_nothing(empty_url: str, postgres_server: PostgresServer) -> None:
    """The lock of another run holds the migration until the server dies; afterwards it starts from nothing."""

    async def cut_off() -> None:
        con = await asyncpg.connect(empty_url)
        await con.execute("BEGIN")
        await con.execute("CREATE TABLE epoch ()")
        running = asyncio.create_task(migrate(empty_url))
        while not await con.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert not running.done()
            await asyncio.sleep(0.02)
            await con.execute("SELECT pg_stat_clear_snapshot()")
        await asyncio.to_thread(postgres_server.kill)
        with pytest.raises(StorageError):
            await running
        con.terminate()

    asyncio.run(cut_off())
    postgres_server.start()
    assert query(empty_url, "SELECT to_regclass('tenant')::text, to_regclass('alembic_version')::text") == [
        (None, None)
    ]
    assert asyncio.run(migrate(empty_url)) == Migration(None, HEAD)


def test_a_newer_database_is_left_alone(postgres_url: str) -> None:
    execute(postgres_url, "UPDATE alembic_version SET version_num = '9999'")
    assert asyncio.run(migrate(postgres_url)) == Migration("9999", "9999")
    assert query(postgres_url, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_the_printed_statements_make_the_same_database(empty_url: str, postgres_url: str) -> None:
    printed = io.StringIO()
    assert asyncio.run(migrate(empty_url, printed)) == Migration(None, HEAD)
    assert query(empty_url, _COLUMNS) == []
    execute(empty_url, printed.getvalue())
    assert sorted(query(empty_url, _COLUMNS)) == sorted(query(postgres_url, _COLUMNS))
    functions = "SELECT proname, prosrc FROM pg_proc WHERE proname LIKE 'vw\\_%' ORDER BY 1"
    assert query(empty_url, functions) == query(postgres_url, functions) != []
    assert asyncio.run(migrate(empty_url)) == Migration(HEAD, HEAD)


def test_a_server_that_does_not_answer() -> None:
    port = free_port()
    assert f"no PostgreSQL answers at 127.0.0.1:{port}" in refusal(f"postgresql://me@127.0.0.1:{port}/x")


def test_a_database_that_does_not_exist(postgres_server: PostgresServer) -> None:
    told = refusal(postgres_server.url("nowhere"))
    assert 'database "nowhere" does not exist' in told
    assert "CREATE DATABASE nowhere OWNER postgres" in told


def test_a_wrong_password_is_told_without_the_password(postgres_url: str, role: str) -> None:
    told = refusal(as_role(postgres_url, role, PASSWORD + "x"))
    assert told == 'PostgreSQL refuses the user: password authentication failed for user "visitor"'


def test_a_user_who_may_not_create_the_extension_is_told_what_an_administrator_does(empty_url: str, role: str) -> None:
    url = as_role(empty_url, role)
    execute(empty_url, f"GRANT CREATE ON SCHEMA public TO {role}")
    told = refusal(url)
    assert 'permission denied to create extension "postgis"' in told
    command = told.rpartition(": ")[2]
    assert f"database {make_url(empty_url).database}: CREATE EXTENSION postgis" in told
    execute(empty_url, command)
    assert asyncio.run(migrate(url)) == Migration(None, HEAD)
    execute(empty_url, f"DROP OWNED BY {role}")


def test_a_user_who_may_not_make_tables(empty_url: str, role: str) -> None:
    execute(empty_url, "CREATE EXTENSION postgis")
    assert f"the user must own database {make_url(empty_url).database}" in refusal(as_role(empty_url, role))


def test_tables_of_others_are_left_alone(empty_url: str) -> None:
    execute(empty_url, "CREATE TABLE tenant (x int)")
    assert 'did not make: relation "tenant" already exists' in refusal(empty_url)
    assert query(empty_url, _COLUMNS) == [("tenant", "x", True)]


@pytest.mark.parametrize(
    ("facts", "complaint"),
    [
        (Facts(140_012, "14.12 (Debian)", "UTF8", True), "PostgreSQL 14.12 (Debian); Voltweave needs 15 or newer"),
        (Facts(160_003, "16.3", "SQL_ASCII", True), "encoded in SQL_ASCII"),
        (Facts(160_003, "16.3", "UTF8", False), "postgresql-16-postgis-3"),
    ],
)
def test_a_server_that_cannot_do(facts: Facts, complaint: str) -> None:
    with pytest.raises(StorageError, match=re.escape(complaint)):
        facts.check()


def test_a_database_in_another_encoding(postgres_server: PostgresServer) -> None:
    query(
        postgres_server.url(),
        "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    try:
        assert "encoded in SQL_ASCII" in refusal(postgres_server.url("ascii"))
    finally:
        query(postgres_server.url(), "DROP DATABASE ascii WITH (FORCE)")


async def start(url: str) -> None:
    store = PostgresStore(StorageSettings(database=url))
    await store.start()
    await store.close()


def test_the_store_asks_for_a_migration_that_is_due(empty_url: str, postgres_url: str) -> None:
    with pytest.raises(StorageError, match=r"the database is empty.*run voltweave migrate"):
        asyncio.run(start(empty_url))
    execute(postgres_url, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(StorageError, match=rf"has schema 0000.*needs schema {HEAD}: run voltweave migrate"):
        asyncio.run(start(postgres_url))


def test_the_store_works_on_a_newer_database_and_warns(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(start(postgres_url))
    assert "database_is_newer" not in "".join(capsys.readouterr())
    execute(postgres_url, "UPDATE alembic_version SET version_num = '9999'")
    asyncio.run(start(postgres_url))
    assert "database_is_newer" in "".join(capsys.readouterr())
