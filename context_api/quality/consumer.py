"""The consumer of the change log that makes issues of what validation found in writes (decision 14)."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from context_api.change_log import Consumer
from context_api.quality.keeping import Issues, Judgement
from context_api.storage.port import LoggedChange, Store
from context_api.storage.records import Statement
from shapes.surroundings import model_surroundings

#: Report of an entity that conforms.
_CONFORMS = "[]"


def quality_consumer(store: Store, max_report: int) -> Consumer:
    """Return the consumer; reports hold `max_report` results at most, and one with so many may leave out others."""
    issues = Issues(store)

    async def receive(changes: Sequence[LoggedChange]) -> Sequence[Statement]:
        return await issues.keep([_judgement(change, max_report) for change in changes if _matters(change)])

    return Consumer("quality", receive)


def _matters(change: LoggedChange) -> bool:
    """Tell whether a change may open or heal an issue: an entity created as it should be has none."""
    if change.report is None:
        return change.gone
    return change.report != _CONFORMS or change.old_version is not None


def _judgement(change: LoggedChange, max_report: int) -> Judgement:
    report = [] if change.gone or change.report is None else orjson.loads(change.report)
    covers = _none if len(report) >= max_report else _of_the_entity_alone
    return Judgement(change.tenant, change.k, change.entity_id, change.at, change.new_version, report, covers)


def _none(_: str) -> bool:
    return False


def _of_the_entity_alone(shape: str) -> bool:
    """Tell whether a shape is judged with the write: not by what surrounds the entity."""
    return shape not in model_surroundings().names
