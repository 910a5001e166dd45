"""Entities that refer to the same as an entity, or to it, read for the rules that ask for them.

What many entities ask for is read together, for a query costs more than what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from context_api.storage.codec import decode
from context_api.storage.port import Store, Tenant
from ngsild.entity import Entity
from ngsild.query import EVERYTHING, EntityQuery, HasType, Selector
from ngsild.query.ast import And, Compare, Equal, Moment, Node, Or, Path, Text
from shapes.surroundings import Related
from shapes.surroundings.facts import DAY, STATUS, ends, held, instance_of, moment

#: Entities that one entity is tied to, and that one query finds; rules see no more of them.
_MOST_TIES, _MOST_RELATED = 200, 500

Relatives = dict[tuple[str, str], list[Entity]]
"""By type and attribute (`Surroundings.related`)."""


@dataclass(frozen=True, slots=True)
class Relations:
    """An entity, the relatives that it needs, and the entities that it refers to, by id."""

    entity: Entity
    needed: Iterable[Related]
    linked: Mapping[str, Entity]


@dataclass(frozen=True, slots=True)
class _Question:
    """What one entity asks for, by its place."""

    at: int
    ties: Sequence[str]
    """Ids or texts: relatives name one of them."""
    begins: int | None
    ends: int | None


async def find_relatives(store: Store, tenant: Tenant, asked: Sequence[Relations], now: int) -> list[Relatives]:
    """Return the relatives of entities, in their order."""
    found: list[dict[tuple[str, str], dict[str, Entity]]] = [{} for _ in asked]
    for related, questions in _questions(asked, now):
        place = related.type, related.attribute
        for part in _parts(questions):
            for question, entities in zip(part, await _answers(store, tenant, related, part), strict=True):
                found[question.at].setdefault(place, {}).update({entity.id: entity for entity in entities})
    return [{place: list(entities.values()) for place, entities in each.items()} for each in found]


def _questions(asked: Sequence[Relations], now: int) -> Iterator[tuple[Related, list[_Question]]]:
    """Yield questions of one kind together, those about time by days: together they ask for little that none needs."""
    found: dict[tuple[Related, int], list[_Question]] = {}
    for at, each in enumerate(asked):
        for related in each.needed:
            begins, until = _time(each.entity, related, now)
            if related.unless in each.entity.attributes or (related.overlapping is not None and begins is None):
                continue
            ties = _ties(each, related)
            if ties:
                found.setdefault((related, (begins or 0) // DAY), []).append(_Question(at, ties, begins, until))
    return ((related, questions) for (related, _), questions in found.items())


def _ties(asked: Relations, related: Related) -> list[str]:
    """Return what relatives of an entity name; nothing where it has nothing to be tied by."""
    if not related.of:
        return [asked.entity.id]
    if related.of == (related.attribute,):
        return list(_named(instance_of(asked.entity, related.attribute) or {}))[:_MOST_TIES]
    return sorted(set(ends(asked.entity, asked.linked, related.of)))[:_MOST_TIES]


def _named(instance: Mapping[str, object]) -> Iterator[str]:
    value = instance.get("value", instance.get("object"))
    return (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))


def _time(entity: Entity, related: Related, now: int) -> tuple[int | None, int | None]:
    if related.overlapping is None:
        return None, None
    if related.span:
        return now - related.span, now
    start, end = related.overlapping
    return moment(entity, start), moment(entity, end)


def _parts(questions: Sequence[_Question]) -> Iterator[list[_Question]]:
    """Yield questions that are asked together: with so many ties at most."""
    part: list[_Question] = []
    size = 0
    for each in questions:
        if part and size + len(each.ties) > _MOST_TIES:
            yield part
            part, size = [], 0
        part.append(each)
        size += len(each.ties)
    yield part


async def _answers(
    store: Store, tenant: Tenant, related: Related, questions: Sequence[_Question]
) -> list[list[Entity]]:
    page = await store.query(tenant, _query(related, questions), EVERYTHING, _MOST_RELATED, 0, False)
    if len(page.rows) >= _MOST_RELATED and len(questions) > 1:
        # There may be more: each has a page of its own.
        return [answer for each in questions for answer in await _answers(store, tenant, related, [each])]
    by_tie: dict[str, list[Entity]] = {}
    for entity in map(decode, page.rows):
        for tie in {named for each in held(entity, related.attribute) for named in _named(each)}:
            by_tie.setdefault(tie, []).append(entity)
    return [[entity for tie in each.ties for entity in by_tie.get(tie, ())] for each in questions]


def _query(related: Related, questions: Sequence[_Question]) -> EntityQuery:
    ties = dict.fromkeys(tie for each in questions for tie in each.ties)
    terms: list[Node] = [Equal(Path(related.attribute), tuple(map(Text, ties)))]
    if related.overlapping is not None:
        terms += _overlap(related, questions, *map(Path, related.overlapping))
    return EntityQuery((Selector(types=HasType((frozenset({related.type}),))),), q=And(tuple(terms)))


def _overlap(related: Related, questions: Sequence[_Question], start: Path, end: Path) -> Iterator[Node]:
    """Yield conditions of what may overlap one of the times asked for."""
    begins = [each.begins for each in questions if each.begins is not None]
    until = [each.ends for each in questions if each.ends is not None]
    if len(until) == len(questions):
        yield Compare(start, "<=", Moment(max(until)))
    if related.longest:
        yield Compare(start, ">=", Moment(min(begins) - related.longest))
    if related.open_status is not None:
        is_open = Equal(Path(STATUS), (Text(related.open_status),))
        yield Or((Compare(end, ">=", Moment(min(begins))), is_open))
