"""Processes of a benchmark: started on a free port, measured by CPU time and memory, stopped at the end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
LONGEST_START_S = 60
LONGEST_STOP_S = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running server on loopback."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Sum user and system time of the process and of all that it started."""
        return cpu_seconds([self.pid])


def cpu_seconds(roots: Iterable[int]) -> float:
    """Sum user and system time of processes and of all that they started, ended ones included."""
    stats = _stats()
    return sum(sum(map(int, stats[pid][11:15])) for pid in _family(roots, stats)) / TICKS_A_SECOND


def resident_mib(roots: Iterable[int], peak: bool = False) -> float:
    """Return the resident memory, or the most there ever was of it, of the largest process among these and theirs."""
    field = "VmHWM:" if peak else "VmRSS:"
    return max(_kib(pid, "status", field) for pid in _family(roots, _stats())) / 1024


def anonymous_mib(roots: Iterable[int]) -> float:
    """Return the memory of the largest of these processes and theirs without the files that are mapped into it."""
    return max(_kib(pid, "status", "RssAnon:") for pid in _family(roots, _stats())) / 1024


def proportional_mib(roots: Iterable[int]) -> float:
    """Return the memory of processes and of all that they started; what they share counts once."""
    return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in _family(roots, _stats())) / 1024


def _stats() -> dict[int, list[str]]:
    """Return the fields of /proc/PID/stat of every process, from its state on."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                found[int(entry.name)] = fields
    return found


def _family(roots: Iterable[int], stats: dict[int, list[str]]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in stats]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _kib(pid: int, file: str, field: str) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(port: int, path: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
        ):
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def server(command: list[str], port: int, ready: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a command that serves the port until the block ends; `ready` is a path that answers once it is up.

    What the environment has is set beside the variables of this process.

    Raises:
        RuntimeError: the server ended or did not answer in time; its output is in the message.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            if not _wait_until_ready(port, ready, process):
                output.seek(0)
                raise RuntimeError(f"{' '.join(command)} did not start:\n{output.read().decode(errors='replace')}")
            yield Server(port, process.pid)
            process.send_signal(signal.SIGINT)
            process.wait(LONGEST_STOP_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
