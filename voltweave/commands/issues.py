"""`voltweave issues`: look at what validation found in stored data, accept the repair of an issue, or dismiss it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from voltweave.output import Output, console, tell, write
from voltweave.server import LINK, ServerUrl, Tenant, ask

app = typer.Typer(
    help="Look at what validation found in stored data; accept repairs, or dismiss what is right as it is.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_TYPE = "DataQualityIssue"
_PATH = "/validation/issues"
_ENTITIES = "/ngsi-ld/v1/entities"
_PAGE = 1000
_HEADERS = {"Accept": "application/json", "Link": LINK}


class Status(StrEnum):
    """Where an issue stands."""

    open = "open"
    confirmed = "confirmed"
    dismissed = "dismissed"
    resolved = "resolved"


class Repair(StrEnum):
    """What an issue proposes."""

    unit = "convertUnit"
    mark = "markOutlier"


IssueId = Annotated[str, typer.Argument(metavar="ID", help="The issue's id.")]
IssueIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Issues.")]
AsOutput = Annotated[Output, typer.Option("--output", "-o", help="How issues are shown.")]


@app.command("list")
def list_issues(
    status: Annotated[Status, typer.Option(help="Only issues in this state.")] = Status.open,
    repair: Annotated[Repair | None, typer.Option(help="Only issues that propose this repair.")] = None,
    concerns: Annotated[str | None, typer.Option(metavar="ENTITY", help="Only issues of this entity.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="Issues to show.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Issues to leave out.")] = 0,
    output: AsOutput = Output.text,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """List issues: what is odd where, and what it would be after its repair."""
    conditions = {"status": status, "repair": repair, "concerns": concerns}
    q = ";".join(f"{name}=={json.dumps(value)}" for name, value in conditions.items() if value is not None)
    query = {"type": _TYPE, "q": q, "limit": limit, "offset": offset, "count": "true"}
    response = ask(server, "GET", _ENTITIES, tenant=tenant, query=query, headers=_HEADERS)
    found, total = response.json(), response.headers["NGSILD-Results-Count"]
    if output is Output.json:
        write(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for each in found:
            _show_summary(each)
    tell("1 issue" if total == "1" else f"{total} issues")


@app.command()
def show(issue_id: IssueId, output: AsOutput = Output.text, server: ServerUrl = None, tenant: Tenant = None) -> None:
    """Show an issue with its explanation."""
    found = ask(server, "GET", f"{_ENTITIES}/{quote(issue_id, safe='')}", tenant=tenant, headers=_HEADERS).json()
    if output is Output.json:
        write(json.dumps(found, ensure_ascii=False, indent=2))
        return
    _show_summary(found)
    explanation = found.get("explanation", {}).get("languageMap", {}).get("en")
    if explanation:
        _print(f"    {explanation}")


@app.command()
def accept(issue_ids: IssueIds, server: ServerUrl = None, tenant: Tenant = None) -> None:
    """Do what issues propose; what was there before stays in the history of its entity."""
    for issue_id in issue_ids:
        ask(server, "POST", f"{_PATH}/{quote(issue_id, safe='')}/accept", tenant=tenant)
    tell("1 repair made" if len(issue_ids) == 1 else f"{len(issue_ids)} repairs made")


@app.command()
def dismiss(issue_ids: IssueIds, server: ServerUrl = None, tenant: Tenant = None) -> None:
    """Set issues aside: they stay so as long as the values at fault do."""
    for issue_id in issue_ids:
        ask(server, "POST", f"{_PATH}/{quote(issue_id, safe='')}/dismiss", tenant=tenant)
    tell("1 issue dismissed" if len(issue_ids) == 1 else f"{len(issue_ids)} issues dismissed")


def _show_summary(found: dict[str, Any]) -> None:
    attribute, rule = (_local(_value(found, name)) for name in ("attribute", "rule"))
    concerns = found.get("concerns", {}).get("object", "")
    about = [_value(found, "severity"), f"{concerns} {attribute}".strip(), _value(found, "offendingValue")]
    _print(f"{found['id']}  {_value(found, 'status')}")
    _print(f"    {': '.join(str(part) for part in about if part)} [{rule}]")
    proposed = found.get("proposedValue")
    if proposed is not None:
        _print(f"    {_value(found, 'repair')}: {_instance(proposed)}")


def _instance(proposed: dict[str, Any]) -> str:
    """Return what an attribute would be: its value, its unit, the mark, and what the source gave."""
    text = " ".join(str(proposed[name]) for name in ("value", "unitCode") if name in proposed)
    quality = proposed.get("quality", {}).get("value")
    source = [str(proposed[name]["value"]) for name in ("sourceValue", "sourceUnit") if name in proposed]
    said = [f"quality {quality}"] if quality else []
    return ", ".join([text, *said, *([f"from {' '.join(source)}"] if source else [])])


def _value(found: dict[str, Any], name: str) -> Any:
    return found.get(name, {}).get("value")


def _local(iri: object) -> str:
    return str(iri or "").rpartition("#")[2].rpartition("/")[2]


def _print(line: str) -> None:
    console().print(line, markup=False, soft_wrap=True)
