"""The providers that come with Voltweave: samples, documentation, and the guide's example."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adapters.errors import ManifestError, SettingError
from adapters.mapping import CompiledMapping
from adapters.mapping.document import PAGES, REFERENCE, providers_page
from adapters.mapping.pseudonyms import KEY_VARIABLE
from adapters.providers import load_provider, provider_names
from adapters.samples import check_provider, sample_files, try_file

GUIDE = REFERENCE.parent / "how-to" / "write-a-provider.md"


@pytest.mark.parametrize("name", provider_names())
def test_samples_become_what_is_expected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert check_provider(load_provider(name).folder) == []


@pytest.mark.parametrize("name", [name for name in provider_names() if not name.startswith("town-")])
def test_samples_show_each_entity_and_field_and_a_refusal(name: str) -> None:
    """A misspelt field would read nothing for ever, and a rule that never fires may not work."""
    provider = load_provider(name, {})
    trials = [trial for sample in sample_files(provider.folder) for trial in try_file(provider, sample)]
    assert {e["type"] for t in trials for e in t.entities} == set(provider.manifest.entities)
    seen = {field for t in trials if isinstance(t.record, dict) for field in t.record}
    assert isinstance(provider.mapping, CompiledMapping)
    assert provider.mapping.fields <= seen
    assert any(t.error for t in trials) or name == "swiss-status"


def test_a_link_inside_a_record_leads_to_an_entity_of_that_record_or_another() -> None:
    for name in ("boulder-sessions", "dundee-sessions", "swiss-stations", "german-register", "open-charge-map"):
        provider = load_provider(name, {})
        made = [e for s in sample_files(provider.folder) for t in try_file(provider, s) for e in t.entities]
        ids = {entity["id"] for entity in made}
        links = {v["object"] for e in made for v in e.values() if isinstance(v, dict) and v["type"] == "Relationship"}
        assert links
        assert links <= ids


def test_names_of_chargers_at_home_never_come_out() -> None:
    """Their ids hold a family name: a pseudonym with a secret, nothing without."""
    for environment in ({}, {KEY_VARIABLE: "a secret of enough length"}):
        provider = load_provider("sap-sessions", environment)
        trials = [t for s in sample_files(provider.folder) for t in try_file(provider, s)]
        home = [t for t in trials if isinstance(t.record, dict) and t.record["Type Lieu de charge"] == "Domicile"]
        assert all("DURANDET" in str(trial.record) for trial in home)
        assert home
        made = json.dumps([trial.entities for trial in home])
        assert "DURANDET" not in made
        assert ("EVSE" in made) is bool(environment)


def test_unknown_and_wrong_providers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="boulder-sessions"):
        load_provider("nowhere")
    folder = _copy("ev-models", tmp_path)
    assert load_provider(folder).manifest.id == "ev-models"
    mapping = folder / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("VehicleModel", "Organisation"))
    with pytest.raises(ManifestError, match="no attribute brand"):
        load_provider(folder)
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("[VehicleModel]", "[Organisation]"))
    mapping.unlink()
    with pytest.raises(ManifestError, match="no file"):
        load_provider(folder)


def test_the_manifest_tells_the_entities_that_the_mapping_makes(tmp_path: Path) -> None:
    folder = _copy("ev-models", tmp_path)
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("[VehicleModel]", "[VehicleModel, EVSE]"))
    with pytest.raises(ManifestError, match="the mapping makes VehicleModel"):
        load_provider(folder)


def _copy(name: str, target: Path) -> Path:
    source = load_provider(name, {}).folder
    (target / name).mkdir()
    for file in ("manifest.yaml", "mapping.yaml"):
        (target / name / file).write_bytes((source / file).read_bytes())
    return target / name


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_pages_are_up_to_date(name: str) -> None:
    text = (REFERENCE / name).read_text(encoding="utf-8")
    assert text == PAGES[name](), "run python -m adapters.mapping.document"
    assert "| |" not in text.replace("|  |", "| |"), "something has no description"


def test_each_provider_has_a_section() -> None:
    page = providers_page()
    assert [name for name in provider_names() if f"\n## {name}\n" not in page] == []


def test_the_example_of_the_guide_works(tmp_path: Path) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    folder = tmp_path / "harbour"
    (folder / "samples").mkdir(parents=True)
    for name in ("manifest.yaml", "mapping.yaml"):
        found = re.search(rf'```yaml title="{name}"\n(.*?)```', guide, re.DOTALL)
        assert found
        (folder / name).write_text(found[1], encoding="utf-8")
    rows = re.search(r"```text\n(session;.*?)```", guide, re.DOTALL)
    assert rows
    (folder / "samples" / "harbour.csv").write_text(rows[1] + "H-3;H1-A;07/04/30 08:00;07/04/30 07:00;1;\n")
    provider = load_provider(folder, {KEY_VARIABLE: "a secret of enough length"})
    closed, running, refused = try_file(provider, folder / "samples" / "harbour.csv")
    assert [entity["type"] for entity in closed.entities] == ["ChargingSession", "EVSE", "ChargingStation"]
    session = closed.entities[0]
    assert session["energyDelivered"]["value"] == 18.25
    assert session["startDateTime"]["value"]["@value"] == "2030-07-03T20:15:00Z"
    assert len(session["userPseudonym"]["value"]) == 64
    assert running.entities[0]["status"]["value"] == "active"
    assert "endDateTime" not in running.entities[0]
    assert refused.error is not None
    assert refused.error.rule == "the session ends before it starts"


def test_no_secret_or_real_name_is_in_the_samples() -> None:
    for name in provider_names():
        for sample in (load_provider(name, {}).folder / "samples").glob("*"):
            assert sample.stat().st_size < 64 * 1024, f"{sample}: samples are small and written by hand"
