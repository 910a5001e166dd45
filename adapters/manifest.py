"""The manifest of a provider: what it is, where its data come from, under which terms, and how they are taken in.

A manifest is YAML (`manifest.yaml` in the provider's folder); `manifest.schema.json` beside this file is its JSON
schema, generated from the classes here.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from adapters.errors import ManifestError, SettingError
from adapters.quarantine import rule_name
from adapters.sources.files import FileOptions
from adapters.sources.rest import RestOptions
from shapes import model_library, model_rules
from shapes.shape import REPAIR_KINDS

MANIFEST_NAME = "manifest.yaml"
SCHEMA_PATH = Path(__file__).with_name("manifest.schema.json")
_MAX_MANIFEST_BYTES = 256 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Attribution(_Part):
    """Whom to name beside the data."""

    name: str = Field(min_length=1, description="Who publishes the data.")
    url: str | None = Field(None, description="Where they are published.")


class Licence(_Part):
    """The terms of the data."""

    id: str = Field(min_length=1, description="SPDX identifier, or the licence's name where it has none.")
    url: str | None = Field(None, description="The licence's text.")
    note: str = Field("", description="What is unsure or special about it.")


class NaturalKey(_Part):
    """What makes two records the same: a duplicate has an equal natural key and equal content."""

    fields: list[str] = Field(
        min_length=1, description="The record's fields that identify it: a member's name, or a JSON Pointer."
    )
    ignore: list[str] = Field(
        default_factory=list, description="Members that are not content: row numbers and the like."
    )
    changed: Literal["update", "reject"] = Field(
        "update",
        description="What to do with a known key and other content: update takes it as a newer state of the same thing,"
        " reject puts it into quarantine.",
    )


class Secret(_Part):
    """A secret that the source needs, by the name of its environment variable; never its value."""

    environment: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="The environment variable that holds it.")
    description: str = Field(min_length=1, description="What it is and where to get it.")


class Validation(_Part):
    """How entities are judged before they are delivered (the API then judges by its own mode)."""

    mode: Literal["enforce", "warn", "off"] = Field(
        "enforce",
        description="enforce: a record whose entities have a Violation goes to quarantine as a whole; warn: it is"
        " delivered all the same, and counted; off: nothing is judged.",
    )
    profile: str | None = Field(
        None,
        description="The profile by which entities are judged, such as battery2life: it raises what this source does"
        " promise, and adds rules of its own.",
    )
    accept: list[str] = Field(
        default_factory=list,
        description="Repairs that are made before it is judged, where a rule names one: convertUnit, markOutlier, or"
        " the rules whose repair is meant (C03). What the source gave stays beside the value, and each is counted.",
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _off_in_yaml(cls, value: object) -> object:
        # YAML 1.1 reads a bare `off` as false.
        return "off" if value is False else value

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str | None) -> str | None:
        known = sorted(profile.name for profile in model_library().profiles)
        if name is not None and name not in known:
            raise ValueError(f"{name}: no such profile; known are {', '.join(known)}")
        return name

    @field_validator("accept")
    @classmethod
    def _known(cls, accepted: list[str]) -> list[str]:
        if not accepted:
            return accepted
        known = set(REPAIR_KINDS) | {rule_name(rule.iri) for rule in model_rules().values() if rule.repair is not None}
        unknown = sorted(set(accepted) - known)
        if unknown:
            said = f"{', '.join(unknown)}: no repair, and no rule that names one"
            raise ValueError(f"{said}; known are {', '.join(sorted(known))}")
        return accepted

    @model_validator(mode="after")
    def _judged(self) -> Validation:
        if self.accept and self.mode == "off":
            raise ValueError("accept: in the mode off nothing is judged, and so nothing is repaired")
        return self


class Schedule(_Part):
    """When a source is read again."""

    every: timedelta = Field(description="The pause between two readings, as an ISO 8601 duration: PT5M.")

    @model_validator(mode="after")
    def _positive(self) -> Schedule:
        if self.every < timedelta(seconds=1):
            raise ValueError("every: must be at least PT1S")
        return self


class Manifest(_Part):
    """A provider's manifest."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="The provider's name: its folder has the same.")
    title: str = Field(min_length=1, description="What people call it.")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="Version of manifest and mapping: major.minor.patch.")
    stream: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$",
        description="The stream of the records: names the raw copies.",
    )
    source: Annotated[FileOptions | RestOptions, Field(discriminator="protocol")]
    mapping: str = Field("mapping.yaml", pattern=r"^[\w.-]+$", description="The mapping's file in the same folder.")
    entities: list[str] = Field(min_length=1, description="The CIM types that it makes, the record's own first.")
    natural_key: NaturalKey
    write: Literal["update", "replace", "create"] = Field(
        "update",
        description="How entities are written: update adds to what is stored, replace puts in its place, create leaves"
        " what is stored alone.",
    )
    validation: Validation = Field(default_factory=lambda: Validation(mode="enforce"))
    schedule: Schedule | None = Field(None, description="Absent: read when asked.")
    attribution: Attribution
    licence: Licence
    quality: list[str] = Field(default_factory=list, description="What is known to be wrong or missing in the source.")
    personal_data: str = Field(min_length=1, description="Which personal data the source has, and their fate.")
    secrets: list[Secret] = Field(default_factory=list)

    @property
    def protocol(self) -> str:
        """The protocol of the source."""
        return self.source.protocol

    @model_validator(mode="after")
    def _declared_secrets(self) -> Manifest:
        declared = {secret.environment for secret in self.secrets}
        missing = set(self.source.secret_names()) - declared
        if missing:
            raise ValueError(f"secrets: {', '.join(sorted(missing))} is used by the source but not declared")
        return self

    def missing_secrets(self) -> list[str]:
        """Return the environment variables of secrets that are not set."""
        return [secret.environment for secret in self.secrets if not os.environ.get(secret.environment)]


def parse_manifest(document: Any, name: str) -> Manifest:
    """Validate a manifest that was read already; `name` is the file's, for messages."""
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in error.errors()]
        raise ManifestError(f"{name}: " + "; ".join(lines)) from error


def load_manifest(folder: Path) -> Manifest:
    """Read and validate the manifest of a provider's folder."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise SettingError(f"{folder} is no provider: it has no {MANIFEST_NAME}")
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise ManifestError(f"{path}: larger than {_MAX_MANIFEST_BYTES} bytes")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: no YAML: {error}") from error
    manifest = parse_manifest(document, str(path))
    if manifest.id != folder.name:
        raise ManifestError(f"{path}: id: is {manifest.id!r}, but the folder is {folder.name!r}")
    return manifest


def manifest_schema() -> dict[str, Any]:
    """Return the JSON schema of a manifest."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Manifest.model_json_schema()


if __name__ == "__main__":
    # Writes the schema anew after a change of the classes above: python -m adapters.manifest
    text = json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"
    SCHEMA_PATH.write_text(text, encoding="utf-8")
