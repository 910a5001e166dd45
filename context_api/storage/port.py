"""What the broker asks of a store, whatever the database: plain records and one protocol.

A caller reads an entity, computes what it becomes and hands both to `Store.write`, which commits it only if the stored
version is still the one that was read (decision 12). All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from context_api.storage.records import Records
from ngsild.entity import Entity, Instance
from ngsild.query import EntityQuery, Restriction

DEFAULT_TENANT = ""


class StorageError(Exception):
    """The store could not be opened or used."""


class DatabaseInUse(StorageError):
    """Another process writes to this database."""


class Duplicate(StorageError):
    """A row with this primary key or unique value is there already."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant (CIM 009 clause 4.14); the default one has the empty name."""

    id: int
    name: str


class Outcome(Enum):
    """What became of one change."""

    DONE = "done"
    #: It was to create an entity that exists.
    EXISTS = "exists"
    #: The entity is not there (any more).
    MISSING = "missing"
    #: The stored version is not the one that was read.
    LOST = "lost"
    #: Another change of the same atomic write failed, so nothing was stored.
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Change:
    """One conditional write of one entity: `before` None creates it, `after` None deletes it.

    `after` carries created_at, modified_at and stamps as they shall be stored; the store assigns `version`. With
    `after` the very object `before`, only `late` is stored.
    """

    entity_id: str
    before: Entity | None
    after: Entity | None
    at: int
    """The moment of the operation."""
    operation: str
    """What the change log says was done."""
    touched: frozenset[str] = frozenset()
    """IRIs of the attributes that the operation wrote; one written without a difference has history too."""
    late: tuple[tuple[str, Instance], ...] = ()
    """(attribute IRI, instance) older than what is stored: history only (decision 7)."""
    report: str | None = None
    """What validation found in `after`, as a JSON array; None where it was not judged (decision 14)."""


class LoggedChange(NamedTuple):
    """One row of the change log."""

    number: int
    """Greater than that of every earlier change of the entity."""
    tenant: Tenant
    k: bytes
    """The key of (tenant, entity id)."""
    entity_id: str
    operation: str
    attributes: str
    """JSON: numbers of names by created, updated, deleted, late."""
    old_version: int | None
    """The version before the change, None where it created the entity."""
    new_version: int
    at: int
    report: str | None
    """What validation found in the entity after the change, as a JSON array; None where it was not judged."""

    @property
    def gone(self) -> bool:
        """Whether the change left no entity."""
        return self.attributes.startswith(_GONE)


#: `attributes` of a deletion or expiry: RESERVED_NAME of the tables leads what was deleted.
_GONE = '{"deleted":[0'


@dataclass(frozen=True, slots=True)
class Row:
    """The stored columns of one entity, of which `doc` and `sys` are JSON text in UTF-8.

    `doc` is the stored form: {"id", "type": IRI or [IRI, ...], "scope"?: [...], attribute IRI: instance or [...], ...}.
    `sys`, mostly None, holds the stamps by `ngsild.entity.stamp_key` and, under "expiresAt", that member as sent.
    """

    doc: bytes
    sys: bytes | None
    created_at: int
    modified_at: int
    version: int
    owner: str | None


@dataclass(frozen=True, slots=True)
class Span:
    """Instances of an attribute from `since` up to, not including, `until`; of each datasetId the last `most`."""

    entity_id: str
    attribute: str
    """Its IRI."""
    since: int
    until: int
    most: int


