"""Context Information Consumption: retrieve and query entities (CIM 009 clauses 5.7.1 and 5.7.2).

The parameters of GET and the Query of POST (clause 5.2.23) are read into values of the same names, so that both mean
the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from context_api.broker import Broker
from context_api.storage.codec import decode
from context_api.storage.port import Row, Tenant
from ngsild.context import Terms
from ngsild.entity import Entity
from ngsild.expand import expand_attribute_name
from ngsild.language import parse_language
from ngsild.linked import Link, Reached, links_of
from ngsild.problems import BadRequestData, InvalidRequest, TooComplexQuery, TooManyResults
from ngsild.projection import MEMBERS, Projection, choose_datasets, parse_projection
from ngsild.query import (
    ANY_TYPE,
    EntityQuery,
    GeoQuery,
    HasType,
    Node,
    Ordering,
    Restriction,
    Selector,
    link_depth,
    names_attribute,
    parse_geo,
    parse_order_by,
    parse_pattern,
    parse_q,
    parse_scope_q,
    parse_type_selection,
)
from ngsild.query.evaluate import seen, shown_of
from ngsild.query.types import has_type
from ngsild.render import Format, Representation

LOCATION = "https://uri.etsi.org/ngsi-ld/location"


@dataclass(frozen=True, slots=True)
class Linking:
    """How linked entities are retrieved (clause 4.5.23)."""

    join: str | None = None
    level: int = 0
    encountered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """What of an entity is shown, and how."""

    format: Format
    sys_attrs: bool
    languages: tuple[str, ...] | None
    pick: Projection | None
    omit: Projection | None
    attrs: frozenset[str] | None
    datasets: frozenset[str] | None
    geometry_property: str
    max_linked: int
    linking: Linking = field(default_factory=Linking)

    def representation(self, links: Mapping[str, Entity]) -> Representation:
        """Return the renderer's part of it."""
        return Representation(
            self.format,
            self.sys_attrs,
            self.languages,
            self.pick,
            self.omit,
            self.attrs,
            links if self.linking.join == "inline" else {},
            self.linking.level,
            self.linking.encountered,
            self.max_linked,
        )


def read_view(given: Mapping[str, Any], terms: Terms, broker: Broker) -> View:
    """Return what a request asks to see; `given` holds the parsed query parameters."""
    words = given.get("options", frozenset())
    linking = _linking(given, broker)
    view = View(
        _format(given.get("format"), words),
        "sysAttrs" in words,
        tuple(parse_language(given["lang"])) if "lang" in given else None,
        parse_projection("pick", [given["pick"]], terms) if "pick" in given else None,
        parse_projection("omit", [given["omit"]], terms) if "omit" in given else None,
        attribute_names("attrs", given["attrs"], terms) if "attrs" in given else None,
        given.get("datasetId"),
        expand_attribute_name(given["geometryProperty"], terms) if "geometryProperty" in given else LOCATION,
        broker.settings.limits.max_linked,
        linking,
    )
    _check_combination(view)
    for name, projection in (("pick", view.pick), ("omit", view.omit)):
        if projection is not None and projection.depth > linking.level:
            raise BadRequestData(f"{name}: it reaches linked entities deeper than join and joinLevel do")
    return view


def _check_combination(view: View) -> None:
    """Refuse projections that contradict each other."""
    if view.attrs is not None and (view.pick is not None or view.omit is not None):
        raise BadRequestData("attrs: it cannot be combined with pick or omit")
    if view.pick is not None and view.omit is not None:
        both = sorted(m for m in view.pick.members.keys() & view.omit.members.keys() if view.omit.members[m] is None)
        if both:
            raise BadRequestData(f"pick, omit: both name {', '.join(both)}")


def _format(name: str | None, words: Iterable[str]) -> Format:
    """Return the representation; format wins over options (clause 6.3.7)."""
    asked = [name] if name is not None else [w for w in words if w not in ("sysAttrs", "count")]
    if len(asked) > 1 and not {"simplified", "keyValues"} >= set(asked):
        raise InvalidRequest("options: only one representation can be asked for")
    formats: dict[str, Format] = {
        "normalized": "normalized",
        "concise": "concise",
        "simplified": "simplified",
        "keyValues": "simplified",
    }
    return formats[asked[0]] if asked else "normalized"


