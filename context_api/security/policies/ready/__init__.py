"""The policies that come with the software: one document a role, and what reads them.

Each is in force under its name in the whole platform, until a deployment puts another of that name in its place or
takes it out of force.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

from context_api.security.policies import profile
from context_api.security.policies.model import Policy
from context_api.security.policies.odrl import expand, read_policy
from ngsild.context import compile_terms
from ontology import CONTEXT_URL, context

#: Ready, but out of force until a deployment puts it in.
OFF: Final = frozenset({"public"})


@cache
def ready_policies() -> MappingProxyType[str, Policy]:
    """Return them by name; their version is 0."""
    contexts = {profile.CONTEXT_URL: profile.context()["@context"], CONTEXT_URL: context()["@context"]}
    names = compile_terms([contexts[CONTEXT_URL]])
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.jsonld")):
        document: dict[str, Any] = orjson.loads(file.read_bytes())
        expanded = expand(document, [contexts[url] for url in document["@context"]])
        policy = read_policy(expanded, names, file.stem)
        found[policy.name] = policy
    return MappingProxyType(found)
