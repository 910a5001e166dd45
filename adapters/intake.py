"""From records to the spool: duplicates are found, entities made and judged, a chunk made safe in one transaction."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from adapters.errors import RecordError
from adapters.judging import Judge
from adapters.manifest import NaturalKey
from adapters.pointer import resolve
from adapters.provider import Provider, RecordMeta
from adapters.quarantine import Finding, Outcome, Quarantined, Record, Replay, record_id
from adapters.sink import Entity
from adapters.sources.chunk import Chunk, Unreadable
from adapters.state import AdapterState, Counts, Taken, utc_now

_HASH_BYTES = 16
_REMEMBERED_ENTITIES = 20_000


class Held(NamedTuple):
    """What the quarantine holds of a record that is on its way to the API now."""

    id: str
    version: int | None
    """The version that is replayed; None where the source brought the record again."""
    original: Record | None
    """The record that was set aside, which differs from what is sent where it was mended."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record on its way to the API, with the entities that were made of it, its own first."""

    number: int
    update: bool
    """The record's key was known: its counter is `updates`, not `entities`."""
    record: Record
    entities: list[Entity]
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a chunk, as the spool keeps it."""

    unit: str
    rows: list[Row]
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    """Records for the quarantine, as it takes them."""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    """Replays that failed, as the quarantine takes them."""
    raw: str = ""
    """The raw copy of the unit."""

    def to_bytes(self) -> bytes:
        """Return the batch as JSON."""
        rows = [[r.number, r.update, r.record, r.entities, r.held and list(r.held)] for r in self.rows]
        return orjson.dumps([self.unit, rows, self.quarantined, self.outcomes, self.raw])

    @classmethod
    def from_bytes(cls, body: bytes) -> Batch:
        """Return the batch that `to_bytes` wrote, in this version or an earlier one."""
        unit, rows, *more = orjson.loads(body)
        return cls(unit, [_row(*row) for row in rows], *more)

    def __bool__(self) -> bool:
        return bool(self.rows or self.quarantined or self.outcomes)


def _row(number: int, update: bool, record: Record, entities: list[Entity], held: list[Any] | None = None) -> Row:
    return Row(number, update, record, entities, Held(*held) if held is not None else None)


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A record with the hashes of its natural key and its content."""

    number: int
    record: Record
    key: bytes
    content: bytes
    id: str


class KeyReader:
    """Reads what identifies a record and what it says, as hashes."""

    def __init__(self, natural_key: NaturalKey) -> None:
        self._fields = natural_key.fields
        self._ignored = frozenset(natural_key.ignore)

    def key(self, record: Record) -> bytes:
        """Return the hash of a record's natural key; RecordError where a part of it is absent or empty."""
        values = []
        for name in self._fields:
            value = resolve(record, name)
            if value is None or value == "":
                raise RecordError(f"{name} is empty: the record has no natural key", field=name, rule="natural key")
            values.append(value)
        return _hash(values)

    def content(self, record: Record) -> bytes:
        """Return the hash of a record's content."""
        if self._ignored:
            record = {name: value for name, value in record.items() if name not in self._ignored}
        return _hash(record)


