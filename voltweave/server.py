"""How commands ask a running server, and what they say where it does not answer or refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voltweave.output import program
from voltweave.problems import Refused, Rejected, Unreachable

if TYPE_CHECKING:
    import httpx

ServerUrl = Annotated[str | None, typer.Option(help="URL of the server. [default: http://127.0.0.1:9090]")]
Tenant = Annotated[str | None, typer.Option(help="Tenant to ask. [default: the default tenant]")]
CONTEXT = "https://w3id.org/voltweave/contexts/cim.jsonld"
LINK_RELATION = 'rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
LINK = f"<{CONTEXT}>; {LINK_RELATION}"
"""The header that says that names are those of the model."""
_CREDENTIALS = "Set VOLTWEAVE_TOKEN_URL, VOLTWEAVE_CLIENT_ID and VOLTWEAVE_CLIENT_SECRET (or _FILE)"
_EXAMPLE = "For example --server http://127.0.0.1:9090"


def ask(
    server: str | None,
    method: str,
    path: str,
    *,
    tenant: str | None = None,
    query: Mapping[str, Any] | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Return the server's answer; raises Refused for a wrong address, Unreachable, or Rejected with what it says.

    Where the settings have credentials, the request bears a token of theirs.
    """
    import httpx

    from adapters.credentials import credentials
    from voltweave.settings import ClientSettings

    base = base_url(server)
    sent = dict(headers or {}) | ({"NGSILD-Tenant": tenant} if tenant else {})
    try:
        response = httpx.request(
            method,
            f"{base}{path}",
            params=query,
            json=body,
            headers=sent,
            auth=credentials(),
            timeout=ClientSettings().client_timeout,
            trust_env=False,
        )
    except httpx.InvalidURL as error:
        raise Refused(f"{base} is no URL: {error}", _EXAMPLE) from None
    except httpx.UnsupportedProtocol:
        raise Refused(f"{base} is no http URL", _EXAMPLE) from None
    except httpx.TransportError as error:
        hint = f"Start one with `{program()} up`, or say where it is with --server URL"
        raise Unreachable(f"{base} does not answer: {error}", hint) from None
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise Refused(f"the server asks who you are: {_problem(response)}", _CREDENTIALS)
    if not response.is_success:
        raise Rejected(f"the server refused the request: {_problem(response)}")
    return response


def base_url(server: str | None) -> str:
    """Return the URL of the server that is meant: the given one, that of the settings, or this machine's own."""
    from voltweave.settings import ClientSettings

    return (server or ClientSettings().server_url or own_server()).rstrip("/")


def own_server() -> str:
    """Return the URL that a server on this machine has by its settings."""
    from context_api.settings import ServerSettings

    return f"http://127.0.0.1:{ServerSettings().port}"


def _problem(response: httpx.Response) -> str:
    """Return what a problem document says (CIM 009 clause 5.5.2)."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return f"status {response.status_code}"
    parts = [str(document[name]).rstrip(".") for name in ("title", "detail") if document.get(name)]
    return ": ".join(parts) or f"status {response.status_code}"
