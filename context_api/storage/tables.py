"""The tables of the store, as SQLAlchemy Core metadata (decisions 1, 2, 5, 6 and 15).

Every table that grows with entities leads with `k`, the 128-bit key of (tenant, entity id). Times are microseconds
since 1970 UTC. `attr` and `dataset` are ids of table `name`; id 0 there stands for "no datasetId" in `dataset` and for
the entity's own life (created, deleted, types, scope) in `history.attr`.

Databases are made by `context_api.storage.migrations`, and tests hold the two equal. On PostgreSQL keys are uuid, and
`geometry` is `entity_geometry`.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    and_,
    event,
)

#: `name.id` of the absent datasetId, and `history.attr` of the entity itself.
RESERVED_NAME = 0

metadata = MetaData()

# SQLite makes only INTEGER PRIMARY KEY an alias of the rowid.
_Id = BigInteger().with_variant(Integer(), "sqlite")

tenant = Table(
    "tenant",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)

#: Interned IRIs of attributes and datasets.
name = Table(
    "name",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("iri", Text, nullable=False, unique=True),
)

#: Sets of entity types that occur together; `types` is the sorted JSON array of their IRIs.
typeset = Table(
    "typeset",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant", Integer, nullable=False),
    Column("types", Text, nullable=False),
    UniqueConstraint("tenant", "types"),
)

#: One row per entity. `doc` is the stored form as JSON text without system attributes; `sys` holds what is sparse: the
#: stamps and expiresAt as sent. `next_expiry` is the earliest expiresAt of the entity and all that it holds.
entity = Table(
    "entity",
    metadata,
    Column("k", LargeBinary(16), primary_key=True),
    Column("tenant", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("typeset", Integer, nullable=False),
    Column("scope", Text),
    Column("sys", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("next_expiry", BigInteger),
    Column("owner", Text),
    Column("doc", Text, nullable=False),
)
Index("entity_by_type", entity.c.tenant, entity.c.typeset, entity.c.k)
Index(
    "entity_by_expiry",
    entity.c.next_expiry,
    sqlite_where=entity.c.next_expiry.is_not(None),
    postgresql_where=entity.c.next_expiry.is_not(None),
)

#: One row or more per attribute instance, as `index_rows` says; none of num, txt and tim is set where the value has no
#: scalar to index.
value = Table(
    "value",
    metadata,
    Column("k", LargeBinary(16), nullable=False),
    Column("attr", Integer, nullable=False),
    Column("dataset", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("tenant", Integer, nullable=False),
    Column("typeset", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("num", Double),
    Column("txt", Text),
    Column("tim", BigInteger),
    Column("expires_at", BigInteger),
    PrimaryKeyConstraint("k", "attr", "dataset", "seq"),
    sqlite_with_rowid=False,
)
for _column in (value.c.num, value.c.txt, value.c.tim):
    Index(
        f"value_by_{_column.name}",
        value.c.tenant,
        value.c.attr,
        value.c.typeset,
        _column,
        value.c.k,
        value.c.kind,
        sqlite_where=_column.is_not(None),
        postgresql_where=_column.is_not(None),
    )
_unindexed = and_(value.c.num.is_(None), value.c.txt.is_(None), value.c.tim.is_(None))
Index(
    "value_by_attr",
    value.c.tenant,
    value.c.attr,
    value.c.typeset,
    value.c.k,
    value.c.kind,
    sqlite_where=_unindexed,
    postgresql_where=_unindexed,
)

#: How many instances of an attribute, by attribute type, the entities of a type set hold: what discovery answers from.
#: `attr` RESERVED_NAME counts the entities themselves.
occurrence = Table(
    "occurrence",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("typeset", Integer, nullable=False),
    Column("attr", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "typeset", "attr", "type"),
    sqlite_with_rowid=False,
)

entity_scope = Table(
    "entity_scope",
    metadata,
    Column("k", LargeBinary(16), nullable=False),
    Column("scope", Text, nullable=False),
    Column("tenant", Integer, nullable=False),
    PrimaryKeyConstraint("k", "scope"),
    sqlite_with_rowid=False,
)
Index("entity_scope_by_scope", entity_scope.c.tenant, entity_scope.c.scope, entity_scope.c.k)

#: Geometries of GeoProperty instances; their bounding boxes are in the R*Tree `geometry_box` on SQLite.
geometry = Table(
    "geometry",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("k", LargeBinary(16), nullable=False),
    Column("tenant", Integer, nullable=False),
    Column("attr", Integer, nullable=False),
    Column("dataset", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("geojson", Text, nullable=False),
)
Index("geometry_by_entity", geometry.c.k, geometry.c.attr)
_boxes = DDL("CREATE VIRTUAL TABLE geometry_box USING rtree(id, min_x, max_x, min_y, max_y)")  # type: ignore[no-untyped-call]
event.listen(geometry, "after_create", _boxes.execute_if(dialect="sqlite"))

#: What every attribute instance was and when. `time` is observedAt, else modifiedAt, of a deleted one deletedAt. A row
#: that is already there is a duplicate and ignored. `created_at` is NULL where it equals `modified_at`.
history = Table(
    "history",
    metadata,
    Column("k", LargeBinary(16), nullable=False),
    Column("attr", Integer, nullable=False),
    Column("dataset", Integer, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("hash", LargeBinary(8), nullable=False),
    Column("tenant", Integer, nullable=False),
    Column("created_at", BigInteger),
    Column("modified_at", BigInteger, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("num", Double),
    Column("instance", Text, nullable=False),
    PrimaryKeyConstraint("k", "attr", "dataset", "time", "hash"),
    sqlite_with_rowid=False,
)

#: The change log: one row per change of an entity. The ids of the changes of one entity have the order of its versions;
#: all ids have the commit order on SQLite. `attributes` is JSON: ids of table name by created, updated, deleted, late;
#: RESERVED_NAME leads deleted where the entity is gone. `report` is JSON too: what validation found in the entity after
#: the change, NULL where it was not judged.
change = Table(
    "change",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("txn", BigInteger, nullable=False),
    Column("k", LargeBinary(16), nullable=False),
    Column("tenant", Integer, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("attributes", Text, nullable=False),
    Column("old_version", BigInteger),
    Column("new_version", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("report", Text),
    sqlite_autoincrement=True,
)

#: How far each consumer of the change log has come: the id of the last change that it has dealt with.
change_consumer = Table(
    "change_consumer",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

#: What validation found in an entity and has not been healed: `issue` is the key of the DataQualityIssue, `content` a
#: hash of what that says, `shape` the one that was broken. Keys are bytes on PostgreSQL as well, as everywhere in the
#: tables of `Records`.
open_issue = Table(
    "open_issue",
    metadata,
    Column("k", LargeBinary(16), nullable=False),
    Column("issue", LargeBinary(16), nullable=False),
    Column("content", LargeBinary(8), nullable=False),
    Column("shape", Text, nullable=False),
    PrimaryKeyConstraint("k", "issue"),
    sqlite_with_rowid=False,
)

#: How often the configuration of one kind (contexts, subscriptions, ...) of a tenant has changed (decision 17).
epoch = Table(
    "epoch",
    metadata,
    Column("kind", Text, nullable=False),
    Column("tenant", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "tenant"),
    sqlite_with_rowid=False,
)

#: What requests with an idempotency key were answered (decision 9). `request` is the hash of the request; `status` is
#: NULL while it runs, and `reservation` names the run. `headers` is JSON; `body` is NULL where it was too large.
kept_answer = Table(
    "kept_answer",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("request", LargeBinary(32), nullable=False),
    Column("reservation", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("status", Integer),
    Column("headers", Text),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("tenant", "caller", "key"),
)
Index("kept_answer_by_expiry", kept_answer.c.expires_at)

#: Who does what only one process may do at a time, and until when (microseconds since 1970 UTC).
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)

#: How writes are judged (decision 14), where a tenant does not leave it to the setting: of entities of a type, by its
#: IRI, or of all others, where `type` is empty.
validation_mode = Table(
    "validation_mode",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("mode", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "type"),
    sqlite_with_rowid=False,
)

#: The shapes that a tenant adds to those of the model, every version of each document; `turtle` is NULL where it was
#: removed.
shape_document = Table(
    "shape_document",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("turtle", Text),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version"),
    sqlite_with_rowid=False,
)

#: Access policies, every version of each, of tenants and (tenant 0) of the whole platform; `document` is NULL where the
#: policy was taken out of force. `changed_by` is the identity of who did it, empty for the local user.
policy_version = Table(
    "policy_version",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", Text),
    Column("changed_at", BigInteger, nullable=False),
    Column("changed_by", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version"),
    sqlite_with_rowid=False,
)

#: Sessions of browsers, by the hash of the id that the browser has. `sealed` holds the tokens, encrypted; what renews
#: them claims that first and then raises `version`. `issuer_session` is the claim sid, empty where there is none.
browser_session = Table(
    "browser_session",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("subject", Text, nullable=False),
    Column("issuer_session", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("claim", Text, nullable=False),
    Column("claimed_until", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("browser_session_by_subject", browser_session.c.subject, browser_session.c.issuer_session)
Index("browser_session_by_expiry", browser_session.c.expires_at)

#: Sign-ins that have begun, by the hash of their state; `browser` is the hash of what the browser has.
sign_in = Table(
    "sign_in",
    metadata,
    Column("state", LargeBinary(32), primary_key=True),
    Column("browser", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("sign_in_by_expiry", sign_in.c.expires_at)

#: Logout tokens that were taken, by the hash of their jti: each is good once.
logout_token = Table(
    "logout_token",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)

#: Records of sources that adapters set aside. `rule` is the gravest one that the record breaks; every change raises
#: `version`. `summary` (what a list shows), `content` and `mended` are JSON objects.
quarantine = Table(
    "quarantine",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("mended", Text),
    Column("owner", Text),
    PrimaryKeyConstraint("tenant", "id"),
)
Index("quarantine_by_stream", quarantine.c.tenant, quarantine.c.stream, quarantine.c.state, quarantine.c.rule)
Index("quarantine_by_age", quarantine.c.tenant, quarantine.c.received_at, quarantine.c.id)

#: What each process has counted of quotas in the window that ends at a moment (microseconds since 1970 UTC). `meter` is
#: a hash of the permission, the caller and the unit.
quota_use = Table(
    "quota_use",
    metadata,
    Column("meter", Text, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("process", Text, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("meter", "ends_at", "process"),
    sqlite_with_rowid=False,
)
