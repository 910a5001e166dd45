"""JSON bodies read with nothing lost and nothing guessed (decision 3).

orjson reads fast but takes the last of duplicate keys and turns integers above 64 bits into doubles. `parse` refuses
both, and NUL characters, lone surrogates and non-finite numbers, naming the member at fault. The fast path proves that
a body has none of these by counting; only a body that may have one is read again by the standard library with hooks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from ngsild.problems import BadRequestData, InvalidRequest

_INT_MAX = 2**63 - 1
_INT_MIN = -(2**63)
_IDENTIFIERS = ("id", "@id", "type", "@type")
_SPACED_KEY = re.compile(rb'"\s+:')
_DIGITS = bytes.maketrans(b"123456789", b"000000000")


def parse(raw: bytes, max_depth: int = 64, max_name: int = 1024) -> Any:
    """Return the JSON value of a body, nested `max_depth` deep at most, its names `max_name` characters long at most.

    Names are all keys, and what `id` and `type` of the body, or of the items of a batch, hold. Raises InvalidRequest
    when it is no JSON (clause 5.5.4), BadRequestData for what JSON allows and we cannot keep.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    keys = _inspect(document, max_depth, max_name, "")
    for name in _identifiers(document):
        _check_name(name, max_name)
    if keys != raw.count(b'":') or _is_suspect(raw):
        _read_slowly(raw)
    return document


def _is_suspect(raw: bytes) -> bool:
    """Tell whether a body may have a spaced key, a NUL or an integer beyond 64 bits; each search is one pass in C."""
    return b"\\u0000" in raw or b"0" * 19 in raw.translate(_DIGITS) or _SPACED_KEY.search(raw) is not None


def _identifiers(document: Any) -> Iterator[str]:
    """Yield the entity ids and types of a body."""
    for item in document if isinstance(document, list) else [document]:
        found = [item.get(member) for member in _IDENTIFIERS] if isinstance(item, dict) else [item]
        for each in found:
            yield from (text for text in (each if isinstance(each, list) else [each]) if isinstance(text, str))


def _check_name(name: str, max_name: int) -> None:
    if len(name) > max_name:
        raise BadRequestData(f"{name[:40]}...: a name may have {max_name} characters at most")


def _inspect(value: Any, depth: int, max_name: int, path: str) -> int:
    """Return the number of keys below a value; refuse what is too deep or named too long."""
    if depth == 0:
        raise BadRequestData(f"{path or 'the body'} is nested too deeply")
    keys = 0
    # orjson makes no subclasses, and `type` is the cheaper question.
    if type(value) is dict:
        keys = len(value)
        for key, item in value.items():
            if len(key) > max_name:
                _check_name(key, max_name)
            if type(item) is dict or type(item) is list:
                keys += _inspect(item, depth - 1, max_name, key)
    elif type(value) is list:
        for item in value:
            if type(item) is dict or type(item) is list:
                keys += _inspect(item, depth - 1, max_name, path)
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
