"""The broker: what the operations share, wired once by the application factory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from context_api.contexts.registry import ContextRegistry
from context_api.kept_answers import KeptAnswers
from context_api.outage import Outage
from context_api.quarantine.records import Quarantine
from context_api.security.issuers import Issuers
from context_api.security.policies.compiling import Accesses
from context_api.security.policies.keeping import Policies
from context_api.security.policies.quotas import Meters
from context_api.security.principal import Principal
from context_api.settings import Settings
from context_api.storage.port import Store, Tenant
from context_api.validation.judging import Validation
from ngsild.context import TermMap, core_terms


@dataclass(frozen=True, slots=True)
class Broker:
    """Storage, @contexts, settings, what the model says of attributes, answers kept, and the quarantine."""

    store: Store
    contexts: ContextRegistry
    settings: Settings
    telemetry: frozenset[str]
    """Attributes whose late values go to history only (decision 7)."""
    answers: KeptAnswers
    """Answers kept for idempotency keys (decision 9)."""
    outage: Outage
    """Where operations and jobs say that the storage failed them."""
    validation: Validation
    """What judges every write (decision 13)."""
    quarantine: Quarantine
    """Records that adapters set aside (decision 14)."""
    issuers: Issuers
    """Whose tokens are taken; none where the broker serves loopback alone."""
    policies: Policies
    """Who may do what."""
    accesses: Accesses
    """What that comes to for each caller."""
    meters: Meters
    """What callers have used of quotas."""

    def administers(self, principal: Principal, tenant: Tenant) -> bool:
        """Tell whether a caller looks after a tenant now."""
        return self.accesses.administers(principal, tenant, self.now())

    @property
    def core(self) -> TermMap:
        """The terms of requests that name no @context (clause 5.5.5)."""
        return core_terms()

    def now(self) -> int:
        """Return the moment in microseconds since 1970 UTC."""
        return time.time_ns() // 1000
