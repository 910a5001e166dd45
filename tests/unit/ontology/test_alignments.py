"""Alignment IRIs exist in the vocabularies that they point to, where the real files are at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rdflib import SKOS, Graph, URIRef

from ontology import model, source

#: Namespaces whose files are among the real inputs; those of SAREF, SOSA, schema.org and others are not.
CHECKED = (
    "http://schema.mobivoc.org/#",
    "https://w3id.org/resonance/",
    "https://w3id.org/emmo",
    "urn:samm:io.BatteryPass.",
    "https://smartdatamodels.org/dataModel.Transportation/",
    "https://smartdatamodels.org/dataModel.Battery/",
    "https://smartdatamodels.org/dataModel.Energy/",
    "https://smartdatamodels.org/dataModel.GreenEnergy/",
    "https://smartdatamodels.org/dataModel.Parking/",
)


@pytest.fixture(scope="module")
def known(shared_data: Path) -> frozenset[str]:
    return frozenset(iris(shared_data))


def iris(folder: Path) -> Iterator[str]:
    for file in [*folder.glob("ontologies/**/*.ttl"), *folder.glob("batterypass/*/1.2.*/*.ttl")]:
        yield from (str(s) for s in Graph().parse(file, format="turtle").subjects() if isinstance(s, URIRef))
    contexts = [
        *folder.glob("smart-data-models/*/context.jsonld"),
        folder / "ontologies/emmo-battery/context/context.json",
    ]
    for file in contexts:
        for term in json.loads(file.read_text("utf-8"))["@context"].values():
            yield term if isinstance(term, str) else term.get("@id", "")


def aligned() -> set[str]:
    matches = [c.matches for c in model().classes.values()] + [a.matches for a in model().attributes.values()]
    found = {match.iri for some in matches for match in some}
    concepts = {str(o) for o in source.graph().objects(None, SKOS.closeMatch)}
    return {iri for iri in found | concepts if iri.startswith(CHECKED)}


def test_every_aligned_iri_exists(known: frozenset[str]) -> None:
    assert len(aligned()) > 100
    assert aligned() - known == set()


def test_a_wrong_iri_would_be_seen(known: frozenset[str]) -> None:
    assert "http://schema.mobivoc.org/#ChargingPointOfNobody" not in known
    assert "http://schema.mobivoc.org/#ElectricVehicle" in known
