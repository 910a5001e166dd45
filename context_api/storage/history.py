"""What of a change goes to history (decisions 6, 7 and 8), and the instanceId of what is there.

A history row is one attribute instance as it was from some moment on; a deleted row says that it was gone from then
on. The entity's own life is kept under `ENTITY_LIFE`: types, scope and expiresAt whenever they changed, and its end.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from context_api.storage.codec import json_text, microseconds
from context_api.storage.port import Change
from ngsild.entity import Entity, Instance, instances, stamp_key

#: Stands for the entity itself where a history row names an attribute; no IRI is empty.
ENTITY_LIFE = ""

_PREFIX = "urn:ngsi-ld:instance:"
_VALUE = blake2b(digest_size=8)
_DELETED = blake2b(digest_size=8, person=b"deleted")
_NUMBERS = frozenset({int, float})
_IDENTITY = struct.Struct(">q16sII8s")


HistoryRow = tuple[str, str | None, int, bytes, int | None, int, int, float | None, str]
"""attr, datasetId, time, hash, created_at, modified_at, deleted (0 or 1), num, instance: one attribute instance at one
time."""


class InstanceKey(NamedTuple):
    """The key of a history row: `attr` and `dataset` are interned, `time` is in microseconds since 1970 UTC."""

    time: int
    k: bytes
    attr: int
    dataset: int
    hash: bytes


def instance_id(key: InstanceKey) -> str:
    """Return the instanceId (clause 4.5.8) of a history row: an URN that holds its whole key."""
    return _PREFIX + base64.urlsafe_b64encode(_IDENTITY.pack(*key)).decode().rstrip("=")


def parse_instance_id(text: str) -> InstanceKey | None:
    """Return the key that an instanceId holds, None where it is none of ours."""
    encoded = text.removeprefix(_PREFIX)
    if encoded == text:
        return None
    try:
        packed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        key = InstanceKey(*_IDENTITY.unpack(packed))
    except (binascii.Error, struct.error, ValueError):
        return None
    # Several texts decode to the same bytes; only the one that was given out is an instanceId.
    return key if instance_id(key) == text else None


def history_rows(change: Change) -> list[HistoryRow]:
    """Return the history rows of a change."""
    before, after = change.before, change.after
    rows = [_row(attr, instance, change.at) for attr, instance in change.late]
    if after is before:
        return rows
    if after is None or before is None or _life(before) != _life(after):
        rows.append(_life_row(change))
    if after is not None:
        rows.extend(_written(change, after))
    if before is not None:
        rows.extend(_removed(before, after, change.at))
    return rows


def _written(change: Change, after: Entity) -> Iterator[HistoryRow]:
    """Yield what the change wrote: instances that differ, and touched ones that bear its time."""
    earlier = change.before.attributes if change.before is not None else {}
    stamps, touched, now = after.stamps, change.touched, after.modified_at
    for attr, found in after.attributes.items():
        known = earlier.get(attr)
        if attr not in touched and known == found:
            continue
        for instance in instances(found):
            modified_at = after.created_at
            if stamps:
                modified_at = stamps.get(stamp_key(attr, instance.get("datasetId")), (0, modified_at))[1]
            if known is None or (modified_at == now and attr in touched) or instance not in instances(known):
                yield _row(attr, instance, modified_at)


def _removed(before: Entity, after: Entity | None, at: int) -> Iterator[HistoryRow]:
    left = after.attributes if after is not None else {}
    for attr, found in before.attributes.items():
        now = left.get(attr)
        if now is found:
            continue
        living = {instance.get("datasetId") for instance in _as_list(now)}
        for instance in instances(found):
            if instance.get("datasetId") not in living:
                yield _gone(attr, instance, at)


def _as_list(attribute: Any) -> list[Instance]:
    return [] if attribute is None else instances(attribute)


def _life(entity: Entity) -> dict[str, Any]:
    """Return what changes over an entity's life beside its attributes."""
    life: dict[str, Any] = {"type": entity.types}
    if entity.scope:
        life["scope"] = entity.scope
    if entity.expires_at is not None:
        life["expiresAt"] = entity.expires_at
    return life


def _life_row(change: Change) -> HistoryRow:
    entity = change.after if change.after is not None else change.before
    life = json_text(_life(entity)) if entity is not None else "{}"
    deleted = change.after is None
    return ENTITY_LIFE, None, change.at, _digest(life.encode(), deleted), None, change.at, int(deleted), None, life


def _row(attr: str, instance: Instance, modified_at: int) -> HistoryRow:
    observed = instance.get("observedAt")
    value = instance.get("value")
    # Keys are sorted, so that a replay is a duplicate whatever the order of its members.
    content = orjson.dumps(instance, option=orjson.OPT_SORT_KEYS)
    return (
        attr,
        instance.get("datasetId"),
        modified_at if observed is None else microseconds(observed),
        _digest(content, False),
        None,
        modified_at,
        0,
        value if type(value) in _NUMBERS else None,
        content.decode(),
    )


def _gone(attr: str, instance: Instance, at: int) -> HistoryRow:
    """Return the row that says that an instance is gone; it keeps what identifies the instance."""
    rest = json_text({member: instance[member] for member in ("type", "datasetId") if member in instance})
    return attr, instance.get("datasetId"), at, _digest(rest.encode(), True), None, at, 1, None, rest


def _digest(content: bytes, deleted: bool) -> bytes:
    """Return the value hash of a history row; a deletion never equals a value."""
    digest = (_DELETED if deleted else _VALUE).copy()
    digest.update(content)
    return digest.digest()


def changed_attributes(change: Change) -> dict[str, Iterable[str]]:
    """Return the IRIs of attributes by what a change did to them: created, updated, deleted, late.

    `ENTITY_LIFE` leads what a change deleted that left no entity.
    """
    before = change.before.attributes if change.before is not None else {}
    after = change.after.attributes if change.after is not None else {}
    did: dict[str, Iterable[str]] = {
        "created": [a for a in after if a not in before],
        "updated": [a for a in after if a in before and (a in change.touched or before[a] != after[a])],
        "deleted": [ENTITY_LIFE, *before] if change.after is None else [a for a in before if a not in after],
        "late": sorted({a for a, _ in change.late}),
    }
    return {what: attrs for what, attrs in did.items() if attrs}