def _linking(given: Mapping[str, Any], broker: Broker) -> Linking:
    join = given.get("join")
    if join == "@none":
        join = None
    if join is None:
        if "joinLevel" in given and given.get("join") is None:
            raise BadRequestData("joinLevel: it needs join")
        return Linking()
    level = given.get("joinLevel", 1)
    if level > broker.settings.limits.max_join_level:
        raise TooComplexQuery(f"joinLevel: {broker.settings.limits.max_join_level} at most")
    return Linking(join, level, frozenset(given.get("containedBy", ())))


def attribute_names(parameter: str, names: Iterable[str], terms: Terms) -> frozenset[str]:
    """Return the IRIs of attribute names given in a parameter."""
    try:
        return frozenset(expand_attribute_name(name, terms) for name in names)
    except BadRequestData as error:
        raise BadRequestData(f"{parameter}: {error.detail}") from None


def read_selectors(given: Mapping[str, Any], terms: Terms) -> tuple[Selector, ...]:
    """Return which entities a request names: by id, type and pattern, or by the entities of a Query.

    The parameters of GET must all hold (clause 5.7.2.4); in an EntitySelector, id makes idPattern void (clause 5.2.33).
    """
    if "entities" in given:
        selectors = [_selector(each, terms) for each in given["entities"]]
        return tuple(replace(s, id_pattern=None) if s.ids is not None else s for s in selectors)
    return (_selector(given, terms),) if given.keys() & {"id", "type", "idPattern"} else ()


def _selector(given: Mapping[str, Any], terms: Terms) -> Selector:
    ids = frozenset(given["id"]) if "id" in given else None
    pattern = parse_pattern(given["idPattern"], "idPattern") if "idPattern" in given else None
    types = parse_type_selection(given["type"], terms) if "type" in given else None
    if types == ANY_TYPE and given.get("local") is False:
        raise BadRequestData("type: * implies the local scope, which local=false rules out (clause 5.7.2.4)")
    return Selector(ids, types, pattern)


def read_query(given: Mapping[str, Any], terms: Terms, view: View) -> EntityQuery:
    """Return the query of a request; one that is too wide is refused (clause 5.7.2.4)."""
    selectors = read_selectors(given, terms)
    q = _read_q(given, terms)
    if q is not None and link_depth(q) > view.linking.level:
        raise BadRequestData("q: it reaches linked entities deeper than join and joinLevel do")
    query = EntityQuery(
        selectors=selectors,
        attributes=_any_of(view),
        q=q,
        geo=_read_geo(given, terms),
        scope=parse_scope_q(given["scopeQ"]) if "scopeQ" in given else None,
        datasets=view.datasets,
        order=_read_order(given, terms),
    )
    if not (given.get("local") or _is_narrow(query)):
        raise BadRequestData("the query is too wide: it needs one of type, attrs, pick, q, georel, or local=true")
    return query


def _any_of(view: View) -> frozenset[str] | None:
    """Return the attributes of which an entity must have one: attrs, or the attributes that pick names."""
    if view.attrs is not None:
        return view.attrs
    if view.pick is not None and view.pick.attributes() and not MEMBERS & view.pick.members.keys():
        return view.pick.attributes()
    return None


def _read_q(given: Mapping[str, Any], terms: Terms) -> Node | None:
    if "q" not in given:
        return None
    return parse_q(given["q"], terms, given.get("expandValues", ()), given.get("jsonKeys", ()))


def _read_geo(given: Mapping[str, Any], terms: Terms) -> GeoQuery | None:
    names = ("georel", "geometry", "coordinates")
    if not given.keys() & set(names):
        return None
    for name in names:
        if name not in given:
            raise BadRequestData(f"{name}: a geoquery needs {', '.join(names)}")
    return parse_geo(given["georel"], given["geometry"], given["coordinates"], given.get("geoproperty"), terms)


def _read_order(given: Mapping[str, Any], terms: Terms) -> Ordering | None:
    if "orderBy" not in given:
        for name in ("collation", "orderFrom", "orderGeometry"):
            if name in given:
                raise BadRequestData(f"{name}: it needs orderBy")
        return None
    if given.get("local") is False:
        raise BadRequestData("orderBy: it needs the local scope, which local=false rules out (clause 5.7.2.4)")
    return parse_order_by(
        given["orderBy"], terms, given.get("collation"), given.get("orderFrom"), given.get("orderGeometry")
    )


