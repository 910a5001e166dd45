"""`voltweave keycloak` against a real Keycloak: idempotent, told beforehand, and blind to what others made."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.keycloak import KeycloakServer
from tests.keycloak import Realm

SECRETS = {
    "CONSOLE_SECRET": "a-secret-of-the-console",
    "ADAPTERS_SECRET": "a-secret-of-the-adapters",
    "TOKENS_SECRET": "a-secret-of-the-tokens",
}
DIFFERS, REFUSED, UNREACHABLE = 5, 3, 4


@pytest.fixture(scope="module")
def applied(realm: Realm) -> Realm:
    """Give the realm, applied once."""
    realm.settings |= SECRETS
    planned = realm.voltweave("keycloak", "plan")
    assert planned.returncode == DIFFERS, planned.stderr
    assert "create  client voltweave-console" in planned.stdout
    assert "change  client admin-cli" in planned.stdout
    realm.apply()
    return realm


def test_the_second_time_nothing_changes_and_nothing_is_written(applied: Realm) -> None:
    before = len(applied.admin.get_admin_events({"max": 1000}))
    assert before > 0
    again = applied.voltweave("keycloak", "apply", "--yes")
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert len(applied.admin.get_admin_events({"max": 1000})) == before
    assert applied.voltweave("keycloak", "plan").returncode == 0


def test_what_others_made_is_told_and_left_alone(applied: Realm) -> None:
    admin = applied.admin
    admin.create_client({"clientId": "dashboards", "redirectUris": ["https://dashboards.example/*"]})
    admin.create_realm_role({"name": "auditor"})
    admin.create_group({"name": "a-real-organisation"})
    admin.create_client_scope({"name": "billing", "protocol": "openid-connect"})
    admin.create_user({"username": "somebody"})
    admin.copy_authentication_flow({"newName": "browser of others"}, "browser")
    done = applied.voltweave("keycloak", "apply", "--yes")
    assert done.returncode == 0
    for told in ("client dashboards", "role auditor", "group a-real-organisation", "client scope billing"):
        assert f"foreign {told}: made by others, left alone" in done.stdout
    assert "foreign authentication flow browser of others" in done.stdout
    assert "somebody" not in done.stdout
    assert admin.get_client(admin.get_client_id("dashboards") or "")["redirectUris"] == ["https://dashboards.example/*"]
    assert admin.get_realm_role("auditor")
    assert admin.get_user_id("somebody")


def test_every_changed_member_is_told_by_name_and_put_back(applied: Realm) -> None:
    expected = change_by_hand(applied)
    planned = applied.voltweave("keycloak", "plan")
    assert planned.returncode == DIFFERS
    missed = [path for path in expected if f" {path}: " not in planned.stdout]
    assert not missed, planned.stdout
    assert '"https://evil.example/*"' in planned.stdout
    assert "nothing to do" not in planned.stderr
    applied.apply()
    after = applied.voltweave("keycloak", "plan")
    assert after.returncode == 0, after.stdout


def change_by_hand(realm: Realm) -> list[str]:
    """Change what an administrator of Keycloak could change, and return the paths that this touches."""
    admin = realm.admin
    console = admin.get_client(admin.get_client_id("voltweave-console") or "")
    mapper = {
        "name": "evil",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-hardcoded-role-mapper",
        "config": {},
    }
    changed = {"redirectUris": ["https://evil.example/*"], "protocolMappers": [mapper], "fullScopeAllowed": True}
    admin.update_client(console["id"], console | changed)
    scopes = {scope["name"]: scope for scope in admin.get_client_scopes()}
    admin.add_client_default_client_scope(console["id"], scopes["roles"]["id"], {})
    adapters = admin.get_client_id("voltweave-adapters") or ""
    administrator = admin.get_realm_role("platform-administrator")
    admin.assign_realm_roles_to_client_scope(adapters, [administrator])
    admin.assign_realm_roles(admin.get_client_service_account_user(adapters)["id"], [administrator])
    api = scopes["voltweave-api"]
    tenants = next(each for each in api["protocolMappers"] if each["name"] == "tenants")
    admin.update_mapper_in_client_scope(
        api["id"], tenants["id"], tenants | {"config": tenants["config"] | {"user.attribute": "nickname"}}
    )
    admin.add_mapper_to_client_scope(api["id"], mapper | {"name": "evil too"})
    admin.update_realm_role("viewer", admin.get_realm_role("viewer") | {"description": "Everything."})
    whole = admin.get_realm(realm.name)
    admin.update_realm(realm.name, whole | {"passwordPolicy": "length(4)", "browserFlow": "browser"})
    profile = admin.get_realm_users_profile()
    for attribute in profile["attributes"]:
        if attribute["name"] == "tenants":
            attribute["permissions"]["edit"] = ["admin", "user"]
    admin.update_realm_users_profile(profile)
    for row in admin.get_authentication_flow_executions("voltweave browser"):
        if row.get("displayName") == "voltweave browser administrators":
            admin.update_authentication_flow_executions(row | {"requirement": "DISABLED"}, "voltweave browser")
    return [
        "redirectUris", "protocolMappers.evil", "fullScopeAllowed", "defaultClientScopes", "realmRoleScope",
        "accountRoles", "protocolMappers.tenants.config.user.attribute", "protocolMappers.evil too", "description",
        "passwordPolicy", "browserFlow", "permissions.edit", "executions[2].executions[1].requirement",
    ]  # fmt: skip


def test_what_was_ours_and_is_not_wanted_any_more_is_deleted(applied: Realm) -> None:
    admin = applied.admin
    admin.create_client({"clientId": "voltweave-of-yesterday", "attributes": {"voltweave.managed": "true"}})
    applied.apply("--demo")
    assert admin.get_user_id("viewer")
    done = applied.voltweave("keycloak", "apply", "--yes")
    assert done.returncode == 0
    for told in ("user viewer", "group cpo-one", "user attribute voltweave.managed"):
        assert f"delete  {told}\n" in done.stdout
    assert admin.get_client_id("voltweave-of-yesterday") is None
    assert admin.get_user_id("viewer") is None
    assert applied.voltweave("keycloak", "plan").returncode == 0


def test_an_interrupted_change_of_a_flow_is_finished(applied: Realm) -> None:
    """The new flow stood beside the old one and was bound when the command was killed."""
    admin = applied.admin
    admin.copy_authentication_flow({"newName": "voltweave browser new"}, "voltweave browser")
    found = {flow["alias"]: flow for flow in admin.get_authentication_flows()}
    old, new = found["voltweave browser"], found["voltweave browser new"]
    admin.update_authentication_flow(new["id"], new | {"description": old["description"]})
    (row,) = [
        row
        for row in admin.get_authentication_flow_executions("voltweave browser")
        if row.get("providerId") == "auth-cookie"
    ]
    admin.delete_authentication_flow_execution(row["id"])
    admin.update_realm(applied.name, admin.get_realm(applied.name) | {"browserFlow": "voltweave browser new"})
    applied.apply()
    assert applied.voltweave("keycloak", "plan").returncode == 0
    assert "voltweave browser new" not in {flow["alias"] for flow in admin.get_authentication_flows()}


def test_no_secret_is_shown_or_logged(applied: Realm, tmp_path: Path) -> None:
    changed = {"CONSOLE_SECRET": "another-secret-of-the-console"}
    planned = applied.voltweave("keycloak", "plan", **changed)
    assert planned.returncode == DIFFERS
    assert "secret: (not shown) -> (not shown)" in planned.stdout
    file = tmp_path / "private" / "clients.env"
    file.parent.mkdir()
    file.touch(mode=0o644)
    done = applied.voltweave("keycloak", "apply", "--yes", "--secrets-file", str(file), **changed)
    told = planned.stdout + planned.stderr + done.stdout + done.stderr + server_log(applied.server)
    assert not [secret for secret in [*SECRETS.values(), *changed.values()] if secret in told]
    assert "VOLTWEAVE_KEYCLOAK_CONSOLE_SECRET=another-secret-of-the-console\n" in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    applied.apply()


def server_log(server: KeycloakServer) -> str:
    """Return the log of Keycloak."""
    return server.log.read_text(encoding="utf-8", errors="replace")


def test_something_of_others_with_our_name_is_in_the_way(applied: Realm) -> None:
    admin = applied.admin
    ours = admin.get_client(admin.get_client_id("voltweave-tokens") or "")
    admin.update_client(ours["id"], ours | {"attributes": {"voltweave.managed": ""}, "description": "by hand"})
    before = admin.get_client(ours["id"])
    done = applied.voltweave("keycloak", "apply", "--yes")
    assert done.returncode == REFUSED
    assert "not to be touched: client voltweave-tokens" in done.stderr
    assert admin.get_client(ours["id"]) == before
    admin.update_client(ours["id"], ours)
    assert applied.voltweave("keycloak", "plan").returncode == 0


def test_a_realm_of_others_is_not_touched(realm: Realm) -> None:
    other = Realm(realm.server, "realm-of-others")
    other.admin.create_realm({"realm": other.name, "enabled": True, "displayName": "Others"})
    try:
        done = other.voltweave("keycloak", "apply", "--yes")
        assert done.returncode == REFUSED
        assert "not to be touched: realm realm-of-others" in done.stderr
        assert other.admin.get_realm(other.name)["displayName"] == "Others"
    finally:
        other.admin.delete_realm(other.name)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port at which connections are taken and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_errors_say_what_to_put_right(realm: Realm, silent_port: int, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    nobody = f"http://127.0.0.1:{silent_port}"
    fresh = Realm(realm.server, "realm-of-errors")
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"ADMIN_PASSWORD": "wrong"}, REFUSED, "wrong name or password"),
        ({"ADMIN_PASSWORD": ""}, REFUSED, "is needed"),
        ({"ADMIN_PASSWORD_FILE": str(empty)}, REFUSED, "give one of the two"),
        ({"DEMO_PASSWORD_FILE": str(empty)}, REFUSED, "is empty"),
        ({"TOKENS_SECRET_FILE": str(tmp_path / "absent")}, REFUSED, "No such file"),
        ({"URL": "http://127.0.0.1:9"}, UNREACHABLE, "does not answer"),
        ({"URL": nobody, "TIMEOUT": "0.5"}, UNREACHABLE, "does not answer"),
        ({"URL": realm.server.url.removesuffix("/auth")}, 1, "is this the base URL of Keycloak?"),
        ({"URL": "nonsense"}, UNREACHABLE, "nonsense"),
    ]
    for settings, code, says in cases:
        done = fresh.voltweave("keycloak", "apply", "--demo", "--yes", **settings)
        assert (done.returncode, says in done.stderr) == (code, True), (settings, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
    done = fresh.voltweave("keycloak", "apply")
    assert done.returncode == REFUSED
    assert "Give --yes" in done.stderr
