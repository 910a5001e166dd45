"""What adapters remember, in one SQLite file a data folder: checkpoints, seen records, the spool, and counters.

Taking in a chunk is one transaction: its entities and the records for the quarantine are in the spool, its keys are
remembered, its counters are added and the checkpoint has moved, or none of it. Settling a delivery is another. So a
process may be killed at any moment: what was not committed is read again, what was not settled is delivered again, and
delivery is idempotent.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from adapters import schema
from adapters.errors import SettingError, StreamBusyError
from adapters.quarantine import Finding, Quarantined

STATE_NAME = "adapters.db"
_BUSY_MILLISECONDS = 30_000


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records of a unit, or of a whole stream."""

    records: int = 0
    entities: int = 0
    """Records that became an entity of their own."""
    updates: int = 0
    """Records whose key was known and whose content is new: a newer state of an entity."""
    quarantined: int = 0
    """Records that were set aside and not replayed since."""
    duplicates: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records + other.records,
            self.entities + other.entities,
            self.updates + other.updates,
            self.quarantined + other.quarantined,
            self.duplicates + other.duplicates,
        )

    def balanced(self) -> bool:
        """Say whether every record is accounted for."""
        return self.records == self.entities + self.updates + self.quarantined + self.duplicates


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that the counters call quarantined."""

    id: str
    unit: str
    number: int
    stage: str
    """Where it failed: read, key, map, check or deliver."""
    field: str
    rule: str
    reason: str
    record: str
    """The record as JSON, or what stood in its place."""
    at: str
    refusal: str
    """Why the API's quarantine did not take it; empty where it did, or where it still waits in the spool."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the records that were read together."""

    unit: str
    counts: Counts
    seen: Mapping[bytes, bytes] = field(default_factory=dict)
    set_aside: Sequence[Quarantined] = ()
    healed: Sequence[str] = ()
    """Ids of records that were set aside before and pass now: their earlier arrivals become duplicates."""
    findings: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many entities broke a rule, by rule and severity."""
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    """For the spool."""
    sent: int = 0
    """Entities in it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record in quarantine whose entities are stored now."""

    id: str
    update: bool
    """Its key was known."""
    seen: Mapping[bytes, bytes]
    keeps_known: bool
    """What is known of a key already stays as it is."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch of the spool."""

    delivered: int
    refused: Sequence[str]
    """Ids of entities that the API refused."""
    counts: Counts
    """The change of the unit's counters, if no record of `set_aside` is set aside already."""
    set_aside: Sequence[Quarantined]
    """Records that the API refused an entity of."""
    forget: Sequence[tuple[bytes, bytes]]
    """Their keys and contents."""
    replayed: Sequence[Replayed]
    failed: Mapping[str, Finding]
    """Why records that were replayed are still in quarantine, by id."""
    refusals: Mapping[str, str]
    """Why the quarantine did not take records, by id."""


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
            while version != schema.VERSION:
                script = schema.NEW if version == 0 else schema.UPGRADES.get(version)
                if script is None:
                    message = "was made by another version of Voltweave; give another data folder"
                    raise SettingError(f"{self.path} {message}")
                for statement in script.split(";"):
                    self._db.execute(statement)
                version = schema.VERSION if version == 0 else version + 1
            self._db.execute(f"pragma user_version={version}")

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

    def set_aside_ids(self, stream: int, ids: Sequence[str]) -> set[str]:
        """Return which of these records are set aside already."""
        found: set[str] = set()
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            statement = f"select id from set_aside where stream = ? and id in ({marks})"  # noqa: S608
            found.update(row[0] for row in self._select(statement, (stream, *part)))
        return found

    def take_in(self, stream: int, taken: Taken) -> int | None:
        """Make what was read safe in one transaction and return its number in the spool, where it needs delivery."""
        with self._transaction():
            self._count(stream, taken.unit, taken.counts)
            self._see(stream, taken.seen)
            self._set_aside(stream, taken.set_aside)
            for record_id in taken.healed:
                self._move_count(stream, record_id, Counts(quarantined=-1, duplicates=1))
            self._db.executemany(
                "insert into finding (stream, rule, severity, entities) values (?, ?, ?, ?)"
                " on conflict (stream, rule, severity) do update set entities = entities + excluded.entities",
                [(stream, *kind, entities) for kind, entities in taken.findings.items()],
            )
            self._move(stream, taken.checkpoint)
            if taken.body is None:
                return None
            self._db.execute("update stream set sent = sent + ? where id = ?", (taken.sent, stream))
            inserted = self._db.execute(
                "insert into spool (stream, bytes, body) values (?, ?, ?)", (stream, len(taken.body), taken.body)
            )
            return inserted.lastrowid

    def settle(self, stream: int, batch: int, unit: str, settled: Settled) -> None:
        """Take a delivered batch out of the spool, with what became of it."""
        with self._transaction():
            self._db.execute("delete from spool where id = ?", (batch,))
            again = len(settled.set_aside) - self._set_aside(stream, settled.set_aside)
            self._count(stream, unit, settled.counts + Counts(quarantined=-again, duplicates=again))
            forget = [(stream, *each) for each in settled.forget]
            self._db.executemany("delete from seen where stream = ? and key = ? and content = ?", forget)
            for replayed in settled.replayed:
                update = replayed.update
                self._move_count(stream, replayed.id, Counts(quarantined=-1, entities=not update, updates=update))
                self._see(stream, replayed.seen, keep=replayed.keeps_known)
            self._db.executemany(
                "update set_aside set stage = ?, field = ?, rule = ?, reason = ? where stream = ? and id = ?",
                [(f.stage, f.field, f.rule, f.reason, stream, i) for i, f in settled.failed.items()],
            )
            self._db.executemany(
                "update set_aside set refusal = ? where stream = ? and id = ?",
                [(refusal, stream, i) for i, refusal in settled.refusals.items()],
            )
            self._db.execute(
                "update stream set delivered = delivered + ?, refused = refused + ? where id = ?",
                (settled.delivered, len(settled.refused), stream),
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
            "select name, records, entities, updates, quarantined, duplicates from unit where stream = ? order by name",
            (stream,),
        )
        return {name: Counts(*numbers) for name, *numbers in rows}

    def streams(self) -> list[StreamStatus]:
        """Return the counters of all streams."""
        rows = self._select(
            "select s.name, coalesce(sum(u.records), 0), coalesce(sum(u.entities), 0), coalesce(sum(u.updates), 0),"
            " coalesce(sum(u.quarantined), 0), coalesce(sum(u.duplicates), 0),"
            " s.sent, s.delivered, s.refused, s.retried,"
            " (select coalesce(sum(bytes), 0) from spool where stream = s.id),"
            " s.last_run, s.last_error, s.last_error_at"
            " from stream s left join unit u on u.stream = s.id group by s.id order by s.name"
        )
        return [StreamStatus(row[0], Counts(*row[1:6]), *row[6:]) for row in rows]

    def set_aside(self, stream: str, limit: int = 100) -> list[SetAside]:
        """Return the records of a stream that are set aside, the latest first."""
        rows = self._select(
            "select id, unit, number, stage, field, rule, reason, record, at, refusal from set_aside"
            " where stream = (select id from stream where name = ?) order by place desc limit ?",
            (stream, limit),
        )
        return [SetAside(*row) for row in rows]

    def findings(self, stream: str) -> dict[tuple[str, str], int]:
        """Return how many entities broke a rule, by rule and severity."""
        rows = self._select(
            "select rule, severity, entities from finding where stream = (select id from stream where name = ?)",
            (stream,),
        )
        return {(rule, severity): entities for rule, severity, entities in rows}

    def _count(self, stream: int, unit: str, counts: Counts) -> None:
        if counts == Counts():
            return
        numbers = (counts.records, counts.entities, counts.updates, counts.quarantined, counts.duplicates)
        self._db.execute(
            "insert into unit (stream, name, records, entities, updates, quarantined, duplicates)"
            " values (?, ?, ?, ?, ?, ?, ?)"
            " on conflict (stream, name) do update set records = records + excluded.records,"
            " entities = entities + excluded.entities, updates = updates + excluded.updates,"
            " quarantined = quarantined + excluded.quarantined, duplicates = duplicates + excluded.duplicates",
            (stream, unit, *numbers),
        )

    def _move(self, stream: int, checkpoint: Mapping[str, Any]) -> None:
        for name, value in checkpoint.items():
            if value is None:
                self._db.execute("delete from checkpoint where stream = ? and name = ?", (stream, name))
            else:
                self._db.execute(
                    "insert or replace into checkpoint (stream, name, value) values (?, ?, ?)",
                    (stream, name, orjson.dumps(value).decode()),
                )

    def _see(self, stream: int, seen: Mapping[bytes, bytes], *, keep: bool = False) -> None:
        self._db.executemany(
            f"insert or {'ignore' if keep else 'replace'} into seen (stream, key, content) values (?, ?, ?)",  # noqa: S608
            [(stream, key, content) for key, content in seen.items()],
        )

    def _set_aside(self, stream: int, records: Sequence[Quarantined]) -> int:
        """Set records aside and return how many of them were not set aside already."""
        now = utc_now()
        return self._db.executemany(
            "insert or ignore into set_aside (stream, id, unit, number, stage, field, rule, reason, record, at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (stream, r.id, r.unit, r.number, f.stage, f.field, f.rule, f.reason, r.text(), now)
                for r in records
                for f in [r.finding]
            ],
        ).rowcount

    def _move_count(self, stream: int, record_id: str, change: Counts) -> None:
        """Take a record out of those that are set aside, and change the counters of its unit; nothing where it is none.

        So a replay that is delivered twice is counted once.
        """
        gone = "delete from set_aside where stream = ? and id = ? returning unit"
        for (unit,) in self._db.execute(gone, (stream, record_id)).fetchall():
            self._count(stream, unit, change)

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
            raise StreamBusyError(
                f"another process reads {stream} in {data_dir}; stop it or give another data folder"
            ) from error
        yield
    finally:
        os.close(descriptor)


def utc_now() -> str:
    """Return the time as ISO 8601, UTC, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
