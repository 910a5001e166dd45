"""kill -9 of PostgreSQL and of workers under load: what was acknowledged is there, and no batch is there by half.

VOLTWEAVE_KILLS says how often each of them is killed; without it there are three kills in all.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.postgres import PostgresServer, query
from tests.platform import Broker, broker

KILLS = os.environ.get("VOLTWEAVE_KILLS")
WORKERS = 4
BACK_SECONDS = 5.0
LONGEST_WAIT_S = 60
#: Entities of one batch of each client; 1 stands for the operations on single entities.
SIZES = (1, 1, 1, 1, 20, 20, 300)
#: Batches that are looked up over the API after a kill; all of them are in the database.
ASKED = 100
PASSWORD = "pass-word-of-the-test"
API = "/ngsi-ld/v1"
#: What one worker may say of an outage, each once: it began; @contexts, modes and shapes, and policies are out of step;
#: quotas are counted by each process alone; usage of @contexts is not written; it is over.
LINES_OF_A_WORKER = 7
CURRENT = """
    SELECT e.id, v.num::bigint FROM entity e JOIN value v ON v.k = e.k
    JOIN name n ON n.id = v.attr AND n.iri LIKE '%/default-context/count'
"""
HISTORY = """
    SELECT c.entity_id, h.num::bigint, c.txn::text FROM change c
    JOIN history h ON h.k = c.k AND h.version = c.new_version
    JOIN name n ON n.id = h.attr AND n.iri LIKE '%/default-context/count' ORDER BY h.version
"""


@dataclass
class Written:
    """What a client knows of entities that it wrote together: a greater value each time."""

    ids: list[str]
    acknowledged: list[int] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)

    def may_hold(self) -> set[int | None]:
        """Return the values that may be stored now; None stands for no entity."""
        if not self.acknowledged:
            return {None, *self.doubtful}
        last = self.acknowledged[-1]
        return {last, *(value for value in self.doubtful if value > last)}


class Client(threading.Thread):
    """Writes entities, `size` of them at once, and keeps what it was told."""

    def __init__(self, name: str, port: int, size: int) -> None:
        super().__init__(name=name, daemon=True)
        self.port = port
        self.size = size
        self.written: list[Written] = []
        #: Moments of writes that were acknowledged, of those answered with 503, and of those that got no answer.
        self.done: list[float] = []
        self.refused: list[float] = []
        self.unanswered: list[float] = []
        self.longest_refusal = 0.0
        #: Answers that there must not be.
        self.complaints: list[str] = []
        self._stop_now = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Write until stopped."""
        while not self._stop_now.is_set():
            number = len(self.written)
            written = Written([f"urn:ngsi-ld:Thing:{self.name}:{number}:{n}" for n in range(self.size)])
            self.written.append(written)
            for value in range(1, random.randrange(2, 6)):
                if not self._stop_now.is_set() and not self._write(written, value) and value == 1:
                    break
        if self._connection is not None:
            self._connection.close()

    def stop(self) -> None:
        """Let it come to an end."""
        self._stop_now.set()
        self.join(LONGEST_WAIT_S)
        assert not self.is_alive(), "a request got no answer"

    def _write(self, written: Written, value: int) -> bool:
        """Create entities with the value 1, or update them; tell whether that was acknowledged."""
        attribute = {"count": {"type": "Property", "value": value}}
        entities = [{"id": i, "type": "Thing", **attribute} for i in written.ids]
        if self.size > 1:
            path = f"{API}/entityOperations/{'create' if value == 1 else 'update'}"
            answer = self._ask("POST", path, entities)
        elif value == 1:
            answer = self._ask("POST", f"{API}/entities", entities[0])
        else:
            answer = self._ask("PATCH", f"{API}/entities/{written.ids[0]}/attrs", attribute)
        (written.acknowledged if answer else written.doubtful).append(value)
        return answer

    def _ask(self, method: str, path: str, body: Any) -> bool:
        """Tell whether a request was acknowledged."""
        began = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_WAIT_S)
            self._connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self.unanswered.append(time.monotonic())
            return False
        now = time.monotonic()
        if answer.status in (201, 204):
            self.done.append(now)
            return True
        self.refused.append(now)
        self.longest_refusal = max(self.longest_refusal, now - began)
        if not is_unavailable(answer, text):
            self.complaints.append(f"{method} {path}: {answer.status} {answer.getheaders()} {text[:500]}")
        self._stop_now.wait(0.02)
        return False


