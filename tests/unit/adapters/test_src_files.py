"""The file source: formats with their dirt, going on at any record, and what a folder offers."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.errors import SettingError, TransientError
from adapters.raw import RawStore
from adapters.sources.chunk import Chunk, Unreadable
from adapters.sources.files import FileOptions, FileSource
from adapters.sources.formats import column_names


def options(kind: str, **more: Any) -> FileOptions:
    return FileOptions.model_validate({"protocol": "file", "format": kind} | more)


def chunks(
    path: Path, chosen: FileOptions, checkpoint: dict[str, Any] | None = None, *, size: int = 3, limit: int = 10**6
) -> list[Chunk]:
    source = FileSource(
        chosen,
        path,
        RawStore(path.parent / "raw", "s"),
        chunk_records=size,
        settle_seconds=0.05,
        max_document_bytes=limit,
    )

    async def run() -> list[Chunk]:
        return [chunk async for chunk in source.chunks(checkpoint or {})]

    return asyncio.run(run())


def records(path: Path, chosen: FileOptions, **more: Any) -> list[Any]:
    return [record for chunk in chunks(path, chosen, **more) for record in chunk.records]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rules(found: list[Any]) -> list[str | None]:
    return [item.error.rule if isinstance(item, Unreadable) else None for item in found]


def test_csv_with_byte_order_mark_quotes_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", '\ufeffid,name\n1,"Bay ""A"", north"\n\n2,"two\nlines"\n')
    assert records(path, options("csv")) == [
        {"id": "1", "name": 'Bay "A", north'},
        {"id": "2", "name": "two\nlines"},
    ]


def test_csv_dialect_encoding_and_columns_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "1;'caf\u00e9'\n".encode("latin-1"))
    chosen = options("csv", encoding="latin-1", csv={"delimiter": ";", "quote": "'", "columns": ["id", "name"]})
    assert records(path, chosen) == [{"id": "1", "name": "caf\u00e9"}]


def test_csv_rows_that_are_none_stand_in_their_place(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.csv", b"id,name\n1,a\n2\n3,a,b\n4,\xff\xfe\n5,\xc3\xa9\n" + b"6," + b"x" * 140_000 + b"\n7,z\n"
    )
    found = records(path, options("csv"))
    assert rules(found) == [None, "columns", "columns", "encoding", None, "csv", None]
    assert found[4] == {"id": "5", "name": "\u00e9"}
    assert found[3].raw == "4,\\udcff\\udcfe"


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (["a", "", ""], ["a", "column 2", "column 3"]),
        (["a", "a", " a "], ["a", "a (2)", "a (3)"]),
        (["a (2)", "a", "a"], ["a (2)", "a", "a (3)"]),
    ],
)
def test_every_column_has_a_name_of_its_own(header: list[str], names: list[str]) -> None:
    assert column_names(header) == names


def test_json_array_at_a_pointer(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", json.dumps({"d": {"list": [{"id": 1}, 5, {"id": 2}]}}))
    found = records(path, options("json", json={"items": "/d/list"}))
    assert rules(found) == [None, "object", None]
    assert records(path, options("json")) == [{"d": {"list": [{"id": 1}, 5, {"id": 2}]}}]


@pytest.mark.parametrize(("text", "rule"), [("{", "json"), ("[NaN]", "json"), ('{"other": []}', "items")])
def test_json_that_holds_no_records_is_one_reject(tmp_path: Path, text: str, rule: str) -> None:
    assert rules(records(write(tmp_path, "a.json", text), options("json", json={"items": "list"}))) == [rule]


def test_json_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="the limit for json is 10"):
        records(write(tmp_path, "a.json", "[" + " " * 20 + "]"), options("json"), limit=10)


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"id": 1}\n\n[1]\n{"id": \n{"id": 2}')
    assert rules(records(path, options("jsonl"))) == [None, "object", "json", None]


XML = """<feed xmlns="urn:x"><bay id="7"><name>North</name><spot>1</spot><spot>2</spot></bay><!-- c -->
<bay id="8"><name lang="en">South</name><spot>3</spot></bay></feed>"""


def test_xml_elements(tmp_path: Path) -> None:
    chosen = options("xml", xml={"item": "bay", "lists": ["spot"]})
    assert records(write(tmp_path, "a.xml", XML), chosen) == [
        {"@id": "7", "name": "North", "spot": ["1", "2"]},
        {"@id": "8", "name": {"@lang": "en", "#text": "South"}, "spot": ["3"]},
    ]


def test_xml_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    found = records(write(tmp_path, "a.xml", XML[:-20]), options("xml", xml={"item": "bay"}))
    assert rules(found) == [None, "xml"]


def test_xml_entities_are_never_expanded(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret.txt", "do not read")
    bombs = [
        '<!DOCTYPE f [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><f><bay>&b;</bay></f>',
        f'<!DOCTYPE f [<!ENTITY a SYSTEM "file://{secret}">]><f><bay>&a;</bay></f>',
        "<!DOCTYPE f SYSTEM 'http://127.0.0.1:9/x.dtd'><f><bay>1</bay></f>",
    ]
    for number, text in enumerate(bombs):
        found = records(write(tmp_path, f"{number}.xml", text), options("xml", xml={"item": "bay"}))
        assert rules(found) == ["no DTD"]
        assert "do not read" not in str(found)


def test_a_bad_option_is_named() -> None:
    for more, fault in (
        ({"encoding": "utf-9"}, "unknown encoding"),
        ({"format": "xml"}, "item element"),
        ({"package": "x"}, "a package needs the path"),
    ):
        with pytest.raises(ValueError, match=fault):
            options(**({"kind": "csv"} | {("kind" if k == "format" else k): v for k, v in more.items()}))


def test_a_place_that_is_not_there_says_what_to_do() -> None:
    for chosen, fault in (
        (options("csv"), "give a PATH"),
        (options("csv", path="nowhere.csv"), "does not exist"),
        (options("csv", package="no_such_package", path="a.csv"), "not installed"),
    ):
        with pytest.raises(SettingError, match=fault):
            chosen.location(None)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["csv", "json", "jsonl", "xml"]),
    values=st.lists(st.text("ab\u00e9 ,;\"'<&", max_size=6), max_size=25),
    cuts=st.lists(st.integers(1, 4), max_size=6),
    size=st.integers(1, 6),
)
def test_a_reading_goes_on_after_any_chunk(
    tmp_path: Path, kind: str, values: list[str], cuts: list[int], size: int
) -> None:
    path, chosen, expected = _file_of(tmp_path, kind, values)
    checkpoint: dict[str, Any] = {}
    found: list[Any] = []
    for cut in [*cuts, 10**6]:
        for chunk in chunks(path, chosen, checkpoint, size=size)[:cut]:
            if chunk.records:
                assert chunk.first == len(found) + 1
            found += chunk.records
            checkpoint |= chunk.checkpoint
    assert found == expected
    assert [chunk.records for chunk in chunks(path, chosen, checkpoint)] == [[]], "a file that is done brings nothing"


def _file_of(folder: Path, kind: str, values: list[str]) -> tuple[Path, FileOptions, list[Any]]:
    rows: list[dict[str, Any]] = [{"n": str(n), "v": value} for n, value in enumerate(values)]
    if kind == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, ["n", "v"])
        writer.writeheader()
        writer.writerows(rows)
        return write(folder, "a.csv", text.getvalue()), options("csv"), rows
    if kind == "json":
        return write(folder, "a.json", json.dumps({"r": rows})), options("json", json={"items": "r"}), rows
    if kind == "jsonl":
        return write(folder, "a.jsonl", "\n".join(map(json.dumps, rows))), options("jsonl"), rows
    escaped = [v.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") for v in values]
    body = "".join(f'<i n="{n}" v="{v}"/>' for n, v in enumerate(escaped))
    rows = [{"@n": str(n), "@v": value} for n, value in enumerate(values)]
    return write(folder, "a.xml", f"<r>{body}</r>"), options("xml", xml={"item": "i"}), rows


def test_a_file_that_changes_while_it_is_read_is_not_done(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id\n" + "\n".join(map(str, range(20))))
    source = FileSource(options("csv"), path, RawStore(tmp_path / "raw", "s"), chunk_records=5)

    async def run() -> None:
        async for chunk in source.chunks({}):
            if chunk.first == 6:
                with path.open("a") as handle:
                    handle.write("\n20")

    with pytest.raises(TransientError, match="changed while"):
        asyncio.run(run())


def test_a_folder_offers_complete_regular_files_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    old = time.time() - 100
    for name in ("b.csv", "a.csv", ".hidden.csv", "c.csv.part", "d.txt"):
        os.utime(write(folder, name, f"id\n{name}\n"), (old, old))
    (folder / "link.csv").symlink_to(write(tmp_path, "elsewhere.csv", "id\nx\n"))
    (folder / "sub.csv").mkdir()
    found = records(folder, options("csv", pattern="*.csv"))
    assert found == [{"id": "a.csv"}, {"id": "b.csv"}]


def test_a_file_that_is_still_written_waits(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = write(folder, "a.csv", "id\n1\n")
    source = FileSource(options("csv"), folder, RawStore(tmp_path / "raw", "s"), settle_seconds=0.3)

    async def run() -> list[Chunk]:
        async def grow() -> None:
            for _ in range(4):
                await asyncio.sleep(0.1)
                await asyncio.to_thread(write, folder, "a.csv", path.read_text() + "2\n")

        growing = asyncio.create_task(grow())
        early = [chunk async for chunk in source.chunks({})]
        await growing
        assert early == []
        return [chunk async for chunk in source.chunks({})]

    (chunk,) = asyncio.run(run())
    assert len(chunk.records) == 5
