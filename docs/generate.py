"""Write the reference pages that are made from the code; `make docs` calls it, and a test fails on drift."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from adapters.mapping.document import mapping_page, providers_page
from context_api.app import operations
from context_api.reference import reference_markdown
from shapes.reference import rules_page
from voltweave.reference import cli_page

DOCS = Path(__file__).resolve().parent
CHECKOUT = DOCS.parent


def settings_classes() -> Iterator[type[BaseSettings]]:
    """Yield the classes of every package's settings.py in the order of the source."""
    for path in sorted(CHECKOUT.glob("*/settings.py")):
        module = importlib.import_module(f"{path.parent.name}.settings")
        for value in vars(module).values():
            if (
                inspect.isclass(value)
                and issubclass(value, BaseSettings)
                and value.__module__ == module.__name__
                and not value.__name__.startswith("_")
            ):
                yield value


def _type_name(field: FieldInfo) -> str:
    kinds = get_args(field.annotation) or (field.annotation,)
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: "secret"}
    return " or ".join(
        names.get(kind, getattr(kind, "__name__", str(kind))) for kind in kinds if kind is not type(None)
    )


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default is PydanticUndefined:
        return "computed" if field.default_factory is not None else "required"
    return "none" if field.default in (None, "", (), []) else f"`{field.default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def settings_page() -> str:
    """Render the reference of the settings: one table a class, one row a variable."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. `voltweave settings` shows the value in force. "
        "This page is made from the settings classes.",
    ]
    for settings in settings_classes():
        prefix = settings.model_config.get("env_prefix", "")
        purpose = _cell(inspect.getdoc(settings) or "")
        lines += ["", f"## {settings.__name__.removesuffix('Settings')}", "", purpose, ""]
        lines += ["| variable | kind | default | meaning |", "|---|---|---|---|"]
        for name, field in settings.model_fields.items():
            cells = [f"`{(prefix + name).upper()}`", _type_name(field), _default(field), _cell(field.description or "")]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings_page,
    "reference/providers.md": providers_page,
    "reference/mapping.md": mapping_page,
    "reference/cli.md": cli_page,
    "reference/rules.md": rules_page,
    "reference/api.md": lambda: reference_markdown(operations()),
}


def main() -> None:
    """Write every generated page."""
    for name, render in PAGES.items():
        (DOCS / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