def is_unavailable(answer: http.client.HTTPResponse, text: str) -> bool:
    """Tell whether an answer is a 503 with problem details that give nothing away."""
    if answer.status != 503 or answer.getheader("Content-Type") != "application/json":
        return False
    problem = json.loads(text)
    secret = any(word in text for word in ("Traceback", "asyncpg", "postgres", PASSWORD))
    return {"type", "title", "detail"} <= problem.keys() and not secret


class Trial:
    """A broker with four workers, a load on it, and what the kills made of them."""

    def __init__(self, platform: Broker, server: PostgresServer, database_url: str) -> None:
        self.platform = platform
        self.server = server
        self.database_url = database_url
        self.clients: list[Client] = []
        self.checked = 0
        self.longest_back = 0.0
        self.longest_log = 0
        self._rounds = 0

    @contextmanager
    def load(self) -> Iterator[None]:
        """Write with several clients; afterwards check all that they wrote."""
        self._rounds += 1
        self.clients = [Client(f"{self._rounds}-{n}", self.platform.port, size) for n, size in enumerate(SIZES)]
        for client in self.clients:
            client.start()
        try:
            self.wait_until_answered(time.monotonic())
            yield
        finally:
            for client in self.clients:
                client.stop()
        assert [complaint for client in self.clients for complaint in client.complaints] == []
        self.check()

    def wait_until_answered(self, since: float) -> float:
        """Wait until each client had a write acknowledged; return how long that took."""
        deadline = time.monotonic() + LONGEST_WAIT_S
        while not all(client.done and client.done[-1] > since for client in self.clients):
            assert time.monotonic() < deadline, self.platform.log()
            time.sleep(0.01)
        return max(min(moment for moment in client.done if moment > since) for client in self.clients) - since

    def note_back(self, seconds: float) -> None:
        """Note how long it took until the service was back."""
        assert seconds < BACK_SECONDS
        self.longest_back = max(self.longest_back, seconds)

    def written(self) -> list[Written]:
        """Return what the clients wrote."""
        return [written for client in self.clients for written in client.written]

    def check(self) -> None:
        """Check the entities of the clients, as they are now and as they were."""
        history: dict[str, dict[int, str]] = {}
        for entity, value, transaction in query(self.database_url, HISTORY):
            assert value > max(history.get(entity, {}), default=0), f"{entity} went back to {value}"
            history.setdefault(entity, {})[value] = transaction
        current = dict(query(self.database_url, CURRENT))
        with self.connection() as connection:
            assert counted(connection) == len(current)
        self.check_answers(current)
        for written in self.written():
            found = {current.get(entity) for entity in written.ids}
            assert len(found) == 1, f"a batch is stored by half: {written.ids[0]}: {found}"
            (value,) = found
            assert value in written.may_hold(), f"{written} has {value}"
            told = [history.get(entity, {}) for entity in written.ids]
            assert all(values == told[0] for values in told), f"a batch is two transactions: {written.ids[0]}"
            assert set(written.acknowledged) <= told[0].keys() <= {*written.acknowledged, *written.doubtful}
            assert max(told[0], default=None) == value
            self.checked += len(written.acknowledged)

    def connection(self) -> closing[http.client.HTTPConnection]:
        """Return a new connection."""
        return closing(http.client.HTTPConnection("127.0.0.1", self.platform.port, timeout=LONGEST_WAIT_S))

    def check_answers(self, current: dict[str, int]) -> None:
        """Check that the API says of one entity of many batches what the database does."""
        with self.connection() as connection:
            written_by_all = self.written()
            for written in random.sample(written_by_all, min(ASKED, len(written_by_all))):
                entity = random.choice(written.ids)
                assert current_value(connection, entity) == current.get(entity)

    @contextmanager
    def logged(self, most: int) -> Iterator[None]:
        """Check what the block adds to the log."""
        before = len(self.platform.log())
        yield
        added = self.platform.log()[before:]
        assert [line for line in added.splitlines() if "Traceback" in line or PASSWORD in line] == []
        # The line that says where it serves may come late.
        assert len([line for line in added.splitlines() if line.startswith("{")]) <= most, added
        self.longest_log = max(self.longest_log, len(added.splitlines()))

    def kill_server(self) -> None:
        """Kill PostgreSQL under load and start it again."""
        with self.logged(most=WORKERS * LINES_OF_A_WORKER), self.load():
            time.sleep(random.random())
            killed = time.monotonic()
            self.server.kill()
            time.sleep(random.random() * 1.5)
            self.server.start()
            returned = time.monotonic()
            self.note_back(self.wait_until_answered(returned))
            time.sleep(0.2)
            assert any(client.refused for client in self.clients), "nobody noticed"
            for client in self.clients:
                assert client.unanswered == []
                assert all(killed < moment < returned + BACK_SECONDS for moment in client.refused)
                assert client.longest_refusal < BACK_SECONDS
            # Every worker says that the outage is over before the log is read.
            wait_for(lambda: self.platform.log().count("storage failed") == self.platform.log().count("works again"))

    def kill_worker(self) -> None:
        """Kill one of the workers under load."""
        before = self.platform.workers()
        assert len(before) == WORKERS
        # That it was killed and, of the first worker, that the broker serves: both times, if it is killed at once.
        with self.logged(most=3), self.load():
            time.sleep(random.random())
            killed = time.monotonic()
            os.kill(random.choice(before), signal.SIGKILL)
            wait_for(lambda: len(set(self.platform.workers()) - set(before)) == 1)
            assert len(self.platform.workers()) == WORKERS
            self.note_back(self.wait_until_answered(killed))
            # New connections reach every worker, the new one too.
            for _ in range(4 * WORKERS):
                with self.connection() as connection:
                    assert current_value(connection, "urn:ngsi-ld:Thing:none") is None
            self.note_back(time.monotonic() - killed)
            for client in self.clients:
                assert client.refused == []
                assert len(client.unanswered) <= 1


