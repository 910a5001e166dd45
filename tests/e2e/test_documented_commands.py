"""Every command of README.md and docs/ is run, page by page, as CONTRIBUTING.md describes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.postgres import postgres

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTED_PORT = "9090"
DOCUMENTED_POSTGRESQL_PORT = "5432"
LONGEST_COMMAND_S = 300
LONGEST_START_S = 90
LONGEST_STOP_S = 30
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of shell commands (`sh`) or statements (`sql`), and its tags (`run`, `cluster`)."""

    language: str
    commands: str
    tags: frozenset[str]


def blocks(markdown: str) -> list[Block]:
    """List the blocks of a page that can be run, in reading order."""
    found = []
    for match in FENCE.finditer(markdown):
        language, *tags = re.findall(r"[a-z]+", match["info"]) or [""]
        if language in ("sh", "sql"):
            found.append(Block(language, match["body"], frozenset(tags)))
    return found


PAGES = [
    page.relative_to(CHECKOUT)
    for page in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
    if any("cluster" not in block.tags for block in blocks(page.read_text(encoding="utf-8")))
]


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the repository's files, beside the set-up that runs this test."""
    folder = tmp_path / "voltweave"
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    (folder / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != ".set-up":
            (folder / ".venv" / entry.name).symlink_to(entry)
    (folder / ".venv" / ".set-up").touch()
    return folder


def run(commands: str, folder: Path, environment: dict[str, str]) -> None:
    """Run one block to its end; it must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the broker on the port says that it is ready."""
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/q/health/ready", timeout=5).close()
            return
        time.sleep(0.2)
    pytest.fail(f"not ready:\n{log.read_text(encoding='utf-8', errors='replace')}")


def group_is_alive(group: int) -> bool:
    """Tell whether any process of the group still runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def started(commands: str, folder: Path, environment: dict[str, str], port: int) -> Iterator[None]:
    """Run a block in the background until the end of the page, then press Ctrl-C."""
    log = folder.parent / "background.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(port, process, log)
        yield
        os.killpg(process.pid, signal.SIGINT)
        process.wait(LONGEST_STOP_S)
        deadline = time.monotonic() + LONGEST_STOP_S
        while group_is_alive(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not group_is_alive(process.pid), "Ctrl-C left processes behind"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.requires_server("curl")
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_of_the_page_succeeds(page: Path, copy: Path, request: pytest.FixtureRequest) -> None:
    port = free_port()
    environment = os.environ | {"VOLTWEAVE_PORT": str(port), "PYTHONPATH": str(copy), "NO_COLOR": "1"}
    text = re.sub(rf"\b{DOCUMENTED_PORT}\b", str(port), (copy / page).read_text(encoding="utf-8"))
    with contextlib.ExitStack() as background:
        if any(block.language == "sql" for block in blocks(text)):
            programs = request.getfixturevalue("postgres_programs")
            server = background.enter_context(postgres(programs))
            text = re.sub(rf"\b{DOCUMENTED_POSTGRESQL_PORT}\b", str(server.port), text)
            psql = f"{programs}/psql --set ON_ERROR_STOP=1 {server.url()}"
        for block in blocks(text):
            if block.language == "sql":
                run(f"{psql} <<'END'\n{block.commands}END", copy, environment)
            elif "run" in block.tags:
                background.enter_context(started(block.commands, copy, environment, port))
            elif "cluster" not in block.tags:
                run(block.commands, copy, environment)


def test_blocks_are_told_apart_by_their_tags() -> None:
    page = "```sh\na\n```\n\n```sh {.run}\nb\n```\n\n```sh cluster\nc\n```\n\n```json\n{}\n```\n\n```\nd\n```\n"
    page += "```sql\ne;\n```\n"
    assert [(block.language, block.commands, set(block.tags)) for block in blocks(page)] == [
        ("sh", "a\n", set()),
        ("sh", "b\n", {"run"}),
        ("sh", "c\n", {"cluster"}),
        ("sql", "e;\n", set()),
    ]


def test_the_readme_is_among_the_pages_and_a_failing_command_is_noticed(tmp_path: Path) -> None:
    assert Path("README.md") in PAGES
    with pytest.raises(AssertionError, match="ended with 1"):
        run("false | true\necho unreachable", tmp_path, dict(os.environ))
