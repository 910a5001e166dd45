"""The worker processes of `voltweave serve --workers`: started, started again when killed, stopped together."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from voltweave.output import tell

#: A worker that lived for less is started again only after this time.
_SHORT_LIFE_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def become_worker(count: int) -> tuple[int, int]:
    """Start so many workers and return in each: its number and the process that watches over it.

    The calling process stays behind as that one and does not return. It starts a killed worker again, until it comes
    up: the database may be away at that moment. One of the first that ends by itself ends them all, and its exit code
    becomes that of the whole.
    """
    # What all workers need is read once and shared between them.
    import context_api.app  # noqa: F401

    gc.collect()
    gc.freeze()
    watch = _Watch()
    for number in range(count):
        if watch.start(number):
            return number, watch.pid
    while watch.workers:
        ended = watch.wait()
        if ended is not None and watch.start(ended, again=True):
            return ended, watch.pid
    sys.exit(watch.exit_code)


@dataclass(frozen=True, slots=True)
class _Worker:
    number: int
    began: float
    again: bool
    """Whether it took the place of another."""


class _Watch:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.workers: dict[int, _Worker] = {}
        self.exit_code = 0
        self._stopping = False
        for signal_number in _SIGNALS:
            signal.signal(signal_number, self._stop)

    def start(self, number: int, again: bool = False) -> bool:
        """Start a worker; True in that one."""
        pid = os.fork()
        if pid == 0:
            # Ctrl-C reaches a whole process group, and a worker hears of it from the process that watches.
            os.setpgrp()
            for signal_number in _SIGNALS:
                signal.signal(signal_number, signal.SIG_DFL)
            return True
        self.workers[pid] = _Worker(number, time.monotonic(), again)
        if self._stopping:
            os.kill(pid, signal.SIGTERM)
        return False

    def wait(self) -> int | None:
        """Wait for the end of a worker and return its number if it is to be started again."""
        pid, status = os.wait()
        worker = self.workers.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if self._stopping:
            return None
        if code >= 0 and not worker.again:
            self.exit_code = code
            self._stop(signal.SIGTERM, None)
            return None
        if code < 0:
            tell(f"worker {worker.number} was ended by {signal.Signals(-code).name} and is started again")
        if time.monotonic() - worker.began < _SHORT_LIFE_SECONDS:
            time.sleep(_SHORT_LIFE_SECONDS)
        return worker.number

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._stopping = True
        for pid in list(self.workers):
            # One may have been waited for a moment ago.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
