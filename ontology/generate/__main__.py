"""Write every generated file (`make model`)."""

from __future__ import annotations

import sys

from ontology.generate import KeptVersionError, artefacts, write
from ontology.source import SourceError


def main() -> int:
    """Write what changed and say so; 1 when the Turtle files hold an error or a kept version would change."""
    try:
        files = artefacts()
        changed = write(files)
    except (SourceError, KeptVersionError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{name}\n" for name in changed)
    sys.stdout.write(f"{len(changed)} of {len(files)} files changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
