"""`voltweave serve`: the broker alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.output import tell

if TYPE_CHECKING:
    import asyncio

Host = Annotated[
    str | None, typer.Option(help="Address to listen on; loopback only without an issuer. [default: 127.0.0.1]")
]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on. [default: 9090]")]
Database = Annotated[str | None, typer.Option(help="Database URL. [default: sqlite:///var/voltweave.db]")]


Workers = Annotated[int | None, typer.Option(min=1, max=64, help="Processes that share the port. [default: 1]")]
Roles = Annotated[str | None, typer.Option(help="What to do: api, jobs or both, comma separated. [default: api,jobs]")]


def serve(
    host: Host = None, port: Port = None, database: Database = None, workers: Workers = None, roles: Roles = None
) -> None:
    """Serve the NGSI-LD API until Ctrl-C."""
    from voltweave.serving import broker_settings, listen, run_until_stopped, serving
    from voltweave.workers import become_worker

    settings = broker_settings(host, port, database, workers, roles)
    count = settings.server.workers
    listeners = listen(settings.server.host, settings.server.port, count)
    number, parent = become_worker(count) if count > 1 else (0, None)

    async def run(stop: asyncio.Event) -> None:
        from context_api.app import create_app
        from context_api.logs import configure

        configure(settings.logs)
        async with serving(create_app(settings), listeners[number]):
            shown = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
            if number == 0:
                processes = f" with {count} workers" if count > 1 else ""
                tell(f"Voltweave serves http://{shown}:{settings.server.port}{processes}  (Ctrl-C stops it)")
            await stop.wait()

    run_until_stopped(run, parent)
