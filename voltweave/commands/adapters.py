"""`voltweave adapters`: the providers there are, what they did, and the tools to write one."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voltweave.output import console, messages, program, tell, write
from voltweave.problems import Refused, Rejected

if TYPE_CHECKING:
    from adapters.samples import Trial
    from adapters.state import StreamStatus

app = typer.Typer(help="List, check, try and start providers.", no_args_is_help=True, rich_markup_mode=None)

_COUNTERS = ("records", "entities", "quarantined", "duplicates", "delivered")
_BROKEN = dict(
    zip(_COUNTERS, ("rec-\nords", "enti-\nties", "quaran-\ntined", "dupli-\ncates", "deliv-\nered"), strict=True)
)
_WIDE = 100
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the adapters' state. [default: var]")]


@app.command("list")
def list_providers(
    data: DataFolder = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the providers, with what became of their records so far."""
    from adapters.registry import provider_folders
    from adapters.settings import AdapterSettings

    settings = AdapterSettings()
    status, findings = _known_streams(data or settings.data)
    rows = [_provider_row(name, folder, status, findings) for name, folder in provider_folders(settings).items()]
    if as_json:
        write(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("provider", no_wrap=True)
    for name in _COUNTERS:
        table.add_column(name if console().width >= _WIDE else _BROKEN[name], justify="right", overflow="fold")
    table.add_column("last run, UTC", no_wrap=True)
    for row in rows:
        table.add_row(row["provider"], *(str(row[name]) for name in _COUNTERS), _minute(row["last_run"]))
    console().print(table)
    for row in rows:
        if row["waiting"]:
            _print(f"{row['provider']}: {row['waiting']} bytes wait for the API")
        if row["last_error"]:
            _print(f"{row['provider']}: last error {row['last_error_at'] or ''}: {row['last_error']}")


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Providers. [default: all]")] = None,
) -> None:
    """Check manifests, mappings and samples: each sample must become exactly what its expectation says."""
    from adapters.registry import provider_folders
    from adapters.samples import check_provider
    from adapters.settings import AdapterSettings

    folders = provider_folders(AdapterSettings())
    unknown = [name for name in names or [] if name not in folders]
    if unknown:
        raise Refused(f"there is no provider {', '.join(unknown)}", f"There are {', '.join(folders)}.")
    failed = 0
    for name in names or folders:
        problems = check_provider(folders[name])
        failed += bool(problems)
        _print(f"{name}: {'ok' if not problems else _counted(len(problems), 'problem')}")
        for problem in problems:
            _print(f"  {problem}")
    if failed:
        raise Rejected(f"{failed} of {len(names or folders)} providers have problems")


