"""Surroundings as RDF: what the SPARQL of the constraint components speaks about.

The graph holds the entity and its neighbours as the API serves them (`ngsild.rdf`), with earlier instances of an
attribute as further instances of it. Beside that:

    vs:now      (at vs:Surroundings) the time of the verdict
    vs:time     of an instance: its observedAt
    vs:moment   of an instance whose value is a DateTime: that moment
    vs:current  of an instance without datasetId that an entity has now: true
    vs:next     of an instance: the next one of the same attribute and dataset
    vs:isNew    of an instance of the entity: true where steps into it are to be judged

All moments are integers, microseconds since 1970 UTC: SPARQL 1.1 has no arithmetic with moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ngsild.entity import Entity, Instance, instances
from ngsild.names import parse_date_time
from ngsild.rdf import PREDICATES, XSD, Triple, triples_of
from ngsild.render import Representation
from shapes import NAMESPACE, terms
from shapes.surroundings.facts import Series, SeriesKey, Surroundings

_OBSERVED, _VALUE, _DATASET = (PREDICATES[name] for name in ("observedAt", "value", "datasetId"))
_TRUE = terms.literal("true", f"{XSD}boolean")


def triples(about: Surroundings) -> list[Triple]:
    """Return surroundings as triples."""
    neighbours = (_with_series(each, about.histories.get(each.id, {})) for each in _neighbours(about))
    found = triples_of([_with_series(about.entity, about.series), *neighbours], Representation())
    subject = terms.iri(about.entity.id)
    return [
        *found,
        (_vs("Surroundings"), _vs("now"), _integer(about.now)),
        *_moments(found),
        *_successions(found, subject, about.since),
    ]


def _neighbours(about: Surroundings) -> Iterable[Entity]:
    found = {each.id: each for every in about.related.values() for each in every} | dict(about.linked)
    found.pop(about.entity.id, None)
    return found.values()


def _with_series(entity: Entity, series: Mapping[SeriesKey, Series]) -> Entity:
    """Return an entity with the earlier instances of its attributes before the current ones."""
    attributes: dict[str, Any] = {}
    for attribute, current in entity.attributes.items():
        found: list[Instance] = []
        for instance in instances(current):
            earlier = series.get((attribute, instance.get("datasetId")), [])[:-1]
            found += [dict(sample.instance) for sample in earlier]
            found.append(instance)
        attributes[attribute] = found if len(found) > 1 else found[0]
    return replace(entity, attributes=attributes)


def _moments(found: Iterable[Triple]) -> Iterator[Triple]:
    for subject, predicate, value in found:
        if predicate in (_OBSERVED, _VALUE):
            time = parse_date_time(terms.text_of(value))
            if time is not None:
                yield subject, _vs("time" if predicate == _OBSERVED else "moment"), _integer(time)


def _successions(found: list[Triple], subject: str, since: int | None) -> Iterator[Triple]:
    """Yield the order of instances; triples come in it."""
    times = {
        node: int(terms.text_of(value) or 0) for node, predicate, value in _moments(found) if predicate == _vs("time")
    }
    datasets = {node: value for node, predicate, value in found if predicate == _DATASET}
    rows: dict[tuple[str, str, str | None], list[str]] = {}
    for holder, predicate, node in found:
        if terms.is_blank(node) and not terms.is_blank(holder):
            rows.setdefault((holder, predicate, datasets.get(node)), []).append(node)
    for (holder, _, dataset), nodes in rows.items():
        if dataset is None:
            yield nodes[-1], _vs("current"), _TRUE
        for one, other in pairwise(nodes):
            yield one, _vs("next"), other
        if holder == subject:
            for node in nodes[-1:] if since is None else (each for each in nodes if times.get(each, since) > since):
                yield node, _vs("isNew"), _TRUE


def _vs(name: str) -> str:
    return terms.iri(NAMESPACE + name)


def _integer(value: int) -> str:
    return terms.literal(str(value), f"{XSD}integer")
