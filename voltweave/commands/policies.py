"""`voltweave policies`: who may do what. Look at access policies, put them in force, take them out, carry them over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer

from voltweave.output import Output, console, tell, write
from voltweave.problems import Refused
from voltweave.server import ServerUrl, Tenant, ask

app = typer.Typer(
    help="Look at access policies, put them in force, take them out of force, carry them over.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_PATH = "/policies"


class Form(StrEnum):
    """What a file of permissions is."""

    odrl = "odrl"
    battery2life = "battery2life"


Name = Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")]
Source = Annotated[str, typer.Argument(metavar="FILE|-", help="JSON or JSON-LD; - is standard input.")]
Platform = Annotated[bool, typer.Option("--platform", help="The policies of the whole platform, not of a tenant.")]
AsOutput = Annotated[Output, typer.Option("--output", "-o", help="How policies are shown.")]


@app.command("list")
def list_policies(
    platform: Platform = False, output: AsOutput = Output.text, server: ServerUrl = None, tenant: Tenant = None
) -> None:
    """List policies: whether each is in force, and what it says."""
    found = ask(server, "GET", _PATH, tenant=tenant, query=_query(platform)).json()
    if output is Output.json:
        write(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for each in found:
        origin = "came with the software" if each["ready"] else f"version {each['version']}, {each['changedAt']}"
        state = "in force" if each["inForce"] else "out of force"
        console().print(f"{each['name']}  {state} ({origin})", markup=False, soft_wrap=True)
        for sentence in each.get("words", []):
            console().print(f"    {sentence}", markup=False, soft_wrap=True)
    tell("1 policy" if len(found) == 1 else f"{len(found)} policies")


@app.command()
def show(
    name: Name,
    platform: Platform = False,
    version: Annotated[
        int | None, typer.Option(min=0, help="This version; 0 is the one that came with the software.")
    ] = None,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """Show a policy as ODRL in JSON-LD."""
    query = _query(platform) | ({} if version is None else {"version": version})
    found = ask(server, "GET", _one(name), tenant=tenant, query=query).json()
    write(json.dumps(found, ensure_ascii=False, indent=2))


@app.command()
def put(
    name: Name, source: Source, platform: Platform = False, server: ServerUrl = None, tenant: Tenant = None
) -> None:
    """Put a policy in force, in the place of the one of that name; its versions are kept."""
    ask(server, "PUT", _one(name), tenant=tenant, query=_query(platform), body=_read(source))
    tell(f"{name} is in force")


@app.command()
def remove(name: Name, platform: Platform = False, server: ServerUrl = None, tenant: Tenant = None) -> None:
    """Take a policy out of force; its versions are kept."""
    ask(server, "DELETE", _one(name), tenant=tenant, query=_query(platform))
    tell(f"{name} is out of force")


@app.command("export")
def export_policies(platform: Platform = False, server: ServerUrl = None, tenant: Tenant = None) -> None:
    """Write all policies that are in force to standard output, as a JSON array that `import` takes."""
    listed = ask(server, "GET", _PATH, tenant=tenant, query=_query(platform)).json()
    names = [each["name"] for each in listed if each["inForce"]]
    found = [ask(server, "GET", _one(name), tenant=tenant, query=_query(platform)).json() for name in names]
    write(json.dumps(found, ensure_ascii=False, indent=2))
    tell("1 policy" if len(found) == 1 else f"{len(found)} policies")


@app.command("import")
def import_policies(
    source: Source,
    form: Annotated[
        Form, typer.Option("--from", help="odrl: policies; battery2life: groups as dumpdata writes them.")
    ] = Form.odrl,
    platform: Platform = False,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """Put all policies of a file in force, each under its name; what is in force beside stays.

    It ends at the first one that is refused; those before it are in force.
    """
    for document in list(_policies(_read(source), form, source)):
        name = document.get("name")
        if not isinstance(name, str) or not name:
            raise Refused(f"{source}: a policy has no name")
        ask(server, "PUT", _one(name), tenant=tenant, query=_query(platform), body=document)
        tell(f"{name} is in force")


def _policies(content: Any, form: Form, source: str) -> Iterator[dict[str, Any]]:
    if form is Form.battery2life:
        from context_api.security.policies.battery2life import policies_of
        from ngsild.problems import Problem

        try:
            yield from policies_of(content)
        except Problem as problem:
            raise Refused(f"{source}: {problem.detail}") from problem
        return
    for document in content if isinstance(content, list) else [content]:
        if not isinstance(document, dict):
            raise Refused(f"{source}: a policy is a JSON object")
        yield document


def _read(source: str) -> Any:
    from voltweave.entities import load

    try:
        return json.loads(load(source))
    except ValueError as error:
        raise Refused(f"{source}: no JSON: {error}") from error


def _query(platform: bool) -> dict[str, Any]:
    return {"platform": "true"} if platform else {}


def _one(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"
