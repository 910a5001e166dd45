"""References: how a mapping names a value of the record.

Name              a member of the record, taken as it stands: spaces, dots and brackets mean nothing
/a/b/0            a JSON Pointer into the record (RFC 6901)
$name  $name/a    a value of `let`, the item of a loop, or `$meta`; with a JSON Pointer below it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

RECORD: Final = ""
META: Final = "meta"
META_MEMBERS: Final = ("stream", "unit", "number", "received")

_NAME: Final = re.compile(r"[a-z][A-Za-z0-9]*")
_HOLE: Final = re.compile(r"\{([^{}]+)\}")

Path = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A value of the record: where the way starts ("" for the record, else a name) and the path from there."""

    root: str
    path: Path
    written: str


def parse_reference(written: str) -> Reference:
    """Return what a text refers to; raises ValueError."""
    if written.startswith("$"):
        root, slash, rest = written[1:].partition("/")
        if not _NAME.fullmatch(root):
            raise ValueError(f"{written!r}: a name is a small letter, then letters and digits")
        return Reference(root, _pointer(slash + rest), written)
    if written.startswith("/"):
        return Reference(RECORD, _pointer(written), written)
    if not written:
        raise ValueError("a reference is empty; write {const: ''} for an empty text")
    return Reference(RECORD, ((written, _index(written)),), written)


def parse_template(written: str) -> list[str | Reference]:
    """Return the parts of a template, in which {…} holds a reference; raises ValueError."""
    parts: list[str | Reference] = []
    end = 0
    for match in _HOLE.finditer(written):
        if match.start() > end:
            parts.append(written[end : match.start()])
        parts.append(parse_reference(match[1]))
        end = match.end()
    if end < len(written):
        parts.append(written[end:])
    for part in parts:
        if isinstance(part, str) and ("{" in part or "}" in part):
            raise ValueError(f"the template {written!r} has a brace that is not paired")
    return parts


def is_name(written: str) -> bool:
    """Return whether a text may name a value of `let` or the item of a loop."""
    return bool(_NAME.fullmatch(written)) and written != META


def _pointer(pointer: str) -> Path:
    parts = pointer.split("/")[1:]
    names = [part.replace("~1", "/").replace("~0", "~") for part in parts]
    return tuple((name, _index(name)) for name in names)


def _index(name: str) -> int:
    return int(name) if name.isdecimal() and name.isascii() and len(name) < 7 else -1
