"""Spans of history on SQLite: for each datasetId of an attribute a walk back along the primary key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from context_api.storage.codec import entity_key
from context_api.storage.port import Past, Span, Tenant
from context_api.storage.sqlite.names import Names

#: The datasetIds that an attribute has now.
_DATASETS = """
    SELECT DISTINCT v.dataset, n.iri FROM value v LEFT JOIN name n ON n.id = v.dataset AND v.dataset > 0
    WHERE v.k = ? AND v.attr = ?
"""
_INSTANCES = """
    SELECT time, version, instance FROM history
    WHERE k = ? AND attr = ? AND dataset = ? AND time >= ? AND time < ? AND deleted = 0
    ORDER BY time DESC, hash DESC LIMIT ?
"""


def read_spans(con: sqlite3.Connection, names: Names, tenant: Tenant, spans: Sequence[Span]) -> list[list[Past]]:
    """Return the instances of each span, oldest first."""
    return [
        _read(con, names.find(con, span.attribute), entity_key(tenant.name, span.entity_id), span) for span in spans
    ]


def _read(con: sqlite3.Connection, attr: int | None, k: bytes, span: Span) -> list[Past]:
    found: list[Past] = []
    if attr is None:
        return found
    for dataset, iri in con.execute(_DATASETS, (k, attr)).fetchall():
        rows = con.execute(_INSTANCES, (k, attr, dataset, span.since, span.until, span.most))
        found += [Past(time, iri, version, instance) for time, version, instance in rows]
    return sorted(found, key=_time)


def _time(past: Past) -> int:
    return past.time
