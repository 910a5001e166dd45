"""What adapters and people say of records in quarantine: the bodies of its operations."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from context_api.answers import dump
from ngsild.problems import BadRequestData, PayloadTooLarge

RECORD_ID = r"^[0-9a-f]{32}$"
STREAM = r"^[a-z0-9][a-z0-9._-]{0,127}$"
MAX_RULE = 512

Text = Annotated[str, Field(max_length=4000)]
Rule = Annotated[str, Field(max_length=MAX_RULE)]
Stage = Literal["read", "key", "map", "check", "deliver"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Finding(_Body):
    """Why a record was set aside."""

    stage: Stage = Field(description="Where it failed: read, key, map, check or deliver.")
    field: Text = Field("", description="The source's fields, or the attribute, at fault.")
    rule: Rule = Field("", description="The gravest rule that it breaks.")
    reason: Text = Field("", description="What is wrong, for people.")
    entities: list[dict[str, Any]] = Field(default_factory=list, description="What the mapping made of it.")
    report: list[dict[str, Any]] = Field(default_factory=list, description="All results of its validation.")

    def content(self) -> dict[str, Any]:
        """Return what only a look at the one record shows."""
        return {"entities": self.entities, "report": self.report}

    def summary(self) -> dict[str, Any]:
        """Return what a list shows of it, less stream and rule."""
        return {"stage": self.stage, "field": self.field, "reason": self.reason}


class Arrival(Finding):
    """A record that an adapter sets aside."""

    id: str = Field(pattern=RECORD_ID, description="Hash of stream, natural key and content.")
    stream: str = Field(pattern=STREAM)
    provider: Text
    unit: Text = Field(description="What it was read from.")
    number: int = Field(ge=1, le=2**62, description="Its place there, from 1.")
    record: dict[str, Any] | None = Field(None, description="The record; null where there is none to be read.")
    raw: str | None = Field(None, description="What stood in its place, where it is no record.")
    raw_reference: Text | None = Field(None, alias="rawReference", description="The raw copy that holds it.")

    def content(self) -> dict[str, Any]:
        """Return what only a look at the one record shows."""
        return {"record": self.record, "raw": self.raw} | super().content()

    def summary(self) -> dict[str, Any]:
        """Return what a list shows of it, less stream and rule."""
        place = {"provider": self.provider, "unit": self.unit, "number": self.number}
        return place | {"rawReference": self.raw_reference} | super().summary()


class Outcome(_Body):
    """What came of the replay of a record."""

    id: str = Field(pattern=RECORD_ID)
    version: int | None = Field(
        None,
        ge=1,
        description="The version that was replayed; one that was changed since stays as it is. Absent: the source "
        "brought the record again, and it passed; one that was mended stays as it is.",
    )
    finding: Finding | None = Field(None, description="Why it was set aside again; absent: its entities are stored.")


class Mend(_Body):
    """A record as it should be."""

    record: dict[str, Any]


B = TypeVar("B", bound=_Body)


def read_body(kind: type[B], value: Any, max_bytes: int) -> B:
    """Return a body of one record; raise BadRequestData naming the member at fault, or PayloadTooLarge."""
    try:
        found = kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the record"
        raise BadRequestData(f"{place}: {fault['msg']}") from None
    size = len(dump(value))
    if size > max_bytes:
        raise PayloadTooLarge(f"the record has {size} bytes with its entities and report; {max_bytes} at most")
    return found