class Past(NamedTuple):
    """One attribute instance as it was at a moment."""

    time: int
    """When it was observed, else written."""
    dataset: str | None
    version: int
    """That of the entity after the write that brought it."""
    instance: str
    """JSON, in the stored form."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of query results; `total` counts the matches of all pages, where that was asked for."""

    rows: list[Row]
    total: int | None


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What entities of one type hold (clause 5.2.26): attribute IRI -> attribute types, such as "Property"."""

    iri: str
    entity_count: int
    attributes: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class AttributeInfo:
    """Where one attribute occurs (clause 5.2.28); `count` counts its instances."""

    iri: str
    count: int
    attribute_types: frozenset[str]
    types: frozenset[str]


Compute = Callable[[Sequence[Entity | None]], Sequence[Change]]
"""(entities as stored, None where there is none) -> the changes to them."""


class Store(Protocol):
    """Entities, their history and the change log of every tenant."""

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same database."""

    @property
    def records(self) -> Records:
        """The small tables beside the entities; usable from `start` to `close`."""

    async def start(self) -> None:
        """Open the database, creating or migrating its tables; raise StorageError where that cannot be done."""

    async def close(self) -> None:
        """Commit what is queued and close the database."""

    async def tenant(self, name: str | None, create: bool) -> Tenant:
        """Return a tenant, the default one for None; raise NonexistentTenant unless it exists or may be created."""

    async def write(self, tenant: Tenant, changes: Sequence[Change], atomic: bool = False) -> list[Outcome]:
        """Commit changes with their history, index rows and change log; with `atomic`, all of them or none."""

    async def write_locked(self, tenant: Tenant, ids: Sequence[str], compute: Compute) -> list[Outcome]:
        """Read entities, compute their changes and commit these with no other write in between (decision 12)."""

    async def changes(self, after: int, limit: int) -> list[LoggedChange]:
        """Return the changes of all tenants that follow a number, the first `limit` of them in the order of numbers.

        None is returned before all with lower numbers can be: who goes on after the last one misses nothing.
        """

    def watch(self, wake: Callable[[], None]) -> None:
        """Have a function called, on the event loop, soon after changes were committed, by whatever process.

        One call may stand for many changes, and where a connection broke, a call may be missing. To be called after
        `start`.
        """

    async def read(self, tenant: Tenant, ids: Sequence[str]) -> list[Entity | None]:
        """Return entities in the stored form, None where there is none; what has expired is absent (clause 4.22)."""

    async def retrieve(self, tenant: Tenant, entity_id: str) -> Row | None:
        """Return the stored columns of one entity, less what has expired."""

    async def history(self, tenant: Tenant, spans: Sequence[Span]) -> list[list[Past]]:
        """Return what the history holds of each span, oldest first; deletions are left out."""

    async def query(
        self, tenant: Tenant, query: EntityQuery, restriction: Restriction, limit: int, offset: int, count: bool
    ) -> Page:
        """Return the entities that match; raise TooComplexQuery where that takes longer than the time limit."""

    def query_ids(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> AsyncIterator[list[str]]:
        """Yield the ids of all matching entities in chunks."""

    def stream(self, tenant: Tenant, query: EntityQuery, restriction: Restriction) -> AsyncIterator[list[Row]]:
        """Yield all matching rows in chunks, each entity once, in the order of the query's driving condition, or of its
        ordering. The time limit is that of a chunk.
        """

    async def expire(self, now: int) -> int:
        """Delete the entities and attribute instances that expired before `now`; return how many entities changed."""

    async def roll_up(self) -> None:
        """Bring together what writes left apart for later; one process at a time does it."""

    async def types(self, tenant: Tenant, restriction: Restriction) -> dict[str, frozenset[str]]:
        """Return each entity type with the attributes that its entities have (clauses 5.7.5 and 5.7.6)."""

    async def type_info(self, tenant: Tenant, iri: str, restriction: Restriction) -> TypeInfo | None:
        """Return one entity type, None where no entity has it (clause 5.7.7)."""

    async def attributes(self, tenant: Tenant, restriction: Restriction) -> dict[str, frozenset[str]]:
        """Return each attribute with the types of the entities that have it (clauses 5.7.8 and 5.7.9)."""

    async def attribute_info(self, tenant: Tenant, iri: str, restriction: Restriction) -> AttributeInfo | None:
        """Return one attribute, None where no entity has it (clause 5.7.10)."""
