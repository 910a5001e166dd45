"""Tokens over real sockets: what is taken, and every forgery that is not."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from context_api.app import create_app
from context_api.logs import configure
from context_api.settings import LogSettings, RateSettings, SecuritySettings, Settings, StorageSettings
from tests.issuer import OwnIssuer, own_issuer
from tests.served import served

TYPES = "/ngsi-ld/v1/types"
CHALLENGE = 'Bearer realm="voltweave"'


@dataclass
class Api:
    """A broker that takes the tokens of an issuer."""

    issuer: OwnIssuer
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, token: str | None = None, path: str = TYPES, **headers: str) -> httpx.Response:
        found = headers if token is None else {"Authorization": f"Bearer {token}", **headers}
        return httpx.get(self.url + path, headers=found, timeout=20)

    def raw(self, *lines: bytes) -> tuple[int, bytes]:
        """Send header lines as they are; return the status and the whole answer."""
        head = [b"GET " + TYPES.encode() + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *lines]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return int(answer.split(b" ", 2)[1]), answer


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Run the broker and its issuer."""
    configure(LogSettings(log_level="error"))
    with own_issuer() as issuer:
        found = Settings(
            storage=StorageSettings(database=f"sqlite:///{tmp_path_factory.mktemp('tokens') / 'test.db'}"),
            security=SecuritySettings(issuers=issuer.url, keys_min_interval=0.05, keys_retry=0.2),
            # Hundreds of bad tokens come from one address here.
            rates=RateSettings(failed_sign_ins_per_minute=0),
        )
        with served(create_app(found)) as port:
            yield Api(issuer, port)


def refused(answer: httpx.Response, said: str) -> None:
    """Check that a token was not taken, and that the answer tells no more than why."""
    assert answer.status_code == 401, answer.text
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(f'{CHALLENGE}, error="invalid_token", error_description="')
    assert said in challenge, challenge
    body = answer.json()
    assert body["type"] == "https://w3id.org/voltweave/errors/Unauthorized"
    assert (body["status"], answer.headers["content-type"]) == (401, "application/json")
    assert said in body["detail"]


def test_a_good_token_is_taken(api: Api) -> None:
    token = api.issuer.token()
    for _ in range(2):
        assert api.get(token).status_code == 200
    assert api.get(path=TYPES, Authorization=f"bEARER   {token}").status_code == 200
    assert api.get(api.issuer.token({"typ": "at+jwt"}, typ=None)).status_code == 200
    assert api.get(api.issuer.token(aud="voltweave-api")).status_code == 200


def test_who_says_nothing_is_told_what_is_missing_and_no_more(api: Api) -> None:
    for answer in (api.get(), api.get(Authorization="Basic YTpi")):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == CHALLENGE
        assert answer.json()["type"] == "https://w3id.org/voltweave/errors/Unauthorized"


def test_nothing_is_served_to_who_says_nothing(api: Api) -> None:
    with httpx.Client(base_url=api.url, timeout=20) as client:
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/nothing", "/model", "/contexts/cim.jsonld"):
            assert client.get(path).status_code == 401, path
        for path in ("/q/health/live", "/q/health/ready"):
            assert client.get(path).status_code == 200
            assert client.delete(path).status_code == 401
        for path in ("/q/health/live/x", "/q/health/%6Cive/..", "//q/health/live", "/q/health/live;x"):
            assert client.get(path).status_code == 401, path
        assert client.get(f"{TYPES}?access_token={api.issuer.token()}").status_code == 401
        assert client.post("/q/health/live", data={"access_token": api.issuer.token()}).status_code == 401


def b64(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_hmac_with_the_public_key(api: Api) -> None:
    """The secret is what everybody knows, in each of its forms."""
    issuer = api.issuer
    key = issuer.keys[issuer.kid]
    for secret in (key.as_pem(private=False), key.as_pem(private=False).strip(), str(key.as_dict()["n"]).encode()):
        for size in (256, 384, 512):
            content = f"{b64({'alg': f'HS{size}', 'kid': issuer.kid, 'typ': 'JWT'})}.{b64(issuer.claims())}"
            signature = hmac.digest(secret, content.encode(), f"sha{size}")
            refused(api.get(f"{content}.{b64(signature)}"), "of a kind that is not taken")
            as_rsa = f"{b64({'alg': 'RS256', 'kid': issuer.kid, 'typ': 'JWT'})}.{b64(issuer.claims())}"
            refused(api.get(f"{as_rsa}.{b64(hmac.digest(secret, as_rsa.encode(), 'sha256'))}"), "signature")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "RS256 ", "rs256", "RSA-OAEP", "EdDSA"])
