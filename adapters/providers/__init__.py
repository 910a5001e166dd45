"""The providers that Voltweave knows: one folder of data each, no Python.

A folder holds `manifest.yaml` (what it is, where it is read, under which terms), `mapping.yaml` (how records become
entities) and `samples/`: small inputs in the source's shape, written for this project, each NAME.EXT with
NAME.expected.json beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapters.errors import ManifestError, SettingError
from adapters.manifest import load_manifest
from adapters.mapping import parse_mapping
from adapters.mapping.vocabulary import cim
from adapters.provider import Provider

FOLDER = Path(__file__).parent
_MAX_MAPPING_BYTES = 1024 * 1024


def provider_names() -> list[str]:
    """Return the names of the providers that come with Voltweave, in order."""
    return sorted(path.parent.name for path in FOLDER.glob("*/manifest.yaml"))


def load_provider(provider: str | Path, environment: Mapping[str, str] | None = None) -> Provider:
    """Return a provider, by its name or by its folder, with its mapping compiled.

    `environment` holds the secret for pseudonyms; by default it is the environment of the process.
    Raises SettingError where there is none and ManifestError, which names file and member, where it is wrong.
    """
    if isinstance(provider, str) and provider not in provider_names():
        raise SettingError(f"there is no provider {provider!r}; there are {', '.join(provider_names())}")
    folder = FOLDER / provider
    manifest = load_manifest(folder)
    path = folder / manifest.mapping
    if not path.is_file():
        raise ManifestError(f"{folder}: mapping: there is no file {manifest.mapping}")
    if path.stat().st_size > _MAX_MAPPING_BYTES:
        raise ManifestError(f"{path}: larger than {_MAX_MAPPING_BYTES} bytes")
    mapping = parse_mapping(path.read_text(encoding="utf-8"), str(path), cim(), environment)
    if set(manifest.entities) != set(mapping.types) or manifest.entities[0] != mapping.types[0]:
        made = ", ".join(mapping.types)
        raise ManifestError(
            f"{folder}: entities: the manifest says {', '.join(manifest.entities)}, the mapping makes {made}"
        )
    return Provider(folder, manifest, mapping)
