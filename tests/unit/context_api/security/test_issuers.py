"""Keys of issuers over real sockets: rotation, outages, floods, and metadata that leads elsewhere."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from joserfc.util import int_to_base64
from structlog.testing import capture_logs

from context_api.security.issuers import Issuer, Issuers, KeysUnavailable
from context_api.security.tokens import InvalidToken, Tokens
from context_api.settings import SecuritySettings
from tests.issuer import Answer, OwnIssuer, own_issuer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def verifying(issuer: OwnIssuer, **settings: Any) -> AsyncIterator[tuple[Tokens, Issuer]]:
    """Give what verifies tokens of an issuer, and what is known of it."""
    quick: dict[str, Any] = {"keys_min_interval": 0.2, "keys_retry": 0.2, "issuer_timeout": 1.0}
    found = SecuritySettings(issuers=issuer.url, **quick | settings)
    issuers = Issuers(found)
    await issuers.start()
    try:
        [known] = issuers
        yield Tokens(found, issuers), known
    finally:
        await issuers.close()


async def verify(tokens: Tokens, token: str) -> str:
    return (await tokens.principal(token.encode())).name


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.02)


async def test_what_a_token_says_of_its_bearer() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer) as (tokens, _):
            principal = await tokens.principal(issuer.token(tenants=["a", "b"]).encode())
            assert (principal.subject, principal.issuer, principal.client) == ("9d7d6a7c", issuer.url, "app")
            assert (principal.roles, principal.groups) == (frozenset({"viewer"}), frozenset({"/cpo-one"}))
            assert [principal.may_use(t) for t in ("a", "b", "c", None, "default")] == [True, True, False, False, False]
            none_at_all: tuple[Any, ...] = (None, [])
            for tenants in none_at_all:
                nobody = await tokens.principal(issuer.token(tenants=tenants).encode())
                assert [nobody.may_use(t) for t in (None, "a", "default", "*")] == [True, False, False, False]
            least = await tokens.principal(issuer.token(realm_access=None, groups=None, azp=None).encode())
            assert (least.roles, least.groups, least.client) == (frozenset(), frozenset(), "")


async def test_a_token_is_verified_once_and_for_its_time_only() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer, token_cache_seconds=0.3, token_leeway=0) as (tokens, _):
            short = issuer.token(exp=time.time() + 1.2)
            assert await verify(tokens, short) == "ada"
            issuer.rotate(keep=False)
            await verify(tokens, issuer.token())
            # The key is gone, so that only what is remembered can be good.
            assert await verify(tokens, short) == "ada"
            await asyncio.sleep(0.35)
            with pytest.raises(InvalidToken, match="none of its issuer's"):
                await verify(tokens, short)
            brief = issuer.token(exp=time.time() + 0.2)
            assert await verify(tokens, brief) == "ada"
            await asyncio.sleep(0.25)
            with pytest.raises(InvalidToken, match="expired"):
                await verify(tokens, brief)


async def test_what_is_remembered_is_bounded() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer, token_cache_size=3) as (tokens, _):
            first, second, third, fourth = (issuer.token(jti=str(n)) for n in range(4))
            for token in (first, second, third, first, fourth):
                await verify(tokens, token)
            issuer.rotate(keep=False)
            await verify(tokens, issuer.token())
            # What was asked for longest ago is forgotten, and its key is gone.
            for token in (first, fourth):
                assert await verify(tokens, token) == "ada"
            for token in (second, third):
                with pytest.raises(InvalidToken):
                    await verify(tokens, token)


async def test_keys_rotate_while_tokens_are_verified() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer) as (tokens, known):
            stop = time.monotonic() + 3
            verified = rotations = 0

            async def client() -> None:
                nonlocal verified
                while time.monotonic() < stop:
                    token = await asyncio.to_thread(issuer.token, jti=str(verified))
                    assert await verify(tokens, token) == "ada"
                    verified += 1

            async def rotate() -> None:
                nonlocal rotations
                while time.monotonic() < stop:
                    await asyncio.to_thread(issuer.rotate)
                    rotations += 1
                    await asyncio.sleep(0.1)

            await asyncio.gather(rotate(), *(client() for _ in range(4)))
            assert verified > 20 and rotations > 3
            assert known.failures == 0


async def test_a_look_that_began_before_a_key_was_there_does_not_refuse_it() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer) as (tokens, _):
            await verify(tokens, issuer.token())

            def slowly(path: str) -> Answer | None:
                found = issuer.document(path)
                time.sleep(0.4 if path.endswith("/certs") else 0)
                return found

            issuer.answer = slowly
            issuer.requests.clear()
            forged = asyncio.create_task(tokens.principal(issuer.token({"kid": "unknown"}).encode()))
            await until(lambda: any(path.endswith("/certs") for path in issuer.requests))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(issuer.rotate)
            assert not forged.done()
            assert await verify(tokens, issuer.token()) == "ada"
            with pytest.raises(InvalidToken):
                await forged


async def test_an_issuer_that_stops_changes_nothing_for_good_tokens() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer, token_cache_seconds=0, keys_interval=0.2) as (tokens, known):
            token = issuer.token()
            assert await verify(tokens, token) == "ada"
            with capture_logs() as logs:
                issuer.stop()
                await until(lambda: known.failures >= 3)
                assert await verify(tokens, token) == "ada"
                assert await verify(tokens, issuer.token(jti="new")) == "ada"
                with pytest.raises(KeysUnavailable) as refused:
                    await verify(tokens, issuer.token({"kid": "unknown"}))
                assert refused.value.retry_after == 0.2
                issuer.rotate(keep=False)
                issuer.start()
                failed = known.failures
                await until(lambda: "issuer answers again" in [line["event"] for line in logs])
            assert [line["event"] for line in logs] == ["keys of an issuer cannot be had", "issuer answers again"]
            assert failed >= 3
            assert await verify(tokens, issuer.token()) == "ada"
            with pytest.raises(InvalidToken):
                await verify(tokens, token)


async def test_a_broker_starts_without_its_issuer() -> None:
    with own_issuer() as issuer:
        issuer.stop()
        async with verifying(issuer) as (tokens, known):
            for _ in range(3):
                with pytest.raises(KeysUnavailable):
                    await verify(tokens, issuer.token())
            await until(lambda: known.failures >= 2)
            issuer.start()
            await until(lambda: known.keys > 0)
            assert await verify(tokens, issuer.token()) == "ada"


async def test_a_flood_of_unknown_keys_is_no_flood_of_requests() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer, keys_min_interval=0.5) as (tokens, _):
            await verify(tokens, issuer.token())
            issuer.requests.clear()
            began = time.monotonic()
            forged = [issuer.token({"kid": f"flood-{n}"}) for n in range(200)]
            for _ in range(3):
                results = await asyncio.gather(*(verify(tokens, t) for t in forged), return_exceptions=True)
                assert {type(result) for result in results} == {InvalidToken}
            looks = sum(path.endswith("/certs") for path in issuer.requests)
            assert 1 <= looks <= 2 + (time.monotonic() - began) / 0.5
            # A good token with a new key waits for one look, among all of these.
            issuer.rotate()
            flood = [asyncio.create_task(tokens.principal(t.encode())) for t in forged]
            assert await verify(tokens, issuer.token()) == "ada"
            await asyncio.gather(*flood, return_exceptions=True)


async def test_more_than_enough_waiting_requests_are_sent_away() -> None:
    with own_issuer() as issuer:
        async with verifying(issuer) as (tokens, _):
            await verify(tokens, issuer.token())
            issuer.delay = 0.3
            forged = issuer.token({"kid": "flood"})
            results = await asyncio.gather(*(verify(tokens, forged) for _ in range(1200)), return_exceptions=True)
            kinds = [type(result) for result in results]
            assert kinds.count(KeysUnavailable) == 200
            assert kinds.count(InvalidToken) == 1000


def metadata(**members: Any) -> Callable[[str], tuple[int, dict[str, str], bytes] | None]:
    def answer(path: str) -> tuple[int, dict[str, str], bytes] | None:
        return (200, {}, json.dumps(members).encode()) if path.endswith("configuration") else None

    return answer


async def refused_metadata(issuer: OwnIssuer, said: str, **settings: Any) -> None:
    """Check that no keys are taken, and that the log says why."""
    with capture_logs() as logs:
        async with verifying(issuer, **settings) as (tokens, known):
            with pytest.raises(KeysUnavailable):
                await verify(tokens, issuer.token())
            assert known.keys == 0
    assert said in logs[0]["reason"], logs


async def test_metadata_leads_nowhere_else() -> None:
    with own_issuer() as issuer, own_issuer() as evil:
        certs = f"{evil.url}/certs"
        for place in (certs, certs.replace("127.0.0.1", "localhost"), "file:///etc/passwd", "//x", None, 7, ["x"]):
            issuer.answer = metadata(issuer=issuer.url, jwks_uri=place)
            await refused_metadata(issuer, "another origin")
        issuer.answer = metadata(issuer=evil.url, jwks_uri=f"{issuer.url}/certs")
        await refused_metadata(issuer, "another issuer")
        for status in (301, 302, 307, 308):
            issuer.answer = lambda path, status=status: (status, {"Location": certs}, b"{}")  # type: ignore[misc]
            await refused_metadata(issuer, f"answered {status}")
        assert evil.requests == []
        issuer.answer = metadata(issuer=issuer.url, jwks_uri=certs)
        own = f"{issuer.url}={issuer.url}/certs"
        async with verifying(issuer, jwks_urls=own) as (tokens, _):
            assert await verify(tokens, issuer.token()) == "ada"


async def test_what_is_no_set_of_keys() -> None:
    with own_issuer() as issuer:
        jwk = issuer.keys[issuer.kid].as_dict(private=False) | {"kid": issuer.kid}
        weak = generate_private_key(65537, 1024)  # noqa: S505 - it is refused
        modulus = weak.public_key().public_numbers().n
        unusable: list[tuple[Any, str]] = [
            ([], "no JWK set"), ({"keys": {}}, "no JWK set"), ({"keys": []}, "no key for"),
            ({"keys": [7, {}]}, "no key"), ({"keys": [jwk | {"use": "enc"}]}, "no key"),
            ({"keys": [jwk | {"alg": "RS512"}]}, "no key"),
            ({"keys": [jwk | {"alg": ["RS256"]}]}, "no key"), ({"keys": [jwk | {"kid": None}]}, "no key"),
            ({"keys": [jwk | {"key_ops": ["sign"]}]}, "no key"), ({"keys": [jwk | {"n": "AQAB"}]}, "no key"),
            ({"keys": [jwk | {"n": 7}]}, "no key"),
            ({"keys": [{"kty": "oct", "k": "AAAA", "kid": issuer.kid}]}, "no key"),
            ({"keys": [jwk | {"n": int_to_base64(modulus)}]}, "no key"),
            ({"keys": [jwk | {"kty": "EC"}]}, "no key"), ({"keys": [jwk | {"kty": []}]}, "no key"),
        ]  # fmt: skip
        for document, said in unusable:
            body = json.dumps(document).encode()
            issuer.answer = lambda path, body=body: (200, {}, body) if path.endswith("certs") else None  # type: ignore[misc]
            await refused_metadata(issuer, said)
        issuer.answer = lambda path: (200, {}, b"{" + b" " * 300_000 + b"}")
        await refused_metadata(issuer, "more than 262144 bytes")
        issuer.answer = lambda path: (200, {}, b"<html>")
        await refused_metadata(issuer, "JSON")
        issuer.answer = lambda path: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")
        await refused_metadata(issuer, "compressed")
        issuer.answer = lambda path: None
        issuer.delay = 3
        await refused_metadata(issuer, "no answer within 0.3 s", issuer_timeout=0.3)


async def test_several_issuers_do_not_speak_for_each_other() -> None:
    with own_issuer() as one, own_issuer() as two:
        found = SecuritySettings(issuers=f"{one.url}, {two.url}", keys_min_interval=0.05)
        issuers = Issuers(found)
        await issuers.start()
        try:
            tokens = Tokens(found, issuers)
            for issuer in (one, two):
                assert (await tokens.principal(issuer.token().encode())).issuer == issuer.url
            assert one.url != two.url
            with pytest.raises(InvalidToken, match="key"):
                await tokens.principal(one.token(iss=two.url).encode())
            one.keys[two.kid], one.kid = one.keys[one.kid], two.kid
            with pytest.raises(InvalidToken, match="signature"):
                await tokens.principal(one.token(iss=two.url).encode())
        finally:
            await issuers.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_algorithms": "RS256,HS256"}, {"token_algorithms": "none"}, {"token_algorithms": ""},
        {"issuers": "realms/own"}, {"issuers": "ftp://a"}, {"issuers": "https://u:p@a"}, {"issuers": "https://a?b"},
        {"jwks_urls": "https://a"}, {"jwks_urls": "https://a=b"}, {"audience": ""},
    ],
)  # fmt: skip
def test_settings_that_would_open_doors(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        SecuritySettings(**wrong)  # type: ignore[arg-type]
