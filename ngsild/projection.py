"""Projection of entities: pick, omit and attrs (CIM 009 clauses 4.21, 5.7.1.4), and the choice of datasetIds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ngsild.context import Terms
from ngsild.entity import Attribute, Entity, attribute_of, instances
from ngsild.expand import expand_attribute_name
from ngsild.problems import BadRequestData

MEMBERS = frozenset({"id", "type", "scope"})
_TOKEN = re.compile(r"[^,|{}]+|[,|{}]")
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Projection:
    """Names of entity members, each with the projection of the entities it links to, if one is given in braces."""

    members: Mapping[str, Projection | None] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Levels of linked entities that the projection reaches (0 when it has no braces)."""
        return max((1 + sub.depth for sub in self.members.values() if sub is not None), default=0)

    def attributes(self) -> frozenset[str]:
        """Return the attribute IRIs named at the first level."""
        return frozenset(self.members) - MEMBERS


def parse_projection(parameter: str, texts: Iterable[str], terms: Terms) -> Projection:
    """Return the projection of a pick or omit parameter, its names expanded (clause 4.21)."""
    tokens = [t for text in texts for t in [*_TOKEN.findall(text), ","]][:-1]
    projection, rest = _parse_level(parameter, tokens, terms, _MAX_DEPTH)
    if rest:
        raise BadRequestData(f"{parameter}: unexpected {rest[0]!r}")
    return projection


def _parse_level(parameter: str, tokens: list[str], terms: Terms, depth: int) -> tuple[Projection, list[str]]:
    if depth == 0:
        raise BadRequestData(f"{parameter}: nested too deeply")
    members: dict[str, Projection | None] = {}
    while True:
        if not tokens or tokens[0] in ",|{}":
            raise BadRequestData(f"{parameter}: a member name is needed")
        name, tokens = tokens[0].strip(), tokens[1:]
        sub: Projection | None = None
        if tokens and tokens[0] == "{":
            sub, tokens = _parse_level(parameter, tokens[1:], terms, depth - 1)
            if not tokens or tokens[0] != "}":
                raise BadRequestData(f"{parameter}: a closing brace is missing")
            tokens = tokens[1:]
        members[_member(parameter, name, terms)] = sub
        if not tokens or tokens[0] not in ",|":
            return Projection(members), tokens
        tokens = tokens[1:]


def _member(parameter: str, name: str, terms: Terms) -> str:
    if name in MEMBERS:
        return name
    try:
        return expand_attribute_name(name, terms)
    except BadRequestData as error:
        raise BadRequestData(f"{parameter}: {error.detail}") from None


def project(entity: Entity, pick: Projection | None, omit: Projection | None, attrs: frozenset[str] | None) -> Entity:
    """Return the entity reduced to the attributes asked for; id, type and scope are the renderer's business."""
    if pick is None and omit is None and attrs is None:
        return entity
    kept = entity.attributes
    if attrs is not None:
        kept = {iri: a for iri, a in kept.items() if iri in attrs}
    if pick is not None:
        kept = {iri: a for iri, a in kept.items() if iri in pick.members}
    if omit is not None:
        dropped = {iri for iri, sub in omit.members.items() if sub is None}
        kept = {iri: a for iri, a in kept.items() if iri not in dropped}
    return replace(entity, attributes=kept)


def below(projection: Projection | None, iri: str) -> Projection | None:
    """Return the projection of the entities that an attribute links to, None where it has no braces."""
    return None if projection is None else projection.members.get(iri)


def choose_datasets(entity: Entity, datasets: frozenset[str] | None) -> Entity:
    """Return the entity with only the instances of these datasetIds ("@none" = default), clause 4.5.5."""
    if datasets is None:
        return entity
    kept: dict[str, Attribute] = {}
    for iri, attribute in entity.attributes.items():
        found = [i for i in instances(attribute) if i.get("datasetId", "@none") in datasets]
        if found:
            kept[iri] = attribute_of(found)
    return replace(entity, attributes=kept)
