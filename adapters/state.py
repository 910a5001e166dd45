"""What adapters remember, in one SQLite file a data folder: checkpoints, seen records, the spool, rejects and counters.

Taking in a chunk is one transaction: its entities are in the spool, its rejects are written, its keys are remembered,
its counters are added and the checkpoint has moved, or none of it. Settling a delivery is another. So a process may be
killed at any moment: what was not committed is read again, what was not settled is delivered again, and delivery is
idempotent.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from adapters.errors import SettingError

STATE_NAME = "adapters.db"
_BUSY_MILLISECONDS = 30_000
_SCHEMA_VERSION = 1
_SCHEMA = """
create table stream (
    id integer primary key, name text not null unique,
    sent integer not null default 0, delivered integer not null default 0, refused integer not null default 0,
    retried integer not null default 0, last_run text, last_error text, last_error_at text);
create table unit (
    stream integer not null, name text not null,
    records integer not null default 0, entities integer not null default 0, updates integer not null default 0,
    rejected integer not null default 0, duplicates integer not null default 0,
    primary key (stream, name)) without rowid;
create table checkpoint (
    stream integer not null, name text not null, value text not null, primary key (stream, name)) without rowid;
create table seen (
    stream integer not null, key blob not null, content blob not null, primary key (stream, key)) without rowid;
create table spool (
    id integer primary key autoincrement, stream integer not null, bytes integer not null, body blob not null);
create index spool_stream on spool (stream, id);
create table reject (
    id integer primary key autoincrement, stream integer not null, unit text not null, number integer not null,
    stage text not null, field text not null, rule text not null, reason text not null, entity text not null,
    record text not null, at text not null);
create index reject_stream on reject (stream, id);
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records of a unit, or of a whole stream."""

    records: int = 0
    entities: int = 0
    """Records that became an entity of their own."""
    updates: int = 0
    """Records whose key was known and whose content is new: a newer state of an entity."""
    rejected: int = 0
    duplicates: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records + other.records,
            self.entities + other.entities,
            self.updates + other.updates,
            self.rejected + other.rejected,
            self.duplicates + other.duplicates,
        )

    def balanced(self) -> bool:
        """Say whether every record is accounted for."""
        return self.records == self.entities + self.updates + self.rejected + self.duplicates


@dataclass(frozen=True, slots=True)
class Reject:
    """A record, or an entity made of one, that was set aside."""

    unit: str
    number: int
    stage: str
    """Where it failed: read, key, map or deliver."""
    field: str
    rule: str
    reason: str
    entity: str
    """Id of the refused entity, for the stage deliver."""
    record: str
    """The record as JSON, or what stood in its place."""
    at: str = ""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The counters of a stream."""

    stream: str
    counts: Counts
    sent: int
    """Entities put into the spool."""
    delivered: int
    refused: int
    retried: int
    waiting: int
    """Bytes in the spool."""
    last_run: str | None
    last_error: str | None
    last_error_at: str | None


@dataclass(frozen=True, slots=True)
class Spooled:
    """A batch in the spool."""

    id: int
    body: bytes


