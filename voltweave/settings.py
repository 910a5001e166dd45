"""The settings of the command line: the town of `voltweave up`, the server that `query` asks, and Keycloak."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
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


class KeycloakSettings(BaseSettings):
    """The Keycloak server that `keycloak` and `partner` change. A secret may stand in a file instead."""

    model_config = SettingsConfigDict(env_prefix="VOLTWEAVE_KEYCLOAK_", extra="ignore", frozen=True)

    url: str = Field("http://127.0.0.1:8080/auth", description="Base URL of Keycloak, its relative path included.")
    realm: str = Field("voltweave", pattern=r"^[A-Za-z0-9_-]{1,36}$", description="The realm.")
    timeout: float = Field(30.0, gt=0, description="Seconds that one request to Keycloak may take.")
    admin_user: str = Field("admin", description="Who changes the realm: a user of the realm master.")
    admin_password: SecretStr | None = Field(None, description="That user's password; absent: it is asked for.")
    admin_password_file: Path | None = Field(None, description="File that holds the password.")
    direct_grant: bool = Field(
        False, description="Enable the client voltweave-tokens, which gets tokens for passwords (/api/token/)."
    )
    console_secret: SecretStr | None = Field(
        None, description="Secret of the client voltweave-console; absent: Keycloak makes one up."
    )
    console_secret_file: Path | None = Field(None, description="File that holds the secret.")
    adapters_secret: SecretStr | None = Field(None, description="Secret of the client voltweave-adapters.")
    adapters_secret_file: Path | None = Field(None, description="File that holds the secret.")
    tokens_secret: SecretStr | None = Field(None, description="Secret of the client voltweave-tokens.")
    tokens_secret_file: Path | None = Field(None, description="File that holds the secret.")
    demo_password: SecretStr | None = Field(
        None, description="Password of the users that `keycloak apply --demo` makes; absent: one is made up and shown."
    )
    demo_password_file: Path | None = Field(None, description="File that holds the password.")

    def secret(self, name: str) -> str | None:
        """Return the value of a secret, from the environment or from its file, None where there is neither.

        Raises:
            ValueError: both are given, or the file cannot be read or is empty.
        """
        value: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        variable = f"VOLTWEAVE_KEYCLOAK_{name.upper()}"
        if path is None:
            return value.get_secret_value() or None if value is not None else None
        if value is not None:
            raise ValueError(f"{variable} and {variable}_FILE: give one of the two")
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{variable}_FILE: {error}") from error
        if not text:
            raise ValueError(f"{variable}_FILE: {path} is empty")
        return text
