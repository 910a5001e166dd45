"""Keycloak for tests: one server a worker, which takes some ten seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.keycloak import KeycloakServer, installed, keycloak


@pytest.fixture(scope="session")
def keycloak_programs() -> Path:
    """Give the folder of Keycloak's distribution or skip."""
    programs = installed()
    if programs is None:
        pytest.skip("the server Keycloak is not installed (make servers)")
    return programs


@pytest.fixture(scope="session")
def keycloak_server(keycloak_programs: Path) -> Iterator[KeycloakServer]:
    """Give a running server with our themes, one for all tests of a worker; a test may stop it and start it again."""
    with keycloak(keycloak_programs, Path(__file__).parents[1] / "keycloak" / "themes") as server:
        yield server
