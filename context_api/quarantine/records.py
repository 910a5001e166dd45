"""The table of the quarantine: what arrives, is mended, replayed and purged, each in one transaction.

A record's id is the hash of what it is, so what arrives again is there already. Every change raises the version, and
the outcome of a replay counts only for the version that was replayed: who mends a record meanwhile loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, case, delete, func, insert, select, update

from context_api.answers import dump
from context_api.quarantine.body import Arrival, Outcome
from context_api.storage.port import Duplicate, Tenant
from context_api.storage.records import Records
from context_api.storage.tables import quarantine, tenant
from ngsild.names import format_date_time
from ngsild.problems import Conflict, ResourceNotFound

_C = quarantine.c
_ATTEMPTS = 10
#: Ids in one statement.
_PART = 500


class State(StrEnum):
    """Where a record stands."""

    OPEN = "open"
    MENDED = "mended"
    """Somebody said how it should be."""
    REPLAY_REQUESTED = "replayRequested"
    """The adapter of its stream is to try it again."""
    REPLAYED = "replayed"
    """Its entities are stored."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records of a tenant are meant; None: whatever it is."""

    id: str | None = None
    stream: str | None = None
    state: State | None = None
    rule: str | None = None
    before: int | None = None
    """Received before this moment."""
    owner: str | None = None
    """Set aside by this principal."""

    def condition(self, tenant: Tenant) -> ColumnElement[bool]:
        """Return it as a condition on the table."""
        pairs = (
            (_C.id, self.id),
            (_C.stream, self.stream),
            (_C.state, self.state),
            (_C.rule, self.rule),
            (_C.owner, self.owner),
        )
        found = [column == value for column, value in pairs if value is not None]
        if self.before is not None:
            found.append(_C.received_at < self.before)
        return and_(_C.tenant == tenant.id, *found)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many records there are of one kind."""

    tenant: str
    stream: str
    rule: str
    state: str
    records: int


class Quarantine:
    """The records of all tenants. Moments are microseconds since 1970 UTC."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def keep(self, tenant: Tenant, arrivals: Sequence[Arrival], now: int, owner: str | None = None) -> None:
        """Keep records that a principal sets aside; those that are there stay as they are."""
        for attempt in range(1, _ATTEMPTS + 1):
            known = await self._known(tenant, [arrival.id for arrival in arrivals])
            new = {arrival.id: arrival for arrival in arrivals if arrival.id not in known}
            try:
                await self._records.execute(
                    *(insert(quarantine).values(_row(tenant, a, now, owner)) for a in new.values())
                )
            except Duplicate:
                # Another process kept one of them meanwhile.
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    async def _known(self, tenant: Tenant, ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(ids), _PART):
            part = and_(_C.tenant == tenant.id, _C.id.in_(ids[start : start + _PART]))
            found |= {i for (i,) in await self._records.fetch(select(_C.id).where(part))}
        return found

    async def summaries(self, tenant: Tenant, selection: Selection, limit: int, offset: int) -> list[dict[str, Any]]:
        """Return what a list shows of records, the latest first."""
        columns = (_C.id, _C.stream, _C.rule, _C.state, _C.version, _C.received_at, _C.changed_at, _C.summary)
        wanted = select(*columns).where(selection.condition(tenant))
        ordered = wanted.order_by(_C.received_at.desc(), _C.id.desc()).limit(limit).offset(offset)
        return [_summary(row) for row in await self._records.fetch(ordered)]

    async def count(self, tenant: Tenant, selection: Selection) -> int:
        """Return how many records are meant."""
        counted = select(func.count()).select_from(quarantine).where(selection.condition(tenant))
        [(found,)] = await self._records.fetch(counted)
        return int(found)

    async def get(self, tenant: Tenant, one: Selection) -> dict[str, Any]:
        """Return all that is kept of a record; raise ResourceNotFound."""
        columns = (_C.id, _C.stream, _C.rule, _C.state, _C.version, _C.received_at, _C.changed_at, _C.summary)
        wanted = select(*columns, _C.content, _C.mended).where(one.condition(tenant))
        for *summary, content, mended in await self._records.fetch(wanted):
            whole: dict[str, Any] = _summary(summary) | orjson.loads(content)
            return whole if mended is None else whole | {"mended": orjson.loads(mended)}
        raise ResourceNotFound(f"{(one.id or '')[:80]}: there is no such record in quarantine")

    async def mend(self, tenant: Tenant, one: Selection, record: dict[str, Any], now: int) -> None:
        """Keep a record as it should be; raise ResourceNotFound, or Conflict for one that was replayed."""
        values = {"state": State.MENDED, "mended": dump(record).decode()}
        await self._change_one(tenant, one, values, now)

    async def request_replay(self, tenant: Tenant, one: Selection, now: int) -> None:
        """Ask for the replay of a record; raise ResourceNotFound, or Conflict for one that was replayed."""
        await self._change_one(tenant, one, {"state": State.REPLAY_REQUESTED}, now)

    async def _change_one(self, tenant: Tenant, one: Selection, values: dict[str, Any], now: int) -> None:
        # Looked at after the change, lest a replay that ends meanwhile is taken for what was asked.
        await self._records.execute(_changed(and_(one.condition(tenant), _NOT_REPLAYED), values, now))
        if (await self.get(tenant, one))["state"] == State.REPLAYED:
            raise Conflict(f"{one.id}: the record was replayed; its entities are stored")

    async def request_replays(self, tenant: Tenant, selection: Selection, now: int) -> int:
        """Ask for the replay of all records that are meant and were not replayed; return how many."""
        meant = and_(selection.condition(tenant), _NOT_REPLAYED)
        [(count,)] = await self._records.fetch(select(func.count()).select_from(quarantine).where(meant))
        await self._records.execute(_changed(meant, {"state": State.REPLAY_REQUESTED}, now))
        return int(count)

    async def settle(self, tenant: Tenant, outcomes: Sequence[Outcome], now: int, owner: str | None = None) -> None:
        """Write down what came of replays; what was changed, or settled, since it was replayed stays as it is."""
        stays = case((_C.mended.is_not(None), State.MENDED.value), else_=State.OPEN.value)
        statements = []
        for outcome in outcomes:
            meant = and_(Selection(outcome.id, owner=owner).condition(tenant), _NOT_REPLAYED, _unchanged(outcome))
            if outcome.finding is None:
                values: dict[str, Any] = {"state": State.REPLAYED}
            else:
                row = await self._renewed(tenant, outcome)
                values = {} if row is None else row | {"state": stays}
            if values:
                statements.append(_changed(meant, values, now))
        await self._records.execute(*statements)

    async def _renewed(self, tenant: Tenant, outcome: Outcome) -> dict[str, Any] | None:
        """Return summary, content and rule of a record with what was found now, None where it is gone."""
        wanted = select(_C.summary, _C.content).where(Selection(outcome.id).condition(tenant))
        for summary, content in await self._records.fetch(wanted):
            finding = outcome.finding
            if finding is not None:
                return {
                    "rule": finding.rule,
                    "summary": dump(orjson.loads(summary) | finding.summary()).decode(),
                    "content": dump(orjson.loads(content) | finding.content()).decode(),
                }
        return None

    async def remove(self, tenant: Tenant, selection: Selection) -> int:
        """Delete the records that are meant; return how many."""
        count = await self.count(tenant, selection)
        await self._records.execute(delete(quarantine).where(selection.condition(tenant)))
        return count

    async def sums(self) -> list[Sum]:
        """Return how many records there are, of all tenants, by stream, rule and state; an index alone answers it."""
        kind = (tenant.c.name, _C.stream, _C.rule, _C.state)
        counted = select(*kind, func.count()).join_from(quarantine, tenant, tenant.c.id == _C.tenant).group_by(*kind)
        return [Sum(*row) for row in await self._records.fetch(counted.order_by(*kind))]


