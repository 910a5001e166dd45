"""What requests are sent to: Voltweave on each database, the naive application, a server of one answer, a peer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Answer
from benchmarks.postgres import PostgresServer, installed, postgres, query
from benchmarks.processes import cpu_seconds, free_port, server
from context_api.settings import StorageSettings
from context_api.storage.url import is_postgresql

_HOP_HEADERS = {"date", "server", "content-length", "connection", "transfer-encoding"}
_DURABILITY = "SELECT current_setting('server_version_num')::int / 10000, current_setting('fsync')"


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, and the processes whose CPU time is a request's: the server's and its database's."""

    what: str
    url: str
    servers: tuple[int, ...]
    databases: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far by server and database."""
        return cpu_seconds(self.servers + self.databases)


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database with its durability in its name."""

    what: str
    url: str
    pids: tuple[int, ...] = ()


@contextmanager
def databases(folder: Path) -> Iterator[list[Database]]:
    """Give an empty database on SQLite and, where it is installed, one on PostgreSQL, with default durability."""
    found = [sqlite(folder)]
    programs = installed()
    if programs is None:
        print("PostgreSQL with PostGIS is not installed: SQLite alone is measured", file=sys.stderr)
        yield found
        return
    with postgres(programs) as running:
        yield [*found, postgresql(running, "voltweave")]


def sqlite(folder: Path) -> Database:
    """Name a database in a folder; the broker makes it."""
    level = StorageSettings.model_fields["sqlite_synchronous"].default
    return Database(f"SQLite, synchronous {level}", f"sqlite:///{folder / 'broker.db'}")


def postgresql(running: PostgresServer, name: str) -> Database:
    """Make a database on a server."""
    query(running.url(), f"CREATE DATABASE {name}")
    ((version, fsync),) = query(running.url(), _DURABILITY)
    return Database(f"PostgreSQL {version}, fsync {fsync}", running.url(name), (running.pid,))


@contextmanager
def voltweave(database: Database, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Target]:
    """Serve a database by Voltweave, with further arguments of `voltweave serve` and variables of its environment."""
    program = str(Path(sys.executable).parent / "voltweave")
    given = ["--database", database.url]
    if is_postgresql(database.url):
        subprocess.run([program, "migrate", *given], check=True, capture_output=True)
    port = free_port()
    command = [program, "serve", "--port", str(port), *given, *arguments]
    with server(command, port, "/q/health/ready", environment) as running:
        yield Target(database.what, _url(port), (running.pid,), database.pids)


@contextmanager
def naive(folder: Path) -> Iterator[Target]:
    """Serve an empty database by the naive application."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.naive", str(port), str(folder / "naive.db")]
    with server(command, port, "/openapi.json") as running:
        yield Target("naive", _url(port), (running.pid,))


@contextmanager
def from_memory(folder: Path, answer: Answer) -> Iterator[Target]:
    """Serve one answer from memory, whatever the request."""
    port = free_port()
    headers = {name: value for name, value in answer.headers.items() if name not in _HOP_HEADERS}
    stored = {"status": answer.status, "headers": headers, "body": answer.body.decode()}
    (folder / "answer.json").write_text(json.dumps(stored), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.floor", str(port), str(folder / "answer.json")]
    with server(command, port, "/") as running:
        yield Target("memory", _url(port), (running.pid,))


def peer(url: str | None, pids: Sequence[int]) -> list[Target]:
    """Return the other broker that the command line names, if it does; `url` may end with the path of the API."""
    return [] if url is None else [Target("peer", url.rstrip("/").removesuffix("/ngsi-ld/v1"), tuple(pids))]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
