"""Which providers there are, by name: those of Voltweave and those in the folders of VOLTWEAVE_PROVIDERS."""

from __future__ import annotations

import os
from pathlib import Path

from adapters.errors import SettingError
from adapters.manifest import MANIFEST_NAME
from adapters.provider import Provider
from adapters.providers import FOLDER, load_provider
from adapters.settings import AdapterSettings


def provider_folders(settings: AdapterSettings) -> dict[str, Path]:
    """Return the folder of each provider by its name; a folder named earlier in VOLTWEAVE_PROVIDERS wins."""
    found: dict[str, Path] = {}
    for parent in (FOLDER, *reversed(_own_folders(settings))):
        found |= {path.parent.name: path.parent for path in parent.glob(f"*/{MANIFEST_NAME}")}
    return dict(sorted(found.items()))


def find_provider(name: str, settings: AdapterSettings) -> Provider:
    """Return a provider by its name; SettingError lists the names where there is none."""
    folders = provider_folders(settings)
    if name not in folders:
        raise SettingError(
            f"there is no provider {name!r}; there are {', '.join(folders) or 'none'}. "
            "Folders of your own are named in VOLTWEAVE_PROVIDERS"
        )
    return load_provider(folders[name].absolute())


def _own_folders(settings: AdapterSettings) -> list[Path]:
    folders = [Path(text) for text in settings.providers.split(os.pathsep) if text]
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f"VOLTWEAVE_PROVIDERS: {folder} is no folder")
    return folders
