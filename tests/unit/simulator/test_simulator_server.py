"""The simulator as a process of its own: pages, tags, files, its clock, and its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from simulator.__main__ import main
from simulator.clock import Clock


@contextmanager
def town(folder: Path, *options: str, speed: float = 1.0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a simulator and give its URL."""
    command = [
        sys.executable, "-m", "simulator", "--port=0", "--seed=4", "--start=2026-03-01", f"--speed={speed}",
        f"--drop={folder / 'drop'}", f"--state={folder / 'clock.json'}", "--until-stdin-closes", *options,
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            word, url = process.stdout.readline().split()
            assert word == "ready"
            yield url, process
        finally:
            process.kill()


def pages(url: str) -> Iterator[dict[str, object]]:
    """Follow the links from the first page."""
    following: object = url
    while following:
        page = httpx.get(str(following)).raise_for_status().json()
        yield page
        following = page["next"]


def stop_by_stdin(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(timeout=10)


def test_pages_hold_every_record_once_and_the_last_one_grows(tmp_path: Path) -> None:
    with town(tmp_path, speed=20_000) as (url, process):
        address = f"{url}/works/building/readings?page_size=400"
        first = list(pages(address))
        assert len(first) > 2
        assert all(len(page["results"]) == 400 for page in first[:-1])  # type: ignore[arg-type]
        last = str(first[-1]["self"])
        deadline = time.monotonic() + 20
        while (now := httpx.get(last).json())["results"] == first[-1]["results"] and time.monotonic() < deadline:
            time.sleep(0.1)
        grown = len(first[-1]["results"])  # type: ignore[arg-type]
        assert now["results"][:grown] == first[-1]["results"]
        assert len(now["results"]) > grown
        times = [record["time"] for page in pages(address) for record in page["results"]]  # type: ignore[attr-defined]
        assert len(times) == len(set(times))
        assert stop_by_stdin(process) == 0


def test_etags_spare_a_reader_what_it_has(tmp_path: Path) -> None:
    with town(tmp_path) as (url, _):
        first = httpx.get(f"{url}/ampere/api/locations")
        again = httpx.get(f"{url}/ampere/api/locations", headers={"If-None-Match": first.headers["ETag"]})
        other = httpx.get(f"{url}/ampere/api/locations", headers={"If-None-Match": '"other"'})
        assert (first.status_code, again.status_code, other.status_code) == (200, 304, 200)
        assert again.content == b""
        assert other.content == first.content


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/emotion/vehicles/31", 404),
        ("/emotion/vehicles/31/charges", 404),
        ("/emotion/charges/1", 404),
        ("/ampere/api/sessions?page=99999", 404),
        ("/ampere/api/sessions?page=0", 404),
        ("/ampere/api/sessions?page=x", 400),
        ("/ampere/api/sessions?page_size=1001", 400),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_is_said(path: str, status: int, shared_town: str) -> None:
    assert httpx.get(shared_town + path).status_code == status


@pytest.fixture(scope="module")
def shared_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with town(tmp_path_factory.mktemp("town")) as (url, _):
        yield url


def test_vehicles_lead_to_their_charges(shared_town: str) -> None:
    vehicles = httpx.get(f"{shared_town}/emotion/vehicles").json()
    assert vehicles == list(range(1, 31))
    found = 0
    for vehicle in vehicles:
        state = httpx.get(f"{shared_town}/emotion/vehicles/{vehicle}").json()
        charges = httpx.get(f"{shared_town}/emotion/vehicles/{vehicle}/charges?page_size=500").json()["results"]
        assert state["vehicle"] == vehicle
        assert state["charge_count"] == len(charges)
        found += len(charges)
        for charge in charges[-1:]:
            record = httpx.get(f"{shared_town}/emotion/charges/{charge}").json()
            assert record["id"] == charge
            assert record["kwh_charged"] == state["kwh_charged"]
    assert found > 50


def test_every_path_of_the_index_answers(shared_town: str) -> None:
    index = httpx.get(shared_town).json()
    plain = [path for path in index["sources"] if "{" not in path]
    assert len(plain) >= 10
    assert {httpx.get(shared_town + path).status_code for path in plain} == {200}


def test_files_are_dropped_whole_and_a_second_run_goes_on(tmp_path: Path) -> None:
    with town(tmp_path, speed=5000) as (url, process):
        before = httpx.get(f"{url}/clock").json()
        time.sleep(1.0)
        assert stop_by_stdin(process) == 0
    files = {path: path.read_bytes() for path in (tmp_path / "drop").rglob("*") if path.is_file()}
    assert {path.suffix for path in files} == {".csv", ".xml", ".json", ".jsonl"}
    kept = json.loads((tmp_path / "clock.json").read_text())
    with town(tmp_path, "--history=1") as (url, _):
        after = httpx.get(f"{url}/clock").json()
        assert after["start"] == before["start"]
        assert after["now"] > before["now"]
        assert int(time.mktime(time.strptime(after["now"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone) >= kept["reached"]
    assert {path: path.read_bytes() for path in files} == files


def test_the_simulator_dies_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'simulator', '--port=0', '--until-stdin-closes'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_taken_port_is_said_and_nothing_else(shared_town: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--port={shared_town.rpartition(':')[2]}"]) == 1
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--dirt=filth", "--start=yesterday", "--speed=0"])
def test_wrong_options_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([option])
    assert end.value.code == 2
    assert option[2:].partition("=")[0] in capsys.readouterr().err


def test_the_clock_runs_fast_up_to_the_present_and_no_further() -> None:
    now = int(time.time())
    fast = Clock(now - 1000, speed=10_000.0)
    time.sleep(0.3)
    assert now <= fast.now() <= int(time.time()) + 1
    past = Clock(now - 1_000_000, speed=10.0)
    time.sleep(0.2)
    assert now - 1_000_000 < past.now() < now - 999_000
    assert Clock(now + 1000).now() == now + 1000
