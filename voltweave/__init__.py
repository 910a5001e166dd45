"""The command line of Voltweave, and nothing else: `cli` wires the commands, each of which is one file in `commands`.

What a command needs from the other packages is imported when it runs, so that `--help` and completion answer at once.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the version of Voltweave that is installed."""
    try:
        return version("voltweave")
    except PackageNotFoundError:
        return "not installed"
