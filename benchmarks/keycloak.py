"""A Keycloak server of one's own: started on loopback in a folder, killed and started again.

It is Keycloak's own distribution, which `tests/servers.sh` fetches by Maven and builds once for this machine. Its
database is a file in the folder, so that realms and keys outlive the process. Tests start it in a folder that goes with
it, and `make keycloak` in var/keycloak, with the realm of the folder keycloak/ and its demonstration users.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from benchmarks.processes import free_port
from voltweave.administration import public_url

VERSION: Final = "26.4.0"
LONGEST_START_S: Final = 180
LONGEST_STOP_S: Final = 30
#: Of the administrator of the realm `master`, who is made at the first start.
ADMIN: Final = ("admin", "an administrator of tests only")
TRIAL_PORT: Final = 8080
_HEAP: Final = "-Xms128m -Xmx768m"
_BROKER: Final = """\
VOLTWEAVE_ISSUERS={url}/realms/voltweave
VOLTWEAVE_PUBLIC_URL={public_url}
VOLTWEAVE_CONSOLE_CLIENT_ID=voltweave-console
VOLTWEAVE_CONSOLE_CLIENT_SECRET={VOLTWEAVE_KEYCLOAK_CONSOLE_SECRET}
"""
_TRIAL: Final = """
Keycloak is ready, with the realm voltweave.  (Ctrl-C stops it)

Start a broker that people sign in at, in a second terminal:

  set -a; . var/keycloak/broker.env
  .venv/bin/voltweave serve

and open {public_url}/docs in a browser.

  sign in as   viewer, owner, partner, authority, operator, provider or administrator
  password     {VOLTWEAVE_KEYCLOAK_DEMO_PASSWORD}

The administrator is asked to set up one-time passwords. To change the realm, in a third terminal:

  set -a; . var/keycloak/passwords.env
  .venv/bin/voltweave keycloak plan --demo
  .venv/bin/voltweave partner add acme --role partner-application
"""


def installed() -> Path | None:
    """Return the folder of the distribution that was built for tests; None where it or Java is lacking."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "voltweave" / f"keycloak-{VERSION}"
    return folder if (folder / "built").is_file() and shutil.which("java") else None


class KeycloakServer:
    """A server whose database and port outlive its process."""

    def __init__(
        self,
        programs: Path,
        folder: Path,
        themes: Path | None = None,
        port: int | None = None,
        password: str = ADMIN[1],
    ) -> None:
        """Take the port, or any that is free, and the administrator's password at the first start."""
        self._programs = programs
        self._folder = folder
        self._themes = themes
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self._port, self._management = port or free_port(), free_port()

    @property
    def url(self) -> str:
        """Return the URL that realms lie below, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}/auth"

    @property
    def log(self) -> Path:
        """Return the file that holds what the server said."""
        return self._folder / "log"

    def start(self) -> None:
        """Start the process, unless it runs, and wait until it is ready.

        Raises:
            RuntimeError: it ended or did not get ready in time; the end of its log is in the message.
        """
        if self._process is not None and self._process.poll() is None:
            return
        environment = os.environ | {
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN[0],
            "KC_BOOTSTRAP_ADMIN_PASSWORD": self._password,
            "JAVA_OPTS_KC_HEAP": _HEAP,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "bin" / "kc.sh", "start", "--optimized", *self._options()],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait(self._process)

    def _options(self) -> list[str]:
        options = {
            "http-enabled": "true",
            "http-host": "127.0.0.1",
            "http-port": self._port,
            "http-management-port": self._management,
            "hostname": self.url,
            "cache": "local",
            "db-url": f"jdbc:h2:file:{self._folder / 'database'};NON_KEYWORDS=VALUE;AUTO_SERVER=FALSE",
        }
        if self._themes is not None:
            options["spi-theme--folder--dir"] = self._themes
        return [f"--{name}={value}" for name, value in options.items()]

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + LONGEST_START_S
        while time.monotonic() < until and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{self._management}/auth/health/ready", timeout=5).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        told = self.log.read_text(errors="replace")[-3000:]
        self.kill()
        raise RuntimeError(f"Keycloak did not get ready; its log ends:\n{told}")

    def stop(self) -> None:
        """Let the process end, unless it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self._end(signal.SIGKILL)

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # The script starts Java as a child of its own.
        for each in (with_signal, signal.SIGKILL):
            try:
                os.killpg(process.pid, each)
                process.wait(LONGEST_STOP_S)
                return
            except ProcessLookupError:
                process.wait(LONGEST_STOP_S)
                return
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def keycloak(programs: Path, themes: Path | None = None) -> Iterator[KeycloakServer]:
    """Give a running server; it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="voltweave-keycloak-") as folder:
        server = KeycloakServer(programs, Path(folder), themes)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def main() -> None:
    """Run a server in var/keycloak with the realm and its demonstration users, until Ctrl-C."""
    programs = installed()
    if programs is None:
        sys.exit("Keycloak or Java is lacking: tests/servers.sh keycloak gets them (packages as root)")
    folder = Path("var/keycloak").resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = _passwords(folder / "passwords.env")
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, lambda *_: sys.exit())
    themes = Path(__file__).resolve().parents[1] / "keycloak" / "themes"
    server = KeycloakServer(programs, folder, themes, TRIAL_PORT, passwords["VOLTWEAVE_KEYCLOAK_ADMIN_PASSWORD"])
    print(f"Starting Keycloak {VERSION}; half a minute the first time.", flush=True)
    try:
        server.start()
        apply = [sys.executable, "-m", "voltweave", "keycloak", "apply", "--demo", "--yes"]
        environment = os.environ | passwords | {"VOLTWEAVE_KEYCLOAK_URL": server.url}
        subprocess.run(
            [*apply, "--secrets-file", folder / "clients.env"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        found = passwords | _variables(folder / "clients.env")
        found |= {"url": server.url, "public_url": public_url()}
        _write_private(folder / "broker.env", _BROKER.format(**found))
        print(_TRIAL.format(**found), flush=True)
        while True:
            signal.pause()
    finally:
        server.stop()


def _passwords(path: Path) -> dict[str, str]:
    """Return the passwords of the administrator and of the demonstration users, made up at the first start."""
    if not path.is_file():
        names = ("VOLTWEAVE_KEYCLOAK_ADMIN_PASSWORD", "VOLTWEAVE_KEYCLOAK_DEMO_PASSWORD")
        _write_private(path, "".join(f"{name}={secrets.token_urlsafe(12)}\n" for name in names))
    return _variables(path)


def _variables(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
