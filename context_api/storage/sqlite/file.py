"""An SQLite database file: its lock, its connections and its schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from context_api.storage.migrations import HEAD
from context_api.storage.port import DatabaseInUse, StorageError
from context_api.storage.url import redacted

#: PRAGMA user_version of databases older than the first revision, which is their schema.
_BEFORE_REVISIONS = 1
_BUSY_MS = 10_000
_CACHE_KIB = 65_536
#: A page that many commits change is copied from the log to the file once per checkpoint: 64 MiB of log.
_CHECKPOINT_PAGES = 16_384
_MMAP_BYTES = 1 << 30

# Python raises and drops an AttributeError for each bytes object and None that it binds, unless the type has an
# adapter: these change nothing and save 0.15 microseconds a value, a tenth of what a batch costs in SQLite.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), {}.get)  # type: ignore[arg-type]


def database_path(url: str) -> Path:
    """Return the file that a database URL names; refuse what is not SQLite in a file."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StorageError(f"database {redacted(url)!r} is no database URL; write sqlite:///FILE") from error
    if parsed.get_backend_name() != "sqlite":
        raise StorageError(f"database {parsed.render_as_string()!r}: only sqlite:///FILE is supported")
    if not parsed.database or parsed.database == ":memory:":
        raise StorageError(f"database {url!r} names no file; write sqlite:///FILE")
    return Path(parsed.database)


class WriterLock:
    """The lock file beside a database that keeps it to one writing process."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raise DatabaseInUse where another process has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            database = self._path.with_suffix("")
            raise DatabaseInUse(
                f"database {database} is in use by process {holder}: stop it, or name another file"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, for removing it would let two processes lock different files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def connect(path: Path, *, read_only: bool, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open a connection that may be used from one thread at a time."""
    con = sqlite3.connect(
        path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    con.execute("PRAGMA journal_mode = WAL")
    con.execute(f"PRAGMA synchronous = {synchronous}")
    con.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    con.execute(f"PRAGMA mmap_size = {_MMAP_BYTES}")
    con.execute("PRAGMA temp_store = MEMORY")
    con.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    if read_only:
        con.execute("PRAGMA query_only = ON")
    return con


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise StorageError for what the database cannot do now: locked, unreadable, out of space."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(str(error)) from error


def prepare_schema(con: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date; refuse a database that Voltweave did not make, or a newer one did.

    A database that is up to date costs two reads: alembic is imported only where there is something to do.
    """
    present = {name for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in present:
        (revision,) = con.execute("SELECT version_num FROM alembic_version").fetchone()
        if revision == HEAD:
            return
        if revision > HEAD:
            raise StorageError(f"database {path} has schema {revision}; this version of Voltweave knows {HEAD}")
    elif present and con.execute("PRAGMA user_version").fetchone() != (_BEFORE_REVISIONS,):
        raise StorageError(f"database {path} was not made by Voltweave")
    from context_api.storage.migrations.upgrade import upgrade

    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            upgrade(connection)
    except DBAPIError as error:
        raise StorageError(f"the schema of database {path} cannot be brought up to date: {error.orig}") from error
