"""The policies in force, as every process has them, and how they change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from context_api.intervals import every
from context_api.security.policies.model import Policy
from context_api.security.policies.ready import OFF, ready_policies
from context_api.security.policies.tables import PLATFORM, PolicyTables, Version
from context_api.security.policies.writing import keep, read_kept
from context_api.settings import PolicySettings
from context_api.storage.port import Duplicate, Store, Tenant
from ngsild.problems import BadRequestData, Conflict

_REFRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A policy by its name in a tenant or the platform: as it came with the software, was put, or was taken away."""

    name: str
    policy: Policy | None
    """None where it is out of force."""
    version: Version | None
    """None where it is as it came with the software."""


class Policies:
    """Keeps policies; all that it gives without waiting is at most a second behind the database."""

    def __init__(self, store: Store, settings: PolicySettings) -> None:
        self._store = store
        self._tables = PolicyTables(store.records)
        self._settings = settings
        self._stored: Mapping[int, Mapping[str, Version]] = {}
        self._platform: tuple[Policy, ...] = _binding(_ready())
        self._of_tenants: Mapping[int, tuple[Policy, ...]] = {}
        self._seen = -1
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is stored and, where others may change it, look for changes from then on."""
        await self._tables.epoch.start()
        await self.refresh()
        if self._store.shared:
            self._task = asyncio.create_task(
                every(_REFRESH_SECONDS, self.refresh, "policies are out of step with the database")
            )

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> None:
        """Read anew what is stored, unless nothing changed since.

        A policy that cannot be read leaves all as it was: to go on without it could widen rights.
        """
        async with self._refreshing:
            changes = await self._tables.epoch.current()
            if changes == self._seen:
                return
            stored: dict[int, dict[str, Version]] = {}
            for version in await self._tables.load():
                stored.setdefault(version.tenant, {})[version.name] = version
            own = {tenant: tuple(_policies(found.values())) for tenant, found in stored.items()}
            replaced = stored.get(PLATFORM, {})
            platform = _binding(each for each in _ready() if each.name not in replaced)
            self._platform = (*platform, *own.pop(PLATFORM, ()))
            self._of_tenants, self._stored, self._seen = own, stored, changes

    # What is in force

    @property
    def revision(self) -> int:
        """A number that every change raises: what was made of policies holds as long as it stays."""
        return self._seen

    @property
    def of_platform(self) -> tuple[Policy, ...]:
        """The policies that hold in every tenant."""
        return self._platform

    def in_force(self, tenant: Tenant) -> tuple[Policy, ...]:
        """Return the policies that hold in a tenant: those of the platform and its own."""
        return self._platform + self._of_tenants.get(tenant.id, ())

    def entries(self, tenant: Tenant | None) -> list[Entry]:
        """Return the policies of a tenant, or of the platform, by name; those that are out of force too."""
        stored = self._stored.get(PLATFORM if tenant is None else tenant.id, {})
        found = {name: Entry(name, _policy(version), version) for name, version in stored.items()}
        if tenant is None:
            for name, policy in ready_policies().items():
                found.setdefault(name, Entry(name, None if name in OFF else policy, None))
        return [found[name] for name in sorted(found)]

    def entry(self, tenant: Tenant | None, name: str) -> Entry | None:
        """Return one of them."""
        return next((each for each in self.entries(tenant) if each.name == name), None)

    async def versions(self, tenant: Tenant | None, name: str) -> Sequence[Version]:
        """Return every stored version of a policy, the newest first."""
        return await self._tables.versions(PLATFORM if tenant is None else tenant.id, name)

    # How it changes

    async def put(
        self, tenant: Tenant | None, policy: Policy, before: Entry | None, by: str, now: int
    ) -> Policy | None:
        """Put a policy in force in the place of `before`, which is what `entry` gave of its name.

        Return it as it is kept, None where it is in force already.

        Raises:
            BadRequestData: there are too many, or this one cannot be kept.
            Conflict: another version came since.
        """
        present = None if before is None else before.policy
        if present is not None and replace(present, version=0) == replace(policy, version=0):
            return None
        limit = self._settings.max_policies
        if present is None and sum(each.policy is not None for each in self.entries(tenant)) >= limit:
            raise BadRequestData(f"{policy.name}: {limit} policies are in force already, which is the limit")
        kept = replace(policy, version=_next(before))
        text = keep(kept)
        if len(text) > self._settings.max_policy_bytes:
            raise BadRequestData(f"{policy.name}: a policy may have {self._settings.max_policy_bytes} bytes at most")
        await self._add(tenant, policy.name, kept.version, text, by, now)
        return kept

    async def remove(self, tenant: Tenant | None, before: Entry, by: str, now: int) -> None:
        """Take a policy out of force, of which `entry` gave `before`; its versions are kept. Raises Conflict."""
        await self._add(tenant, before.name, _next(before), None, by, now)

    async def _add(
        self, tenant: Tenant | None, name: str, number: int, document: str | None, by: str, now: int
    ) -> None:
        of = PLATFORM if tenant is None else tenant.id
        try:
            await self._tables.add(Version(of, name, number, document, now, by))
        except Duplicate:
            await self.refresh()
            raise Conflict(f"{name}: another version came since; look at it and try again") from None
        await self.refresh()


def _next(before: Entry | None) -> int:
    """Return the number of the version that follows; it is taken where another came since."""
    return 1 if before is None or before.version is None else before.version.number + 1


def _ready() -> list[Policy]:
    return [policy for name, policy in ready_policies().items() if name not in OFF]


def _binding(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    return tuple(policy for policy in policies if policy.is_binding)


def _policies(versions: Iterable[Version]) -> tuple[Policy, ...]:
    found = (_policy(version) for version in versions)
    return _binding(policy for policy in found if policy is not None)


def _policy(version: Version) -> Policy | None:
    return None if version.document is None else read_kept(version.document)
