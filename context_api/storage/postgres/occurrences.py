"""The sums that discovery reads on PostgreSQL, and their roll-up.

A write leaves what it adds and takes away in `occurrence_delta`, so that writers of the same types do not wait for each
other. The roll-up brings that into `occurrence`. The truth, at any moment, is the sum of both.
"""

from __future__ import annotations

import orjson

from context_api.storage.discovery import Occurrence
from context_api.storage.port import Tenant
from context_api.storage.postgres.connection import Connection, Pool

#: Rows of `occurrence_delta`, one a transaction, that are brought in at once: a fraction of a second.
_CHUNK = 1_000
_UNNESTED = """
    unnest(d.tenants, d.typesets, d.attrs, d.types, d.counts) AS x(tenant, typeset, attr, type, count)
"""
_SELECT = f"""
    SELECT t.types, n.iri, o.type, o.count
    FROM (
        SELECT typeset, attr, type, sum(count)::bigint AS count
        FROM (
            SELECT typeset, attr, type, count FROM occurrence WHERE tenant = $1
            UNION ALL
            SELECT x.typeset, x.attr, x.type, x.count FROM occurrence_delta d CROSS JOIN {_UNNESTED} WHERE x.tenant = $1
        ) part
        GROUP BY typeset, attr, type HAVING sum(count) > 0
    ) o
    JOIN typeset t ON t.id = o.typeset JOIN name n ON n.id = o.attr
"""  # noqa: S608 - a text of ours
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('voltweave.roll_up', 0))"
# Both parts that change `occurrence` see it as it was before, and no row is of both.
_ROLL_UP = f"""
    WITH taken AS (
        DELETE FROM occurrence_delta
        WHERE id = ANY (ARRAY(SELECT id FROM occurrence_delta ORDER BY id LIMIT {_CHUNK}))
        RETURNING tenants, typesets, attrs, types, counts
    ), added AS (
        SELECT x.tenant, x.typeset, x.attr, x.type, sum(x.count)::bigint AS count
        FROM taken d CROSS JOIN {_UNNESTED}
        GROUP BY x.tenant, x.typeset, x.attr, x.type HAVING sum(x.count) <> 0
    ), gone AS (
        DELETE FROM occurrence o USING added a
        WHERE (o.tenant, o.typeset, o.attr, o.type) = (a.tenant, a.typeset, a.attr, a.type) AND o.count + a.count = 0
    ), summed AS (
        INSERT INTO occurrence AS o (tenant, typeset, attr, type, count)
        SELECT a.tenant, a.typeset, a.attr, a.type, a.count FROM added a
        WHERE NOT EXISTS (
            SELECT FROM occurrence b
            WHERE (b.tenant, b.typeset, b.attr, b.type) = (a.tenant, a.typeset, a.attr, a.type)
                AND b.count + a.count = 0
        )
        ON CONFLICT (tenant, typeset, attr, type) DO UPDATE SET count = o.count + excluded.count
    )
    SELECT count(*) FROM taken
"""  # noqa: S608 - texts and numbers of ours


async def stored_occurrences(con: Connection, tenant: Tenant) -> list[Occurrence]:
    """Return the occurrences of all entities of a tenant."""
    records = await con.fetch(_SELECT, tenant.id)
    return [Occurrence(tuple(orjson.loads(types)), *rest) for types, *rest in records]


async def roll_up(pool: Pool) -> None:
    """Bring in what writes left apart, a chunk a transaction; do nothing where another process is at it."""
    taken = _CHUNK
    while taken == _CHUNK:
        async with pool.connection() as con, con.transaction():
            # A statement of its own, so that the next one sees all that the last holder of the lock did.
            taken = await con.fetchval(_ROLL_UP) if await con.fetchval(_LOCK) else 0
