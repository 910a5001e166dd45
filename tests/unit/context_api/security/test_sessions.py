"""Sessions of browsers over real sockets, at an issuer that signs whatever a test wants: limits, renewal, attacks."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from pydantic import SecretStr

from context_api.security.session_browser import Cookies, csrf_token, local_path
from context_api.security.session_sealing import Sealing
from context_api.settings import SessionSettings
from tests.browser import CLIENT, COOKIE, SIGN_IN_COOKIE, Browser, broker, grants
from tests.issuer import OwnIssuer, own_issuer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EVENTS: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
ENTITIES = "/ngsi-ld/v1/entities"
BACK_CHANNEL = "/session/back-channel-logout"


@pytest.fixture(scope="module")
def issuer() -> Iterator[OwnIssuer]:
    with own_issuer() as found:
        yield found


@pytest.fixture(scope="module")
def url(issuer: OwnIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with broker(issuer, tmp_path_factory.mktemp("sessions")) as found:
        yield found


@pytest.fixture
def browser(issuer: OwnIssuer, url: str) -> Iterator[Browser]:
    issuer.delay, issuer.forms = 0, []
    with Browser(issuer, url) as found:
        yield found


def logout_token(issuer: OwnIssuer, **claims: Any) -> str:
    """Return a logout token that is good but for what is given."""
    good = {"aud": CLIENT, "azp": None, "typ": "Logout", "events": EVENTS, "jti": str(time.monotonic_ns()), "sid": "s1"}
    return issuer.token(**good | claims)


def log_out(browser: Browser, token: str) -> httpx.Response:
    """Say as the issuer that a session has ended."""
    return httpx.post(str(browser.base_url.join(BACK_CHANNEL)), data={"logout_token": token})


def is_signed_in(browser: Browser) -> bool:
    answer = browser.get("/session")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def test_a_browser_is_sent_to_sign_in_and_a_program_is_not(browser: Browser) -> None:
    for path in ("/", "/docs"):
        answer = browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{browser.base_url.join('/session/login')}?next={path}"
        assert browser.get(path, headers={"Accept": "*/*"}).status_code == 401
    assert browser.get(ENTITIES, params={"type": "Car"}).status_code == 401
    assert browser.get("/docs", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_person_signs_in_by_code_and_pkce(browser: Browser) -> None:
    asked = browser.begin("/docs?x=1")
    assert (asked["response_type"], asked["scope"], asked["client_id"]) == ("code", "openid", CLIENT)
    browser.issuer.grant = grants(browser.issuer, asked["nonce"])
    answer = browser.come_back(asked, iss=browser.issuer.url, session_state="any")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{browser.base_url.join('/docs')}?x=1")
    [form] = browser.issuer.forms
    verifier = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert (verifier, asked["code_challenge_method"]) == (asked["code_challenge"], "S256")
    assert form["redirect_uri"] == asked["redirect_uri"] == str(browser.base_url.join("/session/callback"))
    [cookie] = [line for line in answer.headers.get_list("set-cookie") if line.startswith(COOKIE)]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie and "Max-Age" not in cookie
    page = browser.get("/docs")
    assert "Signed in as <strong>ada</strong>" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert browser.get("/session").json()["roles"] == ["viewer"]


def test_a_session_is_stored_without_its_id_and_tokens(
    issuer: OwnIssuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with broker(issuer, tmp_path) as url, Browser(issuer, url) as browser:
        browser.sign_in()
        assert is_signed_in(browser)
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert hashlib.sha256(browser.session_id.encode()).digest() in stored
        assert browser.session_id.encode() not in stored
        assert b"refresh-" not in stored and issuer.token().split(".")[0].encode() not in stored
    assert browser.session_id not in caplog.text


def test_cookies_are_bound_to_the_host_where_that_is_https() -> None:
    cookies = Cookies("https://data.example.org")
    assert (cookies.session, cookies.sign_in) == ("__Host-voltweave-session", "__Host-voltweave-sign-in")


def test_a_state_that_was_not_given_out_is_refused(browser: Browser) -> None:
    asked = browser.begin()
    browser.issuer.grant = grants(browser.issuer, asked["nonce"])
    for state in ("forged", "", asked["state"][:-1] + "!"):
        answer = browser.come_back(asked | {"state": state})
        assert (answer.status_code, COOKIE in answer.cookies) == (400, False)
    assert browser.issuer.forms == []


def test_a_sign_in_that_another_browser_began_is_refused(browser: Browser, url: str) -> None:
    """Who tricks a browser into coming back with a code of his own would have it signed in as him."""
    with Browser(browser.issuer, url) as attacker:
        asked = attacker.begin()
        browser.issuer.grant = grants(browser.issuer, asked["nonce"])
        assert browser.come_back(asked).status_code == 400
        browser.begin()
        assert browser.come_back(asked).status_code == 400
    assert browser.issuer.forms == []


def test_state_and_code_are_good_once(browser: Browser) -> None:
    asked = browser.begin()
    browser.issuer.grant = grants(browser.issuer, asked["nonce"])
    sign_in_cookie = browser.cookies[SIGN_IN_COOKIE]
    assert browser.come_back(asked).status_code == 303
    browser.cookies.set(SIGN_IN_COOKIE, sign_in_cookie)
    assert browser.come_back(asked).status_code == 400
    assert len(browser.issuer.forms) == 1
    again = browser.begin()
    answer = browser.come_back(again)
    assert (answer.status_code, "used or too old" in answer.text) == (400, True)


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another sign-in"}, {"nonce": None}, {"aud": "other"}, {"aud": [CLIENT, "other"], "azp": None},
        {"azp": "other"}, {"iss": "https://evil.example"}, {"exp": 1}, {"typ": "Bearer"}, {"sub": None},
        {"events": EVENTS},
    ],
    ids=str,
)  # fmt: skip
def test_identity_tokens_that_are_not_taken(browser: Browser, claims: dict[str, Any]) -> None:
    asked = browser.begin()
    good = {"aud": CLIENT, "azp": CLIENT, "typ": "ID", "nonce": asked["nonce"]}
    identity = browser.issuer.token(**good | claims)
    access = browser.issuer.token()
    browser.issuer.grant = lambda form: {"access_token": access, "refresh_token": "r", "id_token": identity}
    answer = browser.come_back(asked)
    assert (answer.status_code, COOKIE in answer.cookies) == (400, False)


def test_answers_of_the_issuer_that_sign_nobody_in(browser: Browser) -> None:
    asked = browser.begin()
    assert browser.come_back(asked, error="access_denied", error_description="<script>").status_code == 400
    assert browser.come_back(browser.begin(), iss="https://evil.example").status_code == 400
    assert browser.issuer.forms == []
    asked = browser.begin()
    other = grants(browser.issuer, asked["nonce"], sub="another")
    own = grants(browser.issuer, asked["nonce"])
    browser.issuer.grant = lambda form: own(form) | {"id_token": other(form)["id_token"]}
    assert "two people" in browser.come_back(asked).text


def test_an_id_that_was_planted_is_no_session(browser: Browser, issuer: OwnIssuer, url: str) -> None:
    """Whoever knows the id of before the sign-in knows nothing of the session (fixation)."""
    planted = "p" * 43
    browser.cookies.set(COOKIE, planted)
    answer = browser.sign_in()
    assert answer.cookies[COOKIE] != planted
    with Browser(issuer, url) as attacker:
        attacker.cookies.set(COOKIE, planted)
        assert not is_signed_in(attacker)


def test_a_new_sign_in_ends_the_session_before_it(browser: Browser, issuer: OwnIssuer, url: str) -> None:
    browser.sign_in()
    before = browser.session_id
    browser.cookies.set(COOKIE, before)
    browser.sign_in()
    with Browser(issuer, url) as other:
        other.cookies.set(COOKIE, before)
        assert not is_signed_in(other)


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "docs",
     "/docs\r\nSet-Cookie: a=b", "/\t/evil.example", "", "/" + "a" * 2000],
)  # fmt: skip
def test_a_sign_in_leads_nowhere_else(browser: Browser, path: str) -> None:
    answer = browser.get("/session/login", params={"next": path})
    assert (answer.status_code, "next" in answer.json()["detail"]) == (400, True)


@given(st.text(max_size=60).map(lambda text: "/" + text))
def test_a_path_stays_on_its_server(text: str) -> None:
    path = local_path(text)
    if path is not None:
        found = urlsplit(httpx.URL("https://data.example.org/session/callback").join(path).__str__())
        assert (found.scheme, found.netloc) == ("https", "data.example.org")
        assert path.isascii() and path.isprintable() and " " not in path


def test_changes_need_the_token_of_the_session(browser: Browser, issuer: OwnIssuer, url: str) -> None:
    browser.sign_in(realm_access={"roles": ["platform-administrator"]})
    token = browser.get("/session").json()["csrfToken"]
    car = {"id": "urn:ngsi-ld:Car:1", "type": "Car"}
    with Browser(issuer, url) as other:
        other.sign_in()
        foreign = csrf_token(other.session_id)
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": foreign}, {"X-CSRF-Token": browser.session_id}):
        answer = browser.post(ENTITIES, json=car, headers=headers)
        assert (answer.status_code, "X-CSRF-Token" in answer.text) == (403, True)
    for method in ("DELETE", "PATCH", "PUT"):
        assert "X-CSRF-Token" in browser.request(method, f"{ENTITIES}/{car['id']}").text
    good = {"X-CSRF-Token": token}
    assert "X-CSRF-Token" not in browser.post(ENTITIES, json=car, headers=good).text
    assert browser.post(ENTITIES, json=car, headers=good | {"Origin": "https://evil.example"}).status_code == 403


def test_signing_out_ends_the_session_here_and_at_the_issuer(browser: Browser) -> None:
    browser.sign_in()
    session_id = browser.session_id
    assert browser.post("/session/logout", headers=FORM).status_code == 403
    assert browser.post("/session/logout", data={"csrf": "wrong"}).status_code == 403
    assert is_signed_in(browser)
    answer = browser.post("/session/logout", data={"csrf": csrf_token(session_id)})
    place, _, query = answer.headers["location"].partition("?")
    asked = parse_qs(query)
    assert (answer.status_code, place) == (303, f"{browser.issuer.url}/end_session")
    assert asked["post_logout_redirect_uri"] == [str(browser.base_url.join("/"))]
    assert asked["id_token_hint"][0].count(".") == 2
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, session_id)
    assert not is_signed_in(browser)
    assert browser.get("/docs").status_code == 303


def test_the_issuer_ends_sessions(browser: Browser, issuer: OwnIssuer, url: str) -> None:
    with Browser(issuer, url) as other:
        for each, sid in ((browser, "one"), (other, "two")):
            each.sign_in(sid=sid)
        answer = log_out(browser, logout_token(issuer, sid="one"))
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert (is_signed_in(browser), is_signed_in(other)) == (False, True)
        browser.cookies.clear()
        browser.sign_in(sid="three")
        assert log_out(browser, logout_token(issuer, sid="three", sub="somebody else")).status_code == 200
        assert is_signed_in(browser)
        assert log_out(browser, logout_token(issuer, sid=None)).status_code == 200
        assert (is_signed_in(browser), is_signed_in(other)) == (False, False)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"}, {"iss": "https://evil.example"}, {"events": None}, {"events": {"other": {}}},
        {"events": {next(iter(EVENTS)): True}}, {"nonce": "any"}, {"sub": None, "sid": None}, {"jti": None},
        {"exp": 1}, {"exp": None}, {"iat": None}, {"iat": int(time.time()) + 3600}, {"sid": 7}, {"jti": "j" * 300},
    ],
    ids=str,
)  # fmt: skip
def test_logout_tokens_that_are_not_taken(browser: Browser, issuer: OwnIssuer, claims: dict[str, Any]) -> None:
    browser.sign_in()
    answer = log_out(browser, logout_token(issuer, **claims))
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert is_signed_in(browser)


def test_logout_tokens_that_are_forged_or_replayed(browser: Browser, issuer: OwnIssuer) -> None:
    browser.sign_in()
    good = logout_token(issuer)
    issuer_key = issuer.keys[issuer.kid]
    issuer.keys[issuer.kid] = RSAKey.generate_key(2048)
    forged = logout_token(issuer)
    issuer.keys[issuer.kid] = issuer_key
    unsigned = ".".join(issuer.token(header={"alg": "none"}).split(".")[:2]) + "."
    identity = issuer.token(aud=CLIENT, typ="ID", nonce="n", sid="s1")
    for token in (forged, unsigned, identity, issuer.token(), "", "no token", good[:-4]):
        assert log_out(browser, token).status_code == 400
    assert is_signed_in(browser)
    assert log_out(browser, good).status_code == 200
    browser.sign_in()
    answer = log_out(browser, good)
    assert (answer.status_code, "taken before" in answer.text) == (400, True)
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        (FORM, b"other=1", 400),
        (FORM, b"logout_token=a&logout_token=b", 400),
        (FORM, b"\xff", 400),
        (FORM, b"&".join(b"a%d=1" % n for n in range(50)), 400),
        (FORM, b"", 400),
    ],
)
def test_what_is_no_form(browser: Browser, headers: dict[str, str], content: bytes, status: int) -> None:
    assert browser.post(BACK_CHANNEL, headers=headers, content=content).status_code == status


def test_tokens_are_renewed_once_for_all_who_wait(browser: Browser) -> None:
    browser.sign_in(expires_in=1.0)
    time.sleep(1.1)
    browser.issuer.delay = 0.3
    session_id = browser.session_id

    def ask(_: int) -> int:
        return httpx.get(browser.base_url.join("/session"), cookies={COOKIE: session_id}, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(16))) == {200}
    kinds = [form["grant_type"] for form in browser.issuer.forms]
    assert kinds == ["authorization_code", "refresh_token"]
    browser.issuer.delay = 0
    time.sleep(1.1)
    assert is_signed_in(browser)
    assert browser.issuer.forms[-1]["refresh_token"] != browser.issuer.forms[-2].get("refresh_token")


def test_a_session_whose_renewal_is_refused_has_ended(browser: Browser) -> None:
    browser.sign_in(expires_in=1.0)
    browser.issuer.grant = lambda form: {"error": "invalid_grant"}
    time.sleep(1.1)
    assert not is_signed_in(browser)


def test_renewed_tokens_of_somebody_else_end_the_session(browser: Browser) -> None:
    asked = browser.begin()
    own = grants(browser.issuer, asked["nonce"], expires_in=1.0)
    other = grants(browser.issuer, asked["nonce"], sub="another")
    browser.issuer.grant = lambda form: (own if "code" in form else other)(form)
    browser.come_back(asked)
    time.sleep(1.1)
    assert not is_signed_in(browser)


def test_an_issuer_that_is_away_ends_no_session(browser: Browser) -> None:
    browser.sign_in(expires_in=1.0)
    granted = browser.issuer.grant
    browser.issuer.grant = lambda form: {"error": "server_error"}
    time.sleep(1.1)
    answer = browser.get("/session")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    browser.issuer.grant = granted
    assert is_signed_in(browser)


def test_a_session_ends_without_use_and_in_any_case(issuer: OwnIssuer, tmp_path: Path) -> None:
    with broker(issuer, tmp_path, session_idle=1.0, session_lifetime=2.0) as url, Browser(issuer, url) as browser:
        browser.sign_in()
        began = time.monotonic()
        while time.monotonic() < began + 1.6:
            assert is_signed_in(browser)
            time.sleep(0.2)
        time.sleep(0.6)
        assert not is_signed_in(browser)
        browser.sign_in()
        time.sleep(1.1)
        assert not is_signed_in(browser)


def test_sessions_outlive_a_start_with_a_key_and_end_without(issuer: OwnIssuer, tmp_path: Path) -> None:
    keys = [SecretStr(b64encode(bytes([n] * 32)).decode()) for n in (1, 1, 2)]
    found = []
    session_id = ""
    for key in keys:
        with broker(issuer, tmp_path, session_key=key) as url, Browser(issuer, url) as browser:
            if session_id:
                browser.cookies.set(COOKIE, session_id)
                found.append(is_signed_in(browser))
            else:
                browser.sign_in()
                session_id = browser.session_id
    assert found == [True, False]


def test_sign_ins_that_are_begun_are_bounded(issuer: OwnIssuer, tmp_path: Path) -> None:
    with broker(issuer, tmp_path, max_sign_ins=3, sign_in_time=60) as url, Browser(issuer, url) as browser:
        first, *others = [browser.begin() for _ in range(4)]
        issuer.grant = grants(issuer, others[-1]["nonce"])
        assert browser.come_back(first).status_code == 400
        assert browser.come_back(others[-1]).status_code == 303
    with broker(issuer, tmp_path, sign_in_time=0.2) as url, Browser(issuer, url) as browser:
        asked = browser.begin()
        issuer.grant = grants(issuer, asked["nonce"])
        sign_in_id = browser.cookies.get(SIGN_IN_COOKIE)
        time.sleep(0.3)
        browser.cookies.set(SIGN_IN_COOKIE, sign_in_id or "")
        assert browser.come_back(asked).status_code == 400


@pytest.mark.parametrize("cookie", ["", "short", "x" * 43, "x" * 44, "ü" * 43, '"' + "x" * 43 + '"', "x" * 9000])
def test_cookies_that_are_no_session(browser: Browser, cookie: str) -> None:
    answer = browser.get("/session", headers={b"Cookie": f"{COOKIE}={cookie}".encode()})
    assert answer.status_code == 401


def test_two_session_cookies_are_none(browser: Browser) -> None:
    browser.sign_in()
    headers = {"Cookie": f"{COOKIE}={browser.session_id}; {COOKIE}={'x' * 43}"}
    assert httpx.get(browser.base_url.join("/session"), headers=headers).status_code == 401


def test_what_is_sealed_opens_in_its_place_only() -> None:
    sealing, content = Sealing(bytes(32), 1000), {"a": "b"}
    sealed = sealing.seal("session:1", content)
    assert sealing.open("session:1", sealed) == content
    assert sealing.open("session:2", sealed) is None
    assert Sealing(bytes([1] * 32), 1000).open("session:1", sealed) is None
    assert sealing.open("session:1", sealed[:-2] + b"AA") is None
    assert sealing.open("session:1", b"nothing") is None


@pytest.mark.parametrize("key", ["short", "!" * 44, b64encode(bytes(31)).decode()])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(ValueError):
        _ = SessionSettings(session_key=SecretStr(key)).key
