"""JSON bodies read with nothing lost and nothing guessed (decision 3).

orjson reads fast but takes the last of duplicate keys and turns integers above 64 bits into doubles. `parse` refuses
both, and NUL characters, lone surrogates and non-finite numbers, naming the member at fault. The fast path proves that
a body has none of these by counting; only a body that may have one is read again by the standard library with hooks.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from ngsild.problems import BadRequestData, InvalidRequest

_INT_MAX = 2**63 - 1
_INT_MIN = -(2**63)
_SUSPECT = re.compile(rb'"\s+:|\\u0000|\d{19}')


def parse(raw: bytes, max_depth: int = 64) -> Any:
    """Return the JSON value of a body.

    Raises InvalidRequest when it is no JSON (clause 5.5.4), BadRequestData for what JSON allows and we cannot keep.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    keys = _inspect(document, max_depth, "")
    if keys != raw.count(b'":') or _SUSPECT.search(raw):
        _read_slowly(raw)
    return document


def _inspect(value: Any, depth: int, path: str) -> int:
    """Return the number of keys below a value; refuse what is too deep."""
    if depth == 0:
        raise BadRequestData(f"{path or 'the body'} is nested too deeply")
    keys = 0
    if isinstance(value, dict):
        keys = len(value)
        for key, item in value.items():
            if isinstance(item, dict | list):
                keys += _inspect(item, depth - 1, key)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                keys += _inspect(item, depth - 1, path)
    return keys


def _read_slowly(raw: bytes) -> None:
    json.loads(raw, object_pairs_hook=_checked_object, parse_int=_checked_int)


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadRequestData(f"{key}: the key occurs twice in one object")
        if "\0" in key or (isinstance(value, str) and "\0" in value):
            raise BadRequestData(f"{key}: NUL characters cannot be kept")
        if isinstance(value, list):
            _check_array(key, value)
        found[key] = value
    return found


def _check_array(key: str, values: list[Any]) -> None:
    for value in values:
        if isinstance(value, str) and "\0" in value:
            raise BadRequestData(f"{key}: NUL characters cannot be kept")
        if isinstance(value, list):
            _check_array(key, value)


def _checked_int(text: str) -> int:
    number = int(text)
    if not _INT_MIN <= number <= _INT_MAX:
        raise BadRequestData(f"the integer {text[:40]} does not fit in 64 bits")
    return number
