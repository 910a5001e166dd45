"""From records to the spool: duplicates are found, the mapping is applied, a chunk is made safe in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.errors import RecordError
from adapters.manifest import NaturalKey
from adapters.pointer import resolve
from adapters.provider import Provider, RecordMeta
from adapters.sink import Entity
from adapters.sources.chunk import Chunk, Unreadable
from adapters.state import AdapterState, Counts, Reject, utc_now

_HASH_BYTES = 16
_REMEMBERED_ENTITIES = 20_000
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A record on its way to the API, with the entities that were made of it, its own first."""

    number: int
    update: bool
    """The record's key was known: its counter is `updates`, not `entities`."""
    record: Record
    entities: list[Entity]


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a chunk, as the spool keeps them."""

    unit: str
    rows: list[Row]

    def to_bytes(self) -> bytes:
        """Return the batch as JSON."""
        return orjson.dumps([self.unit, [[r.number, r.update, r.record, r.entities] for r in self.rows]])

    @classmethod
    def from_bytes(cls, body: bytes) -> Batch:
        """Return the batch that `to_bytes` wrote."""
        unit, rows = orjson.loads(body)
        return cls(unit, [Row(*row) for row in rows])


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A record with the hashes of its natural key and its content."""

    number: int
    record: Record
    key: bytes
    content: bytes


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

    def __init__(self, provider: Provider, state: AdapterState, stream: int) -> None:
        self._manifest = provider.manifest
        self._mapping = provider.mapping
        self._state = state
        self._stream = stream
        self._keys = KeyReader(provider.manifest.natural_key)
        self._mentioned: dict[str, Entity] = {}

    def take_in(self, chunk: Chunk) -> tuple[Counts, int]:
        """Make the chunk safe; return what became of its records and the number of entities in the spool.

        Blocks on disk and CPU: call it in a thread.
        """
        if not chunk.records and not chunk.checkpoint:
            return Counts(), 0
        sorting = _Sorting(chunk.unit)
        keyed = self._keyed(chunk, sorting)
        known = self._state.seen(self._stream, [each.key for each in keyed])
        group: dict[bytes, _Keyed] = {}
        for each in keyed:
            if each.key in group:
                # Whether it is a duplicate depends on whether the one before it can be mapped.
                self._map(group, known, sorting)
                group = {}
            before = known.get(each.key)
            if before == each.content:
                sorting.duplicates += 1
            elif before is not None and self._manifest.natural_key.changed == "reject":
                error = RecordError("the natural key is known with other content", rule="natural key")
                sorting.reject(each.number, "key", error, each.record)
            else:
                group[each.key] = each
        self._map(group, known, sorting)
        counts = sorting.counts(len(chunk.records))
        sent = sum(len(row.entities) for row in sorting.rows)
        body = Batch(chunk.unit, [row for row in sorting.rows if row.entities]).to_bytes() if sent else None
        self._state.take_in(
            self._stream,
            chunk.unit,
            counts,
            seen=sorting.seen,
            rejects=sorting.rejects,
            checkpoint=chunk.checkpoint,
            body=body,
            sent=sent,
        )
        return counts, sent

    def _keyed(self, chunk: Chunk, sorting: _Sorting) -> list[_Keyed]:
        keyed = []
        for number, record in enumerate(chunk.records, chunk.first):
            if isinstance(record, Unreadable):
                sorting.reject(number, "read", record.error, record.raw)
                continue
            try:
                keyed.append(_Keyed(number, record, self._keys.key(record), self._keys.content(record)))
            except RecordError as error:
                sorting.reject(number, "key", error, record)
        return keyed

    def _map(self, group: dict[bytes, _Keyed], known: dict[bytes, bytes], sorting: _Sorting) -> None:
        """Map records of different keys; those that can be mapped are known from now on."""
        received = utc_now()
        stream, unit = self._manifest.stream, sorting.unit
        records = [(each.record, RecordMeta(stream, unit, each.number, received)) for each in group.values()]
        for each, made in zip(group.values(), self._apply(records), strict=True):
            if isinstance(made, RecordError):
                sorting.reject(each.number, "map", made, each.record)
            elif not made:
                error = RecordError("the mapping makes no entity of it", rule="mapping")
                sorting.reject(each.number, "map", error, each.record)
            else:
                row = Row(each.number, each.key in known, each.record, self._unsent(made))
                sorting.rows.append(row)
                known[each.key] = sorting.seen[each.key] = each.content

    def _apply(self, records: list[tuple[Record, RecordMeta]]) -> list[list[Entity] | RecordError]:
        try:
            return self._mapping.apply_many(records)
        except Exception as error:
            # A record may have a shape that nobody thought of: it is set aside, and the others go on.
            if len(records) == 1:
                return [RecordError(f"the mapping failed: {type(error).__name__}: {error}", rule="mapping")]
            half = len(records) // 2
            return self._apply(records[:half]) + self._apply(records[half:])

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


class _Sorting:
    """What became of the records of one chunk, while it is worked on."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.seen: dict[bytes, bytes] = {}
        self.duplicates = 0

    def reject(self, number: int, stage: str, error: RecordError, record: Record | str) -> None:
        self.rejects.append(reject_of(self.unit, number, stage, error, record))

    def counts(self, records: int) -> Counts:
        updates = sum(row.update for row in self.rows)
        return Counts(records, len(self.rows) - updates, updates, len(self.rejects), self.duplicates)


def reject_of(unit: str, number: int, stage: str, error: Exception, record: Record | str, entity: str = "") -> Reject:
    """Return what is kept of a record that was set aside."""
    field, rule = (error.field, error.rule) if isinstance(error, RecordError) else ("", "")
    text = record if isinstance(record, str) else orjson.dumps(record).decode()
    return Reject(unit, number, stage, field, rule, str(error), entity, text)


def _hash(value: Sequence[Any] | Record) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=_HASH_BYTES).digest()
