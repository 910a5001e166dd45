"""The tools behind the figures: tables, CPU time, memory, and a naive application that does what it is compared for."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from benchmarks import naive, processes
from benchmarks.__main__ import LONG, main, measures
from benchmarks.rows import Row, line
from benchmarks.scenarios import entity

BUSY_SERVER = """
import http.server, subprocess, sys, time
if "child" in sys.argv:
    end = time.process_time() + 0.5
    while time.process_time() < end: pass
    time.sleep(60)
child = subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2], "child"])
try:
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), http.server.SimpleHTTPRequestHandler).serve_forever()
finally:
    child.kill()
"""


def test_a_row_shows_its_ratios() -> None:
    row = Row("retrieve", 0.2, "CPU ms/request", {"floor": 0.05, "naive": 2.0})
    assert line("http", row) == "| http | retrieve | 0.2 | CPU ms/request | floor 0.05 (0.25 x), naive 2 (10 x) |"
    assert line("mapping", Row("all", 21_234.5, "records/s")) == "| mapping | all | 21,234 | records/s |  |"


def test_benchmarks_are_found_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "http" in measures()
    assert set(measures()) > LONG
    assert "naive" not in measures()
    assert main(["no-such"]) == 2
    assert "No benchmark no-such" in capsys.readouterr().err


def test_cpu_time_counts_the_children(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY_SERVER, encoding="utf-8")
    port = processes.free_port()
    with processes.server([sys.executable, str(script), str(script), str(port)], port, "/") as running:
        deadline = time.monotonic() + 30
        while running.cpu_seconds() < 0.5 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert running.cpu_seconds() >= 0.5


def test_a_server_that_does_not_start_says_why() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such database')"]
    with (
        pytest.raises(RuntimeError, match="no such database"),
        processes.server(command, processes.free_port(), "/"),
    ):
        pytest.fail("it started")


def test_cpu_time_counts_a_child_that_has_ended() -> None:
    spend = "import time\nwhile time.process_time() < 0.3: pass"
    script = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {spend!r}]); print(); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.cpu_seconds([process.pid]) >= 0.3
        assert processes.cpu_seconds([]) == 0
    finally:
        process.kill()
        process.communicate()


def test_memory_is_that_of_the_largest_process_and_once_what_is_shared() -> None:
    script = "import os, time; block = bytearray(os.urandom(64 << 20)); os.fork(); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        assert [process.stdout.readline(), process.stdout.readline()] == [b"\n", b"\n"]
        assert 64 < processes.resident_mib([process.pid]) < 128
        assert 64 < processes.anonymous_mib([process.pid]) < 128
        assert 64 < processes.proportional_mib([process.pid]) < 128
        # os.urandom's bytes and the copy of them were there at once.
        assert processes.resident_mib([process.pid], peak=True) > 128
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_the_naive_application_answers_what_the_benchmark_asks(tmp_path: Path) -> None:
    client = TestClient(naive.application(str(tmp_path / "naive.db")))
    entities = "/ngsi-ld/v1/entities"
    vehicle = entity("test", "LoadVehicle", 7, random.Random(1))
    assert client.post(entities, json=vehicle).status_code == 201
    answer = client.get(f"{entities}/{vehicle['id']}").json()
    del answer["@context"]
    assert answer == vehicle

    changed = {"type": "Property", "value": 61, "observedAt": "2024-01-01T00:00:00Z"}
    assert client.patch(f"{entities}/{vehicle['id']}/attrs/speed", json=changed).status_code == 204
    wanted = {"type": "LoadVehicle", "limit": "20"}
    assert client.get(entities, params=wanted | {"q": 'speed>61;brand=="brand-7"'}).json() == []
    assert client.get(entities, params=wanted | {"q": 'speed>60;brand=="brand-8"'}).json() == []
    (found,) = client.get(entities, params=wanted | {"q": 'speed>60;brand=="brand-7"'}).json()
    assert found["speed"] == {"unitCode": "CEL", **changed}
