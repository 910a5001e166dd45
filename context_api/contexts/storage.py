"""Stored @contexts in the database, so that a restart fetches nothing again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, or_, select, update

from context_api.contexts.entries import Entry, Kind
from context_api.contexts.tables import jsonld_context
from context_api.storage.epochs import Epoch
from context_api.storage.records import Records

Usage = tuple[str, int, int | None]
"""(id, hits since the usage was last recorded, moment of the last one)"""


class ContextStore:
    """The table of stored @contexts."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.epoch = Epoch(records, "context")

    async def load(self) -> list[Entry]:
        """Return all stored @contexts."""
        return [_entry(row) for row in await self._records.fetch(select(jsonld_context))]

    async def save(self, entry: Entry) -> None:
        """Add an @context, or replace the one with its id or URL."""
        same = jsonld_context.c.id == entry.id
        if entry.url is not None:
            same = or_(same, jsonld_context.c.url == entry.url)
        await self._records.execute(
            delete(jsonld_context).where(same), insert(jsonld_context).values(_values(entry)), self.epoch.raised()
        )

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove @contexts."""
        await self._records.execute(delete(jsonld_context).where(jsonld_context.c.id.in_(ids)), self.epoch.raised())

    async def record_usage(self, usages: Sequence[Usage]) -> None:
        """Add how often @contexts were used."""
        hits = jsonld_context.c.hits
        await self._records.execute(
            *(
                update(jsonld_context).where(jsonld_context.c.id == i).values(hits=hits + n, last_usage=last)
                for i, n, last in sorted(usages)
            )
        )


def _values(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "tenant": entry.tenant,
        "kind": entry.kind.value,
        "url": entry.url,
        "base": entry.base,
        "document": json.dumps(entry.document, ensure_ascii=False),
        "validators": json.dumps(entry.validators) if entry.validators else None,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "last_usage": entry.last_usage,
        "hits": entry.hits,
    }


def _entry(row: Sequence[Any]) -> Entry:
    i, tenant, kind, url, base, document, validators, created_at, expires_at, last_usage, hits = row
    return Entry(
        id=i,
        tenant=tenant,
        kind=Kind(kind),
        url=url,
        base=base,
        document=json.loads(document),
        validators=json.loads(validators) if validators else {},
        created_at=created_at,
        expires_at=expires_at,
        last_usage=last_usage,
        hits=hits,
    )
