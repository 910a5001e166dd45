"""What is generated equals what is in the repository, and kept versions never change."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from ontology import context_file, context_names, model, source
from ontology.generate import REPOSITORY, KeptVersionError, artefacts, write

#: SHA-256 of every published version of the context. A new version adds a line; no line ever changes.
KEPT = {
    "cim-0.1": "2436b5c71c0dc7a6322320fa91cf0a0c647e34666c90018bc58e528242cb4531",
    "cim-0.2": "44b7ad55133662a17b503d5980d37462938416c84fb5ebfe9a8bf81b08cb9032",
}
FOLDERS = ("ontology/contexts", "ontology/examples", "shapes/generated", "docs/reference/model")


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return artefacts()


def test_no_drift(generated: dict[str, str]) -> None:
    stale = [name for name, text in generated.items() if (REPOSITORY / name).read_text("utf-8") != text]
    assert stale == [], "run `make model`"


def test_nothing_is_left_over(generated: dict[str, str]) -> None:
    kept = {f"ontology/contexts/{name}.jsonld" for name in KEPT}
    present = {str(f.relative_to(REPOSITORY)) for folder in FOLDERS for f in (REPOSITORY / folder).iterdir()}
    assert present - set(generated) <= kept


def test_the_same_source_gives_the_same_bytes(generated: dict[str, str]) -> None:
    assert artefacts() == generated


def test_a_change_of_the_source_is_drift(tmp_path: Path, generated: dict[str, str]) -> None:
    for file in source.FOLDER.glob("*.ttl"):
        shutil.copy(file, tmp_path)
    charging = tmp_path / "charging.ttl"
    text = charging.read_text("utf-8")
    assert "xsd:maxInclusive 4000" in text
    charging.write_text(text.replace("xsd:maxInclusive 4000", "xsd:maxInclusive 5000"), "utf-8")
    changed = {name for name, text in artefacts(tmp_path).items() if generated[name] != text}
    assert changed == {"ontology/model.json", "shapes/generated/charging.ttl", "docs/reference/model/charging.md"}


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_version_never_changes(name: str) -> None:
    assert hashlib.sha256(context_file(name).read_bytes()).hexdigest() == KEPT[name]


def test_every_version_is_kept() -> None:
    versions = {name for name in context_names() if name.startswith("cim-")}
    assert versions == set(KEPT)
    assert f"cim-{model().version}" in versions


def test_the_generator_refuses_to_change_a_kept_version(tmp_path: Path) -> None:
    assert write({"ontology/contexts/cim-0.1.jsonld": "{}", "ontology/contexts/cim.jsonld": "{}"}, tmp_path) == [
        "ontology/contexts/cim-0.1.jsonld",
        "ontology/contexts/cim.jsonld",
    ]
    with pytest.raises(KeptVersionError, match=r"cim-0\.1"):
        write({"ontology/contexts/cim-0.1.jsonld": "{ }", "ontology/contexts/cim.jsonld": "{ }"}, tmp_path)
    assert (tmp_path / "ontology/contexts/cim.jsonld").read_text() == "{}"


def test_a_word_that_would_mean_two_things_in_a_context_is_refused(tmp_path: Path) -> None:
    for file in source.FOLDER.glob("*.ttl"):
        shutil.copy(file, tmp_path)
    schemes = tmp_path / "schemes.ttl"
    text = schemes.read_text("utf-8")
    assert 'skos:notation "mcs"' in text
    schemes.write_text(text.replace('skos:notation "mcs"', 'skos:notation "tariff"'), "utf-8")
    with pytest.raises(source.SourceError, match="tariff"):
        artefacts(tmp_path)
