"""Signing in at a real Keycloak with our realm: what tokens say, what is refused, and what people see in a browser."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from keycloak.exceptions import KeycloakPutError
from playwright.sync_api import Page, sync_playwright

from tests.keycloak import Realm

PASSWORD = "a password of tests only"
ADAPTERS = ("voltweave-adapters", "a-secret-of-the-adapters")
CONSOLE = ("voltweave-console", "a-secret-of-the-console")
TOKENS = ("voltweave-tokens", "a-secret-of-the-tokens")
VERIFIER = "a-verifier-of-the-code-with-at-least-43-characters"
AN_HOUR, A_DAY = 3600, 86_400
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip


class Callback(BaseHTTPRequestHandler):
    """What a browser is sent back to."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def public_url() -> Iterator[str]:
    """Give the URL of a server that stands for Voltweave."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Callback) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def signed(realm: Realm, public_url: str) -> Realm:
    """Give the realm with its demonstration users, and with the direct grant allowed."""
    realm.public_url = public_url
    realm.settings |= {
        "ADAPTERS_SECRET": ADAPTERS[1],
        "CONSOLE_SECRET": CONSOLE[1],
        "TOKENS_SECRET": TOKENS[1],
        "DEMO_PASSWORD": PASSWORD,
        "DIRECT_GRANT": "true",
    }
    realm.apply("--demo")
    return realm


def password_grant(realm: Realm, username: str, password: str = PASSWORD) -> httpx.Response:
    """Ask for a token with a password."""
    return realm.token(*TOKENS, grant_type="password", username=username, password=password)


def test_a_program_gets_the_agreed_claims(signed: Realm) -> None:
    answer = signed.token(*ADAPTERS)
    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()
    claims = signed.claims(answer.json()["access_token"])
    assert claims["exp"] - claims["iat"] == 300
    assert claims["iss"] == signed.issuer
    assert claims["aud"] == "voltweave-api"
    assert claims["azp"] == "voltweave-adapters"
    assert claims["typ"] == "Bearer"
    assert claims["realm_access"]["roles"] == ["data-provider"]
    assert claims["preferred_username"] == "service-account-voltweave-adapters"
    assert claims["sub"]
    assert not claims.get("tenants")
    assert not claims.get("groups")
    assert "email" not in claims


def test_tenants_come_from_user_and_group_and_groups_are_paths(signed: Realm) -> None:
    admin = signed.admin
    user_id = admin.get_user_id("operator") or ""
    user = admin.get_user(user_id)
    admin.update_user(user_id, user | {"attributes": user["attributes"] | {"tenants": ["berlin", "wien"]}})
    claims = signed.claims(password_grant(signed, "operator").json()["access_token"])
    assert sorted(claims["tenants"]) == ["berlin", "default", "wien"]
    assert claims["groups"] == ["/cpo-one"]
    assert claims["aud"] == "voltweave-api"
    assert "operator" in claims["realm_access"]["roles"]


def test_the_client_for_passwords_gives_what_battery2life_documents(signed: Realm) -> None:
    answer = password_grant(signed, "owner").json()
    assert answer["expires_in"] == pytest.approx(AN_HOUR, abs=5)
    assert answer["refresh_expires_in"] == pytest.approx(A_DAY, abs=5)
    fresh = signed.token(*TOKENS, grant_type="refresh_token", refresh_token=answer["refresh_token"])
    assert fresh.status_code == 200
    assert signed.claims(fresh.json()["access_token"])["preferred_username"] == "owner"
    again = signed.token(*TOKENS, grant_type="refresh_token", refresh_token=answer["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_passwords_get_no_token_where_that_is_not_meant(signed: Realm) -> None:
    form = {"grant_type": "password", "username": "viewer", "password": PASSWORD}
    for client in (CONSOLE, ADAPTERS):
        assert signed.token(*client, **form).json()["error"] == "unauthorized_client"
    as_command = httpx.post(signed.token_url, data=form | {"client_id": "admin-cli"}, timeout=30)
    assert as_command.json()["error"] == "unauthorized_client"
    assert signed.token("voltweave-api", "", **form).status_code in (400, 401)
    administrator = password_grant(signed, "administrator")
    assert (administrator.status_code, "access_token" in administrator.text) == (401, False)
    signed.apply("--demo", DIRECT_GRANT="false")
    assert password_grant(signed, "viewer").json()["error"] == "invalid_client"
    signed.apply("--demo")
    assert password_grant(signed, "viewer").status_code == 200


def test_guessing_locks(signed: Realm) -> None:
    for _ in range(5):
        assert password_grant(signed, "authority", "a wrong password").json()["error"] == "invalid_grant"
    assert password_grant(signed, "authority").json()["error"] == "invalid_grant"
    assert signed.admin.get_bruteforce_detection_status(signed.admin.get_user_id("authority") or "")["disabled"]


@pytest.mark.parametrize("password", ["elevenchars", "a.long.username", "provider@voltweave.example", PASSWORD])
def test_a_weak_password_is_refused(signed: Realm, password: str) -> None:
    admin = signed.admin
    if password == "a.long.username":
        admin.create_user({"username": password}, exist_ok=True)
    user_id = admin.get_user_id("a.long.username" if password == "a.long.username" else "provider") or ""
    with pytest.raises(KeycloakPutError, match="nvalid password"):
        admin.set_user_password(user_id, password, temporary=False)


def test_a_user_cannot_give_itself_a_tenant(signed: Realm) -> None:
    attributes = {each["name"]: each for each in signed.admin.get_realm_users_profile()["attributes"]}
    assert attributes["tenants"]["permissions"] == {"view": ["admin"], "edit": ["admin"]}


@pytest.fixture
def page() -> Iterator[Page]:
    """Give a browser of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield browser.new_page()
        browser.close()


