"""Shapes of input that providers need: packed files, and arrays inside arrays of a document."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import PermanentError, SettingError
from adapters.raw import RawStore
from adapters.sources.chunk import Unreadable
from adapters.sources.files import FileOptions, FileSource
from adapters.sources.formats import JsonOptions, read_json


def records(document: Any, options: JsonOptions) -> list[Any]:
    return list(read_json(io.BytesIO(json.dumps(document).encode()), "utf-8", options))


def test_records_of_arrays_inside_an_array_know_what_is_around_them() -> None:
    document = {"data": [{"by": "A", "list": [{"n": 1}, {"n": 2}]}, {"by": "B", "list": []}, {"by": "C", "list": [3]}]}
    found = records(document, JsonOptions(items="/data/*/list", parent="around"))
    assert found[:2] == [{"n": 1, "around": {"by": "A"}}, {"n": 2, "around": {"by": "A"}}]
    assert isinstance(found[2], Unreadable)
    assert len(found) == 3
    assert records(document, JsonOptions(items="/data/*/list"))[0] == {"n": 1}


def test_an_object_without_its_array_is_set_aside_and_the_others_go_on() -> None:
    found = records({"data": [{"by": "A"}, 7, {"list": [{"n": 1}]}]}, JsonOptions(items="/data/*/list"))
    assert [isinstance(item, Unreadable) for item in found] == [True, True, False]


def _read(path: Path, tmp_path: Path, options: dict[str, Any]) -> list[Any]:
    source = FileSource(
        FileOptions.model_validate({"protocol": "file", **options}), path, RawStore(tmp_path / "raw", "s")
    )

    async def read() -> list[Any]:
        return [record async for chunk in source.chunks({}) for record in chunk.records]

    return asyncio.run(read())


def test_a_packed_file_is_unpacked_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 2000))
    assert _read(path, tmp_path, {"format": "csv"}) == [{"a": "1", "b": "2"}] * 2000


def test_a_packed_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-6])
    with pytest.raises(PermanentError, match="damaged"):
        _read(path, tmp_path, {"format": "csv"})


def test_a_packed_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"[]"))
    with pytest.raises(SettingError, match="unpack"):
        _read(path, tmp_path, {"format": "json"})
