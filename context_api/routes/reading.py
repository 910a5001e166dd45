"""Answers of the consumption operations: representation, paging links and counts (CIM 009 clauses 6.3.6 to 6.3.15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from context_api.answers import GEO_JSON, JSON, JSON_LD, linked_data
from context_api.broker import Broker
from context_api.consumption import Found, View
from context_api.negotiation import RequestContext, prefers_plain
from context_api.storage.port import Tenant
from ngsild.entity import Entity
from ngsild.problems import BadRequestData, TooManyResults
from ngsild.render import Renderer, feature_of


def page_of(given: Mapping[str, Any], broker: Broker) -> tuple[int, int, bool]:
    """Return limit, offset and whether the total is asked for (clauses 6.3.10 and 6.3.13)."""
    limits = broker.settings.limits
    limit, offset, count = part_of({"limit": limits.default_limit} | dict(given), broker)
    if limit > limits.max_limit:
        raise TooManyResults(f"limit: {limits.max_limit} at most")
    return limit, offset, count


def part_of(given: Mapping[str, Any], broker: Broker) -> tuple[int, int, bool]:
    """Return the same where a page may have any size; without a limit it is -1."""
    limits = broker.settings.limits
    count = bool(given.get("count", "count" in given.get("options", frozenset())))
    limit = given.get("limit", -1)
    if limit == 0 and not count:
        raise BadRequestData("limit: 0 is allowed only with count=true")
    offset = given.get("offset", 0)
    if offset > limits.max_offset:
        raise TooManyResults(f"offset: {limits.max_offset} at most")
    return limit, offset, count


def check_geometry_property(given: Mapping[str, Any], media_type: str) -> None:
    """Refuse geometryProperty where no GeoJSON is asked for (clause 5.7.1.4)."""
    if "geometryProperty" in given and media_type != GEO_JSON:
        raise BadRequestData(f"geometryProperty: it needs Accept: {GEO_JSON}")


async def answer_with(
    value: Any,
    media_type: str,
    context: RequestContext,
    broker: Broker,
    request: Request,
    headers: dict[str, str],
    tenant: Tenant | None = None,
) -> Response:
    """Return linked data with its @context where the media type wants it."""
    if media_type == GEO_JSON:
        if prefers_plain(request):
            response = linked_data(value, JSON, context.source, await context_link(context, broker, tenant), headers)
        else:
            response = linked_data(value, JSON_LD, context.source, None, headers)
        response.headers["Content-Type"] = GEO_JSON
        return response
    link = await context_link(context, broker, tenant) if media_type == JSON else None
    return linked_data(value, media_type, context.source, link, headers)


async def context_link(context: RequestContext, broker: Broker, tenant: Tenant | None) -> str:
    """Return the URL under which the @context of a request is served."""
    return context.link or await broker.contexts.link(context.source, None if tenant is None else tenant.id)


def rendered(found: Found, context: RequestContext, view: View, media_type: str) -> Any:
    """Return the one entity that was found as a JSON object or a GeoJSON Feature."""
    [entity] = found.entities
    return _item(entity, Renderer(context.terms, view.representation(found.links)).entity(entity), view, media_type)


def _item(entity: Entity, members: dict[str, Any], view: View, media_type: str) -> dict[str, Any]:
    if media_type != GEO_JSON:
        return members
    dataset = next(iter(view.datasets)) if view.datasets is not None and len(view.datasets) == 1 else None
    return feature_of(entity, members, view.geometry_property, dataset)


def rendered_list(found: Found, context: RequestContext, view: View, media_type: str) -> Any:
    """Return entities, and with join=flat those they link to, as an array or a FeatureCollection."""
    renderer = Renderer(context.terms, view.representation(found.links))
    items = [_item(entity, renderer.entity(entity), view, media_type) for entity in found.entities]
    if view.linking.join == "flat":
        items += [_item(r.entity, renderer.linked(r.entity, r.pick, r.omit), view, media_type) for r in found.linked]
    return {"type": "FeatureCollection", "features": items} if media_type == GEO_JSON else items


def paging_headers(
    request: Request, media_type: str, limit: int, offset: int, more: bool, total: int | None, public_url: str | None
) -> dict[str, str]:
    """Return Link to the pages before and after, and the total where it was asked for."""
    headers: dict[str, str] = {}
    if total is not None:
        headers["NGSILD-Results-Count"] = str(total)
    links = []
    if more and limit:
        links.append(_page_link(request, "next", offset + limit, limit, media_type, public_url))
    if offset and limit:
        links.append(_page_link(request, "prev", max(0, offset - limit), limit, media_type, public_url))
    if links:
        headers["Link"] = ", ".join(links)
    return headers


def _page_link(request: Request, rel: str, offset: int, limit: int, media_type: str, public_url: str | None) -> str:
    given = dict(parse_qsl(request.url.query, keep_blank_values=True))
    query = urlencode(sorted((given | {"limit": limit, "offset": offset}).items()), safe=":*/,", quote_via=quote)
    path = request.url.path.rstrip("/")
    return f'<{public_url or ""}{path}?{query}>; rel="{rel}"; type="{media_type}"'
