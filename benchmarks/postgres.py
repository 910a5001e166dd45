"""A PostgreSQL server of one's own, with PostGIS: started in a new folder, killed and started again, then gone.

It is what a machine has installed, with its default durability and the memory that the guide recommends, and it listens
on loopback only. PostgreSQL refuses to run as root: root runs it as the user `postgres`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.processes import free_port

LONGEST_START_S = 60
LONGEST_STOP_S = 30
_USER = "postgres"
#: As docs/how-to/run-on-postgresql.md recommends.
MEMORY = {"shared_buffers": "2GB", "max_wal_size": "8GB"}


def installed() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs; None where it or its PostGIS is not installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    on_path = shutil.which("initdb")
    candidates = [path.parent for path in reversed(versions)] + ([Path(on_path).parent] if on_path else [])
    return next((folder for folder in candidates if _has_postgis(folder)), None)


def _has_postgis(programs: Path) -> bool:
    told = subprocess.run([programs / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    return told.returncode == 0 and (Path(told.stdout.strip()) / "extension" / "postgis.control").is_file()


def query(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement, with `?` for its values, and return its rows; an event loop may be running."""
    numbers = iter(range(1, len(values) + 1))
    statement = re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
    return [tuple(row) for row in _on_connection(url, lambda con: con.fetch(statement, *values))]


def execute(url: str, script: str) -> None:
    """Run statements that return nothing; an event loop may be running."""
    _on_connection(url, lambda con: con.execute(script))


def _on_connection(url: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        con = await asyncpg.connect(url)
        try:
            return await work(con)
        finally:
            await con.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


class PostgresServer:
    """A server whose data directory and port outlive its process."""

    def __init__(self, programs: Path, folder: Path, primary: PostgresServer | None = None) -> None:
        """Make the data directory: an empty one, or that of a replica which follows the primary from its start on."""
        self._programs = programs
        self.folder = folder
        self._user = _USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if self._user:
            shutil.chown(folder, self._user, self._user)
        subprocess.run(
            [*(_initdb(programs) if primary is None else _base_backup(programs, primary)), folder / "data"],
            cwd=folder,
            user=self._user,
            group=self._user,
            check=True,
            capture_output=True,
        )

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """Return the id of the process that started all others of the server, 0 where it does not run."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, unless it runs, and wait until it takes connections; after a kill it recovers first.

        Raises:
            RuntimeError: it ended or did not get ready in time; its log is in the message.
        """
        if self._process is not None and self._process.poll() is None:
            return
        options = [f"--port={self.port}", "--listen_addresses=127.0.0.1", f"--unix_socket_directories={self.folder}"]
        options += [f"--{name}={value}" for name, value in MEMORY.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *options],
                cwd=self.folder,
                user=self._user,
                group=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + LONGEST_START_S
        while not self._is_ready(self._process):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")
            time.sleep(0.02)

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(process.pid)] and lines[7:8] != [] and lines[7].strip() == "ready"

    def stop(self) -> None:
        """End the process as an administrator does: transactions are rolled back, everything is written."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(LONGEST_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """Kill the process and all that it started at once, as the death of the machine would."""
        if self._process is not None:
            process, self._process = self._process, None
            # Stopped first, it starts no further process while the present ones are counted.
            process.send_signal(signal.SIGSTOP)
            children = _children(process.pid)
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait()
            # Until the last one is gone, a new server refuses to start on their shared memory.
            while any(_is_alive(pid) for pid in children):
                time.sleep(0.01)

    def log(self) -> str:
        """Return what the server wrote."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


def _initdb(programs: Path) -> list[str | Path]:
    options = ["--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    return [programs / "initdb", *options, "--pgdata"]


def _base_backup(programs: Path, primary: PostgresServer) -> list[str | Path]:
    options = [f"--dbname={primary.url()}", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
    return [programs / "pg_basebackup", *options, "--pgdata"]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; none for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _children(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _stat(pid)[1:2] == [str(parent)]]


def _is_alive(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], ["Z"])


@contextmanager
def postgres(programs: Path, primary: PostgresServer | None = None) -> Iterator[PostgresServer]:
    """Run a server on new, empty data, or as a replica of a running one, until the block ends; nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix="voltweave-postgres-") as folder:
        server = PostgresServer(programs, Path(folder), primary)
        try:
            server.start()
            yield server
        finally:
            server.stop()
