"""What alembic runs for each of its commands: the revisions, on the connection that its configuration carries.

The connection is in a transaction, which its owner commits: all revisions or none.
"""

from __future__ import annotations

from alembic import context

_connection = context.config.attributes["connection"]
if context.is_offline_mode():
    # The driver counts: others than asyncpg want each % doubled.
    context.configure(dialect_name=f"{_connection.dialect.name}+{_connection.dialect.driver}")
else:
    context.configure(connection=_connection)
with context.begin_transaction():
    context.run_migrations()
