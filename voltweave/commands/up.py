"""`voltweave up`: broker, adapters and a simulated town, with one command."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voltweave.commands.serve import Database, Port
from voltweave.output import program, tell

if TYPE_CHECKING:
    import asyncio
    from socket import socket

    from fastapi import FastAPI

    from adapters.provider import Provider
    from adapters.sink import Sink
    from context_api.settings import Settings
    from voltweave.settings import TownSettings

TRY = "query --type ChargingSession --q 'energyDelivered>30' --limit 5 --count"


def up(
    port: Port = None,
    data: Annotated[Path | None, typer.Option(help="Folder for everything that is kept. [default: var]")] = None,
    database: Database = None,
    town: Annotated[bool, typer.Option(help="Simulate a town whose sources the adapters read.")] = True,
) -> None:
    """Start everything on loopback: the broker, its adapters and a simulated town. Ctrl-C stops it all."""
    from adapters.settings import AdapterSettings
    from voltweave.serving import broker_settings, listen, run_until_stopped
    from voltweave.settings import TownSettings

    simulated = TownSettings() if town else None
    folder = data or AdapterSettings().data
    if database is None and data is not None:
        database = f"sqlite:///{data / 'voltweave.db'}"
    settings = broker_settings("127.0.0.1", port, database)
    [listener] = listen(settings.server.host, settings.server.port)

    async def run(stop: asyncio.Event) -> None:
        await _run(settings, listener, folder, simulated, stop)

    run_until_stopped(run)


async def _run(
    settings: Settings, listener: socket, folder: Path, town: TownSettings | None, stop: asyncio.Event
) -> None:
    """Serve, simulate and adapt until stopped; what was started last is stopped first."""
    from context_api.app import create_app
    from context_api.logs import configure
    from context_api.storage.url import redacted
    from voltweave.serving import serving

    configure(settings.logs)
    application = create_app(settings)
    url = f"http://127.0.0.1:{settings.server.port}"
    async with serving(application, listener):
        tell(f"context API   {url}/ngsi-ld/v1   (data in {redacted(settings.storage.database)})")
        if town is not None:
            await _run_town(application, url, folder, town, stop)
        await stop.wait()
        tell("stopping")


async def _run_town(application: FastAPI, url: str, folder: Path, town: TownSettings, stop: asyncio.Event) -> None:
    """Run the town and the adapters that read it; they deliver to the application in this process, without a socket."""
    import httpx

    from adapters.credentials import credentials
    from adapters.settings import AdapterSettings
    from adapters.sink import HttpSink
    from voltweave.server import own_server
    from voltweave.town import location, simulated_town, town_providers

    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(simulated_town(town, folder / "town"))
        sink = HttpSink(url, transport=httpx.ASGITransport(application), auth=credentials())
        stack.push_async_callback(sink.aclose)
        providers = [(provider, location(provider, source, folder / "town")) for provider in town_providers()]
        tell(f"town          {source}   (files in {folder / 'town' / 'dropped'})")
        kept = "" if folder == AdapterSettings().data else f" --data {folder}"
        served = "" if url == own_server() else f" --server {url}"
        tell(f"adapters      {len(providers)} providers; see {program()} adapters list{kept}")
        tell(f"try           {program()} {TRY}{served}")
        tell("Ctrl-C stops everything.")
        await _run_adapters(providers, sink, folder, stop)


async def _run_adapters(providers: list[tuple[Provider, str]], sink: Sink, folder: Path, stop: asyncio.Event) -> None:
    """Run every provider until stopped; one that fails leaves the others alone."""
    import asyncio

    from adapters.errors import AdapterError
    from adapters.runner import run_provider

    async def run(provider: Provider, place: str) -> None:
        try:
            await run_provider(provider, sink, folder, stop, location=place)
        except AdapterError as error:
            tell(f"adapter {provider.manifest.id} ended: {error}")
        except Exception:
            logging.getLogger(__name__).exception("adapter %s ended", provider.manifest.id)

    async with asyncio.TaskGroup() as group:
        for provider, place in providers:
            group.create_task(run(provider, place))
