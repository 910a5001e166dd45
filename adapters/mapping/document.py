"""The reference pages of the providers and of the mapping language, made from the manifests and the schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from adapters.manifest import Licence, Manifest
from adapters.mapping.compiler import mapping_schema
from adapters.mapping.vocabulary import cim
from adapters.providers import load_provider, provider_names

REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference"

_HEAD: Final = """# Providers

The sources that Voltweave reads without further work. Each is a folder in `adapters/providers/`: manifest, mapping and
samples. `voltweave adapters list` shows them with their counters; [Write a provider](../how-to/write-a-provider.md)
says how to add one. This page is made from the manifests.
"""


_MAPPING_HEAD: Final = """# The mapping language

How a provider's `mapping.yaml` says what its records become; [Write a provider](../how-to/write-a-provider.md)
introduces it. This page is made from `adapters/mapping/mapping.schema.json`.

A **reference** names a value of the record:

| reference | means |
|---|---|
| `Name` | the member of that name; spaces, dots and brackets mean nothing |
| `/a/b/0` | a JSON Pointer into the record |
| `$name`, `$name/a` | a value of `let`, the item of a loop or its number; with a JSON Pointer below it |
| `$meta/received` | when the record was read; likewise `stream`, `unit` (file or URL) and `number` (place in it) |

An **expression** is a reference, a number, a boolean, a list (an expression and the steps that it goes through) or one
of the forms below. It is absent where the record has nothing for it, and then there is no attribute.

Schemes for `lookup` are those of the mapping and those of the model, which are named `SCHEME/SYSTEM`:
"""


def providers_page() -> str:
    """Return the page: a table of all providers, then what there is to know of each."""
    manifests = [load_provider(name, {}).manifest for name in provider_names()]
    lines = [_HEAD, "| provider | what | protocol | entities | licence |", "|---|---|---|---|---|"]
    for manifest in manifests:
        entities = ", ".join(manifest.entities)
        cells = [f"[{manifest.id}](#{manifest.id})", manifest.title, _protocol(manifest), entities, manifest.licence.id]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    for manifest in manifests:
        lines += ["", *_section(manifest)]
    return "\n".join(lines) + "\n"


def mapping_page() -> str:
    """Return the page: every member, form, step and condition of the mapping language."""
    schema = mapping_schema()
    parts = schema["$defs"]
    plain, with_arguments = parts["step"]["oneOf"]
    steps = {f"{{{name}: ...}}": _text(member) for name, member in with_arguments["properties"].items()}
    steps |= {step["const"]: step["description"] for step in plain["oneOf"]}
    forms = {
        f"{{{', '.join(f'{name}: ...' for name in form['properties'])}}}": _text(form)
        for form in parts["expression"]["oneOf"]
        if "required" in form
    }
    conditions = {f"{{{name}: ...}}": _text(member) for name, member in parts["condition"]["properties"].items()}
    lines = [
        _MAPPING_HEAD + ", ".join(f"`{name}`" for name in sorted(cim().schemes)) + ".",
        *_table("Mapping", _members(schema)),
        *_table("Entity", _members(parts["entity"])),
        *_table("Loop", _members(parts["loop"])),
        *_table("Attribute with metadata", _members(parts["attribute"]["oneOf"][0])),
        *_table("Expression", forms),
        *_table("Step", dict(sorted(steps.items(), key=lambda item: item[0].strip("{")))),
        *_table("Condition", conditions),
    ]
    return "\n".join(lines) + "\n"


def _members(schema: dict[str, Any]) -> dict[str, str]:
    required = set(schema.get("required", ()))
    return {n: ("Required. " if n in required else "") + _text(member) for n, member in schema["properties"].items()}


def _text(member: dict[str, Any]) -> str:
    return str(member.get("description", ""))


def _table(title: str, rows: dict[str, str]) -> list[str]:
    lines = ["", f"## {title}", "", f"| {title.split()[0].lower()} | meaning |", "|---|---|"]
    return lines + [f"| `{name}` | {_cell(text)} |" for name, text in rows.items()]


def _section(manifest: Manifest) -> list[str]:
    key = manifest.natural_key
    then = "is refused" if key.changed == "reject" else "is a newer state"
    ignored = f"; not content: {', '.join(f'`{name}`' for name in key.ignore)}" if key.ignore else ""
    lines = [
        f"## {manifest.id}",
        "",
        f"{manifest.title}. Version {manifest.version}, stream `{manifest.stream}`.",
        "",
        f"- **Source**: {_source(manifest)}",
        f"- **Natural key**: {', '.join(f'`{name}`' for name in key.fields)}{ignored}. "
        f"The same key with other content {then}.",
        f"- **Attribution**: {_link(manifest.attribution.name, manifest.attribution.url)}",
        f"- **Licence**: {_licence(manifest.licence)}",
        f"- **Personal data**: {' '.join(manifest.personal_data.split())}",
    ]
    if manifest.schedule:
        lines.append(f"- **Read again** every {int(manifest.schedule.every.total_seconds())} s")
    if manifest.secrets:
        lines.append(f"- **Secrets**: {'; '.join(f'`{s.environment}`: {s.description}' for s in manifest.secrets)}")
    if manifest.quality:
        lines += [
            "- **What is known about the data**:",
            "",
            *(f"    - {' '.join(q.split())}" for q in manifest.quality),
        ]
    return lines


def _protocol(manifest: Manifest) -> str:
    source = manifest.source
    return f"file ({source.format})" if source.protocol == "file" else "paged REST pull"


def _source(manifest: Manifest) -> str:
    source = manifest.source
    if source.protocol == "rest":
        return "paged REST pull of " + " → ".join(f"`{step.path}`" for step in source.steps)
    where = f"; comes in the Python package `{source.package}`" if source.package else ""
    return f"{source.format.upper()} file{where}"


def _licence(licence: Licence) -> str:
    return _link(licence.id, licence.url) + (f". {licence.note}" if licence.note else "")


def _link(text: str, url: str | None) -> str:
    return f"[{text}]({url})" if url else text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


#: The pages by the name of their file.
PAGES: Final[dict[str, Callable[[], str]]] = {"providers.md": providers_page, "mapping.md": mapping_page}


def main() -> None:
    """Write the pages."""
    for name, render in PAGES.items():
        (REFERENCE / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
