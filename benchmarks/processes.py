"""Child processes of a benchmark: started on a free port, measured by CPU time, stopped at the end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
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
        parents: dict[int, list[int]] = {}
        ticks: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                    parents.setdefault(int(fields[1]), []).append(int(entry.name))
                    ticks[int(entry.name)] = sum(map(int, fields[11:15]))
        total, family = 0, [self.pid]
        while family:
            pid = family.pop()
            total += ticks.get(pid, 0)
            family += parents.get(pid, [])
        return total / TICKS_A_SECOND


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_ready(port: int, path: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                connection.close()
                return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def server(command: list[str], port: int, ready: str) -> Iterator[Server]:
    """Run a command that serves the port until the block ends; `ready` is a path that answers once it is up.

    Raises:
        RuntimeError: the server ended or did not answer in time; its output is in the message.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
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
