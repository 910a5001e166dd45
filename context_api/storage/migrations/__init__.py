"""The schema's history: one revision a change of the schema, for both databases, applied by alembic in order.

SQLite is brought up to date when it is opened, PostgreSQL by `voltweave migrate`.

Expand first, contract a release later (decision 18): during a rolling upgrade the previous release runs on the new
schema, and so it must find all that it reads and be able to leave out all that it does not know. A revision adds
tables, indexes, and columns that are nullable or have a default; what nobody uses any more, a revision of the next
release drops. A revision that has been released is never edited.

To add one: write versions/NNNN_name.py with the next number, `revision`, `down_revision` and `upgrade()` in terms of
alembic's `op` (`op.get_context().dialect.name` tells the databases apart), set HEAD to it, and change the tables in
`context_api.storage.tables` likewise; tests hold the two equal. There is no way down: restore a backup.
"""

from __future__ import annotations

#: The newest revision. Revisions are numbers of four digits, so that text order is their order.
HEAD = "0009"