def test_other_algorithms(api: Api, name: str) -> None:
    token = api.issuer.token({"alg": name})
    for forged in (token, token.rsplit(".", 1)[0] + ".", token.rsplit(".", 1)[0] + "." + b64(b"\0")):
        answer = api.get(forged)
        assert answer.status_code == 401, answer.text
    refused(api.get(token), "of a kind that is not taken")


def test_an_algorithm_that_is_allowed_but_not_the_keys(api: Api) -> None:
    refused(api.get(api.issuer.token({"alg": "ES256"})), "none of its issuer's for this signature")
    refused(api.get(api.issuer.token({"alg": "PS256"})), "the signature of the token")


def test_wrong_signatures(api: Api) -> None:
    token = api.issuer.token()
    head, payload, signature = token.split(".")
    foreign = jwt.encode({"alg": "RS256", "kid": api.issuer.kid}, api.issuer.claims(), RSAKey.generate_key(2048))
    refused(api.get(foreign), "signature")
    more = b64(api.issuer.claims(realm_access={"roles": ["platform-administrator"]}))
    refused(api.get(f"{head}.{more}.{signature}"), "signature")
    refused(api.get(f"{head}.{payload}.{signature[:-8]}"), "signature")
    other = "A" if signature[0] != "A" else "B"
    refused(api.get(f"{head}.{payload}.{other}{signature[1:]}"), "signature")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": True}, "exp"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
        ({"iat": 4_000_000_000}, "not valid yet"),
        ({"iat": "now"}, "iat"),
        ({"aud": "account"}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": ["voltweave-api-2", "Voltweave-API"]}, "another audience"),
        ({"aud": {"voltweave-api": 1}}, "another audience"),
        ({"iss": "https://evil.example/realms/own"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ["x"]}, "issuer"),
        ({"typ": "ID"}, "no access token"),
        ({"typ": "Refresh"}, "no access token"),
        ({"typ": "Offline"}, "no access token"),
        ({"typ": "Logout"}, "no access token"),
        ({"typ": None}, "no access token"),
        ({"typ": ["Bearer"]}, "no access token"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"azp": {}}, "azp"),
        ({"tenants": "*"}, "tenants"),
        ({"tenants": [1]}, "tenants"),
        ({"groups": {"a": 1}}, "groups"),
        ({"realm_access": []}, "realm_access"),
        ({"realm_access": {"roles": "platform-administrator"}}, "roles"),
    ],
)
def test_claims_that_are_not_taken(api: Api, claims: dict[str, Any], said: str) -> None:
    refused(api.get(api.issuer.token(**claims)), said)


def test_an_issuer_is_compared_exactly(api: Api) -> None:
    url = api.issuer.url
    for other in (url + "/", url.upper(), url.replace("127.0.0.1", "localhost"), " " + url, url + "?", url + "/../own"):
        refused(api.get(api.issuer.token(iss=other)), "issuer")


def test_clocks_may_differ_a_little(api: Api) -> None:
    now = int(time.time())
    assert api.get(api.issuer.token(exp=now - 3, nbf=now + 3, iat=now + 3)).status_code == 200
    refused(api.get(api.issuer.token(exp=now - 12)), "expired")
    refused(api.get(api.issuer.token(nbf=now + 14)), "not valid yet")


@pytest.mark.parametrize(
    "kid", ["unknown", "../../etc/passwd", "a\nb", "\r\nX: 1", "' OR 1=1 --", "k" * 9000, "\u00e9", "{}", "/realms"]
)
def test_keys_that_nobody_published(api: Api, kid: str) -> None:
    refused(api.get(api.issuer.token({"kid": kid})), "none of its issuer's")


@pytest.mark.parametrize("kid", [None, "", 7, ["a"], {"a": 1}, True])
def test_headers_that_name_no_key(api: Api, kid: Any) -> None:
    refused(api.get(api.issuer.token({"kid": kid})), "does not name its key")


def test_keys_in_the_header_are_not_read(api: Api) -> None:
    with own_issuer() as evil:
        evil.keys = {api.issuer.kid: evil.keys[evil.kid]}
        evil.kid = api.issuer.kid
        own = evil.keys[evil.kid].as_dict(private=False)
        claims = {"iss": api.issuer.url}
        for header in ({"jku": f"{evil.url}/certs"}, {"x5u": f"{evil.url}/certs"}, {"jwk": own}):
            refused(api.get(evil.token(header, **claims)), "signature")
        refused(api.get(evil.token({"kid": f"{evil.url}/certs"}, **claims)), "none of its issuer's")
        assert evil.requests == []
    assert api.get(api.issuer.token({"jku": "https://evil.example/", "x5t": "abc"})).status_code == 200


def test_extensions_are_refused(api: Api) -> None:
    headers: list[dict[str, Any]] = [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}]
    for header in headers:
        refused(api.get(api.issuer.token(header)), "extensions")


