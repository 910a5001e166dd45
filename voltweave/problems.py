"""What goes wrong on the command line, and the exit codes by which scripts tell it apart.

CommandError
├── Refused         a setting, file or address that the caller must put right
├── Unreachable     the server does not answer
└── Rejected        the server or an adapter did not take what it was given
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    REJECTED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    DIFFERS = 5
    INTERNAL = 70
    INTERRUPTED = 130


#: What each exit code means, for the reference.
MEANINGS = {
    ExitCode.DONE: "done; also after Ctrl-C of `up` and `serve`, whose way to end that is",
    ExitCode.REJECTED: "the server, an adapter or `validate` did not take what it got; the output says what and why",
    ExitCode.USAGE: "an option or argument is wrong or missing",
    ExitCode.REFUSED: "a setting, file, address or port that you must put right first",
    ExitCode.UNREACHABLE: "the server does not answer",
    ExitCode.DIFFERS: "`keycloak plan` found something that `keycloak apply` would change",
    ExitCode.INTERNAL: "a fault of Voltweave itself; VOLTWEAVE_TRACEBACK=1 shows where",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C before it was done",
}


class CommandError(Exception):
    """A command cannot do what it was asked; `hint` says what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.REJECTED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Refused(CommandError):
    """A setting, file or address that the caller must put right."""

    exit_code = ExitCode.REFUSED


class Unreachable(CommandError):
    """The server does not answer."""

    exit_code = ExitCode.UNREACHABLE


class Rejected(CommandError):
    """The server or an adapter did not take what it was given."""

    exit_code = ExitCode.REJECTED
