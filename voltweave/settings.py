"""The settings of the command line: the town that `voltweave up` simulates, and the server that `query` asks."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TownSettings(BaseSettings):
    """The simulated town of `voltweave up`."""

    model_config = SettingsConfigDict(env_prefix="VOLTWEAVE_TOWN_", extra="ignore", frozen=True)

    seed: int = Field(1, description="The same seed makes the same town.")
    speed: float = Field(300.0, gt=0, le=100_000, description="How fast its clock runs: 300 is five minutes a second.")
    history_days: float = Field(14.0, gt=0, le=365, description="Days of records that are there at the first start.")
    room_days: float = Field(
        90.0, ge=0, le=3650, description="Days between the clock at the first start and now, for it to run fast in."
    )
    dirt: str = Field("some", description="What its sources get wrong: none, some, much, or kinds: dates,late=0.3.")


class ClientSettings(BaseSettings):
    """How commands reach a running server."""

    model_config = SettingsConfigDict(env_prefix="VOLTWEAVE_", extra="ignore", frozen=True)

    server_url: str | None = Field(
        None,
        description="Where `query` and `quarantine` ask; absent: loopback, at the port of the server settings.",
    )
    client_timeout: float = Field(30.0, gt=0, description="Seconds that one request of a command may take.")
