"""The consumer of the change log that opens, renews and resolves DataQualityIssue entities (decision 14).

Table `open_issue` says what is open; it moves in one transaction with the position in the change log. The issues are
written before that, and writing them a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import orjson
from sqlalchemy import bindparam, delete, insert, select

from context_api.change_log import Consumer
from context_api.quality.issue import Event, change_of_issue, findings, issue_id
from context_api.storage.port import Change, LoggedChange, Outcome, Store, Tenant
from context_api.storage.records import ForEach, Statement
from context_api.storage.tables import open_issue
from ngsild.entity import Entity, instances

#: Report of an entity that conforms.
_CONFORMS = "[]"
#: Keys in one statement, and issues in one write: some ten milliseconds.
_KEYS, _ISSUES = 256, 250

T = TypeVar("T")
Contents = dict[bytes, bytes]
"""Key of an open issue -> hash of what it says."""


@dataclass(slots=True)
class _Story:
    """What some changes mean for one issue."""

    tenant: Tenant
    entity_id: str
    issue: bytes
    is_new: bool
    """Whether no such issue was open before."""
    events: list[Event] = field(default_factory=list)
    last: LoggedChange | None = None
    """The change that the last finding is from."""
    observed_at: str | None = None

    def change(self, before: Entity | None) -> Change | None:
        return change_of_issue(self.issue, self.entity_id, self.events, self.observed_at, before)


def quality_consumer(store: Store, max_report: int) -> Consumer:
    """Return the consumer; reports hold `max_report` results at most, and one with so many may leave out others."""
    return Consumer("quality", _Quality(store, max_report).receive)


class _Quality:
    def __init__(self, store: Store, max_report: int) -> None:
        self._store = store
        self._max_report = max_report

    async def receive(self, changes: Sequence[LoggedChange]) -> Sequence[Statement]:
        """Bring the issues of all entities that changed up to date."""
        judged = [change for change in changes if _matters(change)]
        if not judged:
            return ()
        before = await self._open_issues({change.k for change in judged})
        after = dict(before)
        stories = _stories(judged, after, self._max_report)
        by_tenant: dict[Tenant, list[_Story]] = {}
        for story in stories:
            by_tenant.setdefault(story.tenant, []).append(story)
        for tenant, those in by_tenant.items():
            await self._observe(tenant, those)
            await self._write(tenant, those)
        return _statements(before, after)

    async def _open_issues(self, keys: set[bytes]) -> dict[bytes, Contents]:
        found: dict[bytes, Contents] = {}
        c = open_issue.c
        for chunk in _chunks(sorted(keys), _KEYS):
            # Filled up to a power of two, so that there are few statements.
            chunk += chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))
            for k, issue, content in await self._store.records.fetch(
                select(c.k, c.issue, c.content).where(c.k.in_(chunk))
            ):
                found.setdefault(bytes(k), {})[bytes(issue)] = bytes(content)
        return found

    async def _observe(self, tenant: Tenant, stories: Sequence[_Story]) -> None:
        """Learn when the values at fault were observed, as far as they are still those of the entities."""
        asked = [(story, story.last) for story in stories if story.last is not None]
        entities = await self._store.read(tenant, [change.entity_id for _, change in asked])
        for (story, change), entity in zip(asked, entities, strict=True):
            if entity is not None and entity.version == change.new_version:
                story.observed_at = _observed_at(entity, story.events)

    async def _write(self, tenant: Tenant, stories: Sequence[_Story]) -> None:
        known = [story for story in stories if not story.is_new]
        for chunk in _chunks([story for story in stories if story.is_new], _ISSUES):
            made = [(story, change) for story in chunk if (change := story.change(None)) is not None]
            outcomes = await self._store.write(tenant, [change for _, change in made])
            # It was resolved, or this is the second time.
            known += [story for (story, _), done in zip(made, outcomes, strict=True) if done is not Outcome.DONE]
        for chunk in _chunks(known, _ISSUES):
            await self._update(tenant, chunk)

    async def _update(self, tenant: Tenant, stories: Sequence[_Story]) -> None:
        def compute(found: Sequence[Entity | None]) -> list[Change]:
            pairs = zip(stories, found, strict=True)
            return [change for story, entity in pairs if (change := story.change(entity)) is not None]

        await self._store.write_locked(tenant, [issue_id(story.issue) for story in stories], compute)


def _matters(change: LoggedChange) -> bool:
    """Tell whether a change may open or heal an issue: an entity created as it should be has none."""
    if change.report is None:
        return change.gone
    return change.report != _CONFORMS or change.old_version is not None


def _stories(changes: Iterable[LoggedChange], open_issues: dict[bytes, Contents], max_report: int) -> list[_Story]:
    """Return what changes mean for issues, each in order, and put what is open after them into `open_issues`."""
    stories: dict[tuple[int, bytes], _Story] = {}

    def story_of(change: LoggedChange, issue: bytes, is_new: bool) -> _Story:
        key = change.tenant.id, issue
        found = stories.get(key)
        if found is None:
            found = stories[key] = _Story(change.tenant, change.entity_id, issue, is_new)
        return found

    for change in changes:
        report = [] if change.gone or change.report is None else orjson.loads(change.report)
        found = findings(change.entity_id, report)
        known = open_issues.get(change.k, {})
        left = known if len(report) >= max_report else {}
        for issue in known:
            if issue not in found and issue not in left:
                story_of(change, issue, False).events.append(Event(change.at, None))
        for issue, finding in found.items():
            content = known.get(issue)
            if content != finding.content:
                story = story_of(change, issue, content is None)
                story.events.append(Event(change.at, finding))
                story.last = change
        open_issues[change.k] = left | {issue: finding.content for issue, finding in found.items()}
    return list(stories.values())


def _observed_at(entity: Entity, events: Sequence[Event]) -> str | None:
    finding = next(event.finding for event in reversed(events) if event.finding is not None)
    attribute = entity.attributes.get(finding.result.get("attribute", ""))
    if attribute is None or finding.value is None:
        return None
    dataset = finding.result.get("datasetId")
    return next((i.get("observedAt") for i in instances(attribute) if i.get("datasetId") == dataset), None)


def _statements(before: dict[bytes, Contents], after: dict[bytes, Contents]) -> list[Statement]:
    """Return what makes of the open issues before those after."""
    gone = _differing(before, after)
    come = _differing(after, before)
    c = open_issue.c
    statements: list[Statement] = []
    if gone:
        those = (c.k == bindparam("entity"), c.issue == bindparam("key"))
        rows = [{"entity": k, "key": issue} for k, issue, _ in gone]
        statements.append(ForEach(delete(open_issue).where(*those), rows))
    if come:
        rows = [{"k": k, "issue": issue, "content": content} for k, issue, content in come]
        statements.append(ForEach(insert(open_issue), rows))
    return statements


def _differing(these: dict[bytes, Contents], those: dict[bytes, Contents]) -> list[tuple[bytes, bytes, bytes]]:
    return [
        (k, issue, content)
        for k, contents in these.items()
        for issue, content in contents.items()
        if those.get(k, {}).get(issue) != content
    ]


def _chunks(items: list[T], size: int) -> list[list[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
