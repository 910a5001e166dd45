"""The changes of one transaction on SQLite, in order: each is judged against what is stored and applied if it holds."""

# ruff: noqa: S608 - only columns of ours are put into the text

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace

from context_api.storage.codec import decode, entity_key
from context_api.storage.expiry import OPERATION
from context_api.storage.judging import Stored, judge, judge_together
from context_api.storage.port import Change, Compute, Outcome, Row, Tenant
from context_api.storage.sqlite.batch import Batch, Counters
from context_api.storage.sqlite.names import Names
from context_api.storage.sqlite.reads import read
from context_api.storage.sqlite.statements import ROW_COLUMNS, select_by_key


class Transaction:
    """Applies changes between BEGIN and COMMIT; for the writer's thread."""

    def __init__(self, con: sqlite3.Connection, names: Names, counters: Counters) -> None:
        self.con = con
        self._batch = Batch(con, names, counters)
        self._stored: dict[bytes, Stored] = {}

    def load(self, keys: Collection[bytes]) -> None:
        """Read what the conditions of the changes of these entities are checked against."""
        for k, *columns in select_by_key(self.con, "k, version, expires_at, next_expiry", list(keys)):
            self._stored[k] = Stored(*columns)

    def flush(self) -> None:
        """Execute what is still gathered."""
        self._batch.flush()

    def apply(self, tenant: Tenant, keys: Sequence[bytes], changes: Sequence[Change], atomic: bool) -> list[Outcome]:
        """Apply the changes of the entities with these keys whose conditions hold; with `atomic`, all or none."""
        if atomic:
            outcomes = judge_together(zip(keys, changes, strict=True), self._stored.get)
            if any(outcome is not Outcome.DONE for outcome in outcomes):
                return outcomes
        return [self._apply(tenant, k, change) for k, change in zip(keys, changes, strict=True)]

    def compute(self, tenant: Tenant, keys: Sequence[bytes], compute: Compute) -> list[Outcome]:
        """Apply the changes that follow from what is stored now."""
        self._batch.flush()
        changes = compute(read(self.con, keys))
        return [self._apply(tenant, entity_key(tenant.name, change.entity_id), change) for change in changes]

    def _apply(self, tenant: Tenant, k: bytes, change: Change) -> Outcome:
        outcome = judge(change, self._stored.get(k))
        if outcome is not Outcome.DONE:
            return outcome
        if k in self._batch.pending:
            self._batch.flush()
        stored = self._stored.get(k)
        if stored is not None and stored.holds_expired(change.at):
            change = self._with_expired(tenant, k, change, stored)
        self._add(tenant, k, change)
        return Outcome.DONE

    def _with_expired(self, tenant: Tenant, k: bytes, change: Change, stored: Stored) -> Change:
        """Bring in what has expired but is still stored: the caller did not see it, its rows must go all the same."""
        (columns,) = self.con.execute(f"SELECT {ROW_COLUMNS} FROM entity WHERE k = ?", (k,))
        whole = decode(Row(*columns))
        if change.before is not None:
            after = whole if change.after is change.before else change.after
            return replace(change, before=whole, after=after)
        self._add(tenant, k, Change(change.entity_id, whole, None, change.at, OPERATION))
        self._batch.flush()
        return change

    def _add(self, tenant: Tenant, k: bytes, change: Change) -> None:
        stored = self._batch.add(tenant, k, change, self._stored.pop(k, None))
        if stored is not None:
            self._stored[k] = stored
