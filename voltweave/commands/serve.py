"""`voltweave serve`: the broker alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.output import tell

if TYPE_CHECKING:
    import asyncio

Host = Annotated[str | None, typer.Option(help="Address to listen on; loopback only. [default: 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on. [default: 9090]")]
Database = Annotated[str | None, typer.Option(help="Database URL. [default: sqlite:///var/voltweave.db]")]


def serve(host: Host = None, port: Port = None, database: Database = None) -> None:
    """Serve the NGSI-LD API until Ctrl-C."""
    from voltweave.serving import broker_settings, listen, run_until_stopped, serving

    settings = broker_settings(host, port, database)
    listener = listen(settings.server.host, settings.server.port)

    async def run(stop: asyncio.Event) -> None:
        from context_api.app import create_app
        from context_api.logs import configure

        configure(settings.logs)
        async with serving(create_app(settings), listener):
            shown = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
            tell(f"Voltweave serves http://{shown}:{settings.server.port}  (Ctrl-C stops it)")
            await stop.wait()

    run_until_stopped(run)