def test_types_of_other_tokens(api: Api) -> None:
    for kind in ("dpop+jwt", "logout+jwt", "secevent+jwt", "", None, 7, "JWE"):
        refused(api.get(api.issuer.token({"typ": kind})), "another type")


def test_duplicate_members_are_refused(api: Api) -> None:
    issuer = api.issuer
    claims = json.dumps(issuer.claims())
    header = json.dumps({"alg": "RS256", "kid": issuer.kid, "typ": "JWT"})
    twice = claims[:-1] + ', "aud": "voltweave-api"}'
    refused(api.get(issuer.signed(header.encode(), twice.encode())), "JSON")
    refused(api.get(issuer.signed((header[:-1] + ', "alg": "none"}').encode(), claims.encode())), "JSON")
    nested = claims.replace('"roles":', '"roles": ["platform-administrator"], "roles":')
    refused(api.get(issuer.signed(header.encode(), nested.encode())), "JSON")


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"{", b'{"a":NaN}', b"\xff", b"[" * 9000, b'{"a":' * 3000])
def test_payloads_that_are_no_claims(api: Api, payload: bytes) -> None:
    issuer = api.issuer
    header = {"alg": "RS256", "kid": issuer.kid, "typ": "JWT"}
    answer = api.get(issuer.signed(header, payload))
    assert answer.status_code == 401
    answer = api.get(issuer.signed(payload, json.dumps(issuer.claims()).encode()))
    assert answer.status_code == 401


def test_a_token_that_is_too_large_is_not_even_read(api: Api) -> None:
    refused(api.get(api.issuer.token(padding="x" * 20_000)), "larger than 16384 bytes")
    assert api.get(api.issuer.token(padding="x" * 8_000)).status_code == 200


def test_two_credentials(api: Api) -> None:
    line = f"Authorization: Bearer {api.issuer.token()}".encode()
    assert api.raw(line)[0] == 200
    for second in (line, line.lower().replace(b"bearer", b"Bearer"), b"Authorization: Basic YTpi"):
        status, answer = api.raw(line, second)
        assert status == 400
        assert b'error="invalid_request"' in answer
    joined = api.get(path=TYPES, Authorization=f"Bearer {api.issuer.token()}, Bearer {api.issuer.token()}")
    assert joined.status_code == 400


@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", "Bearer =", "Bearer a,b", 'Bearer "a"', "Bearer a=b"])
def test_malformed_credentials(api: Api, value: str) -> None:
    answer = api.get(Authorization=value)
    assert answer.status_code == 400
    assert answer.headers["www-authenticate"].startswith(f'{CHALLENGE}, error="invalid_request"')
    assert answer.json()["type"].endswith("/InvalidRequest")
    assert api.raw(b"Authorization: Bearer  ")[0] == 400


def test_line_breaks_do_not_make_headers(api: Api) -> None:
    for line in (
        b"Authorization: Bearer a\nX-Injected: 1",
        b"Authorization: Bearer a\r\n X-Injected: 1",
        b"Authorization: Bearer \x00a",
        b"Authorization: Bearer \xff\xfe",
        "Authorization: Bearer \u00e9".encode(),
    ):
        status, answer = api.raw(line)
        assert status in (400, 401), answer
        assert b"X-Injected" not in answer


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda b: b"Bearer " + b)))
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_whatever_comes_there_is_an_answer(api: Api, value: bytes) -> None:
    status, answer = api.raw(b"Authorization: " + value)
    assert status in (400, 401), answer


BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "x5c", "jwk", "jku"]), JSON, max_size=3),
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "azp", "typ", "tenants", "groups", "realm_access"]),
        JSON,
        max_size=4,
    ),
)
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_whatever_is_signed_there_is_an_answer(api: Api, header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Well-formed and signed by the right key, with members of any kind: taken or not, and never a fault of ours."""
    head = {"alg": "RS256", "kid": api.issuer.kid, "typ": "JWT"} | header
    body = api.issuer.claims() | claims
    token = api.issuer.signed(json.dumps(head).encode(), json.dumps(body).encode())
    answer = api.get(token)
    assert answer.status_code in (200, 401), answer.text
    audience = body["aud"]
    if answer.status_code == 200:
        assert audience == "voltweave-api" or (isinstance(audience, list) and "voltweave-api" in audience)


def test_elliptic_curves(tmp_path: Path) -> None:
    with own_issuer() as issuer:
        issuer.keys["ec"] = ECKey.generate_key("P-256")
        found = Settings(
            storage=StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}"),
            security=SecuritySettings(issuers=issuer.url, token_algorithms="ES256"),
        )
        with served(create_app(found)) as port:
            api = Api(issuer, port)
            good = jwt.encode({"alg": "ES256", "kid": "ec", "typ": "JWT"}, issuer.claims(), issuer.keys["ec"])
            assert api.get(good).status_code == 200
            refused(api.get(issuer.token()), "of a kind that is not taken")
