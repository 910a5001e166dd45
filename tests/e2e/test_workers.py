"""`voltweave serve --workers` on PostgreSQL: how it ends, what workers share, and what each role does."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.postgres import PostgresServer, query
from tests.platform import ENVIRONMENT, Broker, broker

API = "/ngsi-ld/v1"
WORKERS = 4
#: So many new connections leave none of four workers out.
CONNECTIONS = 60
#: The documented time until a worker knows what another one changed of @contexts, and some of a busy machine.
IN_STEP_SECONDS = 1.0 + 1.0
SPEED = "https://example.org/speed"


def ask(platform: Broker, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
    """Send a request on a connection of its own; return status, headers and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)) as connection:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", "Connection": "close"} | headers)
        answer = connection.getresponse()
        told = answer.read()
        return answer.status, dict(answer.getheaders()), json.loads(told) if told else None


def statuses(platform: Broker, path: str) -> set[int]:
    """Return what the workers answer."""
    return {ask(platform, "GET", path)[0] for _ in range(CONNECTIONS)}


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> float:
    """Wait until something is so and return how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def is_free(port: int) -> bool:
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def platform(postgres_url: str, tmp_path: Path) -> Iterator[Broker]:
    """Give a broker with several workers."""
    with broker(tmp_path, postgres_url, ["--workers", str(WORKERS)]) as running:
        wait_for(lambda: len(running.workers()) == WORKERS)
        yield running


class Upload:
    """A creation whose body is on its way."""

    def __init__(self, port: int, name: str) -> None:
        self._body = json.dumps({"id": f"urn:ngsi-ld:Thing:{name}", "type": "Thing"}).encode()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.putrequest("POST", f"{API}/entities")
        self.connection.putheader("Content-Type", "application/json")
        self.connection.putheader("Content-Length", str(len(self._body)))
        self.connection.endheaders(self._body[:10])

    def finish(self) -> int:
        """Send the rest and return the status of the answer."""
        with closing(self.connection):
            self.connection.send(self._body[10:])
            return self.connection.getresponse().status


def end(platform: Broker) -> int:
    """Wait for the end of a broker that was told to stop and return its exit code."""
    process, platform.process = platform.process, None
    assert process is not None
    return process.wait(30)


def test_sigterm_answers_what_is_under_way_and_leaves_nothing_behind(platform: Broker, postgres_url: str) -> None:
    uploads = [Upload(platform.port, str(n)) for n in range(20)]
    workers = platform.workers()
    time.sleep(0.5)
    assert platform.process is not None
    platform.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert [upload.finish() for upload in uploads] == [201] * 20
    assert end(platform) == 0
    assert query(postgres_url, "SELECT count(*) FROM entity") == [(20,)]
    assert [pid for pid in workers if is_alive(pid)] == []
    assert is_free(platform.port)
    assert query(postgres_url, "SELECT * FROM lease") == []
    assert "Traceback" not in platform.log()


def test_workers_end_with_the_process_that_watches_over_them(platform: Broker) -> None:
    workers = platform.workers()
    platform.end(signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, workers)))
    assert is_free(platform.port)


def test_sigterm_while_the_database_is_away_ends_as_well(
    platform: Broker, postgres_server: PostgresServer, postgres_url: str
) -> None:
    for number in range(CONNECTIONS):
        body = {"id": f"urn:ngsi-ld:Thing:{number}", "type": "Thing", "@context": {"Thing": SPEED}}
        assert ask(platform, "POST", f"{API}/entities", body, **{"Content-Type": "application/ld+json"})[0] == 201
    workers = platform.workers()
    postgres_server.kill()
    assert statuses(platform, f"{API}/entities/urn:ngsi-ld:Thing:1") == {503}
    assert statuses(platform, "/q/health/ready") == {503}
    assert statuses(platform, "/q/health/live") == {200}
    assert platform.process is not None
    platform.process.send_signal(signal.SIGTERM)
    assert end(platform) == 0
    assert [pid for pid in workers if is_alive(pid)] == []
    assert "Traceback" not in platform.log()
    assert "fault of Voltweave" not in platform.log()


def test_a_worker_killed_while_the_database_is_away_comes_back_with_it(
    platform: Broker, postgres_server: PostgresServer
) -> None:
    # A worker that has not started yet would end them all: the database could be the wrong one.
    assert statuses(platform, "/q/health/ready") == {200}
    before = platform.workers()
    postgres_server.kill()
    os.kill(before[1], signal.SIGKILL)
    wait_for(lambda: "cannot be reached" in platform.log() or "PostgreSQL: " in platform.log())
    time.sleep(1.5)
    assert set(before) - set(platform.workers()) == {before[1]}
    postgres_server.start()
    wait_for(lambda: len(platform.workers()) == WORKERS and statuses(platform, "/q/health/ready") == {200}, 10)
    assert len(set(platform.workers()) - set(before)) == 1
    assert "Traceback" not in platform.log()


def test_a_context_is_known_to_all_workers_at_once_and_gone_within_the_time(platform: Broker) -> None:
    status, headers, _ = ask(platform, "POST", f"{API}/jsonldContexts", {"@context": {"speed": SPEED}})
    assert status == 201
    path = headers["location"].removeprefix(platform.url)
    link = f'<{platform.url}{path}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
    for number in range(CONNECTIONS):
        entity = {"id": f"urn:ngsi-ld:Thing:{number}", "type": "Thing", "speed": {"type": "Property", "value": number}}
        assert ask(platform, "POST", f"{API}/entities", entity, Link=link)[0] == 201
        _, _, found = ask(platform, "GET", f"{API}/entities/{entity['id']}?options=keyValues")
        assert found[SPEED] == number
    assert statuses(platform, path) == {200}
    assert ask(platform, "DELETE", path)[0] == 204
    assert wait_for(lambda: statuses(platform, path) == {404}) < IN_STEP_SECONDS


def test_a_context_that_another_worker_stored_is_found_at_the_first_request(platform: Broker) -> None:
    for number in range(CONNECTIONS):
        _, headers, _ = ask(platform, "POST", f"{API}/jsonldContexts", {"@context": {"speed": f"{SPEED}{number}"}})
        assert ask(platform, "GET", headers["location"].removeprefix(platform.url))[0] == 200


def leases(url: str, name: str = "%") -> list[tuple[Any, ...]]:
    return query(url, "SELECT name, holder FROM lease WHERE name LIKE ? ORDER BY name", name)


def test_roles_are_apart_and_a_lease_passes_on(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLTWEAVE_EXPIRY_INTERVAL", "0.2")
    entity = {"id": "urn:ngsi-ld:Thing:1", "type": "Thing", "expiresAt": "2001-01-01T00:00:00Z"}
    with broker(tmp_path / "api", postgres_url, ["--roles", "api"]) as serving:
        assert ask(serving, "POST", f"{API}/entities", entity)[0] == 201
        time.sleep(1)
        assert leases(postgres_url) == []
        assert query(postgres_url, "SELECT id FROM entity") == [(entity["id"],)]
        with broker(tmp_path / "jobs", postgres_url, ["--roles", "jobs"]) as sweeping:
            assert ask(sweeping, "GET", f"{API}/entities/{entity['id']}")[0] == 404
            assert ask(sweeping, "POST", f"{API}/entities", entity)[0] == 404
            assert ask(sweeping, "GET", "/q/health/ready")[0] == 200
            wait_for(lambda: query(postgres_url, "SELECT id FROM entity") == [], 5)
            [held] = leases(postgres_url, "sweep")
            sweeping.end(signal.SIGKILL)
        with broker(tmp_path / "heir", postgres_url, ["--roles", "jobs"]) as heir:
            time.sleep(1)
            assert leases(postgres_url, "sweep") == [held]
            query(postgres_url, "UPDATE lease SET until = 0")
            wait_for(lambda: leases(postgres_url, "sweep") not in ([], [held]), 5)
            wait_for(lambda: len({holder for _, holder in leases(postgres_url)}) == 1, 10)
            heir.end()
        assert leases(postgres_url) == []


def test_workers_of_one_broker_hold_one_lease_of_each_kind(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLTWEAVE_EXPIRY_INTERVAL", "0.1")
    with broker(tmp_path, postgres_url, ["--workers", str(WORKERS)]):
        wait_for(lambda: len(leases(postgres_url)) > 2)
        held = leases(postgres_url)
        assert [name for name, _ in held] == ["consumer quality", "consumer surroundings", "sweep"]
        for _ in range(10):
            time.sleep(0.1)
            assert leases(postgres_url) == held


def test_several_workers_on_sqlite_are_refused(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "voltweave", "serve", "--workers", "2", "--database", f"sqlite:///{tmp_path}/x.db"],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 3
    assert "2 workers cannot share an SQLite file" in told.stderr
    assert "--database postgresql://" in told.stderr
    assert "Traceback" not in told.stderr
    assert list(tmp_path.iterdir()) == []