def callback(realm: Realm) -> str:
    """Return where a browser is sent back to."""
    return f"{realm.public_url}/session/callback"


def login_url(realm: Realm, **parameters: str) -> str:
    """Return where a login with code and PKCE begins."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {"client_id": CONSOLE[0], "response_type": "code", "scope": "openid", "redirect_uri": callback(realm)}
    asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return f"{realm.issuer}/protocol/openid-connect/auth?{urlencode(asked | parameters)}"


def sign_in(page: Page, realm: Realm, username: str) -> None:
    """Fill in the login page."""
    page.goto(login_url(realm))
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    page.click("#kc-login")
    page.wait_for_load_state()


def one_time_password(secret: str, now: float) -> str:
    """Return the code of a moment (RFC 6238, with the defaults of clause 1.2)."""
    digest = hmac.digest(secret.encode(), struct.pack(">Q", int(now) // 30), "sha1")
    place = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[place : place + 4])[0] & 0x7FFF_FFFF
    return f"{number % 1_000_000:06}"


@pytest.mark.requires_server("chromium")
def test_the_login_page_is_ours_in_two_languages(signed: Realm, page: Page) -> None:
    page.goto(login_url(signed))
    assert page.title() == "Sign in to Voltweave"
    header = page.locator("#kc-header-wrapper")
    assert header.inner_text() == "Voltweave"
    look = "element => [getComputedStyle(element).color, getComputedStyle(element, '::before').backgroundImage]"
    colour, logo = header.evaluate(look)
    assert colour == "rgb(31, 42, 46)"
    assert logo.endswith('/img/logo.svg")')
    assert page.request.get(logo.split('"')[1]).headers["content-type"].startswith("image/svg")
    page.goto(login_url(signed, ui_locales="de"))
    assert page.title() == "Anmeldung bei Voltweave"
    assert page.locator("#kc-login").inner_text() == "Anmelden"


@pytest.mark.requires_server("chromium")
def test_a_browser_gets_a_code_that_the_verifier_turns_into_tokens(signed: Realm, page: Page) -> None:
    sign_in(page, signed, "viewer")
    page.wait_for_url(f"{callback(signed)}?*")
    code = parse_qs(urlsplit(page.url).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback(signed)}
    answer = signed.token(*CONSOLE, **form, code_verifier=VERIFIER)
    assert answer.status_code == 200
    claims = signed.claims(answer.json()["access_token"])
    assert (claims["preferred_username"], claims["realm_access"]["roles"]) == ("viewer", ["viewer"])
    assert signed.token(*CONSOLE, **form, code_verifier=VERIFIER).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "parameters",
    [{"code_challenge": ""}, {"code_challenge_method": "plain"}, {"redirect_uri": "https://evil.example/"}],
)
def test_a_login_without_pkce_or_to_another_place_is_refused(signed: Realm, parameters: dict[str, Any]) -> None:
    answer = httpx.get(login_url(signed, **parameters), timeout=30)
    if answer.status_code == 302:
        assert "error=invalid_request" in answer.headers["location"]
    else:
        assert answer.status_code == 400


@pytest.mark.requires_server("chromium")
def test_an_administrator_must_set_up_and_then_use_one_time_passwords(signed: Realm, page: Page) -> None:
    sign_in(page, signed, "administrator")
    assert page.locator("#kc-page-title").inner_text() == "Set up one-time passwords"
    secret = page.locator("#totpSecret").get_attribute("value") or ""
    page.fill("#totp", one_time_password(secret, time.time()))
    page.click("#saveTOTPBtn")
    page.wait_for_url(f"{callback(signed)}?*")
    page.context.clear_cookies()
    sign_in(page, signed, "administrator")
    assert page.locator("#otp").count() == 1
    assert not page.url.startswith(callback(signed))
    page.fill("#otp", one_time_password(secret, time.time() + 30))  # each code is good once
    page.click("#kc-login")
    page.wait_for_url(f"{callback(signed)}?*")
