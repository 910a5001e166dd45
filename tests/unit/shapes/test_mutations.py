"""A shape dropped from the compiled set is missed; `make test-oracle` drops all, here are those written by hand."""

from __future__ import annotations

import os

from shapes import terms
from tests.unit.shapes.mutations import measure
from tests.unit.shapes.test_compiled_shapes import all_shapes
from tests.unit.shapes.test_mechanical_shapes import mechanical_shapes

ALL = "VOLTWEAVE_ORACLE_ENTITIES" in os.environ


def test_every_dropped_shape_is_missed() -> None:
    by_hand = {terms.iri(each) for each in all_shapes() - mechanical_shapes()}
    outcome = measure(None if ALL else by_hand)
    assert len(outcome.dropped) > (1700 if ALL else 90)
    assert outcome.unnoticed == []