class Intake:
    """Takes in the chunks of one stream."""

    def __init__(self, provider: Provider, state: AdapterState, stream: int, quarantine_bytes: int) -> None:
        self._manifest = provider.manifest
        self._mapping = provider.mapping
        self._state = state
        self._stream = stream
        self._quarantine_bytes = quarantine_bytes
        self._keys = KeyReader(provider.manifest.natural_key)
        self._judge = Judge(provider.manifest.validation)
        self._mentioned: dict[str, Entity] = {}

    def take_in(self, chunk: Chunk) -> tuple[Counts, int]:
        """Make the chunk safe; return what became of its records and the number of entities in the spool.

        Blocks on disk and CPU: call it in a thread.
        """
        if not chunk.records and not chunk.checkpoint:
            return Counts(), 0
        sorting = _Sorting(self._manifest.id, self._manifest.stream, chunk)
        keyed = self._keyed(chunk, sorting)
        known = self._state.seen(self._stream, [each.key for each in keyed])
        new = [each for each in keyed if known.get(each.key) != each.content]
        ids = [*sorting.set_aside, *(each.id for each in new)]
        replayed = self._replayed_before(ids)
        sorting.held = self._state.set_aside_ids(self._stream, ids) | replayed
        group: dict[bytes, _Keyed] = {}
        for each in keyed:
            if each.key in group:
                # Whether it is a duplicate depends on whether the one before it can be mapped.
                self._map(group, known, sorting)
                group = {}
            content = known.get(each.key)
            if content == each.content or each.id in replayed:
                sorting.duplicates += 1
            elif content is not None and self._manifest.natural_key.changed == "reject":
                error = RecordError("the natural key is known with other content", rule="natural key")
                sorting.reject(each.number, each.id, "key", error, each.record)
            else:
                group[each.key] = each
        self._map(group, known, sorting)
        taken = sorting.taken(self._quarantine_bytes, self._findings())
        self._state.take_in(self._stream, taken)
        return taken.counts, taken.sent

    def _replayed_before(self, ids: Collection[str]) -> set[str]:
        """Return which records were set aside once, mended and replayed, and are remembered by their ids."""
        keys = {bytes.fromhex(i): i for i in ids}
        return {keys[key] for key in self._state.seen(self._stream, list(keys))}

    def take_in_replays(self, replays: Sequence[Replay]) -> tuple[int, int]:
        """Make safe what becomes of records in quarantine; return how many pass and how many do not.

        Counters change when a replay is delivered. Blocks on disk and CPU: call it in a thread.
        """
        rows: list[Row] = []
        failed: list[Outcome] = []
        for replay in replays:
            made = self._replayed(replay)
            if isinstance(made, Row):
                rows.append(made)
            else:
                failed.append(Outcome(replay.id, replay.version, made))
        batch = Batch("", rows, [], [outcome.as_json() for outcome in failed])
        sent = sum(len(row.entities) for row in rows)
        self._findings()
        if batch:
            self._state.take_in(self._stream, Taken("", Counts(), body=batch.to_bytes(), sent=sent))
        return len(rows), len(failed)

    def _replayed(self, replay: Replay) -> Row | Finding:
        record = replay.best
        if record is None:
            return Finding("read", rule="record", reason="there is no record to try: say how it should be")
        stage = "key"
        try:
            key = self._keys.key(record)
            stage = "map"
            meta = RecordMeta(self._manifest.stream, replay.unit, replay.number, utc_now())
            [made] = self._apply([(record, meta)])
            if isinstance(made, RecordError):
                raise made
        except RecordError as error:
            return Finding.of(stage, error)
        if not made:
            return Finding("map", rule="mapping", reason=_MAKES_NOTHING)
        update = bool(self._state.seen(self._stream, [key]))
        return Row(replay.number, update, record, made, Held(replay.id, replay.version, replay.record))

    def forget_mentioned(self, ids: Iterable[str]) -> None:
        """Forget entities that the API refused: the next record that mentions one brings it again."""
        for entity_id in ids:
            self._mentioned.pop(entity_id, None)

    def _keyed(self, chunk: Chunk, sorting: _Sorting) -> list[_Keyed]:
        keyed = []
        stream = self._manifest.stream
        for number, record in enumerate(chunk.records, chunk.first):
            if isinstance(record, Unreadable):
                where = record_id(stream, str(record.error), record.raw)
                sorting.reject(number, where, "read", record.error, record.raw)
                continue
            content = self._keys.content(record)
            try:
                key = self._keys.key(record)
            except RecordError as error:
                sorting.reject(number, record_id(stream, content), "key", error, record)
            else:
                keyed.append(_Keyed(number, record, key, content, record_id(stream, key, content)))
        return keyed

    def _map(self, group: dict[bytes, _Keyed], known: dict[bytes, bytes], sorting: _Sorting) -> None:
        """Map records of different keys; those that can be mapped are known from now on."""
        received = utc_now()
        stream, unit = self._manifest.stream, sorting.unit
        records = [(each.record, RecordMeta(stream, unit, each.number, received)) for each in group.values()]
        for each, made in zip(group.values(), self._apply(records), strict=True):
            if isinstance(made, RecordError):
                sorting.reject(each.number, each.id, "map", made, each.record)
            elif not made:
                sorting.reject(each.number, each.id, "map", RecordError(_MAKES_NOTHING, rule="mapping"), each.record)
            else:
                held = Held(each.id, None, None) if each.id in sorting.held else None
                sorting.rows.append(Row(each.number, each.key in known, each.record, self._unsent(made), held))
                known[each.key] = sorting.seen[each.key] = each.content

    def _apply(self, records: list[tuple[Record, RecordMeta]]) -> list[list[Entity] | RecordError]:
        found = self._judge.found.copy()
        try:
            return self._mapping.apply_many(records, self._check)
        except Exception as error:
            # A record may have a shape that nobody thought of: it is set aside, and the others go on.
            self._judge.found = found
            if len(records) == 1:
                return [RecordError(f"the mapping failed: {type(error).__name__}: {error}", rule="mapping")]
            half = len(records) // 2
            return self._apply(records[:half]) + self._apply(records[half:])

    def _check(self, entities: list[Entity]) -> None:
        """Judge a record's own entity, and of those that it mentions what was not sent before as it is."""
        if entities:
            sent = self._mentioned
            self._judge.check([entities[0], *(e for e in entities[1:] if sent.get(e["id"]) != e)])

    def _findings(self) -> Counter[tuple[str, str]]:
        """Return what was found since it was asked last."""
        found, self._judge.found = self._judge.found, Counter()
        return found

    def _unsent(self, entities: list[Entity]) -> list[Entity]:
        """Leave out mentioned entities that were sent with the same content last: one station in thousands of rows."""
        own, *mentioned = entities
        self._mentioned.pop(own["id"], None)
        unsent = [own]
        for entity in mentioned:
            if self._mentioned.get(entity["id"]) != entity:
                if len(self._mentioned) >= _REMEMBERED_ENTITIES:
                    self._mentioned.clear()
                self._mentioned[entity["id"]] = entity
                unsent.append(entity)
        return unsent


