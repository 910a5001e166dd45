"""The answers kept for idempotency keys: one row a key, reserved before its request runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from starlette.responses import Response

from context_api.settings import IdempotencySettings
from context_api.storage.port import Duplicate
from context_api.storage.records import Records
from context_api.storage.tables import kept_answer


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key of one caller in one tenant."""

    tenant: str
    caller: str
    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of the request that came first with a key."""

    request: bytes
    """The hash of that request."""
    status: int | None
    """The status of its answer, None while it runs."""
    headers: dict[str, str]
    body: bytes | None
    """The body of its answer, None where it was too large."""


class KeptAnswers:
    """Reserves keys and keeps answers. Moments are microseconds since 1970 UTC."""

    def __init__(self, records: Records, settings: IdempotencySettings) -> None:
        self._records = records
        self._reserved = int(settings.idempotency_reservation * 1e6)
        self._ttl = int(settings.idempotency_ttl * 1e6)
        self._max_body = settings.idempotency_max_answer

    async def reserve(self, key: Key, request: bytes, now: int) -> str | Kept | None:
        """Return a reservation, or what is kept for a key that another request holds; None where that has just gone.

        The primary key lets one request in, however many come at once and on however many replicas.
        """
        reservation = uuid4().hex
        row = insert(kept_answer).values(
            tenant=key.tenant,
            caller=key.caller,
            key=key.key,
            request=request,
            reservation=reservation,
            expires_at=now + self._reserved,
        )
        try:
            await self._records.execute(delete(kept_answer).where(_of(key), kept_answer.c.expires_at <= now), row)
        except Duplicate:
            return await self._kept(key)
        return reservation

    async def _kept(self, key: Key) -> Kept | None:
        c = kept_answer.c
        rows = await self._records.fetch(select(c.request, c.status, c.headers, c.body).where(_of(key)))
        for request, status, headers, body in rows:
            return Kept(bytes(request), status, json.loads(headers or "{}"), None if body is None else bytes(body))
        return None

    async def keep(self, key: Key, reservation: str, response: Response, now: int) -> None:
        """Keep an answer under a reservation, which may have been lost to a later request."""
        body = bytes(response.body)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        values: dict[str, Any] = {
            "status": response.status_code,
            "headers": json.dumps(headers),
            "body": body if len(body) <= self._max_body else None,
            "expires_at": now + self._ttl,
        }
        await self._records.execute(update(kept_answer).where(_held(key, reservation)).values(values))

    async def free(self, key: Key, reservation: str) -> None:
        """Give a reservation back."""
        await self._records.execute(delete(kept_answer).where(_held(key, reservation)))

    async def sweep(self, now: int) -> None:
        """Forget what has been kept long enough, and reservations that nobody came back for."""
        await self._records.execute(delete(kept_answer).where(kept_answer.c.expires_at <= now))


def _of(key: Key) -> ColumnElement[bool]:
    c = kept_answer.c
    return and_(c.tenant == key.tenant, c.caller == key.caller, c.key == key.key)


def _held(key: Key, reservation: str) -> ColumnElement[bool]:
    return and_(_of(key), kept_answer.c.reservation == reservation)
