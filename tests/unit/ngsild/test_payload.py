"""Bodies are read as the standard library reads them, and what cannot be kept exactly is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngsild.payload import parse
from ngsild.problems import BadRequestData, InvalidRequest

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


@given(documents, st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=1000)
def test_a_body_is_read_as_the_standard_library_reads_it(document: object, escaped: bool, indent: int | None) -> None:
    raw = json.dumps(document, ensure_ascii=escaped, indent=indent).encode()
    assert parse(raw) == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ('{"a": 1, "a": 2}', "a:"),
        ('{"a":{"b":1,"c":2,"b":3}}', "b:"),
        ('{"a" : 1, "b": [{"c":1, "c":1}]}', "c:"),
        ('{"a": "x\\u0000y"}', "a:"),
        ('{"a": ["x", ["\\u0000"]]}', "a:"),
        ('{"n": 9223372036854775808}', "9223372036854775808"),
        ('{"n": -9223372036854775809}', "-9223372036854775809"),
        ('{"n": 123456789012345678901234567890}', "64 bits"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(raw: str, named: str) -> None:
    with pytest.raises(BadRequestData, match=named):
        parse(raw.encode())


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[1,]", b'{"a": NaN}', b'{"a": Infinity}', b'"\\ud800"', b'{"a": 1e999}', b"\xff", b"{'a': 1}"]
)
def test_what_is_no_json_is_an_invalid_request(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(raw)


def test_colons_inside_strings_are_no_keys() -> None:
    assert parse(b'{"a": "\\": \\"b\\":", "c":"\\":"}') == {"a": '": "b":', "c": '":'}


def test_large_fractions_and_the_largest_integers_pass() -> None:
    assert parse(b"[9223372036854775807, -9223372036854775808]") == [2**63 - 1, -(2**63)]
    [number] = parse(b"[0.12345678901234567890123]")
    assert math.isclose(number, 0.12345678901234568)


def test_nesting_has_a_limit() -> None:
    assert parse(b"[" * 10 + b"]" * 10, max_depth=10)
    with pytest.raises(BadRequestData, match="nested too deeply"):
        parse(b"[" * 11 + b"]" * 11, max_depth=10)


@pytest.mark.parametrize(
    "body",
    [
        {"a" * 65: 1},
        {"x": {"y": [{"a" * 65: 1}]}},
        {"id": "a" * 65},
        {"type": ["Car", "a" * 65]},
        [{"@id": "a" * 65}],
        ["urn:ok:1", "a" * 65],
    ],
)
def test_a_name_that_is_too_long_is_refused_and_not_repeated_whole(body: Any) -> None:
    raw = orjson.dumps(body)
    assert parse(raw, max_name=65) == body
    with pytest.raises(BadRequestData, match="64 characters at most") as refusal:
        parse(raw, max_name=64)
    assert "a" * 41 not in refusal.value.detail


def test_text_that_is_no_name_may_be_long() -> None:
    body = {"id": "urn:x:1", "name": "a" * 500, "list": ["b" * 500]}
    assert parse(orjson.dumps(body), max_name=64) == body
