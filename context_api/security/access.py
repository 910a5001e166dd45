"""What a caller may do with the entities of a tenant, as storage and plain evaluator enforce it (decision 19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from context_api.operation import Call
from context_api.storage.port import Tenant
from ngsild.query import EVERYTHING, Restriction


@dataclass(frozen=True, slots=True)
class Access:
    """The restrictions of one caller in one tenant, one for each kind of action."""

    read: Restriction = EVERYTHING


#: That of everybody where no issuer of tokens is configured: such a server listens on loopback only.
FULL: Final = Access()


async def access_of(call: Call, tenant: Tenant) -> Access:
    """Return what the caller of an operation may do in a tenant."""
    return FULL
