"""The tools behind the figures: tables, CPU time, and a naive application that does what it is compared for."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from benchmarks import http as http_benchmark
from benchmarks import naive, processes
from benchmarks.__main__ import main, measures
from benchmarks.rows import Row, line

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


def test_the_naive_application_answers_what_the_benchmark_asks(tmp_path: Path) -> None:
    client = TestClient(naive.application(str(tmp_path / "naive.db")))
    entities = "/ngsi-ld/v1/entities"
    station = http_benchmark.entity(349)
    assert client.post(entities, json=station).status_code == 201
    answer = client.get(f"{entities}/{station['id']}").json()
    del answer["@context"]
    assert answer == station

    changed = {"value": 12, "unitCode": "KWT"}
    url = f"{entities}/{station['id']}/attrs/powerOutputConfiguration"
    assert client.patch(url, json=changed).status_code == 204
    wanted = {"type": "ChargingStation", "limit": "20"}
    assert client.get(entities, params=wanted | {"q": "powerOutputConfiguration>=300"}).json() == []
    (found,) = client.get(entities, params=wanted | {"q": "powerOutputConfiguration>=10"}).json()
    assert found["powerOutputConfiguration"] == {"type": "Property", **changed}
