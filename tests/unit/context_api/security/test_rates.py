"""Limits of requests a minute: callers, addresses without token, failed sign-ins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from context_api.app import create_app
from context_api.security.authentication import Authenticate, Refusal
from context_api.security.principal import ANONYMOUS, Principal
from context_api.security.rates import Rates
from context_api.settings import RateSettings, SecuritySettings, Settings, StorageSettings
from ngsild.problems import TooManyRequests
from tests.issuer import OwnIssuer, own_issuer
from tests.served import served

TYPES = "/ngsi-ld/v1/types"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def issuer() -> Iterator[OwnIssuer]:
    with own_issuer() as found:
        yield found


@contextmanager
def broker(issuer: OwnIssuer, tmp_path: Path, **rates: int) -> Iterator[httpx.Client]:
    found = Settings(
        storage=StorageSettings(database=f"sqlite:///{tmp_path / 'test.db'}"),
        security=SecuritySettings(issuers=issuer.url),
        rates=RateSettings.model_validate(rates),
    )
    with (
        served(create_app(found)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == TooManyRequests.status, answer.text
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def statuses(client: httpx.Client, path: str, count: int, headers: dict[str, str]) -> list[int]:
    return [client.get(path, headers=headers).status_code for _ in range(count)]


def test_failed_sign_ins_of_an_address_are_throttled_and_good_tokens_go_on(issuer: OwnIssuer, tmp_path: Path) -> None:
    good = bearer(issuer.token())
    with broker(issuer, tmp_path, failed_sign_ins_per_minute=5) as client:
        assert client.get(TYPES, headers=good).status_code == 200
        found = statuses(client, TYPES, 12, bearer(issuer.token(aud="other")))
        assert set(found) == {401, 429} and found.count(401) <= 10, found
        for headers in (bearer(issuer.token(sub="new")), {}):
            refused(client.get(TYPES, headers=headers))
        assert client.get(TYPES, headers=good).status_code == 200


def test_a_caller_is_limited_and_others_are_not(issuer: OwnIssuer, tmp_path: Path) -> None:
    ada, bob = bearer(issuer.token(sub="ada")), bearer(issuer.token(sub="bob"))
    with broker(issuer, tmp_path, requests_per_minute=4) as client:
        found = statuses(client, TYPES, 10, ada)
        assert set(found) == {200, 429}, found
        refused(client.get(TYPES, headers=bearer(issuer.token(sub="ada", jti="another"))))
        assert client.get(TYPES, headers=bob).status_code == 200


def test_who_has_no_token_is_limited_by_address(issuer: OwnIssuer, tmp_path: Path) -> None:
    with broker(issuer, tmp_path, public_requests_per_minute=3) as client:
        assert set(statuses(client, "/q/health/live", 9, {})) == {200, 429}
        assert client.get("/q/health/live", headers=bearer(issuer.token())).status_code == 200


class Clock:
    now = 1_000_000_020.0

    def __call__(self) -> float:
        return self.now


def limited(rates: Rates, principal: Principal = ANONYMOUS) -> Authenticate:
    async def authenticate(_: Any) -> Principal:
        return principal

    return rates.limited(authenticate, lambda _: False)


def scope(host: str) -> dict[str, Any]:
    return {"type": "http", "headers": [], "client": (host, 1)}


async def taken(authenticate: Authenticate, host: str) -> bool:
    try:
        await authenticate(scope(host))
    except Refusal as refusal:
        assert isinstance(refusal.problem, TooManyRequests)
        return False
    return True


@pytest.mark.anyio
async def test_a_minute_later_it_goes_on() -> None:
    clock = Clock()
    rates = Rates(RateSettings(public_requests_per_minute=1, failed_sign_ins_per_minute=1), clock)
    authenticate = limited(rates)
    assert [await taken(authenticate, "192.0.2.1") for _ in range(2)] == [True, False]
    rates.failed(scope("192.0.2.2"))
    assert not await taken(authenticate, "192.0.2.2")
    clock.now += 60
    assert await taken(authenticate, "192.0.2.1")
    assert await taken(authenticate, "192.0.2.2")


@pytest.mark.anyio
async def test_addresses_of_one_network_are_one_client() -> None:
    authenticate = limited(Rates(RateSettings(public_requests_per_minute=1), Clock()))
    assert [await taken(authenticate, host) for host in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2")] == [True, False]
    assert await taken(authenticate, "2001:db8:0:2::1")
    assert [await taken(authenticate, host) for host in ("192.0.2.1", "::ffff:192.0.2.1")] == [True, False]


@pytest.mark.anyio
async def test_nothing_is_limited_where_the_setting_says_so() -> None:
    rates = Rates(RateSettings(public_requests_per_minute=0, failed_sign_ins_per_minute=0), Clock())
    for _ in range(100):
        rates.failed(scope("192.0.2.1"))
    assert all([await taken(limited(rates), "192.0.2.1") for _ in range(100)])
