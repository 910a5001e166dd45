"""The generated pages are those that the code gives now, and no variable goes undocumented."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

VARIABLE = re.compile(r"\bVOLTWEAVE_[A-Z0-9_]*[A-Z0-9]\b")


@pytest.fixture(scope="module")
def generate(checkout: Path) -> ModuleType:
    """Import docs/generate.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("generate", checkout / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_have_not_drifted(generate: ModuleType, checkout: Path) -> None:
    pages: dict[str, Callable[[], str]] = generate.PAGES
    for name, render in pages.items():
        page = checkout / "docs" / name
        assert page.read_text(encoding="utf-8") == render(), f"docs/{name}: run make docs"


def test_every_setting_is_described(generate: ModuleType) -> None:
    silent = [
        f"{settings.__name__}.{name}"
        for settings in generate.settings_classes()
        for name, field in settings.model_fields.items()
        if not field.description
    ]
    assert not silent
    assert len(list(generate.settings_classes())) > 3


def test_every_variable_that_code_or_page_names_is_documented(
    generate: ModuleType, files: list[Path], checkout: Path
) -> None:
    pages = [checkout / "CONTRIBUTING.md", *(checkout / "docs" / "reference").glob("*.md")]
    documented = {variable for page in pages for variable in VARIABLE.findall(page.read_text(encoding="utf-8"))}
    documented |= set(VARIABLE.findall(generate.settings_page()))
    named = {
        f"{path.relative_to(checkout)}: {variable}"
        for path in files
        if path.suffix in {".py", ".md", ".yaml", ".toml"} and path.name != Path(__file__).name
        for variable in VARIABLE.findall(path.read_text(encoding="utf-8"))
        if variable not in documented
    }
    assert not named


def test_the_site_builds_without_a_warning(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "tutorial" / "first-steps" / "index.html").is_file()
    assert not list((tmp_path / "site").rglob("*.py"))
