"""The set-up is pinned, names no host, and works from any folder; test runs never skip in silence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PIN = re.compile(r"([A-Za-z0-9._-]+)==\S+(?: ; .+)?")


def normal(name: str) -> str:
    """Give a distribution's name in its normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_pins_every_dependency_and_names_no_host(checkout: Path) -> None:
    lines = (checkout / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [match.group(1) for line in lines if (match := PIN.fullmatch(line))]
    assert [line for line in lines if not PIN.fullmatch(line) and not re.match(r"\s*#", line)] == []
    assert not [line for line in lines if "://" in line or "--" in line.replace("make lock", "")]

    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"]]
    for group in (*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()):
        wanted += [entry for entry in group if isinstance(entry, str)]
    names = {normal(re.split(r"[\s<>=!~;\[]", entry)[0]) for entry in wanted}
    assert names <= {normal(pin) for pin in pins}, "run: make lock"


def test_packages_are_imported_from_the_checkout_in_any_folder(
    packages: list[str], checkout: Path, tmp_path: Path
) -> None:
    code = f"import importlib\nfor n in {packages!r}: print(importlib.import_module(n).__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(checkout / name / "__init__.py") for name in packages]


def pytest_in(folder: Path, checkout: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a test module of its own under the shared fixtures."""
    (folder / "tests").mkdir()
    for shared in ("conftest.py", "postgres.py", "keycloak.py"):
        shutil.copy(checkout / "tests" / shared, folder / "tests")
    shutil.copy(checkout / "pyproject.toml", folder)
    (folder / "tests" / "test_probe.py").write_text("import pytest\n" + test, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_XDIST_WORKER")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


SERVER_TEST = "@pytest.mark.requires_server('no-such-server')\ndef test_it(): pass\n"
DATA_TEST = "def test_it(shared_data): pass\n"


@pytest.mark.parametrize("test", [SERVER_TEST, DATA_TEST])
def test_a_skip_is_said_loudly(test: str, checkout: Path, tmp_path: Path) -> None:
    done = pytest_in(tmp_path, checkout, test, VOLTWEAVE_SHARED_DATA=str(tmp_path / "nowhere"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 TESTS DID NOT RUN" in done.stdout


@pytest.mark.parametrize(
    "test", [SERVER_TEST, "def test_it(): pytest.skip('not today')\n", "pytest.importorskip('no_such_module')\n"]
)
def test_a_skip_fails_in_ci(test: str, checkout: Path, tmp_path: Path) -> None:
    done = pytest_in(tmp_path, checkout, test, CI="true")
    assert done.returncode != 0
    assert "CI=true allows no skip" in done.stdout


def test_only_absent_real_inputs_may_skip_in_ci(checkout: Path, tmp_path: Path) -> None:
    done = pytest_in(tmp_path, checkout, DATA_TEST, CI="true", VOLTWEAVE_SHARED_DATA=str(tmp_path / "nowhere"))
    assert done.returncode == 0, done.stdout
    assert "the real inputs are absent" in done.stdout


def test_an_unknown_marker_and_a_warning_fail(checkout: Path, tmp_path: Path) -> None:
    test = "import warnings\ndef test_it(): warnings.warn('careless')\n@pytest.mark.misspelt\ndef test_two(): pass\n"
    done = pytest_in(tmp_path, checkout, test)
    assert done.returncode != 0
    assert "misspelt" in done.stdout