@app.command("try")
def try_provider(
    name: Annotated[str, typer.Argument(help="The provider.")],
    file: Annotated[Path, typer.Argument(help="A file in the source's shape.", exists=True, dir_okay=False)],
    limit: Annotated[int, typer.Option(min=1, help="How many records to show.")] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what every record becomes, as an expectation file has it.")
    ] = False,
) -> None:
    """Show what a provider makes of a file: record, entities and errors side by side. Nothing is kept or sent."""
    from adapters.registry import find_provider
    from adapters.samples import try_file
    from adapters.settings import AdapterSettings

    trials = try_file(find_provider(name, AdapterSettings()), file)
    if as_json:
        write(json.dumps([trial.outcome() for trial in trials], indent=2, ensure_ascii=False))
        return
    records = failures = 0
    for trial in islice(trials, limit):
        records += 1
        failures += trial.error is not None
        _show_trial(trial)
    _print(f"{_counted(records, 'record')} shown, {failures} with errors")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the new provider: small letters, digits and hyphens.")],
    sample: Annotated[Path, typer.Argument(help="A file in the source's shape.", exists=True, dir_okay=False)],
    entity_type: Annotated[str, typer.Option("--type", help="CIM type of a record.")] = "ChargingSession",
    folder: Annotated[Path, typer.Option(help="Folder of your providers.")] = Path("providers"),
) -> None:
    """Start a provider from a sample: a manifest, a mapping with the columns that are recognised, and the sample."""
    from adapters.skeleton import start_provider

    started = start_provider(name, sample, entity_type, folder)
    _print(f"{started.folder}: {started.records} records looked at")
    for field, attribute in started.recognised.items():
        _print(f"  {field} -> {attribute}")
    if started.left:
        _print(f"  not recognised: {', '.join(started.left)}")
    if not started.sample_kept:
        _print(f"  the file is too large for a sample: put a few of its records into {started.folder}/samples")
    messages().print(
        f"Next: complete {started.folder}/manifest.yaml and mapping.yaml, then\n"
        f"VOLTWEAVE_PROVIDERS={folder} {program()} adapters try {name} {sample}",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def rejects(
    stream: Annotated[str, typer.Argument(help="The stream, as its manifest names it.")],
    data: DataFolder = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20,
) -> None:
    """Print the records that the counters call quarantined, one JSON object a line: where each stood, and why.

    `refusal` says why the server's quarantine did not take one; `voltweave quarantine` mends and replays the others.
    """
    from adapters.settings import AdapterSettings
    from adapters.state import STATE_NAME, AdapterState

    folder = data or AdapterSettings().data
    if not (folder / STATE_NAME).is_file():
        raise Refused(f"no adapter has run with the data folder {folder}", "Give --data.")
    state = AdapterState(folder)
    try:
        known = [status.stream for status in state.streams()]
        if stream not in known:
            raise Refused(f"nothing was read from a stream {stream}", f"There are {', '.join(known)}.")
        found = state.set_aside(stream, limit)
    finally:
        state.close()
    for reject in found:
        fields = {name: getattr(reject, name) for name in reject.__slots__}
        write(json.dumps(fields, ensure_ascii=False))
    if not found:
        tell(f"no record of {stream} was set aside")


Findings = dict[str, dict[str, dict[str, int]]]
"""stream -> severity -> rule -> how many entities broke it"""


def _known_streams(folder: Path) -> tuple[dict[str, StreamStatus], Findings]:
    from adapters.state import STATE_NAME, AdapterState

    if not (folder / STATE_NAME).is_file():
        return {}, {}
    findings: Findings = {}
    state = AdapterState(folder)
    try:
        status = {found.stream: found for found in state.streams()}
        for stream in status:
            for (rule, severity), entities in sorted(state.findings(stream).items()):
                findings.setdefault(stream, {}).setdefault(severity, {})[rule] = entities
    finally:
        state.close()
    return status, findings


def _provider_row(name: str, folder: Path, status: dict[str, StreamStatus], findings: Findings) -> dict[str, Any]:
    from adapters.errors import AdapterError
    from adapters.manifest import load_manifest

    try:
        manifest = load_manifest(folder)
    except AdapterError as error:
        manifest, fault = None, str(error)
    found = status.get(manifest.stream) if manifest else None
    counts = found.counts if found else None
    return {
        "provider": name,
        "title": manifest.title if manifest else "",
        "protocol": manifest.protocol if manifest else "",
        "stream": manifest.stream if manifest else "",
        "licence": manifest.licence.id if manifest else "",
        "records": counts.records if counts else 0,
        "entities": counts.entities if counts else 0,
        "updates": counts.updates if counts else 0,
        "quarantined": counts.quarantined if counts else 0,
        "duplicates": counts.duplicates if counts else 0,
        "delivered": found.delivered if found else 0,
        "findings": findings.get(manifest.stream, {}) if manifest else {},
        "retried": found.retried if found else 0,
        "waiting": found.waiting if found else 0,
        "last_run": found.last_run if found else None,
        "last_error": (found.last_error if found else None) if manifest else fault,
        "last_error_at": (found.last_error_at if found else None) if manifest else None,
    }


def _show_trial(trial: Trial) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(f"record {trial.number}", "error" if trial.error else "entities", expand=True, show_lines=False)
    record = trial.record if isinstance(trial.record, str) else json.dumps(trial.record, indent=1, ensure_ascii=False)
    if trial.error is None:
        outcome = Text("\n".join(json.dumps(entity, indent=1, ensure_ascii=False) for entity in trial.entities))
    else:
        outcome = Text(
            f"{trial.error}\nfield: {trial.error.field or '-'}\nrule: {trial.error.rule or '-'}", style="red"
        )
    table.add_row(Text(record), outcome)
    console().print(table)


def _minute(time: str | None) -> str:
    return time[:16].replace("T", " ") if time else "never"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print(line: str) -> None:
    console().print(line, markup=False, soft_wrap=True)
