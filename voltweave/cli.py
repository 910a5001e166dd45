"""The program `voltweave`: wires the commands and turns what goes wrong into a message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from voltweave import installed_version
from voltweave.commands import (
    adapters,
    ingest,
    issues,
    keycloak,
    migrate,
    model,
    partner,
    policies,
    quarantine,
    query,
    serve,
    settings,
    up,
    validate,
)
from voltweave.problems import CommandError, ExitCode

app = typer.Typer(
    name="voltweave",
    help="A linked graph of e-mobility and energy data, served through NGSI-LD.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"voltweave {installed_version()}\n")
        raise typer.Exit


@app.callback()
def _voltweave(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A linked graph of e-mobility and energy data, served through NGSI-LD."""


app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("migrate")(migrate.migrate)
app.command("query")(query.query)
app.command("ingest")(ingest.ingest)
app.command("validate")(validate.validate)
app.add_typer(adapters.app, name="adapters")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(issues.app, name="issues")
app.add_typer(policies.app, name="policies")
app.add_typer(model.app, name="model")
app.add_typer(keycloak.app, name="keycloak")
app.add_typer(partner.app, name="partner")
app.command("settings")(settings.settings)


def main() -> None:
    """Run the program; every end goes through here."""
    try:
        app()
    except CommandError as problem:
        _end(str(problem), problem.hint, problem.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as fault:
        _end(*_described(fault))


def _described(fault: Exception) -> tuple[str, str, ExitCode]:
    """Return message, hint and exit code for what the commands let through."""
    if os.environ.get("VOLTWEAVE_TRACEBACK"):
        raise fault
    adapter_errors = sys.modules.get("adapters.errors")
    if adapter_errors is not None and isinstance(fault, adapter_errors.AdapterError):
        refused = isinstance(fault, adapter_errors.SettingError | adapter_errors.ManifestError)
        return str(fault), "", ExitCode.REFUSED if refused else ExitCode.REJECTED
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(fault, pydantic.ValidationError):
        return _settings_problem(fault), "`voltweave settings` lists what each one means.", ExitCode.REFUSED
    hint = "This is a fault of Voltweave. VOLTWEAVE_TRACEBACK=1 shows where it happened; please report it."
    return f"{type(fault).__name__}: {fault}", hint, ExitCode.INTERNAL


def _settings_problem(fault: Exception) -> str:
    details = fault.errors() if hasattr(fault, "errors") else []
    prefixes = {found.__name__: str(found.model_config.get("env_prefix", "")) for found in settings.settings_classes()}
    prefix = prefixes.get(getattr(fault, "title", ""), "VOLTWEAVE_")
    lines = [f"{prefix}{'_'.join(map(str, d['loc'])).upper()}: {d['msg']}" for d in details]
    return "; ".join(lines) or str(fault)


def _end(message: str, hint: str, code: ExitCode) -> None:
    from voltweave.output import tell_problem

    tell_problem(message, hint)
    sys.exit(code)


if __name__ == "__main__":
    main()
