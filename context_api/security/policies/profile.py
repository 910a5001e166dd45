"""The profile of ODRL in which policies are written: its words, its @context, and the operations behind each action."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from context_api.security.policies.model import Action
from ontology import context_url

ODRL: Final = "http://www.w3.org/ns/odrl/2/"
NAMESPACE: Final = "https://w3id.org/voltweave/policies#"
PARTIES: Final = "urn:voltweave:"
"""Begins the IRI of a party: then role, group, user or client, and its name percent-encoded."""

CONTEXT_NAME: Final = "policies"
CONTEXT_URL: Final = context_url(CONTEXT_NAME)
CONTEXT_FILE: Final = Path(__file__).with_name("policies.jsonld")

ACTIONS: Final = MappingProxyType(
    {(ODRL if each in (Action.READ, Action.DELETE) else NAMESPACE) + each: each for each in Action}
)
"""Actions by their IRIs."""

#: Limits of a policy; a larger one is refused, member by member.
MAX_RULES: Final = 200
MAX_VALUES: Final = 1000
MAX_TEXT: Final = 8192

OPERATIONS: Final[Mapping[Action, frozenset[str]]] = MappingProxyType({
    Action.READ: frozenset({
        "retrieveEntity", "queryEntity", "queryBatch", "retrieveTemporal", "queryTemporal", "retrieveEntityTypes",
        "retrieveEntityTypeDetails", "retrieveEntityTypeInfo", "retrieveAttrTypes", "retrieveAttrTypeDetails",
        "retrieveAttrTypeInfo",
    }),
    Action.SUBSCRIBE: frozenset({
        "createSubscription", "updateSubscription", "retrieveSubscription", "querySubscription", "deleteSubscription",
    }),
    Action.CREATE: frozenset({"createEntity", "createBatch", "upsertBatch", "upsertTemporal"}),
    Action.UPDATE: frozenset({
        "updateEntity", "purgeEntity", "appendAttrs", "updateAttrs", "deleteAttrs", "mergeEntity", "replaceEntity",
        "replaceAttrs", "updateBatch", "upsertBatch", "mergeBatch", "upsertTemporal", "appendAttrsTemporal",
        "deleteAttrsTemporal", "updateAttrInstanceTemporal", "deleteAttrInstanceTemporal",
    }),
    Action.DELETE: frozenset({"deleteEntity", "deleteBatch", "purgeEntity", "deleteTemporal"}),
    Action.FEDERATE: frozenset({
        "registerCSource", "updateCSource", "deleteCSource", "retrieveCSource", "queryCSource",
        "createCSourceSubscription", "updateCSourceSubscription", "retrieveCSourceSubscription",
        "queryCSourceSubscription", "deleteCSourceSubscription",
    }),
    Action.ADMINISTER: frozenset(),
})  # fmt: skip
"""The operations of CIM 009 clause 4.20 that each action is, and those that the clause leaves unnamed.

ADMINISTER is to look after policies, modes, shapes and the quarantine, which the standard does not know.
"""


@cache
def actions_of(operation: str) -> frozenset[Action]:
    """Return the actions that an operation needs; all, of one that none of the lists names.

    Operations on one attribute are listed in the plural, as the clause does.
    """
    named = {operation, f"{operation}s"}
    return frozenset(action for action, ids in OPERATIONS.items() if named & ids) or frozenset(Action)


@cache
def context() -> dict[str, Any]:
    """Return the @context of the profile as a JSON-LD document, which callers must not change."""
    document: dict[str, Any] = json.loads(CONTEXT_FILE.read_text("utf-8"))
    return document


@cache
def names() -> Mapping[str, str]:
    """Return the words of the profile by their IRIs, for messages and for documents that we write."""
    terms = {term: value if isinstance(value, str) else value["@id"] for term, value in context()["@context"].items()}
    prefixes = {"odrl": ODRL, "vwp": NAMESPACE}
    found: dict[str, str] = {}
    for term, iri in terms.items():
        prefix, _, suffix = iri.partition(":")
        found[prefixes[prefix] + suffix if prefix in prefixes else iri] = term
    return MappingProxyType(found)


def short(iri: str) -> str:
    """Return what a document calls an IRI where it uses the words of the profile."""
    return names().get(iri, iri)