_NOT_REPLAYED = _C.state != State.REPLAYED.value


def _unchanged(outcome: Outcome) -> ColumnElement[bool]:
    if outcome.version is None:
        return _C.mended.is_(None)
    return and_(_C.version == outcome.version, _C.state == State.REPLAY_REQUESTED.value)


def _changed(meant: ColumnElement[bool], values: dict[str, Any], now: int) -> Any:
    return update(quarantine).where(meant).values(version=_C.version + 1, changed_at=now, **values)


def _row(tenant: Tenant, arrival: Arrival, now: int, owner: str | None) -> dict[str, Any]:
    return {
        "tenant": tenant.id,
        "id": arrival.id,
        "stream": arrival.stream,
        "rule": arrival.rule,
        "state": State.OPEN.value,
        "version": 1,
        "received_at": now,
        "changed_at": now,
        "summary": dump(arrival.summary()).decode(),
        "content": dump(arrival.content()).decode(),
        "owner": owner,
    }


def _summary(row: Sequence[Any]) -> dict[str, Any]:
    i, stream, rule, state, version, received_at, changed_at, summary = row
    found = {"id": i, "stream": stream, "rule": rule, "state": state, "version": version}
    found |= {"receivedAt": format_date_time(received_at), "changedAt": format_date_time(changed_at)}
    return found | {name: value for name, value in orjson.loads(summary).items() if value is not None}
