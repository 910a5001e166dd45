"""The egress guard: which addresses are reached, and that a name cannot lead elsewhere (decision 22)."""

from __future__ import annotations

import asyncio
import http.server
import ipaddress
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context_api.security.egress import EgressGuard, EgressRefused, guarded_client, is_public, parse_networks

PRIVATE = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "0.0.0.0/8",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "fe80::/10",
    "fc00::/7",
    "fec0::/10",
    "ff00::/8",
    "2001:db8::/32",
]


def addresses_in(network: str) -> st.SearchStrategy[str]:
    """Any address of a network."""
    net = ipaddress.ip_network(network)
    return st.integers(0, net.num_addresses - 1).map(lambda n: str(net[n]))


not_public = st.sampled_from(PRIVATE).flatmap(addresses_in)
ipv4_not_public = st.sampled_from([n for n in PRIVATE if ":" not in n]).flatmap(addresses_in)


def disguised(address: str) -> list[str]:
    """The IPv6 addresses that lead to an IPv4 one: mapped, 6to4, NAT64, Teredo."""
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    teredo = ipaddress.IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF))
    return [f"::ffff:{address}", f"2002:{high:x}:{low:x}::1", f"64:ff9b::{high:x}:{low:x}", str(teredo)]


@settings(max_examples=1000, deadline=None)
@given(not_public)
def test_what_is_not_public_is_refused_unless_allowed(address: str) -> None:
    assert not EgressGuard().permits(address)
    assert not EgressGuard("198.51.100.0/24").permits(address)
    assert EgressGuard(f"203.0.113.0/24, {address}").permits(address)


@settings(max_examples=1000, deadline=None)
@given(ipv4_not_public)
def test_an_ipv4_address_in_disguise_is_the_same_address(address: str) -> None:
    for other in disguised(address):
        assert not EgressGuard().permits(other), other
        assert EgressGuard(address).permits(other), other


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_pass(address: str) -> None:
    assert EgressGuard().permits(address)


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "fe80::1%eth0", "not an address"])
def test_what_is_no_public_address_never_passes(address: str) -> None:
    assert not EgressGuard("10.0.0.0/8").permits(address)


def test_networks_are_read_strictly() -> None:
    assert parse_networks(" 10.1.2.3/8 , ::1 ,") == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )
    assert parse_networks("") == ()
    with pytest.raises(ValueError, match=r"VOLTWEAVE_EGRESS_ALLOW: 'localhost'"):
        parse_networks("10.0.0.0/8,localhost")
    assert not is_public(ipaddress.ip_address("192.0.2.1"))


class Changing:
    """A resolver whose answer changes with every question, as in DNS rebinding."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@contextmanager
def serving(
    host: str = "127.0.0.1", tls: Path | None = None, location: str | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Serve 'hello', or a redirect, and note the Host header of each request."""
    hosts: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["Host"])
            self.send_response(302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer((host, 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], hosts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(url: str, guard: EgressGuard) -> httpx.Response:
    """GET a URL through the guard."""

    async def main() -> httpx.Response:
        async with guarded_client(guard, timeout=5, max_redirects=3) as client:
            return await client.get(url)

    return asyncio.run(main())


def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    resolver = Changing(["127.0.0.1"], ["10.0.0.1"])
    with serving() as (port, hosts):
        answer = get(f"http://contexts.example:{port}/", EgressGuard("127.0.0.0/8", resolver))
    assert answer.text == "hello"
    assert hosts == [f"contexts.example:{port}"]
    assert resolver.asked == 1


def test_a_name_that_now_leads_inside_is_refused() -> None:
    resolver = Changing(["127.0.0.1"], ["169.254.169.254"])
    guard = EgressGuard("127.0.0.0/8", resolver)
    with serving() as (port, _):
        assert get(f"http://contexts.example:{port}/", guard).text == "hello"
        with pytest.raises(EgressRefused, match=r"contexts.example \(169.254.169.254\).*VOLTWEAVE_EGRESS_ALLOW"):
            get(f"http://contexts.example:{port}/", guard)


def test_of_several_addresses_only_the_permitted_are_tried() -> None:
    guard = EgressGuard("127.0.0.2", Changing(["127.0.0.1", "127.0.0.2"]))
    with serving("127.0.0.1") as (port, hosts), pytest.raises(httpx.ConnectError):
        get(f"http://contexts.example:{port}/", guard)
    assert hosts == []


def test_each_redirect_is_judged_again() -> None:
    with serving("127.0.0.2") as (inner, seen), serving(location=f"http://127.0.0.2:{inner}/") as (port, _):
        with pytest.raises(EgressRefused, match=r"127.0.0.2"):
            get(f"http://127.0.0.1:{port}/", EgressGuard("127.0.0.1"))
        assert seen == []
        assert get(f"http://127.0.0.1:{port}/", EgressGuard("127.0.0.0/30")).text == "hello"


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "0"])
def test_loopback_in_every_spelling_is_refused(host: str) -> None:
    with serving() as (port, hosts):
        with pytest.raises((EgressRefused, httpx.ConnectError)):
            get(f"http://{host}:{port}/", EgressGuard())
        assert hosts == []


def test_other_schemes_and_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        get("ftp://127.0.0.1/x", EgressGuard("127.0.0.0/8"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with serving() as (port, _):
        assert get(f"http://127.0.0.1:{port}/", EgressGuard("127.0.0.0/8")).text == "hello"


def test_tls_checks_the_name_in_the_url_against_ssl_cert_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = ["-subj", "/CN=contexts.example", "-addext", "subjectAltName=DNS:contexts.example"]
    key = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *key]
    subprocess.run(make, check=True, capture_output=True)
    guard = EgressGuard("127.0.0.0/8", Changing(["127.0.0.1"]))
    with serving(tls=tmp_path) as (port, hosts):
        with pytest.raises(httpx.ConnectError, match="certificate"):
            get(f"https://contexts.example:{port}/", guard)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert get(f"https://contexts.example:{port}/", guard).text == "hello"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            get(f"https://other.example:{port}/", guard)
    assert hosts == [f"contexts.example:{port}"]
