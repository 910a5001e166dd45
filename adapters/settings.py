"""The settings of the adapters; `voltweave settings` lists them and a field's description is its documentation."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class AdapterSettings(BaseSettings):
    """How adapters read, keep and deliver."""

    model_config = SettingsConfigDict(env_prefix="VOLTWEAVE_", extra="ignore", frozen=True)

    providers: str = Field(
        "", description="Further folders of providers, separated as in PATH; they win over built-in ones."
    )
    data: Path = Field(Path("var"), description="Folder of the adapters' state (adapters.db) and raw copies (raw/).")
    raw_days: int | None = Field(
        None, ge=0, description="Days that raw copies are kept; absent: for ever; 0: until everything is delivered."
    )
    chunk_records: int = Field(500, ge=1, le=100_000, description="Records read, mapped and made safe together.")
    batch_entities: int = Field(500, ge=1, le=10_000, description="Entities in one delivery.")
    batch_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="Bytes in one delivery.")
    spool_bytes: int = Field(1024**3, ge=1024, description="Undelivered bytes of a stream; reading waits above it.")
    quarantine_bytes: int = Field(
        256 * 1024,
        ge=4096,
        description="Largest record with its entities and report that is sent to the quarantine; above it, parts are"
        " left out. The API's own limit must not be smaller.",
    )
    delivery_timeout: float = Field(30.0, gt=0, description="Seconds that one delivery may take.")
    delivery_patience: float = Field(
        60.0, ge=0, description="Seconds that `voltweave ingest` goes on trying while the API is away."
    )
    pull_timeout: float = Field(30.0, gt=0, description="Seconds that one request to a source may take.")
    pull_attempts: int = Field(5, ge=1, description="How often one request to a source is tried.")
    pull_body_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Largest answer of a source.")
    document_bytes: int = Field(512 * 1024 * 1024, ge=1024, description="Largest file of a format that is read whole.")
    settle_seconds: float = Field(2.0, ge=0, description="How long a file in a watched folder must stand still.")
    back_off_seconds: float = Field(0.5, gt=0, description="First pause after a failure; it doubles up to the limit.")
    back_off_limit_seconds: float = Field(30.0, gt=0, description="Longest pause between two attempts.")


class CredentialSettings(BaseSettings):
    """How adapters and commands prove who they are to a broker that has an issuer."""

    model_config = SettingsConfigDict(env_prefix="VOLTWEAVE_", extra="ignore", frozen=True)

    token_url: str | None = Field(
        None, description="Token endpoint of the issuer; absent: requests to the broker bear no token."
    )
    client_id: str = Field("", description="Client that asks there (client credentials).")
    client_secret: SecretStr | None = Field(None, description="Its secret.")
    client_secret_file: Path | None = Field(None, description="File that holds its secret.")
    token_timeout: float = Field(10.0, gt=0, description="Seconds that the issuer may take for a token.")

    @property
    def secret(self) -> str:
        """The client's secret, from its setting or its file; raises OSError where that cannot be read."""
        if self.client_secret is not None:
            return self.client_secret.get_secret_value()
        return self.client_secret_file.read_text().strip() if self.client_secret_file is not None else ""
