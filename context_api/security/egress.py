"""The egress guard: outgoing requests reach public addresses, and others only where a setting allows it (decision 22).

A name is resolved once, every address it has is judged, and the connection goes to an address that passed: an answer of
the resolver that changes afterwards changes nothing. Each redirect opens a connection of its own and is judged again.
The name in the URL stays the one that TLS and the Host header use.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore
import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

SETTING = "VOLTWEAVE_EGRESS_ALLOW"

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MAX_CONNECTIONS = 20


class EgressRefused(Exception):
    """An outgoing request would reach an address that it must not."""


class EgressGuard:
    """Judges addresses: public unicast ones pass, others only inside the allowed networks."""

    def __init__(self, allow: str = "", resolve: Resolve | None = None) -> None:
        """Take networks in CIDR notation, comma separated; raise ValueError naming one that is none."""
        self._allowed = parse_networks(allow)
        self._resolve = resolve or resolve_by_system

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to, in the resolver's order.

        Raises EgressRefused when it has addresses but none that may be reached, OSError when it cannot be resolved.
        """
        found = await self._resolve(host, port)
        permitted = [address for address in found if self.permits(address)]
        if not permitted:
            refused = ", ".join(found) or "no address"
            raise EgressRefused(
                f"{host} ({refused}) is not a public address; {SETTING} lists the networks allowed beside"
            )
        return permitted

    def permits(self, address: str) -> bool:
        """Tell whether a connection to this IP address may be made."""
        try:
            ip = _reached(ipaddress.ip_address(address))
        except ValueError:
            return False
        return is_public(ip) or any(ip in network for network in self._allowed if network.version == ip.version)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list in CIDR notation; raise ValueError naming one that is none."""
    found: list[Network] = []
    for part in (p.strip() for p in text.split(",")):
        if not part:
            continue
        try:
            found.append(ipaddress.ip_network(part, strict=False))
        except ValueError as error:
            raise ValueError(f"{SETTING}: {part!r} is not a network in CIDR notation") from error
    return tuple(found)


def is_public(ip: Address) -> bool:
    """Tell whether this is a unicast address of the public internet."""
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or site_local)


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver gives for a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def guarded_client(guard: EgressGuard, timeout: float, max_redirects: int) -> httpx.AsyncClient:
    """Return an HTTP client whose every connection passes the guard; proxies of the environment are not used."""
    return httpx.AsyncClient(
        transport=_GuardedTransport(guard),
        timeout=timeout,
        follow_redirects=True,
        max_redirects=max_redirects,
        trust_env=False,
    )


def _reached(ip: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), else the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else None) or ip


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that the guard gives for a name, one after the other."""

    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._guard.addresses(host, port)
        except OSError as error:  # covers the time-out
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise EgressRefused(f"{path}: local sockets cannot be reached")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that opens connections through the guard."""

    def __init__(self, guard: EgressGuard) -> None:
        tls = ssl.create_default_context()  # honours SSL_CERT_FILE
        super().__init__(verify=tls)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(guard),
        )
