"""`voltweave quarantine`: look at records that adapters set aside, mend them, replay them, purge them."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from voltweave.output import Output, console, tell, write
from voltweave.problems import ExitCode, Refused
from voltweave.server import ServerUrl, Tenant, ask, base_url

if TYPE_CHECKING:
    from adapters.runner import Progress

app = typer.Typer(
    help="Look at records that adapters set aside, mend, replay and purge them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_PATH = "/quarantine"
_PAGE = 1000
_SECONDS_A_DAY = 86_400
#: The index of an array in a JSON Pointer (RFC 6901 clause 4).
_INDEX = re.compile("0|[1-9][0-9]{0,8}")


class State(StrEnum):
    """Where a record stands."""

    open = "open"
    mended = "mended"
    requested = "replayRequested"
    replayed = "replayed"


RecordId = Annotated[str, typer.Argument(metavar="ID", help="The record's id.")]
Stream = Annotated[str | None, typer.Option(help="Only records of this stream.")]
OfState = Annotated[State | None, typer.Option(help="Only records in this state.")]
OfRule = Annotated[str | None, typer.Option(help="Only records for which this is the gravest rule.")]
AsOutput = Annotated[Output, typer.Option("--output", "-o", help="How records are shown.")]


@app.command("list")
def list_records(
    stream: Stream = None,
    state: OfState = None,
    rule: OfRule = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE, help="Records to show, the latest first.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Records to leave out.")] = 0,
    output: AsOutput = Output.text,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """List records in quarantine: where each comes from, and why it is there."""
    query = _given(stream=stream, state=state, rule=rule) | {"limit": limit, "offset": offset, "count": "true"}
    response = ask(server, "GET", _PATH, tenant=tenant, query=query)
    found, total = response.json(), response.headers["NGSILD-Results-Count"]
    if output is Output.json:
        write(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for each in found:
            _show_summary(each)
    tell("1 record" if total == "1" else f"{total} records")


@app.command()
def show(record_id: RecordId, output: AsOutput = Output.text, server: ServerUrl = None, tenant: Tenant = None) -> None:
    """Show all that is kept of a record: as the source has it, what was made of it, and what is wrong."""
    found = ask(server, "GET", _path(record_id), tenant=tenant).json()
    if output is Output.json:
        write(json.dumps(found, ensure_ascii=False, indent=2))
        return
    _show_summary(found)
    for name in ("record", "raw", "mended"):
        if found.get(name) is not None:
            value = found[name]
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
            write(f"{name}: {shown}")
    for result in found["report"]:
        about = [result.get(name) for name in ("severity", "entity", "attribute", "message", "explanation")]
        write("  " + ": ".join(str(part) for part in about if part))
    for entity in found["entities"]:
        write(f"made: {entity.get('type')} {entity.get('id')}")


@app.command()
def mend(
    record_id: RecordId,
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE|-]", help="The record as it should be, as JSON; - is standard input.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="/POINTER=VALUE", help="Change one member; the value is JSON, or else text."),
    ] = None,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """Say how a record should be: all of it from a file, or single members with --set. The original is kept too."""
    if (source is None) is not bool(changes):
        raise Refused("the record as it should be is needed", "Give a file, -, or --set /POINTER=VALUE")
    if source is not None:
        record = _read(source)
    else:
        found = ask(server, "GET", _path(record_id), tenant=tenant).json()
        record = found.get("mended") or found["record"]
        if record is None:
            raise Refused("there is no record to change: it could not be read", "Give the whole record in a file or -")
        for change in changes or []:
            _change(record, change)
    _check_json(record)
    ask(server, "PATCH", _path(record_id), tenant=tenant, body={"record": record})
    tell("mended; the next replay tries it")


@app.command()
def replay(
    record_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Records.")] = None,
    stream: Annotated[str | None, typer.Option(help="All records of this stream that were not replayed.")] = None,
    state: OfState = None,
    rule: OfRule = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the adapters' state. [default: var]")] = None,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """Try records again, as they were mended: map them, judge them, deliver them.

    Where an adapter of the stream is running, it does so at its next round. It ends with 1 where a record stays in
    quarantine.
    """
    if (stream is None) is not bool(record_ids):
        raise Refused("which records?", "Name their ids, or give --stream")
    if stream is not None:
        query = _given(stream=stream, state=state, rule=rule)
        ask(server, "POST", f"{_PATH}/replay", tenant=tenant, query=query)
        waiting = {"stream": stream, "state": State.requested, "limit": _PAGE}
        asked = ask(server, "GET", _PATH, tenant=tenant, query=waiting).json()
    else:
        asked = [_request(record_id, server, tenant) for record_id in record_ids or []]
    providers = {each["stream"]: each["provider"] for each in asked}
    if not providers:
        tell("no record is to be replayed")
    failed = sum(_replay(name, provider, data, server, tenant) for name, provider in sorted(providers.items()))
    if failed:
        raise typer.Exit(ExitCode.REJECTED)


@app.command()
def purge(
    record_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Records.")] = None,
    stream: Stream = None,
    state: OfState = None,
    rule: OfRule = None,
    older_than: Annotated[int | None, typer.Option(metavar="DAYS", min=0, help="Received so many days ago.")] = None,
    server: ServerUrl = None,
    tenant: Tenant = None,
) -> None:
    """Delete records for good: those that are named, or those that a filter finds."""
    query = _given(stream=stream, state=state, rule=rule, olderThan=_days_ago(older_than))
    if bool(query) is bool(record_ids):
        raise Refused("which records?", "Name their ids, or give --stream, --state, --rule or --older-than")
    for record_id in record_ids or []:
        ask(server, "DELETE", _path(record_id), tenant=tenant)
    count = len(record_ids or [])
    if query:
        count = ask(server, "DELETE", _PATH, tenant=tenant, query=query).json()["records"]
    tell("1 record deleted" if count == 1 else f"{count} records deleted")


def _path(record_id: str) -> str:
    return f"{_PATH}/{quote(record_id, safe='')}"


def _given(**values: str | None) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _request(record_id: str, server: str | None, tenant: str | None) -> Any:
    """Ask for the replay of a record and return what is known of it."""
    ask(server, "POST", f"{_path(record_id)}/replay", tenant=tenant)
    return ask(server, "GET", _path(record_id), tenant=tenant).json()


def _show_summary(found: dict[str, Any]) -> None:
    place = f"{found['stream']} {found['unit']} record {found['number']}"
    rule = f" [{found['rule']}]" if found["rule"] else ""
    console().print(f"{found['id']}  {found['state']}  {place}", markup=False, soft_wrap=True)
    console().print(f"    {found['stage']}: {found['reason']}{rule}", markup=False, soft_wrap=True)


def _read(source: str) -> dict[str, Any]:
    from voltweave.entities import load

    try:
        record = json.loads(load(source))
    except ValueError as error:
        raise Refused(f"{source}: no JSON: {error}") from error
    if not isinstance(record, dict):
        raise Refused(f"{source}: a record is a JSON object")
    return record


def _change(record: dict[str, Any], change: str) -> None:
    """Set the member that a JSON Pointer names."""
    pointer, equals, text = change.partition("=")
    if not pointer.startswith("/") or not equals:
        raise Refused(f"--set {change}: not /POINTER=VALUE", "For example --set /energy=7.5")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    target: Any = record
    try:
        for parent in parents:
            target = target[_member(target, parent)]
        target[_member(target, last)] = value
    except (LookupError, TypeError):
        raise Refused(f"--set {pointer}: the record has no such place") from None


def _member(target: Any, name: str) -> str | int:
    """Return what a part of a JSON Pointer names in an object or array; raise LookupError for what is no index."""
    if not isinstance(target, list):
        return name
    if not _INDEX.fullmatch(name):
        raise LookupError(name)
    return int(name)


def _check_json(record: dict[str, Any]) -> None:
    """Refuse numbers that only Python reads as JSON, and half characters."""
    try:
        json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise Refused(f"the record is no JSON: {error}", "Write a text in quotes: --set '/energy=\"NaN\"'") from error


def _days_ago(days: int | None) -> str | None:
    import time

    from ngsild.names import format_date_time

    if days is None:
        return None
    try:
        return format_date_time(int((time.time() - days * _SECONDS_A_DAY) * 1e6))
    except OverflowError:
        raise Refused(f"--older-than {days}: there is no date so many days ago") from None


def _replay(stream: str, provider: str, data: Path | None, server: str | None, tenant: str | None) -> int:
    """Replay what was asked for of a stream, unless a running adapter does; return how many stay in quarantine."""
    from adapters.errors import AdapterError, SettingError, StreamBusyError, TransientError
    from voltweave.problems import Rejected, Unreachable

    try:
        progress = _run(provider, data, server, tenant)
    except StreamBusyError:
        tell(f"{stream}: its running adapter tries them at its next round")
        return 0
    except SettingError as error:
        raise Refused(str(error)) from error
    except TransientError as error:
        raise Unreachable(str(error), "Nothing is lost: run the same command again.") from error
    except AdapterError as error:
        raise Rejected(str(error)) from error
    again = f", {progress.replays_failed} stay in quarantine" if progress.replays_failed else ""
    console().print(f"{stream}: {progress.replayed} replayed{again}", markup=False, soft_wrap=True)
    return progress.replays_failed


def _run(provider: str, data: Path | None, server: str | None, tenant: str | None) -> Progress:
    import asyncio

    from adapters.credentials import credentials
    from adapters.registry import find_provider
    from adapters.runner import replay_provider
    from adapters.settings import AdapterSettings
    from adapters.sink import HttpSink

    settings = AdapterSettings()
    chosen = find_provider(provider, settings)

    async def run() -> Progress:
        sink = HttpSink(base_url(server), timeout=settings.delivery_timeout, auth=credentials())
        try:
            return await replay_provider(
                chosen, sink, data or settings.data, asyncio.Event(), tenant=tenant, settings=settings
            )
        finally:
            await sink.aclose()

    return asyncio.run(run())
