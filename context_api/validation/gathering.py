"""What surrounds entities, read for the rules that ask for it: neighbours, relatives and earlier values.

Many entities are served together: a statement for each step of their links, for each kind of relative
(`relatives`), and for history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from context_api.storage.port import Past, Span, Store, Tenant
from context_api.validation.relatives import Relations, find_relatives
from ngsild.entity import Entity
from shapes.surroundings import Needs, Route, Sample, SeriesNeed, Surroundings
from shapes.surroundings.facts import DAY, Series, SeriesKey, as_sample, corrected, ends, held, moment

#: Entities that one entity refers to in a step which are read; rules see no more of them.
_MOST_LINKED = 200
#: Samples of an attribute, beside those that a rule asks for: what came in with one write, or several.
_MOST_NEW = 200
_MOST_BETWEEN = 10_000
#: Samples of a rule that is content with one in each period.
_MOST_PERIODS = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """An entity whose surroundings are asked for."""

    entity: Entity
    needs: Needs
    changed: frozenset[str]
    new_from: int | None = None
    """Samples that writes of this version of the entity or a later one brought are new; None: only what is not stored
    yet."""


async def gather(
    store: Store, tenant: Tenant, asked: Sequence[Asked], now: int, beside: Mapping[str, Entity] | None = None
) -> list[Surroundings]:
    """Return the surroundings of entities, in their order; `beside` is what is written with them, by id."""
    linked, whole = await _linked(store, tenant, asked, dict(beside or {}))
    relations = [Relations(each.entity, each.needs.related, known) for each, known in zip(asked, linked, strict=True)]
    related = await find_relatives(store, tenant, relations, now)
    series, histories = await _series(store, tenant, asked, linked, now)
    return [
        Surroundings(
            each.entity,
            now,
            each.changed,
            linked[at],
            related[at],
            {key: samples for key, (samples, _) in series[at].items()},
            histories[at],
            _since(series[at].values()),
            whole[at],
        )
        for at, each in enumerate(asked)
    ]


def surrounded_again(about: Surroundings, entity: Entity) -> Surroundings:
    """Return the same surroundings of the entity as it became meanwhile."""
    series = dict(about.series)
    for attribute in {attribute for attribute, _ in series}:
        for instance in held(entity, attribute):
            key, current = (attribute, instance.get("datasetId")), as_sample(instance)
            if current is not None:
                series[key] = [each for each in series.get(key, []) if each.time < current.time] + [current]
    return replace(about, entity=entity, series=series)


# Links


async def _linked(
    store: Store, tenant: Tenant, asked: Sequence[Asked], known: dict[str, Entity | None]
) -> tuple[list[dict[str, Entity]], list[bool]]:
    """Follow the links of all entities, step by step; tell of each whether all of them were."""
    known |= {each.entity.id: each.entity for each in asked}
    linked: list[dict[str, Entity]] = [{} for _ in asked]
    whole = [True] * len(asked)
    # Of what relatives refer to the id is enough.
    routes = [sorted(each.needs.links | {related.of[:-1] for related in each.needs.related}) for each in asked]
    for depth in range(1, max((len(route) for those in routes for route in those), default=0) + 1):
        wanted = [
            list(dict.fromkeys(_at_depth(depth, each.entity, those, found)))
            for each, those, found in zip(asked, routes, linked, strict=True)
        ]
        for at, ids in enumerate(wanted):
            whole[at] = whole[at] and len(ids) <= _MOST_LINKED
            del ids[_MOST_LINKED:]
        unread = list(dict.fromkeys(i for ids in wanted for i in ids if i not in known))
        known |= dict(zip(unread, await store.read(tenant, unread), strict=True)) if unread else {}
        for ids, found in zip(wanted, linked, strict=True):
            for each_id in ids:
                entity = known[each_id]
                if entity is not None:
                    found[each_id] = entity
    return linked, whole


def _at_depth(depth: int, entity: Entity, routes: Iterable[Route], linked: Mapping[str, Entity]) -> Iterator[str]:
    for route in routes:
        if len(route) >= depth:
            yield from ends(entity, linked, route[:depth])


# History

_Found = dict[SeriesKey, tuple[Series, int | None]]
"""Samples, and since when they are new."""


async def _series(
    store: Store, tenant: Tenant, asked: Sequence[Asked], linked: Sequence[Mapping[str, Entity]], now: int
) -> tuple[list[_Found], list[dict[str, dict[SeriesKey, Series]]]]:
    """Return the samples of the entities, and those of entities that they refer to, by id."""
    spans: list[Span] = []
    places: list[tuple[int, Entity, str]] = []
    for at, each in enumerate(asked):
        wanted = [(each.entity, attribute, needs) for attribute, needs in each.needs.series.items()]
        for (route, attribute), needs in each.needs.histories.items():
            ids = ends(each.entity, linked[at], route) if route else [each.entity.id]
            wanted += [(linked[at][i], attribute, needs) for i in dict.fromkeys(ids) if i in linked[at]]
        for entity, attribute, needs in wanted:
            found = [span for need in needs for span in _spans(each.entity, entity, attribute, need, now)]
            places += [(at, entity, attribute)] * len(found)
            spans += found
    read: dict[tuple[int, str, str], set[Past]] = {}
    history = await store.history(tenant, spans) if spans else []
    entities = {(at, entity.id): entity for at, entity, _ in places}
    for (at, entity, attribute), past in zip(places, history, strict=True):
        read.setdefault((at, entity.id, attribute), set()).update(past)
    series: list[_Found] = [{} for _ in asked]
    histories: list[dict[str, dict[SeriesKey, Series]]] = [{} for _ in asked]
    for (at, entity_id, attribute), past_ in read.items():
        samples = _samples(entities[at, entity_id], attribute, sorted(past_, key=_order), asked[at].new_from)
        if entity_id == asked[at].entity.id:
            series[at] |= samples
        else:
            histories[at].setdefault(entity_id, {}).update({key: each for key, (each, _) in samples.items()})
    return series, histories


def _spans(subject: Entity, entity: Entity, attribute: str, need: SeriesNeed, now: int) -> list[Span]:
    """Return the spans of history that meet a need."""
    # A history that is loaded late lies where its newest sample does, not where the clock is.
    newest = _newest(entity, attribute, now)
    until = max(now, newest) + DAY
    if need.between is not None:
        begin, end = (moment(subject, each) for each in need.between)
        since = (now if begin is None else begin) - DAY
        return [Span(entity.id, attribute, since, (now if end is None else end) + DAY, _MOST_BETWEEN)]
    since = 0 if need.span == 0 else newest - need.span - DAY
    if need.every:
        # One sample a period, looked for: a span of weeks may hold a hundred thousand.
        step = max(need.every, need.span // _MOST_PERIODS)
        starts = range(newest - need.span, newest + step, step)
        return [Span(entity.id, attribute, start, start + step, 1) for start in starts]
    most = need.samples + _MOST_NEW if need.samples else _MOST_BETWEEN
    return [Span(entity.id, attribute, since, until, most)]


def _newest(entity: Entity, attribute: str, now: int) -> int:
    """Return when an attribute was last observed, now where that is not known."""
    current = (as_sample(instance) for instance in held(entity, attribute))
    return max((sample.time for sample in current if sample is not None), default=now)


def _samples(entity: Entity, attribute: str, past: Sequence[Past], new_from: int | None) -> _Found:
    """Return samples by datasetId; the current instance is among them although it is not stored yet."""
    found: _Found = {}
    for each in past:
        sample = _sample(each.time, orjson.loads(each.instance))
        if sample is None:
            continue
        key = attribute, each.dataset
        samples, since = found.get(key, ([], None))
        samples.append(sample)
        is_new = new_from is not None and each.version >= new_from
        found[key] = samples, each.time - 1 if since is None and is_new else since
    for instance in held(entity, attribute):
        current = as_sample(instance)
        key = attribute, instance.get("datasetId")
        samples, since = found.get(key, ([], None))
        if current is not None and (not samples or samples[-1].time < current.time):
            found[key] = [*samples, current], current.time - 1 if since is None else since
    return {key: (corrected(samples), since) for key, (samples, since) in found.items()}


def _order(past: Past) -> tuple[int, int]:
    return past.time, past.version


def _sample(time: int, instance: Mapping[str, object]) -> Sample | None:
    value = instance.get("value", instance.get("object"))
    return Sample(time, value, instance) if isinstance(value, int | float | str) else None


def _since(found: Iterable[tuple[Series, int | None]]) -> int | None:
    return min((since for _, since in found if since is not None), default=None)
