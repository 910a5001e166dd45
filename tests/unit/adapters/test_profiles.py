"""The profile that a manifest names: what the adapter judges by beside the model."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from adapters.judging import Judge
from adapters.manifest import Validation
from adapters.quarantine import ViolationError

AT = "2026-05-04T08:30:00Z"


def cell(**attributes: Any) -> dict[str, Any]:
    found = {"id": "urn:ngsi-ld:BatteryCell:test:1", "type": "BatteryCell", "name": {"type": "Property", "value": "C1"}}
    return found | attributes


def test_a_profile_raises_what_the_model_only_warns_of() -> None:
    unnamed = cell()
    del unnamed["name"]
    Judge(Validation()).check([unnamed])
    with pytest.raises(ViolationError) as refused:
        Judge(Validation(profile="battery2life")).check([unnamed])
    assert refused.value.field == "name"


def test_a_profile_does_not_refuse_what_it_does_not_name() -> None:
    Judge(Validation(profile="battery2life")).check([cell()])


def test_an_unknown_profile_is_named_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="no such profile; known are battery2life"):
        Validation(profile="battery3life")
