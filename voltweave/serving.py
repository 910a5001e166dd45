"""A server process: the checks before it starts, the socket it listens on, its event loop and its clean end."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from voltweave.problems import Refused
from voltweave.protocol import bounded

if TYPE_CHECKING:
    from fastapi import FastAPI

    from context_api.settings import ServerSettings, Settings

_GRACE_SECONDS = 5
_BACKLOG = 2048
_PARENT_SECONDS = 1.0
#: Containers made and not freed since the last look for cycles. A batch of a thousand entities makes a hundred
#: thousand, which all go when it is answered; by default the collector would look at them 140 times.
_COLLECTED = 50_000


def broker_settings(
    host: str | None, port: int | None, database: str | None, workers: int | None = None, roles: str | None = None
) -> Settings:
    """Return the broker's settings, with what the command line names in the place of the environment's.

    Raises Refused for an address or database that this release does not serve.
    """
    from context_api.settings import SecuritySettings, ServerSettings, Settings, StorageSettings
    from context_api.storage.url import is_postgresql

    given = {"host": host, "port": port, "workers": workers, "roles": roles}
    server = ServerSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    storage = StorageSettings(database=database) if database is not None else StorageSettings()
    security = SecuritySettings()
    check_host(server, bool(security.issuer_urls))
    check_database(storage.database)
    if storage.database_replica is not None:
        _check_replica(storage.database_replica, storage.database)
    if server.workers > 1 and not is_postgresql(storage.database):
        raise Refused(
            f"{server.workers} workers cannot share an SQLite file, which has one writing process",
            "Leave --workers out, or use a PostgreSQL database: --database postgresql://USER:PASSWORD@HOST/DATABASE",
        )
    settings = Settings(server=server, storage=storage, security=security)
    check_sessions(settings)
    return settings


def check_sessions(settings: Settings) -> None:
    """Refuse settings by which browsers could not sign in, or not stay so."""
    sessions = settings.sessions
    if sessions.console_client_id is None:
        return
    if not settings.security.issuer_urls:
        raise Refused(
            "browsers cannot sign in: VOLTWEAVE_CONSOLE_CLIENT_ID is set, but no issuer",
            "Set VOLTWEAVE_ISSUERS to the URL of the realm.",
        )
    try:
        key, secret = sessions.key, sessions.client_secret
    except (OSError, ValueError) as error:
        raise Refused(f"browsers cannot sign in: {error}", "Make a key with: openssl rand -base64 32") from error
    if not secret:
        raise Refused(
            "browsers cannot sign in: the client's secret is missing",
            "Set VOLTWEAVE_CONSOLE_CLIENT_SECRET or VOLTWEAVE_CONSOLE_CLIENT_SECRET_FILE.",
        )
    if key is None and settings.server.workers > 1:
        raise Refused(
            f"{settings.server.workers} workers need one key for sessions",
            "Set VOLTWEAVE_SESSION_KEY or VOLTWEAVE_SESSION_KEY_FILE; make one with: openssl rand -base64 32",
        )


def check_host(server: ServerSettings, has_issuer: bool) -> None:
    """Refuse an address that others can reach: without an issuer they could change everything (decision 22).

    With one it must be known what they call this server, for other names are refused.
    """
    host = server.host
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback:
        return
    if not has_issuer:
        raise Refused(
            f"will not listen on {host}: without an issuer of tokens, whoever reaches it could change all data",
            "Listen on 127.0.0.1 or ::1. From elsewhere use a tunnel: ssh -L 9090:127.0.0.1:9090 THIS-MACHINE",
        )
    from context_api.front import known_hosts

    if not known_hosts(server):
        raise Refused(
            f"will not listen on {host}: it is not known by which name clients reach this server",
            "Set VOLTWEAVE_PUBLIC_URL to the URL that they use, or VOLTWEAVE_SERVER_NAMES to its names.",
        )


def check_database(url: str) -> None:
    """Refuse what is neither an SQLite file nor a PostgreSQL database; make the folder of a file that is new."""
    from context_api.storage.url import is_postgresql, redacted

    if is_postgresql(url):
        _check_postgresql(url)
        return
    scheme, _, rest = url.partition("://")
    file = rest.removeprefix("/")
    if scheme != "sqlite" or not rest.startswith("/") or not file or file == ":memory:":
        raise Refused(
            f"{redacted(url)} is no database that Voltweave knows",
            "Use --database sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
        )
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"the folder of {file} cannot be made: {error.strerror}") from error


def _check_replica(url: str, database: str) -> None:
    from context_api.storage.url import is_postgresql, redacted

    if not (is_postgresql(url) and is_postgresql(database)):
        raise Refused(
            f"{redacted(url)} is no replica of {redacted(database)}",
            "VOLTWEAVE_DATABASE_REPLICA names a replica of a PostgreSQL database; unset it, or name both so: "
            "postgresql://USER:PASSWORD@HOST/DATABASE",
        )
    _check_postgresql(url)


def _check_postgresql(url: str) -> None:
    from context_api.storage.port import StorageError
    from context_api.storage.postgres.connection import plain_url

    try:
        plain_url(url)
    except StorageError as error:
        raise Refused(str(error), "Write the special characters of a password as %40, %2F and so on") from error


def listen(host: str, port: int, count: int = 1) -> list[socket.socket]:
    """Return sockets that listen at an address and share its connections; raises Refused where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        first = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        if count == 1:
            return [first]
        # That one said that nobody else listens; sockets that share an address would not.
        first.close()
        return [
            socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=True) for _ in range(count)
        ]
    except OSError as error:
        raise Refused(
            f"cannot listen on {host} port {port}: {error.strerror}",
            "Another Voltweave may run there already. Stop it, or choose another port with --port",
        ) from error


