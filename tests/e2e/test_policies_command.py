"""`voltweave policies` against a real server: list, show, put, remove, export and import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform import ENVIRONMENT, Broker, broker

POLICY = {
    "type": "Set",
    "name": "stations",
    "permission": {
        "assignee": "group:/cpo-one",
        "action": "read",
        "target": {
            "type": "AssetCollection",
            "refinement": {"leftOperand": "entityType", "operator": "eq", "rightOperand": "EVSE"},
        },
    },
}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path) as running:
        yield running


def policies(platform: Broker, *arguments: str, typed: Any = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [sys.executable, "-m", "voltweave", "policies", *arguments, "--server", platform.url],
        env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False,
        input=None if typed is None else json.dumps(typed),
    )  # fmt: skip
    assert found.returncode == code, found.stderr
    return found


def test_a_policy_is_put_shown_carried_over_and_removed(platform: Broker) -> None:
    policies(platform, "put", "stations", "-", typed=POLICY)
    listed = policies(platform, "list")
    assert "stations  in force (version 1" in listed.stdout
    assert "the group /cpo-one may read entities of type EVSE." in listed.stdout
    shown = json.loads(policies(platform, "show", "stations").stdout)
    assert shown["uid"] == "urn:voltweave:policy:stations"
    exported = policies(platform, "export").stdout
    assert json.loads(exported) == [shown]
    policies(platform, "remove", "stations")
    assert json.loads(policies(platform, "export").stdout) == []
    policies(platform, "import", "-", typed=json.loads(exported))
    again = json.loads(policies(platform, "show", "stations").stdout)
    assert again == shown | {"version": 3}


def test_what_came_with_the_software_is_listed_and_can_be_put_back(platform: Broker) -> None:
    assert "viewer  in force (came with the software)" in policies(platform, "list", "--platform").stdout
    policies(platform, "remove", "viewer", "--platform")
    assert "viewer  out of force" in policies(platform, "list", "--platform").stdout
    ready = json.loads(policies(platform, "show", "viewer", "--platform", "--version", "0").stdout)
    policies(platform, "put", "viewer", "-", "--platform", typed=ready)
    assert "viewer  in force (version 2" in policies(platform, "list", "--platform").stdout


def test_permissions_of_battery2life_are_taken_in(platform: Broker) -> None:
    fields = {"name": "Lab", "permissions": [["view_cell", "batteries", "cell"]]}
    policies(platform, "import", "-", "--from", "battery2life", typed=[{"model": "auth.group", "fields": fields}])
    assert "the role Lab may read and subscribe entities of type BatteryCell." in policies(platform, "list").stdout
    fields["permissions"] = [["view_user", "auth", "user"]]
    bad = [{"model": "auth.group", "fields": fields}]
    assert "view_user" in policies(platform, "import", "-", "--from", "battery2life", typed=bad, code=3).stderr


def test_what_the_server_refuses_is_said(platform: Broker) -> None:
    bad = POLICY | {"obligation": {"action": "read"}}
    assert "duties" in policies(platform, "put", "stations", "-", typed=bad, code=1).stderr
    assert "no JSON" in policies(platform, "put", "stations", __file__, code=3).stderr
