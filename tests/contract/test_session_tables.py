"""Sessions in both databases: what each statement does, and two processes that renew the same session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from context_api.security.session_tables import SessionRow, SessionTables, SignInRow
from tests.contract.conftest import Broker

pytestmark = pytest.mark.anyio
NOW = 1_000_000


def key(n: int) -> bytes:
    return bytes([n]) * 32


def row(n: int, subject: str = "ada", expires_at: int = NOW + 100) -> SessionRow:
    return SessionRow(key(n), subject, b"sealed", 0, NOW, NOW, expires_at)


@pytest.fixture
def tables(broker: Broker) -> SessionTables:
    return SessionTables(broker.store.records)


async def test_a_session_is_found_until_it_expires_or_is_ended(tables: SessionTables) -> None:
    await tables.begin(row(1), "s1")
    assert await tables.find(key(1), NOW) == row(1)
    assert await tables.find(key(2), NOW) is None
    assert await tables.find(key(1), NOW + 100) is None
    await tables.use(key(1), NOW + 50, NOW + 150)
    assert await tables.find(key(1), NOW + 100) is not None
    await tables.end(key(1))
    assert await tables.find(key(1), NOW) is None


async def test_one_of_many_claims_a_renewal(tables: SessionTables) -> None:
    await tables.begin(row(1), "")
    claims = [tables.claim(row(1), f"claim-{n}", NOW, NOW + 10) for n in range(8)]
    assert sorted(await asyncio.gather(*claims)) == [False] * 7 + [True]
    assert not await tables.claim(row(1), "later", NOW + 9, NOW + 20)
    assert await tables.claim(row(1), "the first died", NOW + 10, NOW + 20)
    await tables.release(row(1), "claim-0")
    assert not await tables.claim(row(1), "other", NOW + 10, NOW + 20)
    await tables.release(row(1), "the first died")
    assert await tables.claim(row(1), "other", NOW + 10, NOW + 20)
    await tables.renew(row(1), b"renewed")
    found = await tables.find(key(1), NOW)
    assert found is not None
    assert (found.version, found.sealed) == (1, b"renewed")
    assert not await tables.claim(row(1), "of the old tokens", NOW + 30, NOW + 40)


async def test_a_renewal_does_not_bring_back_what_has_ended(tables: SessionTables) -> None:
    await tables.begin(row(1), "")
    await tables.end(key(1))
    await tables.renew(row(1), b"renewed")
    assert await tables.find(key(1), NOW) is None


@pytest.mark.parametrize(
    ("subject", "issuer_session", "left"),
    [
        ("", "s1", {2, 3, 4}), ("ada", "s1", {2, 3, 4}), ("ada", "", {3, 4}), ("bob", "s1", {1, 2, 3, 4}),
        ("eve", "", {1, 2, 3, 4}),
    ],
)  # fmt: skip
async def test_a_logout_ends_what_it_names(
    tables: SessionTables, subject: str, issuer_session: str, left: set[int]
) -> None:
    for n, (person, at_issuer) in enumerate([("ada", "s1"), ("ada", "s2"), ("bob", "s3"), ("bob", "")], 1):
        await tables.begin(row(n, person), at_issuer)
    assert await tables.end_at_issuer(subject, issuer_session, key(9), NOW + 10)
    assert {n for n in range(1, 5) if await tables.find(key(n), NOW)} == left
    assert not await tables.end_at_issuer("bob", "", key(9), NOW + 10)
    assert {n for n in range(1, 5) if await tables.find(key(n), NOW)} == left


async def test_the_oldest_sign_ins_are_forgotten(tables: SessionTables) -> None:
    for n in range(1, 6):
        await tables.begin_sign_in(SignInRow(key(n), key(100), b"sealed", NOW + n), 3)
    found: list[Any] = [await tables.take_sign_in(key(n), key(100), NOW) for n in range(1, 6)]
    assert [each and each.state for each in found] == [None, None, key(3), key(4), key(5)]


async def test_a_sign_in_is_taken_once_and_by_its_browser(tables: SessionTables) -> None:
    await tables.begin_sign_in(SignInRow(key(1), key(100), b"sealed", NOW + 10), 3)
    assert await tables.take_sign_in(key(1), key(101), NOW) is None
    assert await tables.take_sign_in(key(1), key(100), NOW + 10) is None
    assert await tables.take_sign_in(key(1), key(100), NOW) is not None
    assert await tables.take_sign_in(key(1), key(100), NOW) is None


async def test_what_has_expired_is_swept(tables: SessionTables) -> None:
    for n in (1, 2):
        await tables.begin(row(n, expires_at=NOW + n), "")
        await tables.begin_sign_in(SignInRow(key(n), key(100), b"sealed", NOW + n), 9)
        await tables.end_at_issuer("nobody", "", key(n), NOW + n)
    await tables.sweep(NOW + 1)
    assert [n for n in (1, 2) if await tables.find(key(n), 0)] == [2]
    assert [n for n in (1, 2) if await tables.take_sign_in(key(n), key(100), 0)] == [2]
    assert [n for n in (1, 2) if await tables.end_at_issuer("nobody", "", key(n), NOW)] == [1]
