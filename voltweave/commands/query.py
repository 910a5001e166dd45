"""`voltweave query`: ask a running server for entities (CIM 009 clause 5.7.2)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voltweave.output import console, tell, write
from voltweave.problems import Refused
from voltweave.server import CONTEXT, LINK_RELATION, ServerUrl, Tenant, ask

if TYPE_CHECKING:
    import httpx

_COLUMN_WIDTH = 16


class Output(StrEnum):
    """How entities are shown."""

    table = "table"
    json = "json"
    geojson = "geojson"


def query(
    type_: Annotated[str | None, typer.Option("--type", help="Entity type, or several: A,B or (A|B).")] = None,
    q: Annotated[
        str | None, typer.Option("--q", help="Filter on attributes: 'energyDelivered>30;status==\"completed\"'.")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Entity ids, separated by commas.")] = None,
    near: Annotated[str | None, typer.Option(help="LON,LAT,METRES: entities at most so far from a point.")] = None,
    georel: Annotated[
        str | None, typer.Option(help="Geographical relation, with --geometry and --coordinates.")
    ] = None,
    geometry: Annotated[str | None, typer.Option(help="Point, Polygon ... of the relation.")] = None,
    coordinates: Annotated[str | None, typer.Option(help="Coordinates of that geometry, as JSON.")] = None,
    geoproperty: Annotated[str | None, typer.Option(help="Attribute with the geometry. [default: location]")] = None,
    pick: Annotated[
        str | None, typer.Option(help="Attributes to show, separated by commas; id and type count.")
    ] = None,
    join: Annotated[str | None, typer.Option(help="Linked entities: inline or flat.")] = None,
    join_level: Annotated[int | None, typer.Option(min=1, help="How deep links are followed.")] = None,
    order_by: Annotated[str | None, typer.Option(help="Attribute to order by; ATTRIBUTE;desc for descending.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="Entities to show; 0 only counts them.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Entities to leave out.")] = 0,
    count: Annotated[bool, typer.Option("--count", help="Say how many entities match.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="How entities are shown.")] = Output.table,
    server: ServerUrl = None,
    tenant: Tenant = None,
    context: Annotated[str, typer.Option(help="URL of the @context of the names used.")] = CONTEXT,
) -> None:
    """Ask a running server for entities."""
    if near is not None:
        georel, geometry, coordinates = _near(near)
    parameters: dict[str, str | int | None] = {
        "type": type_, "q": q, "id": id_, "georel": georel, "geometry": geometry, "coordinates": coordinates,
        "geoproperty": geoproperty, "pick": pick, "join": join, "joinLevel": join_level, "orderBy": order_by,
        "limit": limit, "offset": offset or None, "count": "true" if count or limit == 0 else None,
    }  # fmt: skip
    if output is not Output.geojson:
        parameters["format"] = "simplified"
    given = {name: value for name, value in parameters.items() if value is not None}
    headers = {"Accept": "application/geo+json" if output is Output.geojson else "application/json"}
    headers["Link"] = f"<{context}>; {LINK_RELATION}"
    response = ask(server, "GET", "/ngsi-ld/v1/entities", tenant=tenant, query=given, headers=headers)
    _show(response, output)
    if context == CONTEXT and response.headers.get("NGSILD-Results-Count", "0") == "0" and not _found(response.json()):
        doubt_names(type_ or "", q or "", pick or "")


def _found(document: Any) -> bool:
    return bool(document["features"] if isinstance(document, dict) and "features" in document else document)


def doubt_names(types: str, q: str, pick: str) -> None:
    """Say which names of a query without result the model does not have: a misspelt name is a valid query."""
    import re
    from difflib import get_close_matches

    import ontology

    model = ontology.model()
    attributes = {name for entity_type in model.classes.values() for name in entity_type.attributes}
    text = re.sub(r'"[^"]*"', "", q)
    asked = re.findall(r"(?:^|[;|(])\s*!?([A-Za-z_]\w*)", text) + re.findall(r"(?:^|,)([A-Za-z_]\w*)", pick)
    core = {"id", "type", "scope", "location", "observationSpace", "operationSpace", "createdAt", "modifiedAt"}
    for kind, names, known in (
        ("type", re.findall(r"(?:^|[,|;(])\s*([A-Za-z_]\w*)(?![\w:])", types), set(model.classes)),
        ("attribute", asked, attributes | core),
    ):
        for name in dict.fromkeys(names):
            if name not in known:
                near = get_close_matches(name, known, n=1)
                tell(f"the model has no {kind} {name}" + (f"; did you mean {near[0]}?" if near else ""))


def _near(text: str) -> tuple[str, str, str]:
    """Return georel, geometry and coordinates of LON,LAT,METRES."""
    try:
        longitude, latitude, metres = (float(part) for part in text.split(","))
    except ValueError:
        raise Refused(f"--near {text}: not LON,LAT,METRES", "For example --near 12.643,42.561,500") from None
    return f"near;maxDistance=={metres:g}", "Point", f"[{longitude},{latitude}]"


def _show(response: httpx.Response, output: Output) -> None:
    total = response.headers.get("NGSILD-Results-Count")
    document = response.json()
    if output is not Output.table:
        import json

        write(json.dumps(document, ensure_ascii=False, indent=2))
    elif document:
        console().print(_table(document, console().width))
    if total is not None:
        said = "1 entity matches" if total == "1" else f"{total} entities match"
        if output is Output.table:
            write(said)
        else:
            tell(said)
    elif output is Output.table and not document:
        tell("no entity matches")


def _table(entities: list[dict[str, Any]], width: int) -> Any:
    """Return a row an entity where the columns have room, else a block of lines an entity."""
    from rich.table import Table

    columns = ["id", *sorted({name for entity in entities for name in entity} - {"id", "type", "@context"})]
    if len(columns) * _COLUMN_WIDTH <= width:
        table = Table(box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, overflow="fold")
        for entity in entities:
            table.add_row(*(_cell(entity.get(name)) for name in columns))
        return table
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for entity in entities:
        for name in columns:
            if name in entity:
                table.add_row("" if name == "id" else f"  {name}", _cell(entity[name]))
    return table


def _cell(value: Any) -> Any:
    """Return a value as text; a time or date without the object around it."""
    import json

    from rich.text import Text

    if value is None:
        return ""
    if isinstance(value, dict) and value.keys() == {"@type", "@value"}:
        value = value["@value"]
    return Text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
