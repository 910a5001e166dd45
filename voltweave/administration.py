"""How commands reach Keycloak's admin API, and what they say where it refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from voltweave.problems import Refused, Rejected, Unreachable

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin

    from voltweave.settings import KeycloakSettings


@contextmanager
def keycloak_administration(settings: KeycloakSettings) -> Iterator[KeycloakAdmin]:
    """Give the admin API of the realm of the settings; what goes wrong inside becomes an error of the command line."""
    from context_api.security.provisioning import administration, errors

    password = setting_secret(settings, "admin_password") or _asked(settings)
    administrator = administration.Administrator(settings.url, settings.admin_user, password, settings.timeout)
    try:
        with administration.administration(administrator, settings.realm) as admin:
            yield admin
    except errors.KeycloakUnreachable as error:
        raise Unreachable(str(error), "VOLTWEAVE_KEYCLOAK_URL says where it is") from None
    except errors.AccessRefused as error:
        raise Refused(
            str(error), "Set VOLTWEAVE_KEYCLOAK_ADMIN_USER and VOLTWEAVE_KEYCLOAK_ADMIN_PASSWORD or ..._FILE"
        ) from None
    except errors.KeycloakRefused as error:
        raise Rejected(str(error)) from None
    except errors.ProvisioningError as error:
        raise Refused(str(error)) from None


def setting_secret(settings: KeycloakSettings, name: str) -> str | None:
    """Return a secret of the settings; raises Refused where it is given twice or cannot be read."""
    try:
        return settings.secret(name)
    except ValueError as error:
        raise Refused(str(error)) from None


def public_url() -> str:
    """Return the URL of Voltweave that browsers see, without a slash at the end."""
    from context_api.settings import ServerSettings

    settings = ServerSettings()
    return (settings.public_url or f"http://127.0.0.1:{settings.port}").rstrip("/")


def _asked(settings: KeycloakSettings) -> str:
    import typer

    if not sys.stdin.isatty():
        raise Refused(
            f"the password of {settings.admin_user} at {settings.url} is needed",
            "Set VOLTWEAVE_KEYCLOAK_ADMIN_PASSWORD or VOLTWEAVE_KEYCLOAK_ADMIN_PASSWORD_FILE",
        )
    answer: str = typer.prompt(f"Password of {settings.admin_user} at {settings.url}", hide_input=True, err=True)
    return answer
