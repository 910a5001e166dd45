"""The repository's own files, as the tests of its shape see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Give the top folder of the checkout."""
    return Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def files(checkout: Path) -> list[Path]:
    """List the files of the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=checkout, capture_output=True, check=True, text=True).stdout.split("\0")
    return [checkout / name for name in sorted(set(names)) if name and (checkout / name).is_file()]


@pytest.fixture(scope="session")
def sources(files: list[Path]) -> list[Path]:
    """List the Python sources of the repository."""
    return [path for path in files if path.suffix == ".py"]


@pytest.fixture(scope="session")
def packages(checkout: Path) -> list[str]:
    """List our import packages."""
    names = ["ontology", "ngsild", "shapes", "context_api", "adapters", "simulator", "voltweave", "benchmarks"]
    return [name for name in names if (checkout / name).is_dir()]
