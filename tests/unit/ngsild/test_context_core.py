"""The bundled core @context against ETSI's document (CIM 009 annex B)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyld import jsonld

from ngsild.core_context import CORE_CONTEXT_URL, core_document, is_core_context


def definitions(context: dict[str, Any]) -> dict[str, Any]:
    """Return what pyld makes of each term: its IRI, datatype, container and whether it may be a prefix."""
    active = jsonld.JsonLdProcessor().process_context({"mappings": {}, "_uuid": "x"}, context, {})
    keys = ("@id", "@type", "@container", "_prefix", "protected")
    return {term: {k: d.get(k) for k in keys} for term, d in active["mappings"].items()}


def test_every_term_equals_the_published_one(shared_data: Path) -> None:
    published = json.loads((shared_data / "contexts/ngsi-ld-core-context-v1.9.jsonld").read_text("utf-8"))["@context"]
    remote = published["ngsildproof"].pop("@context")
    assert remote, "the published term holds a remote context, which ours leaves out"
    ours = core_document()["@context"]
    assert definitions(ours) == definitions(published)
    assert ours["@vocab"] == published["@vocab"]
    assert len(definitions(ours)) > 200


@pytest.mark.parametrize("version", ["", *(f"-v1.{n}" for n in range(3, 10))])
def test_every_published_version_is_the_core_context(version: str) -> None:
    assert is_core_context(f"https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context{version}.jsonld")


@pytest.mark.parametrize(
    "url",
    [
        "https://uri.etsi.org/ngsi-ld/v1/other.jsonld",
        CORE_CONTEXT_URL + "x",
        "https://evil.example/" + CORE_CONTEXT_URL,
    ],
)
def test_other_urls_are_not(url: str) -> None:
    assert not is_core_context(url)
