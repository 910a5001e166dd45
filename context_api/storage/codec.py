"""Entity <-> stored row, the only place that knows how an entity is written down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from context_api.storage.port import Row
from ngsild.entity import Attribute, Entity, Instance, Stamp, attribute_of, instances, stamp_key
from ngsild.names import date_time

_EXPIRES_AT = "expiresAt"


class Encoded(NamedTuple):
    """The columns of table `entity` that follow from the entity alone."""

    doc: str
    sys: str | None
    scope: str | None
    expires_at: int | None
    next_expiry: int | None


def entity_key(tenant: str, entity_id: str) -> bytes:
    """Return the 128-bit key of an entity (decision 1)."""
    return blake2b(f"{tenant}\0{entity_id}".encode(), digest_size=16).digest()


def microseconds(text: str) -> int:
    """Return a stored DateTime as microseconds since 1970 UTC."""
    return date_time(text, "DateTime")


def json_text(data: Any) -> str:
    """Return data as JSON text."""
    return orjson.dumps(data).decode()


def encode(entity: Entity) -> Encoded:
    """Return the columns of an entity."""
    doc: dict[str, Any] = {"id": entity.id, "type": entity.types[0] if len(entity.types) == 1 else entity.types}
    if entity.scope:
        doc["scope"] = entity.scope
    doc.update(entity.attributes)
    text = json_text(doc)
    own = None if entity.expires_at is None else microseconds(entity.expires_at)
    moments = [own] if own is not None else []
    if '"expiresAt"' in text:
        moments += (moment for found in entity.attributes.values() for moment in _expiries(found))
    sparse: dict[str, Any] = dict(entity.stamps)
    if entity.expires_at is not None:
        sparse[_EXPIRES_AT] = entity.expires_at
    return Encoded(
        doc=text,
        sys=json_text(sparse) if sparse else None,
        scope=json_text(entity.scope) if entity.scope else None,
        expires_at=own,
        next_expiry=min(moments, default=None),
    )


def decode(row: Row) -> Entity:
    """Return the entity of a row."""
    doc = orjson.loads(row.doc)
    types = doc.pop("type")
    sparse = orjson.loads(row.sys) if row.sys else {}
    expires_at = sparse.pop(_EXPIRES_AT, None)
    return Entity(
        id=doc.pop("id"),
        types=types if isinstance(types, list) else [types],
        scope=doc.pop("scope", []),
        attributes=doc,
        expires_at=expires_at,
        created_at=row.created_at,
        modified_at=row.modified_at,
        stamps={key: (created, modified) for key, (created, modified) in sparse.items()},
        version=row.version,
        owner=row.owner,
    )


def without_expired(entity: Entity, now: int) -> Entity:
    """Return an entity less the attribute and sub-attribute instances that expired before `now` (clause 4.22)."""
    stamps = dict(entity.stamps)
    attributes = _unexpired(entity.attributes, now, stamps, "")
    return replace(entity, attributes=attributes, stamps=stamps)


def row_without_expired(row: Row, now: int) -> Row:
    """Return a row less the attribute instances that expired before `now`."""
    entity = without_expired(decode(row), now)
    columns = encode(entity)
    return replace(row, doc=columns.doc.encode(), sys=columns.sys.encode() if columns.sys else None)


def living_row(columns: Sequence[Any], now: int | None) -> Row | None:
    """Return a row less what has expired, None when all of it has; without `now` the clock is read if need be.

    `columns` are those of Row, then expires_at and next_expiry.
    """
    doc, sys, created_at, modified_at, version, owner, expires_at, next_expiry = columns
    row = Row(doc, sys, created_at, modified_at, version, owner)
    if next_expiry is None:
        return row
    moment = time.time_ns() // 1000 if now is None else now
    if next_expiry > moment:
        return row
    if expires_at is not None and expires_at <= moment:
        return None
    return row_without_expired(row, moment)


def _expiries(attribute: Attribute) -> list[int]:
    found = []
    for instance in instances(attribute):
        if _EXPIRES_AT in instance:
            found.append(microseconds(instance[_EXPIRES_AT]))
        for name, member in instance.items():
            if ":" in name:
                found += _expiries(member)
    return found


def _unexpired(members: dict[str, Any], now: int, stamps: dict[str, Stamp], parent: str) -> dict[str, Any]:
    """Return attributes, or the members of an instance, less expired instances, whose stamps are taken out."""
    kept: dict[str, Any] = {}
    for name, member in members.items():
        if ":" not in name:
            kept[name] = member
            continue
        living: list[Instance] = []
        for instance in instances(member):
            key = stamp_key(name, instance.get("datasetId"), parent)
            if _EXPIRES_AT in instance and microseconds(instance[_EXPIRES_AT]) <= now:
                _forget(stamps, key)
            else:
                living.append(_unexpired(instance, now, stamps, key))
        if living:
            kept[name] = attribute_of(living)
    return kept


def _forget(stamps: dict[str, Stamp], key: str) -> None:
    for known in [k for k in stamps if k == key or k.startswith(f"{key} ")]:
        del stamps[known]
