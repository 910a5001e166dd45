"""Keeping DataQualityIssue entities up to date: opened, renewed and resolved as entities are judged (decision 14).

Table `open_issue` says what is open; it moves in one transaction with what else whoever judged keeps, such as the
position in the change log. The issues are written before that, and writing them a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import bindparam, delete, insert, select

from context_api.quality.issue import Event, change_of_issue, findings, issue_id
from context_api.storage.port import Change, Outcome, Store, Tenant
from context_api.storage.records import ForEach, Statement
from context_api.storage.tables import open_issue
from ngsild.entity import Entity, instances

#: Keys in one statement, and issues in one write: some ten milliseconds.
_KEYS, _ISSUES = 256, 250

T = TypeVar("T")


class Open(NamedTuple):
    """An open issue."""

    content: bytes
    """A hash of what it says."""
    shape: str
    """The shape that was broken, empty for what has none."""


Contents = dict[bytes, Open]
"""By the keys of issues."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found in one entity, and which shapes had a say."""

    tenant: Tenant
    k: bytes
    entity_id: str
    at: int
    version: int
    """That of the entity that was judged."""
    report: Sequence[Mapping[str, Any]]
    """As in `Change.report`; empty for an entity that is gone."""
    covers: Callable[[str], bool]
    """Whether a shape had a say: an open issue of one that had none stays open."""


@dataclass(slots=True)
class _Story:
    """What some changes mean for one issue."""

    tenant: Tenant
    entity_id: str
    issue: bytes
    is_new: bool
    """Whether no such issue was open before."""
    events: list[Event] = field(default_factory=list)
    last: Judgement | None = None
    """The one that the last finding is from."""
    observed_at: str | None = None
    owner: str | None = None
    """Of the entity: what is wrong with it is the same owner's."""

    def change(self, before: Entity | None) -> Change | None:
        found = change_of_issue(self.issue, self.entity_id, self.events, self.observed_at, before)
        if found is None or found.after is None or before is not None:
            return found
        return replace(found, after=replace(found.after, owner=self.owner))


class Issues:
    """The issues of all tenants. Whoever judges by the same shapes must do so one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, judgements: Sequence[Judgement]) -> Sequence[Statement]:
        """Bring the issues of entities up to date; return the statements that say what is open now."""
        if not judgements:
            return ()
        before = await self._open_issues({each.k for each in judgements})
        after = dict(before)
        by_tenant: dict[Tenant, list[_Story]] = {}
        for story in _stories(judgements, after):
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
            for k, issue, content, shape in await self._store.records.fetch(
                select(c.k, c.issue, c.content, c.shape).where(c.k.in_(chunk))
            ):
                found.setdefault(bytes(k), {})[bytes(issue)] = Open(bytes(content), shape)
        return found

    async def _observe(self, tenant: Tenant, stories: Sequence[_Story]) -> None:
        """Learn when the values at fault were observed, as far as they are still those of the entities."""
        asked = [(story, story.last) for story in stories if story.last is not None]
        entities = await self._store.read(tenant, [change.entity_id for _, change in asked])
        for (story, change), entity in zip(asked, entities, strict=True):
            if entity is None:
                continue
            story.owner = entity.owner
            if entity.version == change.version:
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


def _stories(judgements: Iterable[Judgement], open_issues: dict[bytes, Contents]) -> list[_Story]:
    """Return what judgements mean for issues, each in order, and put what is open after them into `open_issues`."""
    stories: dict[tuple[int, bytes], _Story] = {}

    def story_of(judgement: Judgement, issue: bytes, is_new: bool) -> _Story:
        key = judgement.tenant.id, issue
        found = stories.get(key)
        if found is None:
            found = stories[key] = _Story(judgement.tenant, judgement.entity_id, issue, is_new)
        return found

    for judgement in judgements:
        found = findings(judgement.entity_id, judgement.report)
        known = open_issues.get(judgement.k, {})
        left = {issue: each for issue, each in known.items() if issue in found or not judgement.covers(each.shape)}
        for issue in known.keys() - left.keys():
            story_of(judgement, issue, False).events.append(Event(judgement.at, None))
        for issue, finding in found.items():
            before = known.get(issue)
            if before is None or before.content != finding.content:
                story = story_of(judgement, issue, before is None)
                story.events.append(Event(judgement.at, finding))
                story.last = judgement
        now_open = {issue: Open(finding.content, finding.shape) for issue, finding in found.items()}
        open_issues[judgement.k] = left | now_open
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
        keys = [{"entity": k, "key": issue} for k, issue, _ in gone]
        statements.append(ForEach(delete(open_issue).where(*those), keys))
    if come:
        rows = [{"k": k, "issue": issue, "content": each.content, "shape": each.shape} for k, issue, each in come]
        statements.append(ForEach(insert(open_issue), rows))
    return statements


def _differing(these: dict[bytes, Contents], those: dict[bytes, Contents]) -> list[tuple[bytes, bytes, Open]]:
    return [
        (k, issue, each)
        for k, contents in these.items()
        for issue, each in contents.items()
        if those.get(k, {}).get(issue) != each
    ]


def _chunks(items: list[T], size: int) -> list[list[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
