"""Sessions, sign-ins that have begun, and logout tokens in the database. Moments are microseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, delete, insert, select, update

from context_api.storage.port import Duplicate
from context_api.storage.records import Records
from context_api.storage.tables import browser_session, logout_token, sign_in


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as it is stored; `id` is the hash of what the browser has."""

    id: bytes
    subject: str
    sealed: bytes
    version: int
    """Raised whenever the tokens are renewed."""
    created_at: int
    used_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class SignInRow:
    """A sign-in as it is stored; `state` and `browser` are hashes."""

    state: bytes
    browser: bytes
    sealed: bytes
    expires_at: int


class SessionTables:
    """The tables `browser_session`, `sign_in` and `logout_token`."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def find(self, session_id: bytes, now: int) -> SessionRow | None:
        """Return a session that has not ended."""
        c = browser_session.c
        columns = (c.id, c.subject, c.sealed, c.version, c.created_at, c.used_at, c.expires_at)
        rows = await self._records.fetch(select(*columns).where(c.id == session_id, c.expires_at > now))
        for found, subject, sealed, *rest in rows:
            return SessionRow(bytes(found), subject, bytes(sealed), *rest)
        return None

    async def begin(self, row: SessionRow, issuer_session: str) -> None:
        """Store a new session."""
        values = {
            "id": row.id, "subject": row.subject, "issuer_session": issuer_session, "sealed": row.sealed,
            "version": row.version, "claim": "", "claimed_until": 0, "created_at": row.created_at,
            "used_at": row.used_at, "expires_at": row.expires_at,
        }  # fmt: skip
        await self._records.execute(insert(browser_session).values(values))

    async def use(self, session_id: bytes, used_at: int, expires_at: int) -> None:
        """Note that a session was used."""
        values = {"used_at": used_at, "expires_at": expires_at}
        await self._records.execute(update(browser_session).where(browser_session.c.id == session_id).values(values))

    async def claim(self, row: SessionRow, claim: str, now: int, until: int) -> bool:
        """Claim the renewal of a session's tokens; tell whether nobody else holds it, or has renewed them already."""
        c = browser_session.c
        free = and_(c.id == row.id, c.version == row.version, c.claimed_until <= now)
        await self._records.execute(update(browser_session).where(free).values(claim=claim, claimed_until=until))
        found = select(c.claim).where(c.id == row.id, c.version == row.version)
        return await self._records.fetch(found) == [(claim,)]

    async def release(self, row: SessionRow, claim: str) -> None:
        """Give a claim back."""
        c = browser_session.c
        held = and_(c.id == row.id, c.claim == claim)
        await self._records.execute(update(browser_session).where(held).values(claimed_until=0))

    async def renew(self, row: SessionRow, sealed: bytes) -> None:
        """Put renewed tokens in the place of the others, unless the session has ended meanwhile."""
        c = browser_session.c
        values = {"sealed": sealed, "version": row.version + 1, "claim": "", "claimed_until": 0}
        same = and_(c.id == row.id, c.version == row.version)
        await self._records.execute(update(browser_session).where(same).values(values))

    async def end(self, session_id: bytes) -> None:
        """End one session."""
        await self._records.execute(delete(browser_session).where(browser_session.c.id == session_id))

    async def end_at_issuer(self, subject: str, issuer_session: str, jti: bytes, expires_at: int) -> bool:
        """End what a logout token names: one session at the issuer or, without one, all of a subject.

        Returns False, and ends nothing, where the token was taken before.
        """
        c = browser_session.c
        named = [c.subject == subject] if subject else []
        if issuer_session:
            named.append(c.issuer_session == issuer_session)
        taken = insert(logout_token).values(id=jti, expires_at=expires_at)
        try:
            await self._records.execute(taken, delete(browser_session).where(and_(*named)))
        except Duplicate:
            return False
        return True

    async def begin_sign_in(self, row: SignInRow, most: int) -> None:
        """Store a sign-in; above `most` of them the oldest is forgotten."""
        c = sign_in.c
        values = {"state": row.state, "browser": row.browser, "sealed": row.sealed, "expires_at": row.expires_at}
        surplus = select(c.expires_at).order_by(c.expires_at.desc()).offset(most).limit(1).scalar_subquery()
        await self._records.execute(insert(sign_in).values(values), delete(sign_in).where(c.expires_at <= surplus))

    async def take_sign_in(self, state: bytes, browser: bytes, now: int) -> SignInRow | None:
        """Return a sign-in that this browser began, and forget it."""
        c = sign_in.c
        mine = and_(c.state == state, c.browser == browser, c.expires_at > now)
        rows = await self._records.fetch(select(c.sealed, c.expires_at).where(mine))
        await self._records.execute(delete(sign_in).where(mine))
        for sealed, expires_at in rows:
            return SignInRow(state, browser, bytes(sealed), expires_at)
        return None

    async def sweep(self, now: int) -> None:
        """Forget what has expired."""
        await self._records.execute(
            *(delete(table).where(table.c.expires_at <= now) for table in (browser_session, sign_in, logout_token))
        )
