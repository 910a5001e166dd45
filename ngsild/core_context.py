"""The core @context (CIM 009 clause 4.4 and annex B): bundled, pinned to V1.9, never fetched."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

CORE_CONTEXT_URL = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.9.jsonld"

_ANY_VERSION = re.compile(r"https?://uri\.etsi\.org/ngsi-ld/v1/ngsi-ld-core-context(-v1\.[3-9])?\.jsonld\Z")


def is_core_context(url: str) -> bool:
    """Tell whether this URL names the core @context, in any published version: all mean the pinned one."""
    return _ANY_VERSION.match(url) is not None


@cache
def core_document() -> dict[str, Any]:
    """Return the bundled core @context as a JSON-LD document; callers must not change it."""
    text = resources.files("ngsild").joinpath("core-context.jsonld").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
