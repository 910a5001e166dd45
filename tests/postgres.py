"""PostgreSQL for tests: one server a worker, and an empty database with the schema for each test that asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from benchmarks.postgres import PostgresServer, installed, postgres, query

_TEMPLATE = "voltweave_template"
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """Give the folder of PostgreSQL's programs or skip."""
    programs = installed()
    if programs is None:
        pytest.skip("the server PostgreSQL with PostGIS is not installed (make servers)")
    return programs


@pytest.fixture(scope="session")
def postgres_server(postgres_programs: Path) -> Iterator[PostgresServer]:
    """Give a running server, one for all tests of a worker; a test may kill it and start it again."""
    with postgres(postgres_programs) as server:
        yield server


@pytest.fixture
def postgres_replica(postgres_programs: Path, postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """Give a running replica of the server, which has the databases made before; it costs about a second."""
    postgres_server.start()
    with postgres(postgres_programs, postgres_server) as replica:
        yield replica


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Give the name of a database with the schema, which others are copied from: nobody may be connected to it."""
    # Most tests need no database, and this import would cost each run of them half a second.
    from context_api.storage.postgres.migration import migrate

    query(postgres_server.url(), f"CREATE DATABASE {_TEMPLATE}")
    asyncio.run(migrate(postgres_server.url(_TEMPLATE)))
    return _TEMPLATE


@contextmanager
def postgres_database(server: PostgresServer, template: str = "template1") -> Iterator[str]:
    """Give the URL of a new database with a name of its own, a copy of another one; it is dropped at the end."""
    name = f"test_{next(_numbers)}"
    server.start()
    query(server.url(), f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url(name)
    finally:
        server.start()
        query(server.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """Give the URL of an empty database with the schema; it costs about a tenth of a second."""
    with postgres_database(postgres_server, postgres_template) as url:
        yield url
