"""What goes wrong between us and Keycloak.

ProvisioningError
├── RealmFileError       a file of the folder `keycloak/` is absent or wrong, or a parameter is
├── KeycloakUnreachable  the server does not answer in time
├── AccessRefused        the administrator's name or password is wrong, or lacks rights
├── UnsupportedKeycloak  the server is older than what we know
├── NotOurs              something that we did not make has a name that we need
└── KeycloakRefused      the server did not take what it was given
"""

from __future__ import annotations


class ProvisioningError(Exception):
    """Keycloak cannot be brought to the wanted state."""


class RealmFileError(ProvisioningError):
    """A file of the folder `keycloak/` is absent or wrong, or a parameter is."""


class KeycloakUnreachable(ProvisioningError):
    """The server does not answer in time."""


class AccessRefused(ProvisioningError):
    """The administrator's name or password is wrong, or lacks rights."""


class UnsupportedKeycloak(ProvisioningError):
    """The server is older than what we know."""


class NotOurs(ProvisioningError):
    """Something that we did not make has a name that we need."""


class KeycloakRefused(ProvisioningError):
    """The server did not take what it was given."""
