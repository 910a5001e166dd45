"""`voltweave keycloak`: bring a realm of Keycloak to the state that the folder keycloak/ describes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voltweave.administration import keycloak_administration, public_url, setting_secret
from voltweave.output import console, tell, write
from voltweave.problems import ExitCode, Refused

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin

    from context_api.security.provisioning.difference import Difference, Elements
    from voltweave.settings import KeycloakSettings

app = typer.Typer(
    help="Bring a realm of Keycloak to the state that Voltweave needs.", no_args_is_help=True, rich_markup_mode=None
)
#: The clients that have a secret, by the setting that holds it.
_CLIENTS = {
    "console_secret": "voltweave-console",
    "adapters_secret": "voltweave-adapters",
    "tokens_secret": "voltweave-tokens",
}
_SECRET_MEMBERS = ("secret", "credentials")

Demo = Annotated[bool, typer.Option("--demo", help="With example organisations, and a user for each role.")]


@app.command()
def plan(demo: Demo = False) -> None:
    """Show what `apply` would create, change and delete; ends with 5 where that is something, and with 0 otherwise."""
    from context_api.security.provisioning import realm
    from voltweave.settings import KeycloakSettings

    settings = KeycloakSettings()
    with keycloak_administration(settings) as admin:
        found = realm.plan(admin, _wanted(settings, demo))
    _show(found, settings)
    if found.changes:
        raise typer.Exit(ExitCode.DIFFERS)


@app.command()
def apply(
    demo: Demo = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before something is changed.")] = False,
    secrets_file: Annotated[
        Path | None,
        typer.Option(help="Write the clients' secrets to this file, as variables; only its owner can read it."),
    ] = None,
) -> None:
    """Show what is to be done, ask, and do it: only what the realm file names, and only what this command made."""
    from context_api.security.provisioning import realm
    from voltweave.settings import KeycloakSettings

    settings = KeycloakSettings()
    wanted = _wanted(settings, demo)
    with keycloak_administration(settings) as admin:
        found = realm.plan(admin, wanted)
        _show(found, settings)
        if found.changes:
            if not yes:
                _ask(len(found.changes))
            _apply(admin, wanted, found, settings)
        if secrets_file is not None:
            _write_secrets(admin, secrets_file)


def _wanted(settings: KeycloakSettings, demo: bool) -> Elements:
    from context_api.security.provisioning.errors import RealmFileError
    from context_api.security.provisioning.realm_file import Parameters, wanted_realm

    given = {client_id: setting_secret(settings, name) for name, client_id in _CLIENTS.items()}
    secrets = {client_id: secret for client_id, secret in given.items() if secret is not None}
    try:
        return wanted_realm(Parameters(settings.realm, public_url(), settings.direct_grant, secrets), demo)
    except RealmFileError as error:
        raise Refused(str(error)) from None


def _show(found: Difference, settings: KeycloakSettings) -> None:
    console().print(f"realm {settings.realm} at {settings.url}", markup=False, soft_wrap=True)
    for change in found.changes:
        console().print(f"  {change.action}  {change.kind} {change.name}", markup=False, soft_wrap=True)
        for member in change.members:
            values = f"{_shown(member.path, member.before)} -> {_shown(member.path, member.after)}"
            console().print(f"            {member.path}: {values}", markup=False, soft_wrap=True)
    for kind, name in found.foreign:
        console().print(f"  foreign {kind} {name}: made by others, left alone", markup=False, soft_wrap=True)
    if not found.changes:
        tell("nothing to do: the realm is as it should be")


def _shown(path: str, value: Any) -> str:
    from context_api.security.provisioning.difference import Absent

    if value is Absent.ABSENT:
        return "(absent)"
    if path.rpartition(".")[2] in _SECRET_MEMBERS:
        return "(not shown)"
    return json.dumps(value, ensure_ascii=False)


def _ask(changes: int) -> None:
    if not sys.stdin.isatty():
        raise Refused("nobody is there to be asked", "Give --yes")
    typer.confirm(f"{changes} changes. Carry them out?", abort=True, err=True)


def _apply(admin: KeycloakAdmin, wanted: Elements, found: Difference, settings: KeycloakSettings) -> None:
    import secrets

    from context_api.security.provisioning import realm
    from context_api.security.provisioning.difference import Kind

    given = setting_secret(settings, "demo_password")
    password = given or secrets.token_urlsafe(12)
    realm.apply(admin, wanted, password)
    tell("done: the realm is as it should be")
    new_users = [change.name for change in found.changes if change.kind is Kind.USER and change.before is None]
    if new_users and given is None:
        tell(f"password of {', '.join(new_users)}:")
        write(password)


def _write_secrets(admin: KeycloakAdmin, path: Path) -> None:
    ids = {client["clientId"]: client["id"] for client in admin.get_clients()}
    lines = []
    for name, client_id in _CLIENTS.items():
        secret = admin.get_client_secrets(ids[client_id])["value"]
        lines.append(f"VOLTWEAVE_KEYCLOAK_{name.upper()}={secret}\n")
    write_private(path, "".join(lines))
    tell(f"the clients' secrets are in {path}")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; raises Refused where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from error
