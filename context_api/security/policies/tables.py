"""Policies in the database: every version is kept, with who made it and when; each change raises an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, func, insert, select

from context_api.storage.epochs import Epoch
from context_api.storage.records import Records
from context_api.storage.tables import policy_version

PLATFORM: Final = 0
"""Stands for the number of a tenant where a policy is that of the whole platform."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a policy."""

    tenant: int
    name: str
    number: int
    document: str | None
    """As `writing.keep` gives it; None where the policy was taken out of force."""
    changed_at: int
    """Microseconds since 1970 UTC."""
    changed_by: str
    """`Principal.identity` of who did it, empty for the local user."""


class PolicyTables:
    """The table `policy_version`."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.epoch = Epoch(records, "policy")

    async def load(self) -> list[Version]:
        """Return the newest version of every policy, also of those that are out of force."""
        of = policy_version.c
        newest = select(of.tenant, of.name, func.max(of.version).label("v")).group_by(of.tenant, of.name).subquery()
        same = and_(of.tenant == newest.c.tenant, of.name == newest.c.name, of.version == newest.c.v)
        rows = select(policy_version).join(newest, same).order_by(of.tenant, of.name)
        return [Version(*row) for row in await self._records.fetch(rows)]

    async def versions(self, tenant: int, name: str) -> list[Version]:
        """Return every version of a policy, the newest first."""
        of = policy_version.c
        rows = select(policy_version).where(of.tenant == tenant, of.name == name).order_by(of.version.desc())
        return [Version(*row) for row in await self._records.fetch(rows)]

    async def add(self, version: Version) -> None:
        """Store the next version of a policy; raise Duplicate where another came before."""
        row = {
            "tenant": version.tenant,
            "name": version.name,
            "version": version.number,
            "document": version.document,
            "changed_at": version.changed_at,
            "changed_by": version.changed_by,
        }
        await self._records.execute(insert(policy_version).values(row), self.epoch.raised())
