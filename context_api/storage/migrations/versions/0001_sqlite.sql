-- The first schema on SQLite, frozen: a change is a revision of its own. It adds what is absent, for databases that
-- were made before there were revisions (PRAGMA user_version = 1) come through here as well.

CREATE TABLE IF NOT EXISTS tenant (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (name)
);

CREATE TABLE IF NOT EXISTS name (
    id INTEGER NOT NULL,
    iri TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (iri)
);

CREATE TABLE IF NOT EXISTS typeset (
    id INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    types TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (tenant, types)
);

CREATE TABLE IF NOT EXISTS entity (
    k BLOB NOT NULL,
    tenant INTEGER NOT NULL,
    id TEXT NOT NULL,
    typeset INTEGER NOT NULL,
    scope TEXT,
    sys TEXT,
    created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    expires_at BIGINT,
    next_expiry BIGINT,
    owner TEXT,
    doc TEXT NOT NULL,
    PRIMARY KEY (k)
);

CREATE INDEX IF NOT EXISTS entity_by_expiry ON entity (next_expiry) WHERE next_expiry IS NOT NULL;

CREATE INDEX IF NOT EXISTS entity_by_type ON entity (tenant, typeset, k);

CREATE TABLE IF NOT EXISTS value (
    k BLOB NOT NULL,
    attr INTEGER NOT NULL,
    dataset INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    typeset INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    num DOUBLE,
    txt TEXT,
    tim BIGINT,
    expires_at BIGINT,
    PRIMARY KEY (k, attr, dataset, seq)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS value_by_attr ON value (tenant, attr, typeset, k, kind)
    WHERE num IS NULL AND txt IS NULL AND tim IS NULL;

CREATE INDEX IF NOT EXISTS value_by_txt ON value (tenant, attr, typeset, txt, k, kind) WHERE txt IS NOT NULL;

CREATE INDEX IF NOT EXISTS value_by_tim ON value (tenant, attr, typeset, tim, k, kind) WHERE tim IS NOT NULL;

CREATE INDEX IF NOT EXISTS value_by_num ON value (tenant, attr, typeset, num, k, kind) WHERE num IS NOT NULL;

CREATE TABLE IF NOT EXISTS occurrence (
    tenant INTEGER NOT NULL,
    typeset INTEGER NOT NULL,
    attr INTEGER NOT NULL,
    type TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (tenant, typeset, attr, type)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS entity_scope (
    k BLOB NOT NULL,
    scope TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    PRIMARY KEY (k, scope)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS entity_scope_by_scope ON entity_scope (tenant, scope, k);

CREATE TABLE IF NOT EXISTS geometry (
    id INTEGER NOT NULL,
    k BLOB NOT NULL,
    tenant INTEGER NOT NULL,
    attr INTEGER NOT NULL,
    dataset INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    geojson TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX IF NOT EXISTS geometry_by_entity ON geometry (k, attr);

CREATE VIRTUAL TABLE IF NOT EXISTS geometry_box USING rtree(id, min_x, max_x, min_y, max_y);

CREATE TABLE IF NOT EXISTS history (
    k BLOB NOT NULL,
    attr INTEGER NOT NULL,
    dataset INTEGER NOT NULL,
    time BIGINT NOT NULL,
    hash BLOB NOT NULL,
    tenant INTEGER NOT NULL,
    created_at BIGINT,
    modified_at BIGINT NOT NULL,
    deleted INTEGER NOT NULL,
    version BIGINT NOT NULL,
    num DOUBLE,
    instance TEXT NOT NULL,
    PRIMARY KEY (k, attr, dataset, time, hash)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS change (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    txn BIGINT NOT NULL,
    k BLOB NOT NULL,
    tenant INTEGER NOT NULL,
    entity_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    attributes TEXT NOT NULL,
    old_version BIGINT,
    new_version BIGINT,
    at BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS epoch (
    kind TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS jsonld_context (
    id TEXT NOT NULL,
    tenant INTEGER,
    kind TEXT NOT NULL,
    url TEXT,
    base TEXT,
    document TEXT NOT NULL,
    validators TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_usage BIGINT,
    hits BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX IF NOT EXISTS jsonld_context_by_url ON jsonld_context (url);

INSERT OR IGNORE INTO tenant (name, created_at)
VALUES ('', CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));

INSERT OR IGNORE INTO name (id, iri) VALUES (0, '');

PRAGMA user_version = 1;
