"""Look up a value in a document by a member's name or a JSON Pointer (RFC 6901)."""

from __future__ import annotations

from typing import Any

_ABSENT = object()


def resolve(document: Any, pointer: str, default: Any = None) -> Any:
    """Return what `pointer` names in `document`, or `default`.

    A text that starts with a slash is a JSON Pointer, "" is the document itself, anything else is the name of a member.
    """
    if not pointer:
        return document
    if not pointer.startswith("/"):
        return document.get(pointer, default) if isinstance(document, dict) else default
    for part in pointer[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name, _ABSENT)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return default
        if document is _ABSENT:
            return default
    return document
