"""Spans of history on PostgreSQL: for each datasetId of an attribute a walk back along primary keys."""

from __future__ import annotations

from collections.abc import Sequence

from asyncpg.pgproto.pgproto import UUID

from context_api.storage.codec import entity_key
from context_api.storage.port import Past, Span, Tenant
from context_api.storage.postgres.connection import Connection
from context_api.storage.postgres.names import Names

#: The datasetIds of an attribute are those that it has now.
_INSTANCES = """
    SELECT x.i, h.time, n.iri, h.version, h.instance
    FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::int[])
        WITH ORDINALITY AS x(k, attr, since, until, most, i)
    CROSS JOIN LATERAL (
        SELECT DISTINCT dataset FROM value WHERE k = x.k AND attr = x.attr
    ) d
    CROSS JOIN LATERAL (
        SELECT time, version, instance FROM history
        WHERE k = x.k AND attr = x.attr AND dataset = d.dataset AND time >= x.since AND time < x.until AND deleted = 0
        ORDER BY time DESC LIMIT x.most
    ) h
    LEFT JOIN name n ON n.id = d.dataset AND d.dataset > 0
    ORDER BY x.i, h.time
"""
_SPANS = 500


async def read_spans(con: Connection, names: Names, tenant: Tenant, spans: Sequence[Span]) -> list[list[Past]]:
    """Return the instances of each span, oldest first."""
    numbers = await names.find(con, {span.attribute for span in spans})
    found: list[list[Past]] = [[] for _ in spans]
    known = [(at, span, numbers[span.attribute]) for at, span in enumerate(spans) if span.attribute in numbers]
    for start in range(0, len(known), _SPANS):
        piece = known[start : start + _SPANS]
        rows = await con.fetch(
            _INSTANCES,
            [UUID(entity_key(tenant.name, span.entity_id)) for _, span, _ in piece],
            [attr for *_, attr in piece],
            [span.since for _, span, _ in piece],
            [span.until for _, span, _ in piece],
            [span.most for _, span, _ in piece],
        )
        for number, *columns in rows:
            found[piece[number - 1][0]].append(Past(*columns))
    return found
