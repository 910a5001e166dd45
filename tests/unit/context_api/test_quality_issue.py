"""Changes of an issue: taken together, one by one or twice they leave the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from context_api.quality.issue import STATUS, Event, change_of_issue, findings
from context_api.storage.history import history_rows
from ngsild.entity import Entity
from ngsild.names import format_date_time
from shapes import model_shapes

ENTITY = "urn:ngsi-ld:Thing:1"
#: 2026-01-01 in microseconds.
START = 1_767_225_600_000_000


@dataclass
class Stored:
    """One issue as a store keeps it, with the history of its status."""

    issue: Entity | None = None
    statuses: set[tuple[int, str]] = field(default_factory=set)

    def apply(self, events: Sequence[Event]) -> Stored:
        if not events:
            return self
        [key] = findings(ENTITY, [{"shape": "urn:s", "value": "1"}])
        change = change_of_issue(key, ENTITY, events, None, self.issue)
        if change is None:
            return self
        assert change.after is not None
        new = {(row[2], row[8]) for row in history_rows(change) if row[0] == STATUS}
        return Stored(replace(change.after, version=change.at), self.statuses | new)

    @property
    def attributes(self) -> Any:
        return None if self.issue is None else self.issue.attributes


@st.composite
def events(draw: st.DrawFn, second: int = 1) -> list[Event]:
    """Draw what happens to one issue, one moment after the other, from a second on."""
    found: list[Event] = []
    for at in range(second, second + draw(st.integers(0, 7))):
        value = draw(st.sampled_from([None, "1", "2", "none"]))
        result: dict[str, Any] = {"shape": "urn:s", "message": draw(st.sampled_from(["a", "b"])), "constraint": "In"}
        if value not in (None, "none"):
            result["value"] = value
        if draw(st.booleans()):
            result |= {"repair": "markOutlier", "proposal": {"type": "Property", "value": draw(st.integers(1, 2))}}
        [finding] = findings(ENTITY, [result]).values()
        found.append(Event(START + at * 1_000_000, None if value is None else finding))
    return found


def by_person(stored: Stored, status: str | None) -> Stored:
    """Return an issue after a person set its status."""
    if stored.issue is None or status is None:
        return stored
    new = {"type": "Property", "value": status, "observedAt": format_date_time(START)}
    return replace(stored, issue=replace(stored.issue, attributes={**stored.issue.attributes, STATUS: new}))


STATUSES = st.sampled_from([None, "dismissed", "confirmed", "resolved"])


@given(events(), events(100), STATUSES)
def test_events_taken_together_are_those_taken_one_by_one(
    before: list[Event], later: list[Event], status: str | None
) -> None:
    start = by_person(Stored().apply(before), status)
    together, single = start.apply(later), start
    for event in later:
        single = single.apply([event])
    assert together.attributes == single.attributes
    assert together.statuses == single.statuses


@given(events(), events(100), STATUSES, st.integers(0, 8), st.integers(0, 8))
def test_events_that_come_again_change_nothing(
    before: list[Event], later: list[Event], status: str | None, cut: int, end: int
) -> None:
    """After a crash all come again that the position had not passed, in batches with other ends."""
    done = by_person(Stored().apply(before), status).apply(later[:cut])
    again = done.apply(later[:end]).apply(later[end:])
    assert again.attributes == done.apply(later[cut:]).attributes


@given(events(), events(100), STATUSES)
def test_issues_conform_at_all_times(before: list[Event], later: list[Event], status: str | None) -> None:
    stored = by_person(Stored().apply(before), status).apply(later)
    if stored.issue is not None:
        assert model_shapes().judge(stored.issue) == []
