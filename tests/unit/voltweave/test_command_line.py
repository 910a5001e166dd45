"""The command line: its ends, its messages, its reference, and that it starts without loading what it does not need."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from context_api.settings import ServerSettings
from context_api.storage.sqlite.file import WriterLock
from context_api.storage.url import redacted
from voltweave.commands.query import doubt_names
from voltweave.commands.settings import MODULES, Setting, _text, all_settings, settings_classes
from voltweave.problems import MEANINGS, ExitCode, Refused
from voltweave.reference import cli_page
from voltweave.serving import broker_settings, check_database, check_host

CHECKOUT = Path(__file__).resolve().parents[3]
ANYWHERE = "0.0.0.0"  # noqa: S104 - it is refused


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `voltweave` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "voltweave", *arguments],
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], ExitCode.DONE, "voltweave "),
        (["model", "attributes", "EVSE"], ExitCode.DONE, "ratedPower"),
        (["model", "attributes", "Chair"], ExitCode.REFUSED, "there is no class Chair"),
        (["model", "classes", "--domain", "parking"], ExitCode.DONE, "ParkingSpot"),
        (["model", "classes", "--domain", "kitchen"], ExitCode.REFUSED, "there is no domain kitchen"),
        (["model", "units"], ExitCode.DONE, "KWH"),
        (["model", "context"], ExitCode.DONE, '"@context"'),
        (["model", "context", "x"], ExitCode.REFUSED, "there is no context x"),
        (["serve", "--host", ANYWHERE], ExitCode.REFUSED, "without an issuer"),
        (["serve", "--host", ANYWHERE, "--workers", "2", "--database", "postgresql://h/v"], 3, "without an issuer"),
        (["serve", "--host", "example.org"], ExitCode.REFUSED, "will not listen on example.org"),
        (["migrate", "--database", "sqlite:///a.db"], ExitCode.DONE, ""),
        (["migrate", "--database", "postgresql://127.0.0.1:1/v"], ExitCode.REFUSED, "no PostgreSQL answers"),
        (["serve", "--database", "mysql://localhost/v"], ExitCode.REFUSED, "sqlite:///FILE"),
        (["serve", "--port", "0"], ExitCode.USAGE, "--port"),
        (["sing"], ExitCode.USAGE, "sing"),
        (["query", "--near", "here"], ExitCode.REFUSED, "LON,LAT,METRES"),
        (["query", "--server", "ftp://127.0.0.1"], ExitCode.REFUSED, "no http URL"),
        (["query", "--output", "xml"], ExitCode.USAGE, "geojson"),
        (["adapters", "check", "nobody"], ExitCode.REFUSED, "nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_end_has_its_code_and_its_words(arguments: list[str], code: ExitCode, said: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == code, ended.stderr
    assert said in (ended.stdout if code == ExitCode.DONE else ended.stderr)
    assert "Traceback" not in ended.stderr
    assert code == ExitCode.DONE or not ended.stdout


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ISSUERS": ""}, "but no issuer"),
        ({"CONSOLE_CLIENT_SECRET": ""}, "the client's secret is missing"),
        ({"CONSOLE_CLIENT_SECRET": "", "CONSOLE_CLIENT_SECRET_FILE": "absent"}, "absent"),
        ({"SESSION_KEY": "c2hvcnQ="}, "32 bytes"),
        ({"WORKERS": "2", "DATABASE": "postgresql://h/v"}, "one key for sessions"),
    ],
    ids=str,
)
def test_settings_by_which_browsers_could_not_sign_in(
    settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"ISSUERS": "https://id.example", "CONSOLE_CLIENT_ID": "c", "CONSOLE_CLIENT_SECRET": "s"}
    for name, value in (good | settings).items():
        if value:
            monkeypatch.setenv(f"VOLTWEAVE_{name}", value)
    ended = run("serve")
    assert ended.returncode == ExitCode.REFUSED, ended.stderr
    assert said in ended.stderr


def test_a_server_that_is_away_is_said_with_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ended = run("query", "--type", "EVSE", "--server", f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert ended.returncode == ExitCode.UNREACHABLE
    assert "voltweave up" in ended.stderr


def test_a_taken_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run("serve", "--port", port, "--database", f"sqlite:///{tmp_path}/v.db")
    assert ended.returncode == ExitCode.REFUSED
    assert "--port" in ended.stderr


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_a_database_in_use_is_said_without_a_traceback(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path / "v.db")
    lock.acquire()
    try:
        ended = run("serve", "--port", free_port(), "--database", f"sqlite:///{tmp_path}/v.db")
    finally:
        lock.release()
    assert ended.returncode == ExitCode.REFUSED
    assert f"in use by process {os.getpid()}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_file_that_is_no_database_is_said_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "v.db").write_text("hello\n", encoding="utf-8")
    ended = run("serve", "--port", free_port(), "--database", f"sqlite:///{tmp_path}/v.db")
    assert ended.returncode == ExitCode.REFUSED
    assert "not a database" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_names_that_the_model_lacks_are_said_after_an_empty_answer(capsys: pytest.CaptureFixture[str]) -> None:
    doubt_names("ChargingSesion,https://x.org/B", 'energyDeliverd>3;status=="lost|found"', "id,evse{ratedPower}")
    said = capsys.readouterr().err
    assert "no type ChargingSesion; did you mean ChargingSession?" in said
    assert "no attribute energyDeliverd; did you mean energyDelivered?" in said
    assert said.count("the model has no") == 2


def test_a_wrong_setting_of_the_town_is_named_before_anything_starts() -> None:
    ended = run("up", VOLTWEAVE_TOWN_SPEED="-3")
    assert ended.returncode == ExitCode.REFUSED
    assert ended.stderr.startswith("error: VOLTWEAVE_TOWN_SPEED")


def test_settings_lists_all_where_one_is_wrong() -> None:
    listed = {s["name"]: s for s in json.loads(run("settings", "--json", VOLTWEAVE_PORT="many").stdout)}
    assert listed["VOLTWEAVE_PORT"]["current"] == "(not valid)"
    assert "VOLTWEAVE_TOWN_SEED" in listed


def test_a_wrong_setting_is_named() -> None:
    ended = run("serve", VOLTWEAVE_PORT="many")
    assert ended.returncode == ExitCode.REFUSED
    assert "VOLTWEAVE_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_fault_of_our_own_shows_no_traceback_unless_asked() -> None:
    broken = (
        "import sys\nfrom voltweave import cli\ncli.app.command('x')(lambda: 1 / 0)\nsys.argv = ['voltweave', 'x']\n"
    )
    command = [sys.executable, "-c", broken + "cli.main()"]
    quiet = subprocess.run(command, capture_output=True, text=True, check=False)
    loud = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"VOLTWEAVE_TRACEBACK": "1"}
    )
    assert quiet.returncode == ExitCode.INTERNAL
    assert "ZeroDivisionError" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom voltweave.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    heavy = {"fastapi", "uvicorn", "sqlalchemy", "rdflib", "httpx", "pydantic", "lxml", "yaml", "ontology", "asyncio"}
    assert "typer" in loaded
    assert heavy.isdisjoint(loaded)


def test_completion_knows_the_commands() -> None:
    ended = run(_VOLTWEAVE_COMPLETE="complete_bash", COMP_WORDS="voltweave s", COMP_CWORD="1")
    shell = run("--show-completion", "bash")
    assert ended.stdout.split() == ["serve", "settings"] or "complete_bash" in shell.stdout


def test_the_reference_is_what_the_commands_say() -> None:
    page = (CHECKOUT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert page == cli_page(), "docs/reference/cli.md is out of date: make docs"
    for code in ExitCode:
        assert re.search(rf"^\| {code.value} \| {code.name.lower()} \|", page, re.MULTILINE)
    assert set(MEANINGS) == set(ExitCode)
    assert "## `voltweave up`" in page


def test_every_settings_class_of_every_package_is_listed() -> None:
    modules = {f"{path.parent.name}.settings" for path in CHECKOUT.glob("*/settings.py")}
    assert modules == set(MODULES)
    listed = list(all_settings())
    fields = sum(len(settings_class.model_fields) for settings_class in settings_classes())
    assert len(listed) == fields
    assert len({setting.name for setting in listed}) == fields
    assert all(setting.description for setting in listed)


def test_settings_show_the_value_in_force() -> None:
    listed = {s["name"]: Setting(**s) for s in json.loads(run("settings", "--json", VOLTWEAVE_PORT="7777").stdout)}
    assert listed["VOLTWEAVE_PORT"].current == "7777"
    assert listed["VOLTWEAVE_PORT"].default == "9090"
    assert "VOLTWEAVE_TOWN_SEED" in run("settings").stdout


def test_secrets_are_masked() -> None:
    assert _text(SecretStr("hush")) == "(set)"
    assert _text(SecretStr("")) == "(not set)"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://me:hush@db.example.org:5432/v?sslmode=require",
            "postgresql://me:***@db.example.org:5432/v?sslmode=require",
        ),
        ("postgresql://me:hu@s:h/h?u#sh@db/v", "postgresql://me:***@db/v"),
        ("postgresql://:hush@db/v", "postgresql://:***@db/v"),
        ("postgresql://me:hush@", "postgresql://me:***@"),
        ("postgresql://me@db/v?password=hush&sslmode=require", "postgresql://me@db/v?password=***&sslmode=require"),
        ("postgresql://me@db/v?sslPassword=hush", "postgresql://me@db/v?sslPassword=***"),
        ("postgresql://me@db/v", "postgresql://me@db/v"),
        ("postgresql://db:5432/v", "postgresql://db:5432/v"),
        ("sqlite:///var/voltweave.db", "sqlite:///var/voltweave.db"),
        ("https://example.org/context.jsonld?a=b", "https://example.org/context.jsonld?a=b"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hush@127.0.0.1:1/v", "postgresql://me:hush@127.0.0.1:port/v", "mysql://me:hush@localhost/v"],
)
@pytest.mark.parametrize("command", ["settings", "migrate", "serve --port 9090"])
def test_no_command_tells_the_password_of_the_database(url: str, command: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = str(unused.getsockname()[1])
    ended = run(*command.replace("9090", port).split(), VOLTWEAVE_DATABASE=url, VOLTWEAVE_TRACEBACK="1")
    assert "hush" not in ended.stdout + ended.stderr
    assert "***" in ended.stdout if command == "settings" else ended.returncode != ExitCode.DONE


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_served(host: str) -> None:
    check_host(ServerSettings(host=host), has_issuer=False)


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.1", "localhost.example.org", ""])
def test_nothing_but_loopback_is_served(host: str) -> None:
    with pytest.raises(Refused, match="without an issuer"):
        check_host(ServerSettings(host=host), has_issuer=False)


@pytest.mark.parametrize(
    "server",
    [
        {"host": ANYWHERE, "public_url": "https://broker.example"}, {"host": "::", "server_names": "broker.example"},
        {"host": "192.0.2.1"},
    ],
)  # fmt: skip
def test_with_an_issuer_others_are_served_who_know_its_name(server: dict[str, Any]) -> None:
    check_host(ServerSettings(**server), has_issuer=True)
    with pytest.raises(Refused, match="by which name"):
        check_host(ServerSettings(host=ANYWHERE), has_issuer=True)


def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    check_database(f"sqlite:///{tmp_path}/new/deep/v.db")
    assert (tmp_path / "new" / "deep").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot be made"):
        check_database(f"sqlite:///{tmp_path}/file/v.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "voltweave.db", "sqlite://host/x.db"])
def test_what_names_no_sqlite_file_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_database(url)


@pytest.mark.parametrize(
    ("database", "replica", "said"),
    [
        ("sqlite:///v.db", "postgresql://me:secret@h/v", "is no replica of sqlite:///v.db"),
        ("postgresql://h/v", "sqlite:///v.db", "sqlite:///v.db is no replica of postgresql://h/v"),
        ("postgresql://h/v", "postgresql://me:secret@h:none/v", "cannot be read"),
    ],
)
def test_what_is_no_replica_is_refused(monkeypatch: pytest.MonkeyPatch, database: str, replica: str, said: str) -> None:
    monkeypatch.setenv("VOLTWEAVE_DATABASE_REPLICA", replica)
    with pytest.raises(Refused, match=said) as refused:
        broker_settings(None, None, database)
    assert "secret" not in str(refused.value)


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOLTWEAVE_PORT", "7777")
    database = f"sqlite:///{tmp_path}/v.db"
    assert broker_settings(None, None, database).server.port == 7777
    assert broker_settings(None, 7778, database).server.port == 7778
    assert broker_settings(None, None, database).storage.database == database
