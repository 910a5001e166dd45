"""Every published file that a provider covers: each record is an entity, an update, in quarantine or a duplicate."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.real import FILES, account


@pytest.mark.parametrize(("name", "file"), FILES, ids=[f"{name}-{Path(file).stem}" for name, file in FILES])
def test_rows_are_entities_updates_quarantined_and_duplicates(name: str, file: str, shared_data: Path) -> None:
    found = account(name, shared_data / file)
    counts = found.counts
    assert counts.records > 50
    assert counts.records == counts.entities + counts.updates + counts.quarantined + counts.duplicates
    assert len(found.sink.quarantined) == counts.quarantined
    assert found.sink.entities >= counts.entities + counts.updates
    violations = sum(entities for (_, severity), entities in found.findings.items() if severity == "Violation")
    assert (violations > 0) == (counts.quarantined > 0), "these mappings refuse no record of these files"
