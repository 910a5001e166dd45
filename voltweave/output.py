"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class Output(StrEnum):
    """How results are shown, where there is no other way than these two."""

    text = "text"
    json = "json"


@cache
def console() -> Console:
    """Return the console for results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def program() -> str:
    """Return this program's name for a command to copy: its path where the shell does not find it."""
    called = Path(sys.argv[0])
    beside = called.name == "voltweave" and called.parent != Path() and shutil.which("voltweave") is None
    return str(called) if beside else "voltweave"


@cache
def messages() -> Console:
    """Return the console for messages and progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def write(text: str) -> None:
    """Write a result as it is, for programs to read."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def tell(message: str) -> None:
    """Say how things stand."""
    messages().print(message, markup=False, soft_wrap=True)


def tell_problem(message: str, hint: str = "") -> None:
    """Say what went wrong and what to do."""
    from rich.text import Text

    messages().print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    if hint:
        messages().print(Text(hint), soft_wrap=True)
