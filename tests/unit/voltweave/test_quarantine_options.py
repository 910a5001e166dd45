"""What the commands on records in quarantine, and on issues, refuse before they ask the server, and how they ask it."""

from __future__ import annotations

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.voltweave.test_command_line import run
from voltweave.commands.quarantine import _change
from voltweave.problems import ExitCode, Refused

ID = "0" * 32
RECORD: dict[str, Any] = {"a": [1, {"b": 2}, 3], "c/d": 4}


@pytest.mark.parametrize(
    ("change", "place", "value"),
    [("/a/0=9", ["a", 0], 9), ("/a/1/b=x", ["a", 1, "b"], "x"), ("/c~1d=null", ["c/d"], None), ("/-1=5", ["-1"], 5)],
)
def test_a_pointer_sets_one_member(change: str, place: list[Any], value: Any) -> None:
    record = copy.deepcopy(RECORD)
    _change(record, change)
    found: Any = record
    for part in place:
        found = found[part]
    assert found == value


@pytest.mark.parametrize("pointer", ["/a/-1", "/a/-", "/a/01", "/a/+1", "/a/3", "/a/1_0", "/a/-2/b", "/a/0/b", "/x/y"])
def test_a_pointer_to_no_place_is_refused(pointer: str) -> None:
    record = copy.deepcopy(RECORD)
    with pytest.raises(Refused, match="no such place"):
        _change(record, f"{pointer}=9")
    assert record == RECORD


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_record_with_a_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(f'{{"energy": {number}}}', encoding="utf-8")
    ended = run("quarantine", "mend", ID, str(path), "--server", "http://127.0.0.1:9")
    assert ended.returncode == ExitCode.REFUSED and "the record is no JSON" in ended.stderr


@pytest.mark.parametrize("days", ["800000", "1000000000", "9" * 400])
def test_a_time_before_all_dates_is_refused(days: str) -> None:
    ended = run("quarantine", "purge", "--older-than", days, "--server", "http://127.0.0.1:9")
    assert ended.returncode == ExitCode.REFUSED and f"--older-than {days}" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["quarantine", "show", "a/b"], "/quarantine/a%2Fb"),
        (["quarantine", "purge", "a/b"], "/quarantine/a%2Fb"),
        (["issues", "show", "urn:x:a/b"], "/ngsi-ld/v1/entities/urn%3Ax%3Aa%2Fb"),
        (["issues", "dismiss", "urn:x:a/b"], "/validation/issues/urn%3Ax%3Aa%2Fb/dismiss"),
    ],
)
def test_an_id_stays_one_segment_of_the_path(arguments: list[str], path: str) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()
            self.wfile.write(json.dumps({"title": "nothing here"}).encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run(*arguments, "--server", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert asked == [path]
