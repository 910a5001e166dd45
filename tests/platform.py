"""A broker and an ingest as processes of their own, which tests start, ask, kill and start again."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

CONTEXT = "https://w3id.org/voltweave/contexts/cim.jsonld"
LINK = f'<{CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
#: Sessions of homes bear pseudonyms only where there is a key.
ENVIRONMENT = {"VOLTWEAVE_PSEUDONYM_KEY": "0" * 64, "NO_COLOR": "1", "COLUMNS": "300"}
PAGE = 1000
_BALANCE = re.compile(r"(\d+) rows = (\d+) entities(?: \+ (\d+) updates)? \+ (\d+) quarantined \+ (\d+) duplicates")
_DELIVERED = re.compile(r"(\d+) entities delivered")


class Broker:
    """`voltweave serve` on a port and a database that outlive the process."""

    def __init__(self, folder: Path, database_url: str | None = None, options: Sequence[str] = ()) -> None:
        """Take a folder for its log, a database in the place of a SQLite file there, and options of the command."""
        self.folder = folder
        self.database = folder / "broker.db"
        self.options = ["--database", database_url or f"sqlite:///{self.database}", *options]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it may take a second until it answers."""
        command = ["serve", "--port", str(self.port), *self.options]
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "voltweave", *command], env=os.environ | ENVIRONMENT, stdout=log, stderr=log
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 60
        while not self.is_ready():
            assert self.process is not None and self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Tell whether it answers and can use its database."""
        try:
            return httpx.get(f"{self.url}/q/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process and wait for its end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None

    def workers(self) -> list[int]:
        """Return the ids of the processes that it started."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text(encoding="utf-8").split()]

    def log(self) -> str:
        """Return what it printed."""
        return (self.folder / "broker.log").read_text(encoding="utf-8")

    def get(self, path: str, **parameters: object) -> httpx.Response:
        """Return the answer to a request that must succeed."""
        answer = httpx.get(
            f"{self.url}/ngsi-ld/v1/{path}",
            params={name: str(value) for name, value in parameters.items()},
            headers={"Link": LINK, "Accept": "application/json"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer

    def count(self, **parameters: object) -> int:
        """Return how many entities match."""
        return int(self.get("entities", count="true", limit=0, **parameters).headers["NGSILD-Results-Count"])

    def all(self, **parameters: object) -> Iterator[dict[str, Any]]:
        """Yield every entity that matches, page by page."""
        for offset in range(0, self.count(**parameters), PAGE):
            yield from self.get("entities", limit=PAGE, offset=offset, **parameters).json()

    def select(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Return rows of the database file, which the process may have open."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as con:
            return con.execute(statement, parameters).fetchall()


@contextmanager
def broker(folder: Path, database_url: str | None = None, options: Sequence[str] = ()) -> Iterator[Broker]:
    """Run a broker, on a new file in a folder unless a database is given."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Broker(folder, database_url, options)
    running.start()
    try:
        running.wait_until_ready()
        yield running
    finally:
        if running.process is not None:
            workers = running.workers()
            running.end(signal.SIGKILL)
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Balance:
    """What `voltweave ingest` says became of a file."""

    rows: int
    entities: int
    updates: int
    quarantined: int
    duplicates: int
    delivered: int

    @classmethod
    def of(cls, output: str) -> Balance:
        """Read what the command printed."""
        balance, delivered = _BALANCE.search(output), _DELIVERED.search(output)
        assert balance is not None and delivered is not None, output
        rows, entities, updates, quarantined, duplicates = (int(number or 0) for number in balance.groups())
        return cls(rows, entities, updates, quarantined, duplicates, int(delivered[1]))


def start_ingest(
    provider: str, path: Path, url: str, data: Path, settings: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `voltweave ingest`."""
    options = ["--provider", provider, "--url", url, "--data", str(data)]
    return subprocess.Popen(
        [sys.executable, "-m", "voltweave", "ingest", *options, str(path)],
        env=os.environ | ENVIRONMENT | (settings or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ingest(provider: str, path: Path, url: str, data: Path, settings: dict[str, str] | None = None) -> Balance:
    """Run `voltweave ingest` to its end."""
    with start_ingest(provider, path, url, data, settings) as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return Balance.of(output)
