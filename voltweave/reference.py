"""The reference page of the command line, docs/reference/cli.md, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from voltweave.cli import app
from voltweave.problems import MEANINGS

_INTRODUCTION = """# Command line

This page is made from the commands. Results go to standard output, messages and progress to standard error.
`voltweave --install-completion` sets up completion for your shell; settings are on the page [Settings](settings.md).
"""


def cli_page() -> str:
    """Render every command with its arguments and options, then the table of exit codes."""
    parts = [_INTRODUCTION]
    for path, command in _commands(get_command(app), ""):
        parts.append(_section(path, command))
    rows = [f"| {code.value} | {code.name.lower()} | {meaning} |" for code, meaning in MEANINGS.items()]
    parts.append("\n".join(["## Exit codes", "", "| code | name | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _commands(command: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, by its path, in the order of registration."""
    path = f"{prefix} {command.name}".strip()
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name in subcommands:
        yield from _commands(subcommands[name], path)


def _section(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([path, *(_argument_name(a) for a in arguments)])
    text = " ".join((command.help or "").split("\f")[0].split())
    lines = [f"## `{usage}`", "", text, ""]
    rows = [(f"`{_argument_name(a)}`", a.help or "") for a in arguments]
    rows += [(_option_names(o), _option_help(o)) for o in options]
    if rows:
        lines += [
            "| | |",
            "|---|---|",
            *(f"| {name} | {meaning.replace('|', chr(92) + '|')} |" for name, meaning in rows),
            "",
        ]
    return "\n".join(lines)


def _argument_name(argument: Any) -> str:
    name = str(argument.metavar or argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _option_names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _option_help(option: Any) -> str:
    text = option.help or ""
    if option.is_flag or option.default in (None, "") or "[default:" in text:
        return text
    default = getattr(option.default, "value", option.default)
    return f"{text} [default: {default}]"