class AdapterState:
    """The state file of a data folder; methods may be called from any thread, one at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / STATE_NAME
        self._lock = threading.Lock()
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self.path, timeout=_BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False
            )
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._create()
        except (sqlite3.Error, OSError) as error:
            raise SettingError(f"{self.path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _create(self) -> None:
        with self._transaction():
            (version,) = self._db.execute("pragma user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"pragma user_version={_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise SettingError(f"{self.path} was made by another version of Voltweave; give another data folder")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("begin immediate")
                try:
                    yield
                except BaseException:
                    self._db.execute("rollback")
                    raise
                self._db.execute("commit")
            except sqlite3.Error as error:
                raise SettingError(f"{self.path}: {error}; nothing of this step was kept") from error

    def _select(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise SettingError(f"{self.path}: {error}") from error

    def stream_id(self, stream: str) -> int:
        """Return the number of a stream, which is made where there is none."""
        with self._transaction():
            self._db.execute("insert or ignore into stream (name) values (?)", (stream,))
            return int(self._db.execute("select id from stream where name = ?", (stream,)).fetchone()[0])

    def checkpoint(self, stream: int) -> dict[str, Any]:
        """Return the checkpoint of a stream."""
        rows = self._select("select name, value from checkpoint where stream = ?", (stream,))
        return {name: orjson.loads(value) for name, value in rows}

    def seen(self, stream: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the content hashes that are known for these keys."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            statement = f"select key, content from seen where stream = ? and key in ({marks})"  # noqa: S608
            found.update(self._select(statement, (stream, *part)))
        return found

    def take_in(
        self,
        stream: int,
        unit: str,
        counts: Counts,
        *,
        seen: dict[bytes, bytes],
        rejects: Sequence[Reject],
        checkpoint: dict[str, Any],
        body: bytes | None,
        sent: int,
    ) -> int | None:
        """Make a chunk safe in one transaction and return its number in the spool, where it holds entities."""
        with self._transaction():
            self._count(stream, unit, counts)
            self._db.executemany(
                "insert or replace into seen (stream, key, content) values (?, ?, ?)",
                [(stream, key, content) for key, content in seen.items()],
            )
            self._reject(stream, rejects)
            self._move(stream, checkpoint)
            if body is None:
                return None
            self._db.execute("update stream set sent = sent + ? where id = ?", (sent, stream))
            inserted = self._db.execute(
                "insert into spool (stream, bytes, body) values (?, ?, ?)", (stream, len(body), body)
            )
            return inserted.lastrowid

    def settle(
        self,
        stream: int,
        batch: int,
        *,
        delivered: int,
        rejects: Sequence[Reject],
        counts: Iterable[tuple[str, Counts]],
        forget: Iterable[bytes],
    ) -> None:
        """Take a delivered batch out of the spool, with what became of it.

        `counts` corrects the counters of units and `forget` the seen keys, for records that the API refused.
        """
        with self._transaction():
            self._db.execute("delete from spool where id = ?", (batch,))
            self._reject(stream, rejects)
            for unit, change in counts:
                self._count(stream, unit, change)
            self._db.executemany("delete from seen where stream = ? and key = ?", [(stream, key) for key in forget])
            self._db.execute(
                "update stream set delivered = delivered + ?, refused = refused + ? where id = ?",
                (delivered, len(rejects), stream),
            )

    def next_spooled(self, stream: int, after: int = 0) -> Spooled | None:
        """Return the oldest batch of a stream in the spool."""
        rows = self._select(
            "select id, body from spool where stream = ? and id > ? order by id limit 1", (stream, after)
        )
        return Spooled(*rows[0]) if rows else None

    def waiting(self, stream: int) -> int:
        """Return the bytes of a stream in the spool."""
        return int(self._select("select coalesce(sum(bytes), 0) from spool where stream = ?", (stream,))[0][0])

    def note_retry(self, stream: int, error: str) -> None:
        """Count a delivery that is tried again."""
        with self._transaction():
            self._db.execute("update stream set retried = retried + 1 where id = ?", (stream,))
            self._note_error(stream, error)

    def note_run(self, stream: int, error: str | None = None) -> None:
        """Record that a source was read through, or how it failed."""
        with self._transaction():
            self._db.execute("update stream set last_run = ? where id = ?", (utc_now(), stream))
            if error is not None:
                self._note_error(stream, error)

    def unit_counts(self, stream: int) -> dict[str, Counts]:
        """Return what became of the records, for each unit that was ever read."""
        rows = self._select(
            "select name, records, entities, updates, rejected, duplicates from unit where stream = ? order by name",
            (stream,),
        )
        return {name: Counts(*numbers) for name, *numbers in rows}

    def streams(self) -> list[StreamStatus]:
        """Return the counters of all streams."""
        rows = self._select(
            "select s.name, coalesce(sum(u.records), 0), coalesce(sum(u.entities), 0), coalesce(sum(u.updates), 0),"
            " coalesce(sum(u.rejected), 0), coalesce(sum(u.duplicates), 0), s.sent, s.delivered, s.refused, s.retried,"
            " (select coalesce(sum(bytes), 0) from spool where stream = s.id),"
            " s.last_run, s.last_error, s.last_error_at"
            " from stream s left join unit u on u.stream = s.id group by s.id order by s.name"
        )
        return [StreamStatus(row[0], Counts(*row[1:6]), *row[6:]) for row in rows]

    def rejects(self, stream: str, limit: int = 100) -> list[Reject]:
        """Return the latest rejects of a stream, newest first."""
        rows = self._select(
            "select unit, number, stage, field, rule, reason, entity, record, at from reject"
            " where stream = (select id from stream where name = ?) order by id desc limit ?",
            (stream, limit),
        )
        return [Reject(*row) for row in rows]

    def _count(self, stream: int, unit: str, counts: Counts) -> None:
        numbers = (counts.records, counts.entities, counts.updates, counts.rejected, counts.duplicates)
        self._db.execute(
            "insert into unit (stream, name, records, entities, updates, rejected, duplicates)"
            " values (?, ?, ?, ?, ?, ?, ?)"
            " on conflict (stream, name) do update set records = records + excluded.records,"
            " entities = entities + excluded.entities, updates = updates + excluded.updates,"
            " rejected = rejected + excluded.rejected, duplicates = duplicates + excluded.duplicates",
            (stream, unit, *numbers),
        )

    def _move(self, stream: int, checkpoint: dict[str, Any]) -> None:
        for name, value in checkpoint.items():
            if value is None:
                self._db.execute("delete from checkpoint where stream = ? and name = ?", (stream, name))
            else:
                self._db.execute(
                    "insert or replace into checkpoint (stream, name, value) values (?, ?, ?)",
                    (stream, name, orjson.dumps(value).decode()),
                )

    def _reject(self, stream: int, rejects: Sequence[Reject]) -> None:
        now = utc_now()
        self._db.executemany(
            "insert into reject (stream, unit, number, stage, field, rule, reason, entity, record, at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(stream, r.unit, r.number, r.stage, r.field, r.rule, r.reason, r.entity, r.record, now) for r in rejects],
        )

    def _note_error(self, stream: int, error: str) -> None:
        self._db.execute(
            "update stream set last_error = ?, last_error_at = ? where id = ?", (error[:2000], utc_now(), stream)
        )


@contextmanager
def stream_lock(data_dir: Path, stream: str) -> Iterator[None]:
    """Hold a stream in a data folder for this process: two runners would deliver in each other's order."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / f".{stream}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingError(
                f"another process reads {stream} in {data_dir}; stop it or give another data folder"
            ) from error
        yield
    finally:
        os.close(descriptor)


def utc_now() -> str:
    """Return the time as ISO 8601, UTC, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