def run_until_stopped(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], parent: int | None = None) -> None:
    """Run a coroutine with an event that Ctrl-C and SIGTERM set; a second Ctrl-C ends the process at once.

    A worker names the process that started it: the end of that one stops it too.
    """
    import uvloop

    async def run() -> None:
        stop = asyncio.Event()
        with _signals_to(stop):
            watch = None if parent is None else asyncio.create_task(_stop_with(parent, stop))
            await main(stop)
            if watch is not None:
                watch.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@asynccontextmanager
async def serving(application: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the broker while the block runs, after its start-up and before its shut-down.

    The start-up is done here and not by uvicorn, which would print a traceback for a database in use.
    """
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(application.router.lifespan_context(application))
        except Exception as error:
            raise _start_problem(error) from error
        await stack.enter_async_context(_accepting(application, listener))
        _collect_seldom()
        yield


def _collect_seldom() -> None:
    """Let the collector of cycles leave alone what start-up made, and look at the rest seldom: requests make few."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED, *gc.get_threshold()[1:])


def _start_problem(error: Exception) -> Exception:
    """Return what to say about a broker that did not start; the error itself where it is a fault of ours."""
    import sqlite3

    from context_api.storage.port import DatabaseInUse, StorageError

    hint = "Name another file with --database sqlite:///FILE"
    if isinstance(error, StorageError):
        return Refused(str(error), hint if isinstance(error, DatabaseInUse) else "")
    if isinstance(error, sqlite3.Error):
        return Refused(f"the database cannot be opened: {error}", hint)
    return error


@asynccontextmanager
async def _accepting(application: FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """Take requests while the block runs."""
    server = _Server(
        uvicorn.Config(
            application,
            http=bounded(application.state.broker.settings.server.max_head_bytes),
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    task = asyncio.create_task(server.serve([listener]))
    await _started(server, task)
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process around it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            task.result()
            raise Refused("the server could not start; the lines above say why")
        await asyncio.sleep(0.01)


async def _stop_with(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - the end of a parent is no event of the loop
        await asyncio.sleep(_PARENT_SECONDS)
    stop.set()


@contextmanager
def _signals_to(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            sys.stderr.write("stopped at once\n")
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
