"""`voltweave partner` against a real Keycloak: the printed lines work, secrets are replaced, others' clients stay."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.keycloak import Realm

REFUSED = 3
ADD = ("partner", "add", "acme", "--role", "partner-application")


@pytest.fixture(scope="module")
def applied(realm: Realm) -> Realm:
    """Give the realm, applied."""
    before = realm.voltweave(*ADD)
    assert (before.returncode, "run voltweave keycloak apply first" in before.stderr) == (REFUSED, True)
    realm.apply()
    return realm


def secret_in(text: str) -> str:
    """Return the secret that a command printed."""
    found = re.search(r"^client secret: (\S{32,})$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def test_a_partner_is_added_rotated_and_removed(applied: Realm) -> None:
    added = applied.voltweave(*ADD, "--tenant", "berlin", "--tenant", "wien")
    assert added.returncode == 0, added.stderr
    first = secret_in(added.stdout)
    claims = applied.claims(applied.token("partner-acme", first).json()["access_token"])
    assert claims["aud"] == "voltweave-api"
    assert claims["realm_access"]["roles"] == ["partner-application"]
    assert sorted(claims["tenants"]) == ["berlin", "wien"]
    assert "NGSILD-Tenant: berlin" in added.stdout

    twice = applied.voltweave(*ADD)
    assert (twice.returncode, "there is a partner acme already" in twice.stderr) == (REFUSED, True)
    planned = applied.voltweave("keycloak", "plan")
    assert (planned.returncode, "acme" in planned.stdout) == (0, False)

    rotated = applied.voltweave("partner", "rotate", "acme")
    second = secret_in(rotated.stdout)
    assert second != first
    assert applied.token("partner-acme", first).status_code == 401
    assert applied.token("partner-acme", second).status_code == 200

    removed = applied.voltweave("partner", "remove", "acme")
    assert removed.returncode == 0
    assert applied.token("partner-acme", second).status_code == 401
    again = applied.voltweave("partner", "remove", "acme")
    assert (again.returncode, "there is no partner acme" in again.stderr) == (REFUSED, True)


@pytest.mark.requires_server("curl")
def test_the_printed_lines_get_a_token(applied: Realm) -> None:
    added = applied.voltweave("partner", "add", "lines", "--role", "viewer")
    lines = added.stdout.partition("Get a token")[2].partition("\n")[2].partition("\n\n")[0]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'{lines}\nprintf %s "$TOKEN"'], capture_output=True, text=True, check=True
    )
    assert applied.claims(done.stdout)["realm_access"]["roles"] == ["viewer"]
    assert applied.claims(done.stdout).get("tenants", []) == []


def test_a_partner_gets_client_credentials_only_and_one_role(applied: Realm) -> None:
    secret = secret_in(applied.voltweave("partner", "add", "narrow", "--role", "operator").stdout)
    client = applied.admin.get_client(applied.admin.get_client_id("partner-narrow") or "")
    assert not any(
        client[member]
        for member in ("standardFlowEnabled", "implicitFlowEnabled", "directAccessGrantsEnabled", "fullScopeAllowed")
    )
    account = applied.admin.get_client_service_account_user(client["id"])
    administrator = applied.admin.get_realm_role("platform-administrator")
    applied.admin.assign_realm_roles(account["id"], [administrator])
    claims = applied.claims(applied.token("partner-narrow", secret).json()["access_token"])
    assert claims["realm_access"]["roles"] == ["operator"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "Acme!", "--role", "viewer"], "is no partner's name"),
        (["add", "a" * 64, "--role", "viewer"], "is no partner's name"),
        (["add", "new", "--role", "platform-administrator"], "is no role for a program"),
        (["add", "new", "--role", "offline_access"], "is no role for a program"),
        (["add", "new", "--role", "viewer", "--tenant", "a b"], "is no tenant's name"),
        (["rotate", "of-others"], "was not made by voltweave partner"),
        (["remove", "of-others"], "was not made by voltweave partner"),
        (["add", "of-others", "--role", "viewer"], "was not made by voltweave partner"),
    ],
)
def test_what_cannot_be_is_refused(applied: Realm, arguments: list[str], says: str) -> None:
    applied.admin.create_client({"clientId": "partner-of-others"}, skip_exists=True)
    done = applied.voltweave("partner", *arguments)
    assert (done.returncode, says in done.stderr) == (REFUSED, True), done.stderr
    assert applied.admin.get_client_id("partner-of-others")
    assert applied.admin.get_client_id("partner-new") is None
