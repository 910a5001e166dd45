"""`voltweave model`: print the common information model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.output import console, write
from voltweave.problems import Refused

if TYPE_CHECKING:
    from rich.table import Table

    from ontology import AttributeUse

app = typer.Typer(help="Print the common information model.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def classes(domain: Annotated[str | None, typer.Option(help="Only the classes of this domain.")] = None) -> None:
    """List the classes, which are the entity types."""

    import ontology

    model = ontology.model()
    if domain is not None and domain not in model.domains:
        raise Refused(f"there is no domain {domain}", f"Domains: {', '.join(model.domains)}")
    table = _table("class", "domain", "attributes", "meaning")
    for entity_type in model.classes.values():
        if domain in (None, entity_type.domain):
            meaning = entity_type.comment or entity_type.label
            table.add_row(entity_type.name, entity_type.domain, str(len(entity_type.attributes)), meaning)
    console().print(table)


@app.command()
def attributes(class_name: Annotated[str, typer.Argument(metavar="CLASS", help="A class, such as EVSE.")]) -> None:
    """List the attributes of a class: kind, range, unit, how many, meaning."""

    import ontology

    model = ontology.model()
    if class_name not in model.classes:
        raise Refused(f"there is no class {class_name}", f"Classes: {', '.join(model.classes)}")
    write(model.classes[class_name].identifier)
    table = _table("attribute", "kind", "range", "unit", "how many", "meaning")
    for name, use in model.classes[class_name].attributes.items():
        attribute = use.attribute
        unit = attribute.unit.symbol if attribute.unit else ""
        meaning = attribute.comment or attribute.label
        table.add_row(name, attribute.kind.value, attribute.range, unit, _cardinality(use), meaning)
    console().print(table)


@app.command()
def units() -> None:
    """List the units with their codes."""

    import ontology

    table = _table("unit", "name", "unitCode (Rec 20)", "UCUM", "IRI")
    for unit in ontology.model().units.values():
        table.add_row(unit.symbol, unit.label, unit.unit_code or "", unit.ucum or "", unit.iri)
    console().print(table)


@app.command()
def context(name: Annotated[str, typer.Argument(help="cim, a version such as cim-0.1, or a domain.")] = "cim") -> None:
    """Print a JSON-LD context."""
    import json

    import ontology

    try:
        document = ontology.context(name)
    except KeyError:
        raise Refused(f"there is no context {name}", f"Contexts: {', '.join(ontology.context_names())}") from None
    write(json.dumps(document, indent=2, ensure_ascii=False))


def _table(*columns: str) -> Table:
    """Return an empty table whose first column is never cut."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, no_wrap=number == 0, overflow="fold")
    return table


def _cardinality(use: AttributeUse) -> str:
    least = use.min_count or (1 if use.expected else 0)
    most = "n" if use.max_count is None else str(use.max_count)
    required = {"hard": " required", "expected": " expected", None: ""}[use.required]
    return f"{least if str(least) == most else f'{least}..{most}'}{required}"
