"""`voltweave settings`: every setting, with its value in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.output import console, write

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

#: The modules that define settings.
MODULES = ("context_api.settings", "adapters.settings", "voltweave.settings")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting and its value in force."""

    name: str
    """Its environment variable."""
    concern: str
    default: str
    current: str
    description: str


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List every setting: its variable, default, value in force and meaning; passwords and secrets are masked."""
    found = list(all_settings())
    if as_json:
        write(json.dumps([asdict(setting) for setting in found], indent=2, ensure_ascii=False))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("variable", no_wrap=True)
    for title in ("default", "in force", "meaning"):
        table.add_column(title, overflow="fold")
    for setting in found:
        changed = setting.current != setting.default
        table.add_row(
            setting.name,
            Text(setting.default),
            Text(setting.current, style="bold") if changed else "",
            Text(setting.description),
        )
    console().print(table)


def all_settings() -> Iterator[Setting]:
    """Yield the settings of every class in the order of the source."""
    for settings_class in settings_classes():
        prefix = str(settings_class.model_config.get("env_prefix", ""))
        current, wrong = _in_force(settings_class)
        for name, field in settings_class.model_fields.items():
            value = getattr(current, name)
            yield Setting(
                name=(prefix + name).upper(),
                concern=settings_class.__name__.removesuffix("Settings"),
                default=_text(field.get_default(call_default_factory=False)),
                current="(not valid)" if name in wrong else _text(value),
                description=field.description or "",
            )


def _in_force(settings_class: type[BaseSettings]) -> tuple[BaseSettings, set[str]]:
    """Return the settings, and the names of those whose value is not valid: then the others are the defaults."""
    from pydantic import ValidationError

    try:
        return settings_class(), set()
    except ValidationError as error:
        return settings_class.model_construct(), {str(detail["loc"][0]).lower() for detail in error.errors()}


def settings_classes() -> Iterator[type[BaseSettings]]:
    """Yield the settings classes of every package."""
    from importlib import import_module
    from inspect import isclass

    from pydantic_settings import BaseSettings

    for name in MODULES:
        module = import_module(name)
        for value in vars(module).values():
            own = isclass(value) and issubclass(value, BaseSettings) and value.__module__ == name
            if own and not value.__name__.startswith("_"):
                yield value


def _text(value: object) -> str:
    from pydantic import SecretBytes, SecretStr

    from context_api.storage.url import redacted

    if isinstance(value, SecretStr | SecretBytes):
        return "(set)" if value.get_secret_value() else "(not set)"
    return "" if value is None else redacted(str(value))
