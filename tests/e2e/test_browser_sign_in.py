"""People sign in by the browser: a real Keycloak with our realm, a real Chromium, and the documentation page."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright
from pydantic import SecretStr

from benchmarks.processes import free_port
from context_api.app import create_app
from context_api.settings import SecuritySettings, ServerSettings, SessionSettings, Settings, StorageSettings
from tests.e2e.test_keycloak_sign_in import CHROMIUM, CHROMIUM_OPTIONS, CONSOLE, PASSWORD
from tests.keycloak import Realm
from tests.served import served

pytestmark = pytest.mark.requires_server("chromium")
LIFETIME_S = 8
COOKIE = "voltweave-session"


@pytest.fixture(scope="module")
def url(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a broker with the realm, whose access tokens have a short life."""
    port = free_port()
    realm.public_url = f"http://127.0.0.1:{port}"
    realm.settings |= {"CONSOLE_SECRET": CONSOLE[1], "DEMO_PASSWORD": PASSWORD}
    realm.apply("--demo")
    realm.admin.update_realm(realm.name, {"accessTokenLifespan": LIFETIME_S})
    settings = Settings(
        server=ServerSettings(public_url=realm.public_url),
        storage=StorageSettings(database=f"sqlite:///{tmp_path_factory.mktemp('broker') / 'test.db'}"),
        security=SecuritySettings(issuers=realm.issuer, token_leeway=0, token_cache_seconds=1),
        sessions=SessionSettings(console_client_id=CONSOLE[0], console_client_secret=SecretStr(CONSOLE[1])),
    )
    with served(create_app(settings), port=port):
        yield realm.public_url


@pytest.fixture
def page() -> Iterator[Page]:
    """Give a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield browser.new_page()
        browser.close()


def sign_in(page: Page, url: str, username: str = "viewer") -> str:
    """Open the page, which leads to Keycloak and back; return the id of the session."""
    page.goto(f"{url}/docs")
    assert page.title() == "Sign in to Voltweave"
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    page.click("#kc-login")
    page.wait_for_url(f"{url}/docs")
    return session_id(page)


def session_id(page: Page) -> str:
    """Return the id that the browser has."""
    [found] = [cookie for cookie in page.context.cookies() if cookie["name"] == COOKIE]
    assert (found["httpOnly"], found["sameSite"], found["path"]) == (True, "Lax", "/")
    return found["value"]


def status(url: str, session: str) -> int:
    """Return what a client gets that knows the id of a session."""
    return httpx.get(f"{url}/session", cookies={COOKIE: session}, timeout=30).status_code


def until(url: str, session: str, wanted: int) -> None:
    """Wait until a session is answered so."""
    end = time.monotonic() + 10
    while status(url, session) != wanted:
        assert time.monotonic() < end, "the session goes on"
        time.sleep(0.1)


def test_a_person_signs_in_stays_and_signs_out(url: str, page: Page) -> None:
    session = sign_in(page, url)
    assert page.title() == "Voltweave HTTP API"
    assert page.locator("form").inner_text().startswith("Signed in as viewer")
    assert page.evaluate("document.cookie") == ""
    time.sleep(LIFETIME_S + 1)
    assert page.request.get(f"{url}/session").json()["username"] == "viewer"
    time.sleep(LIFETIME_S + 1)
    page.reload()
    assert page.locator("form").inner_text().startswith("Signed in as viewer")
    if picture := os.environ.get("VOLTWEAVE_PICTURE"):
        page.set_viewport_size({"width": 800, "height": 420})
        page.screenshot(path=picture)
    page.click("text=Sign out")
    page.wait_for_url("**/protocol/openid-connect/auth?*")
    assert page.title() == "Sign in to Voltweave"
    assert status(url, session) == 401
    page.goto(f"{url}/docs")
    assert page.title() == "Sign in to Voltweave"


def test_a_session_that_ends_in_keycloak_ends_here(realm: Realm, url: str, page: Page) -> None:
    session = sign_in(page, url, "operator")
    assert status(url, session) == 200
    realm.admin.user_logout(realm.admin.get_user_id("operator") or "")
    until(url, session, 401)
    page.goto(f"{url}/docs")
    assert page.title() == "Sign in to Voltweave"


def test_signing_in_again_needs_no_password_and_gives_another_id(url: str, page: Page) -> None:
    first = sign_in(page, url)
    page.goto(f"{url}/session/login?next=/docs")
    page.wait_for_url(f"{url}/docs")
    assert session_id(page) != first
    assert (status(url, first), status(url, session_id(page))) == (401, 200)


def test_a_code_of_keycloak_is_good_once(url: str, page: Page) -> None:
    callbacks: list[str] = []
    page.on("request", lambda request: callbacks.append(request.url) if "/session/callback" in request.url else None)
    sign_in(page, url)
    page.goto(callbacks[0])
    assert page.title() == "Sign-in failed"
    [(state, code)] = [(httpx.URL(each).params["state"], httpx.URL(each).params["code"]) for each in callbacks[:1]]
    with httpx.Client(base_url=url) as attacker:
        sent = attacker.get("/session/login").headers["location"]
        answer = attacker.get("/session/callback", params={"state": httpx.URL(sent).params["state"], "code": code})
        assert (answer.status_code, COOKIE in attacker.cookies) == (400, False)
        assert attacker.get("/session/callback", params={"state": state, "code": code}).status_code == 400
