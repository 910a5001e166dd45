"""The realm file: complete, without secrets, and wrong ones are refused with the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from context_api.security.provisioning import realm_file
from context_api.security.provisioning.difference import Kind, is_owned
from context_api.security.provisioning.errors import RealmFileError
from context_api.security.provisioning.realm_file import SHARED, Parameters, wanted_realm

PARAMETERS = Parameters("voltweave", "https://data.example/")
ROLES = {
    "platform-administrator", "data-provider", "operator", "local-authority", "partner-application", "battery-owner",
    "viewer",
}  # fmt: skip


def test_parameters_complete_the_file() -> None:
    console = wanted_realm(PARAMETERS)[(Kind.CLIENT, "voltweave-console")]
    assert console["redirectUris"] == ["https://data.example/session/callback"]
    for allowed in (False, True):
        tokens = wanted_realm(Parameters("r", "https://a", allowed))[(Kind.CLIENT, "voltweave-tokens")]
        assert tokens["enabled"] is allowed


def test_all_that_is_wanted_is_marked_and_every_role_is_described() -> None:
    wanted = wanted_realm(PARAMETERS, demo=True)
    assert all(is_owned(kind, found) for (kind, name), found in wanted.items() if (kind, name) not in SHARED)
    roles = {name: found["description"] for (kind, name), found in wanted.items() if kind is Kind.ROLE}
    assert roles.keys() == ROLES
    assert all(roles.values())


def test_organisations_and_users_come_with_the_demonstration_only() -> None:
    def kinds(demo: bool) -> set[Kind]:
        return {kind for kind, _ in wanted_realm(PARAMETERS, demo)}

    assert not {Kind.GROUP, Kind.USER} & kinds(demo=False)
    demo = wanted_realm(PARAMETERS, demo=True)
    assert {role for (kind, _), user in demo.items() if kind is Kind.USER for role in user["realmRoles"]} == ROLES


def test_clients_have_no_full_scope_and_no_browser_flow_but_the_console() -> None:
    clients = {name: found for (kind, name), found in wanted_realm(PARAMETERS).items() if (kind, name) not in SHARED}
    clients = {name: found for name, found in clients.items() if "clientId" in found}
    assert len(clients) == 4
    assert not any(client["fullScopeAllowed"] or client["implicitFlowEnabled"] for client in clients.values())
    assert [name for name, client in clients.items() if client["standardFlowEnabled"]] == ["voltweave-console"]
    assert [name for name, client in clients.items() if client["directAccessGrantsEnabled"]] == ["voltweave-tokens"]


@pytest.mark.parametrize("name", ["realm.json", "partner.json", "demo.json"])
def test_the_files_hold_no_secret_and_no_host(name: str) -> None:
    text = (realm_file.folder() / name).read_text(encoding="utf-8")
    assert not re.search(r'"(secret|value|credentials|password|privateKey)"\s*:', text)
    assert "://" not in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Expecting"),
        ("[]", "not a JSON object"),
        ('{"realm": {}, "things": []}', "things is no section"),
        ('{"realm": {"displayName": "${unknown}"}}', "unknown} is no parameter"),
    ],
)
def test_a_wrong_file_is_refused(text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "realm.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(realm_file, "folder", lambda: tmp_path)
    with pytest.raises(RealmFileError, match=re.escape(says)):
        wanted_realm(PARAMETERS)


def test_a_secret_is_in_no_representation_of_the_parameters() -> None:
    parameters = Parameters("r", "https://a", secrets={"voltweave-console": "do-not-tell"})
    assert "do-not-tell" not in repr(parameters)
    assert wanted_realm(parameters)[(Kind.CLIENT, "voltweave-console")]["secret"] == "do-not-tell"
    assert "do-not-tell" not in json.dumps([list(key) for key in wanted_realm(parameters)])
