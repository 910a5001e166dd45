"""The table of stored @contexts, in the metadata of the store."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from context_api.storage.tables import metadata

#: One row per stored @context (CIM 009 clause 5.13.1). `tenant` is NULL for what all tenants share: cached documents.
#: `document` is JSON text; `validators` holds ETag and Last-Modified of a cached one, as JSON.
jsonld_context = Table(
    "jsonld_context",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Integer),
    Column("kind", Text, nullable=False),
    Column("url", Text),
    Column("base", Text),
    Column("document", Text, nullable=False),
    Column("validators", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_usage", BigInteger),
    Column("hits", BigInteger, nullable=False),
)
Index("jsonld_context_by_url", jsonld_context.c.url, unique=True)
