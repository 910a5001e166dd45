"""The connection to Keycloak's admin REST API: log in, check the version, say in our words what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from keycloak import KeycloakAdmin, KeycloakOpenIDConnection
from keycloak.exceptions import KeycloakAuthenticationError, KeycloakConnectionError, KeycloakError

from context_api.security.provisioning.errors import (
    AccessRefused,
    KeycloakRefused,
    KeycloakUnreachable,
    UnsupportedKeycloak,
)

OLDEST_VERSION: Final = 26
_ADMINISTRATORS_REALM: Final = "master"


@dataclass(frozen=True, slots=True)
class Administrator:
    """Where the server is and who may change it."""

    url: str
    """Base URL of Keycloak, its relative path included, such as https://login.example.org/auth."""
    user: str
    password: str = field(repr=False)
    timeout: float = 30.0
    """Seconds that one request may take."""


@contextmanager
def administration(administrator: Administrator, realm: str) -> Iterator[KeycloakAdmin]:
    """Give the admin API of a realm, which need not exist yet; what goes wrong inside is said in our errors.

    Raises:
        KeycloakUnreachable: nothing answers, or not in time.
        AccessRefused: name or password is wrong, or the user lacks rights.
        UnsupportedKeycloak: the server is older than version 26.
        KeycloakRefused: the server did not take a request.
    """
    url = administrator.url.rstrip("/")
    with _said_plainly(url, administrator.user):
        connection = KeycloakOpenIDConnection(
            server_url=f"{url}/",
            username=administrator.user,
            password=administrator.password,
            realm_name=realm,
            user_realm_name=_ADMINISTRATORS_REALM,
            timeout=administrator.timeout,  # type: ignore[arg-type] # requests takes fractions too
            max_retries=0,
        )
        admin = KeycloakAdmin(connection=connection)
        _check_version(admin)
        yield admin


def _check_version(admin: KeycloakAdmin) -> None:
    version = str(admin.get_server_info().get("systemInfo", {}).get("version", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_VERSION:
        raise UnsupportedKeycloak(f"Keycloak {version} is too old: version {OLDEST_VERSION} or newer is needed")


@contextmanager
def _said_plainly(url: str, user: str) -> Iterator[None]:
    try:
        yield
    except KeycloakConnectionError as error:
        raise KeycloakUnreachable(f"Keycloak at {url} does not answer: {error}") from None
    except KeycloakAuthenticationError:
        raise AccessRefused(f"Keycloak at {url} refuses the user {user}: wrong name or password") from None
    except KeycloakError as error:
        if error.response_code == 403:
            raise AccessRefused(f"the user {user} lacks rights to administer realms at {url}") from None
        raise KeycloakRefused(f"Keycloak at {url} refused a request: {_reason(error)}") from None


def _reason(error: KeycloakError) -> str:
    body = error.response_body or b""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if isinstance(said, dict):
        text = said.get("errorMessage") or said.get("error_description") or said.get("error")
        return f"{error.response_code} {text}"
    return f"status {error.response_code}; is this the base URL of Keycloak?"
