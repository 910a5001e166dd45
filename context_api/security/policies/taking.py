"""Policies of requests: JSON-LD with the @context that it names, judged by its shapes, then read."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from context_api.contexts.registry import ContextRegistry
from context_api.security.policies import profile
from context_api.security.policies.checking import check
from context_api.security.policies.model import Policy
from context_api.security.policies.odrl import expand, read_policy
from ngsild.problems import BadRequestData
from ontology import CONTEXT_URL

#: The words of policies; the other parts of an @context are about the names in operands.
_WORDS: Final = frozenset(
    {profile.CONTEXT_URL, "http://www.w3.org/ns/odrl.jsonld", "https://www.w3.org/ns/odrl.jsonld"}
)
DEFAULT: Final = [CONTEXT_URL, profile.CONTEXT_URL]
"""The @context of a policy that names none."""


async def take_policy(contexts: ContextRegistry, document: Any, name: str | None) -> Policy:
    """Return the policy of a document; `name` is how the request calls it.

    Raises:
        BadRequestData: it breaks a shape, with the report; or something in it is not understood.
        LdContextNotAvailable: its @context refers to what cannot be had.
    """
    if not isinstance(document, dict):
        raise BadRequestData("the body must be a policy as a JSON object")
    source = document.get("@context", DEFAULT)
    parts = source if isinstance(source, list) else [source]
    local = await contexts.local_contexts(source)
    about_names = [part for part in parts if not (isinstance(part, str) and part in _WORDS)]
    names = await contexts.resolve(about_names or CONTEXT_URL)
    expanded = expand(document, local)
    await asyncio.to_thread(check, expanded)
    return read_policy(expanded, names, name)