def current_value(connection: http.client.HTTPConnection, entity: str) -> int | None:
    """Return what the API says of an entity."""
    connection.request("GET", f"{API}/entities/{entity}?options=keyValues")
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status in (200, 404), text
    return int(json.loads(text)["count"]) if answer.status == 200 else None


def counted(connection: http.client.HTTPConnection) -> int:
    """Return how many entities a query finds."""
    connection.request("GET", f"{API}/entities?type=Thing&count=true&limit=0")
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return int(answer.headers["NGSILD-Results-Count"])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("victim", "kills"), [("PostgreSQL", int(KILLS or 2)), ("worker", int(KILLS or 1))])
def test_kills_lose_no_acknowledged_write_and_leave_no_half_batch(
    victim: str, kills: int, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    url = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
    with broker(tmp_path, url, ["--workers", str(WORKERS)]) as platform:
        trial = Trial(platform, postgres_server, postgres_url)
        for _ in range(kills):
            trial.kill_server() if victim == "PostgreSQL" else trial.kill_worker()
    print(  # noqa: T201
        f"{kills} kills of {victim}: {trial.checked} acknowledged writes checked, back after "
        f"{trial.longest_back:.2f} s at most, {trial.longest_log} lines of log at most"
    )
    assert trial.checked > kills * len(SIZES)
