"""What it costs to know who asks: a token that is verified, one that is found again, and a retrieve that bears one."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks.client import Call, drive
from benchmarks.options import Options
from benchmarks.rows import Row
from benchmarks.targets import sqlite, voltweave
from context_api.security.authentication import authentication
from context_api.security.issuers import Issuers
from context_api.security.tokens import Tokens
from context_api.settings import SecuritySettings

ISSUER: Final = "https://issuer.example/realms/benchmark"
_KID: Final = "benchmark"
_GOAL_US: Final = 10.0
_ROUNDS: Final = 5
_FOUND: Final = 50_000
_VERIFIED: Final = 2_000
_RETRIEVES: Final = 10_000
_CONNECTIONS: Final = 16
_ENTITY: Final = {"id": "urn:ngsi-ld:Car:1", "type": "Car", "speed": {"type": "Property", "value": 1}}
_PATH: Final = f"/ngsi-ld/v1/entities/{_ENTITY['id']}"


def measure(options: Options) -> Iterator[Row]:
    """Yield microseconds a token, and CPU milliseconds a retrieve with one beside a retrieve without."""
    key = RSAKey.generate_key(2048)
    with published(key) as place:
        yield from asyncio.run(_in_process(key, place))
        yield _retrieves(key, place)


async def _in_process(key: RSAKey, place: str) -> list[Row]:
    settings = SecuritySettings(issuers=ISSUER, jwks_urls=f"{ISSUER}={place}")
    issuers = Issuers(settings)
    await issuers.start()
    try:
        authenticate = authentication(Tokens(settings, issuers), lambda scope: False)
        found, verified = [], []
        for _ in range(_ROUNDS):
            scope = _scope(token_of(key))
            await authenticate(scope)
            began = time.process_time()
            for _ in range(_FOUND):
                await authenticate(scope)
            found.append((time.process_time() - began) * 1e6 / _FOUND)
            scopes = [_scope(token_of(key, jti=str(number))) for number in range(_VERIFIED)]
            began = time.process_time()
            for scope in scopes:
                await authenticate(scope)
            verified.append((time.process_time() - began) * 1e6 / _VERIFIED)
    finally:
        await issuers.close()
    return [
        Row("a verified token found again", median(found), "CPU us", {"goal": _GOAL_US}),
        Row("a token verified, RS256", median(verified), "CPU us"),
    ]


def _retrieves(key: RSAKey, place: str) -> Row:
    """Return CPU time of a retrieve of a small entity with a token, beside the same without an issuer, in turns."""
    token = token_of(key)
    issuer = {"VOLTWEAVE_ISSUERS": ISSUER, "VOLTWEAVE_JWKS_URLS": f"{ISSUER}={place}"}
    with ExitStack() as stack:
        targets = []
        open_to_all = {"VOLTWEAVE_ISSUERS": ""}
        for environment, bearer in ((open_to_all, ""), (open_to_all, token), (issuer, token)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            target = stack.enter_context(voltweave(sqlite(folder), environment=environment))
            create = Call("POST", "/ngsi-ld/v1/entities", json.dumps(_ENTITY).encode(), token=bearer)
            drive(target.url, iter([create]), 1, {201})
            targets.append((target, Call("GET", _PATH, token=bearer)))
        rounds: list[list[float]] = [[], [], []]
        for _ in range(_ROUNDS + 1):
            for measured, (target, call) in zip(rounds, targets, strict=True):
                before = target.cpu_seconds()
                drive(target.url, repeat(call, _RETRIEVES), _CONNECTIONS, {200})
                measured.append((target.cpu_seconds() - before) * 1000 / _RETRIEVES)
    without, unread, with_token = (median(measured[1:]) for measured in rounds)
    beside = {"no issuer": without, "no issuer, the token sent all the same": unread}
    return Row("retrieve of a small entity with a token; SQLite", with_token, "CPU ms", beside)


def token_of(key: RSAKey, **claims: Any) -> str:
    """Return a token as large as Keycloak's."""
    now = int(time.time())
    content: dict[str, Any] = {
        "iss": ISSUER, "aud": ["voltweave-api", "account"], "sub": "0f5b29dd-8d93-4c10-a8ad-9d7c5e5d0e11",
        "typ": "Bearer", "azp": "voltweave-adapters", "iat": now, "exp": now + 3600, "acr": "1",
        "sid": "6d4f2b1b-51a0-4ac2-8f06-cb9ad42ac2d0", "scope": "profile email", "email_verified": True,
        "preferred_username": "service-account-voltweave-adapters", "tenants": ["*"], "groups": ["/cpo-one"],
        "realm_access": {"roles": ["data-provider", "offline_access", "uma_authorization", "default-roles-voltweave"]},
        "resource_access": {"account": {"roles": ["manage-account", "manage-account-links", "view-profile"]}},
    }  # fmt: skip
    return jwt.encode({"alg": "RS256", "kid": _KID}, content | claims, key)


def _scope(token: str) -> dict[str, Any]:
    """Return a request's scope, with the headers that clients send."""
    names = ("host", "accept", "user-agent", "accept-encoding", "connection")
    headers = [*((name.encode(), b"*/*") for name in names), (b"authorization", b"Bearer " + token.encode())]
    return {"type": "http", "method": "GET", "path": _PATH, "headers": headers}


@contextmanager
def published(key: RSAKey) -> Iterator[str]:
    """Serve the public key as an issuer does; give its URL."""
    document = json.dumps({"keys": [{**key.as_dict(private=False), "kid": _KID, "use": "sig"}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/certs"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