_MAKES_NOTHING = "the mapping makes no entity of it"


class _Sorting:
    """What became of the records of one chunk, while it is worked on."""

    def __init__(self, provider: str, stream: str, chunk: Chunk) -> None:
        self.unit = chunk.unit
        self.rows: list[Row] = []
        self.set_aside: dict[str, Quarantined] = {}
        self.seen: dict[bytes, bytes] = {}
        self.duplicates = 0
        self.held: set[str] = set()
        """Ids of records of this chunk that the quarantine has or had."""
        self._provider = provider
        self._stream = stream
        self._chunk = chunk

    def reject(self, number: int, where: str, stage: str, error: RecordError, record: Record | str) -> None:
        """Set a record aside under an id; one that is set aside already is a duplicate."""
        if where in self.set_aside:
            self.duplicates += 1
            return
        read, raw = (None, record) if isinstance(record, str) else (record, None)
        finding = Finding.of(stage, error)
        self.set_aside[where] = Quarantined(
            where, self._provider, self._stream, self.unit, number, read, raw, self._chunk.raw, finding
        )

    def taken(self, quarantine_bytes: int, findings: Mapping[tuple[str, str], int]) -> Taken:
        """Return what is to be made safe."""
        new = [found for where, found in self.set_aside.items() if where not in self.held]
        quarantined = [found.as_json(quarantine_bytes) for found in new]
        batch = Batch(self.unit, [row for row in self.rows if row.entities], quarantined, [], self._chunk.raw)
        updates = sum(row.update for row in self.rows)
        duplicates = self.duplicates + len(self.set_aside) - len(new)
        entities = len(self.rows) - updates
        return Taken(
            self.unit,
            Counts(len(self._chunk.records), entities, updates, len(new), duplicates),
            self.seen,
            new,
            [row.held.id for row in self.rows if row.held is not None],
            findings,
            self._chunk.checkpoint,
            batch.to_bytes() if batch else None,
            sum(len(row.entities) for row in self.rows),
        )


def _hash(value: Sequence[Any] | Record) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=_HASH_BYTES).digest()
