"""An issuer of the tests' own: its keys, the tokens that they sign, and the HTTP server that publishes them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64encode

AUDIENCE = "voltweave-api"
Answer = tuple[int, dict[str, str], bytes]


class OwnIssuer:
    """What a realm of Keycloak is to the broker; its port outlives its server."""

    def __init__(self) -> None:
        self.keys: dict[str, RSAKey | ECKey] = {}
        self.kid = ""
        self.requests: list[str] = []
        """Paths that were asked for."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.answer: Callable[[str], Answer | None] = lambda path: None
        """Another answer to a path."""
        self.forms: list[dict[str, str]] = []
        """What was sent to the token endpoint."""
        self.grant: Callable[[dict[str, str]], dict[str, Any]] = lambda form: {"error": "invalid_grant"}
        """The answer of the token endpoint to a form."""
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self.rotate()
        self.start()

    @property
    def url(self) -> str:
        """Return the claim iss."""
        return f"http://127.0.0.1:{self._port}/realms/own"

    def rotate(self, keep: bool = True) -> None:
        """Sign with a new key from now on; the old ones stay published, or not."""
        kid = f"key-{time.monotonic_ns()}"
        self.keys = {**(self.keys if keep else {}), kid: RSAKey.generate_key(2048)}
        self.kid = kid

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Return the claims of a good token, with others in their place; None leaves one out."""
        now = int(time.time())
        good = {
            "iss": self.url, "aud": [AUDIENCE, "account"], "sub": "9d7d6a7c", "azp": "app", "typ": "Bearer",
            "iat": now, "exp": now + 300, "preferred_username": "ada", "tenants": ["*"],
            "realm_access": {"roles": ["viewer"]}, "groups": ["/cpo-one"],
        }  # fmt: skip
        return {name: value for name, value in (good | claims).items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token that is good but for what is given."""
        kid = self.kid
        full = {"alg": "RS256", "kid": kid, "typ": "JWT"} | (header or {})
        head = {name: value for name, value in full.items() if value is not None}
        return self.signed(head, json.dumps(self.claims(**claims)).encode(), kid)

    def signed(self, header: dict[str, Any] | bytes, payload: bytes, kid: str | None = None) -> str:
        """Sign whatever bytes are given, as RS256 with the present key or that of this id."""
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        content = urlsafe_b64encode(head) + b"." + urlsafe_b64encode(payload)
        signature = JWSRegistry.algorithms["RS256"].sign(content, self.keys[kid or self.kid])
        return (content + b"." + urlsafe_b64encode(signature)).decode()

    def document(self, path: str) -> Answer:
        """Return what is published."""
        if path.endswith("/.well-known/openid-configuration"):
            found: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}/certs"}
            found |= {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token", "end_session")}
        elif path.endswith("/certs"):
            found = {
                "keys": [
                    {**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in dict(self.keys).items()
                ]
            }
        else:
            return 404, {}, b"{}"
        return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()

    def start(self) -> None:
        """Serve, on the same port as before."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                time.sleep(issuer.delay)
                self.send(*(issuer.answer(self.path) or issuer.document(self.path)))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                issuer.forms.append({name: values[0] for name, values in form.items()})
                time.sleep(issuer.delay)
                granted = issuer.grant(issuer.forms[-1])
                status = 400 if "error" in granted else 200
                self.send(status, {"Content-Type": "application/json"}, json.dumps(granted).encode())

            def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Stay quiet about clients that gave up."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = None


@contextmanager
def own_issuer() -> Iterator[OwnIssuer]:
    """Give an issuer that is gone at the end."""
    issuer = OwnIssuer()
    try:
        yield issuer
    finally:
        issuer.stop()
