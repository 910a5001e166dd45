"""Modes and shape documents of tenants in the database; every change raises an epoch (decision 17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, func, insert, select

from context_api.storage.epochs import Epoch
from context_api.storage.port import Tenant
from context_api.storage.records import Records
from context_api.storage.tables import shape_document, validation_mode
from context_api.validation.documents import ShapeDocument
from context_api.validation.modes import Mode, TenantModes


@dataclass(frozen=True, slots=True)
class Stored:
    """What tenants, by their numbers, say of validation."""

    modes: Mapping[int, TenantModes]
    documents: Mapping[int, list[ShapeDocument]]


class ValidationTables:
    """The tables `validation_mode` and `shape_document`."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.epoch = Epoch(records, "validation")

    async def load(self) -> Stored:
        """Return the modes, and the newest version of every document that is not removed."""
        modes: dict[int, TenantModes] = {}
        for tenant, type_, text in await self._records.fetch(select(validation_mode)):
            found = modes.get(tenant, TenantModes())
            mode = Mode(text)
            modes[tenant] = found.changed(found.mode, {type_: mode}) if type_ else found.changed(mode, {})
        latest = select(shape_document.c.tenant, shape_document.c.name, func.max(shape_document.c.version).label("v"))
        newest = latest.group_by(shape_document.c.tenant, shape_document.c.name).subquery()
        same = and_(
            shape_document.c.tenant == newest.c.tenant,
            shape_document.c.name == newest.c.name,
            shape_document.c.version == newest.c.v,
        )
        rows = select(shape_document).join(newest, same).where(shape_document.c.turtle.is_not(None))
        documents: dict[int, list[ShapeDocument]] = {}
        for tenant, *columns in await self._records.fetch(
            rows.order_by(shape_document.c.tenant, shape_document.c.name)
        ):
            documents.setdefault(tenant, []).append(ShapeDocument(*columns))
        return Stored(modes, documents)

    async def save_modes(self, tenant: Tenant, modes: TenantModes) -> None:
        """Store the modes of a tenant in the place of what is there."""
        rows = {**({} if modes.mode is None else {"": modes.mode}), **modes.types}
        values = [{"tenant": tenant.id, "type": type_, "mode": mode.value} for type_, mode in rows.items()]
        inserts = [insert(validation_mode).values(row) for row in values]
        await self._records.execute(
            delete(validation_mode).where(validation_mode.c.tenant == tenant.id), *inserts, self.epoch.raised()
        )

    async def versions(self, tenant: Tenant, name: str) -> list[tuple[int, int, bool]]:
        """Return (version, moment, removed) of every version of a document, the newest first."""
        columns = (shape_document.c.version, shape_document.c.created_at, shape_document.c.turtle.is_(None))
        found = await self._records.fetch(
            select(*columns).where(_named(tenant, name)).order_by(shape_document.c.version.desc())
        )
        return [(version, at, bool(removed)) for version, at, removed in found]

    async def version(self, tenant: Tenant, name: str, version: int) -> ShapeDocument | None:
        """Return a version of a document; None where there is none, or it says that the document was removed."""
        found = await self._records.fetch(
            select(shape_document).where(_named(tenant, name), shape_document.c.version == version)
        )
        return ShapeDocument(*found[0][1:]) if found and found[0][3] is not None else None

    async def add(self, tenant: Tenant, name: str, version: int, turtle: str | None, at: int) -> None:
        """Store the next version of a document, None for its removal; raise Duplicate where another came before."""
        row = {"tenant": tenant.id, "name": name, "version": version, "turtle": turtle, "created_at": at}
        await self._records.execute(insert(shape_document).values(row), self.epoch.raised())


def _named(tenant: Tenant, name: str) -> ColumnElement[bool]:
    return and_(shape_document.c.tenant == tenant.id, shape_document.c.name == name)