def _is_narrow(query: EntityQuery) -> bool:
    typed = bool(query.selectors) and all(s.types is not None for s in query.selectors)
    asked = query.q is not None and names_attribute(query.q)
    return typed or asked or query.attributes is not None or query.geo is not None


@dataclass(frozen=True, slots=True)
class Found:
    """Entities of one answer, in order, those they link to, and whether a query matches more after them."""

    entities: list[Entity]
    linked: list[Reached]
    total: int | None = None
    more: bool = False

    @property
    def links(self) -> dict[str, Entity]:
        """Return the linked entities by id."""
        return {reached.entity.id: reached.entity for reached in self.linked}


async def retrieve_entity(
    broker: Broker,
    tenant: Tenant,
    entity: Entity,
    types: HasType | None,
    view: View,
    restriction: Restriction,
) -> Found | None:
    """Retrieve Entity (clause 5.7.1) as the caller sees it, None where it has other types or none of the attributes."""
    if types is not None and not has_type(types, entity.types):
        return None
    wanted = _any_of(view)
    if wanted is not None and not wanted & choose_datasets(entity, view.datasets).attributes.keys():
        return None
    links = await linked_entities(broker, tenant, [entity], view, restriction)
    return Found([choose_datasets(entity, view.datasets)], links)


async def _read_visible(broker: Broker, tenant: Tenant, ids: list[str], restriction: Restriction) -> list[Entity]:
    """Return those of the entities that a caller may see, as the caller may see them."""
    found = filter(None, await broker.store.read(tenant, ids))
    now = broker.now()
    return [shown for entity in found if (shown := seen(entity, restriction, now)) is not None]


def _all_shown(found: Iterable[Row], restriction: Restriction, now: int) -> list[Entity]:
    """Return the entities of rows that a query under the restriction has found, as the caller sees them."""
    return [shown_of(decode(row), restriction, now) for row in found]


async def query_entities(
    broker: Broker,
    tenant: Tenant,
    query: EntityQuery,
    view: View,
    limit: int,
    offset: int,
    count: bool,
    restriction: Restriction,
) -> Found:
    """Query Entities (clause 5.7.2)."""
    # One more than asked for tells whether there is a next page.
    page = await broker.store.query(tenant, query, restriction, limit + 1 if limit else 0, offset, count)
    entities = _all_shown(page.rows[:limit], restriction, broker.now())
    links = await linked_entities(broker, tenant, entities, view, restriction)
    shown = [choose_datasets(e, view.datasets) for e in entities]
    return Found(shown, links, page.total, more=len(page.rows) > limit)


async def stream_entities(
    broker: Broker,
    tenant: Tenant,
    query: EntityQuery,
    view: View,
    limit: int,
    offset: int,
    restriction: Restriction,
) -> AsyncIterator[list[Entity]]:
    """Yield all that Query Entities finds (clause 5.7.2) piece by piece; a limit of -1 is none."""
    to_skip, left = offset, limit
    if left == 0:
        return
    async for rows in broker.store.stream(tenant, query, restriction):
        skipped = min(to_skip, len(rows))
        to_skip -= skipped
        taken = rows[skipped:] if left < 0 else rows[skipped : skipped + left]
        left -= len(taken) if left > 0 else 0
        if taken:
            shown = _all_shown(taken, restriction, broker.now())
            yield [choose_datasets(entity, view.datasets) for entity in shown]
        if left == 0:
            return


async def linked_entities(
    broker: Broker, tenant: Tenant, entities: list[Entity], view: View, restriction: Restriction
) -> list[Reached]:
    """Return the entities that shown relationships lead to, level by level, each fetched once (clause 4.5.23)."""
    found: list[Reached] = []
    if view.linking.join is None:
        return found
    met = {e.id for e in entities} if view.linking.join == "flat" else set()
    met |= view.linking.encountered
    level = [Reached(entity, view.pick, view.omit) for entity in entities]
    attrs = view.attrs
    for _ in range(view.linking.level):
        wanted: dict[str, Link] = {}
        for link in (link for reached in level for link in links_of(reached, attrs)):
            if link.target not in met:
                wanted.setdefault(link.target, link)
        met |= wanted.keys()
        if len(found) + len(wanted) > view.max_linked:
            raise TooManyResults(f"join: more than {view.max_linked} linked entities")
        read = await _read_visible(broker, tenant, list(wanted), restriction) if wanted else []
        level = [Reached(e, wanted[e.id].pick, wanted[e.id].omit) for e in read]
        found += level
        attrs = None
    return found
