"""Trying a provider on a file, and checking it against its samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adapters.errors import AdapterError, RecordError, SettingError
from adapters.intake import KeyReader
from adapters.pointer import resolve
from adapters.provider import Provider, RecordMeta
from adapters.providers import load_provider
from adapters.quarantine import Record
from adapters.sink import Entity
from adapters.sources.chunk import Unreadable
from adapters.sources.files import FileOptions, open_input
from adapters.sources.formats import READERS, unreadable
from adapters.state import utc_now

EXPECTED_SUFFIX = ".expected.json"
#: When samples are received, so that a mapping which uses that time makes the same of them each time.
SAMPLE_RECEIVED = "2030-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a provider makes of one record."""

    number: int
    record: Record | str
    """The record, or what stood in its place."""
    entities: list[Entity]
    error: RecordError | None

    def outcome(self) -> dict[str, Any]:
        """Return entities or error as an expectation file has them."""
        if self.error is not None:
            return {"error": {"field": self.error.field, "rule": self.error.rule}}
        outcome: dict[str, Any] = orjson.loads(orjson.dumps({"entities": self.entities}))
        return outcome


def try_file(provider: Provider, path: Path, received: str | None = None) -> Iterator[Trial]:
    """Yield what the provider makes of each record of a file, received at that time or now; nothing is kept or sent."""
    keys = KeyReader(provider.manifest.natural_key)
    received = received or utc_now()
    for number, record in enumerate(_records(provider, path), 1):
        if isinstance(record, Unreadable):
            yield Trial(number, record.raw, [], record.error)
            continue
        try:
            keys.key(record)
            meta = RecordMeta(provider.manifest.stream, path.name, number, received)
            yield Trial(number, record, provider.mapping.apply(record, meta), None)
        except RecordError as error:
            yield Trial(number, record, [], error)


def check_provider(folder: Path) -> list[str]:
    """Return what is wrong with a provider's folder: manifest, mapping and samples; empty when all is well."""
    try:
        provider = load_provider(folder.absolute())
    except AdapterError as error:
        return [str(error)]
    samples = sample_files(folder)
    if not samples:
        return [f"{folder / 'samples'}: there is no sample; write a small input in the source's shape"]
    return [problem for sample in samples for problem in _check_sample(provider, sample)]


def sample_files(folder: Path) -> list[Path]:
    """Return the inputs among a provider's samples."""
    return sorted(
        path
        for path in (folder / "samples").glob("*")
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(EXPECTED_SUFFIX)
    )


def _check_sample(provider: Provider, sample: Path) -> list[str]:
    expected_path = sample.with_name(sample.stem + EXPECTED_SUFFIX)
    if not expected_path.is_file():
        return [f"{sample}: there is no {expected_path.name}; `voltweave adapters try` with --json writes one"]
    try:
        expected = orjson.loads(expected_path.read_bytes())
    except orjson.JSONDecodeError as error:
        return [f"{expected_path}: no JSON: {error}"]
    trials = list(try_file(provider, sample, SAMPLE_RECEIVED))
    if not isinstance(expected, list) or len(expected) != len(trials):
        return [
            f"{expected_path}: must be a list with one outcome for each of the {len(trials)} records of {sample.name}"
        ]
    problems = []
    for trial, wanted in zip(trials, expected, strict=True):
        made = trial.outcome()
        if made != wanted:
            problems.append(f"{sample} record {trial.number}: {trial.error or _difference(made, wanted)}")
    return problems


def _difference(made: Any, wanted: Any, place: str = "") -> str:
    """Say where two documents differ first."""
    if isinstance(made, dict) and isinstance(wanted, dict):
        for name in sorted(made.keys() | wanted.keys()):
            if name not in wanted:
                return f"{place}/{name} is not expected"
            if name not in made:
                return f"{place}/{name} is missing"
            if made[name] != wanted[name]:
                return _difference(made[name], wanted[name], f"{place}/{name}")
    if isinstance(made, list) and isinstance(wanted, list):
        for index, (left, right) in enumerate(zip(made, wanted, strict=False)):
            if left != right:
                return _difference(left, right, f"{place}/{index}")
        return f"{place} has {len(made)} members, {len(wanted)} are expected"
    return f"{place} is {made!r}, expected is {wanted!r}"


def _records(provider: Provider, path: Path) -> Iterator[Record | Unreadable]:
    options = provider.manifest.source
    try:
        with open_input(path) as handle:
            if isinstance(options, FileOptions):
                yield from READERS[options.format](handle, options)
            else:
                yield from _answer_records(handle.read(), options.steps[-1].items)
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}") from error


def _answer_records(body: bytes, items: str) -> Iterator[Record | Unreadable]:
    """Yield the records of an answer of a REST source, or of a list of records as they reach the mapping."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        yield unreadable(body, f"the document is no JSON: {error}", "json")
        return
    found = document if isinstance(document, list) else resolve(document, items, document)
    for item in found if isinstance(found, list) else [found]:
        yield item if isinstance(item, dict) else {"value": item}
