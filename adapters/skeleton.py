"""Starting a provider from a sample: what can be guessed is written down, what cannot is left to its author."""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import yaml
from lxml import etree

from adapters.errors import SettingError
from adapters.manifest import MANIFEST_NAME, parse_manifest
from adapters.mapping.vocabulary import AttributeFacts, cim
from adapters.sources.chunk import Unreadable
from adapters.sources.files import FileOptions
from adapters.sources.formats import READERS

_LOOKED_AT = 1000
_HEAD_BYTES = 256 * 1024
_SAMPLE_BYTES = 64 * 1024
_FORMATS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".geojson": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_TIME_FORMATS = (
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S%z",
    "%Y/%m/%d %H:%M:%S",
)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Started:
    """A provider that was started."""

    folder: Path
    records: int
    recognised: dict[str, str]
    """Field -> attribute of the common information model."""
    left: list[str]
    """Fields of which nothing was recognised."""
    sample_kept: bool
    """The sample was small enough to be one of the provider's samples."""


def start_provider(name: str, sample: Path, entity_type: str, parent: Path) -> Started:
    """Write manifest, mapping and sample of a new provider; refuses a folder that is there already."""
    attributes = cim().classes.get(entity_type)
    if attributes is None:
        raise SettingError(f"the model has no type {entity_type!r}; `voltweave model classes` lists them")
    folder = parent / name
    if not _NAME.fullmatch(name):
        raise SettingError(f"{name!r} is no name of a provider: small letters, digits and hyphens")
    if folder.exists():
        raise SettingError(f"{folder} is there already; choose another name")
    source = _guess_source(sample)
    options = FileOptions.model_validate(source)
    with sample.open("rb") as handle:
        found = list(islice(READERS[options.format](handle, options), _LOOKED_AT))
    records = [dict(record) for record in found if not isinstance(record, Unreadable)]
    if not records:
        reason = f": {found[0].error}" if found and isinstance(found[0], Unreadable) else ""
        raise SettingError(f"{sample} holds no records{reason}")
    fields = list(dict.fromkeys(name for record in records for name in record))
    key = _guess_key(records, fields)
    time = _guess_time(records, fields)
    recognised = _recognise(fields, attributes, timed=time is not None)
    left = [field for field in fields if field not in recognised and field != key]
    manifest = _manifest(name, entity_type, source, key)
    parse_manifest(manifest, MANIFEST_NAME)
    (folder / "samples").mkdir(parents=True)
    (folder / MANIFEST_NAME).write_text(_yaml(manifest), encoding="utf-8")
    mapping = _mapping(name, entity_type, key, time, recognised)
    (folder / "mapping.yaml").write_text(_yaml(mapping) + _unmapped(left, records), encoding="utf-8")
    kept = sample.stat().st_size <= _SAMPLE_BYTES
    if kept:
        shutil.copyfile(sample, folder / "samples" / sample.name)
    return Started(folder, len(records), recognised, left, kept)


def _guess_source(sample: Path) -> dict[str, Any]:
    with sample.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    kind = _FORMATS.get(sample.suffix.lower()) or ("xml" if head.lstrip().startswith(b"<") else "csv")
    source: dict[str, Any] = {"protocol": "file", "format": kind}
    if kind == "json":
        try:
            document = orjson.loads(sample.read_bytes())
        except orjson.JSONDecodeError as error:
            raise SettingError(f"{sample} is no JSON: {error}") from error
        if items := _largest_list(document):
            source["json"] = {"items": items}
    elif kind == "xml":
        source["xml"] = {"item": _repeated_element(sample)}
    elif kind == "csv":
        encoding, text = _decode(head)
        source |= {"encoding": encoding} if encoding != "utf-8" else {}
        delimiter = _delimiter(text)
        source |= {"csv": {"delimiter": delimiter}} if delimiter != "," else {}
    return source


def _decode(head: bytes) -> tuple[str, str]:
    try:
        return "utf-8", head.decode("utf-8-sig", errors="strict" if len(head) < _HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return "cp1252", head.decode("cp1252", errors="replace")


def _delimiter(text: str) -> str:
    try:
        return csv.Sniffer().sniff(text[:20_000], delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def _largest_list(document: Any, pointer: str = "", depth: int = 3) -> str:
    """Return the JSON Pointer of the longest list of objects in a document; empty where it is the document itself."""
    best, longest = "", 0
    pending = [(document, pointer, depth)]
    while pending:
        value, place, left = pending.pop()
        if isinstance(value, list) and len(value) > longest and all(isinstance(item, dict) for item in value):
            best, longest = place, len(value)
        elif isinstance(value, dict) and left:
            pending += [(v, f"{place}/{_escape(k)}", left - 1) for k, v in value.items()]
    return best


def _repeated_element(sample: Path) -> str:
    """Return the local name of the element that comes most often within a single parent."""
    best, most = "", 0
    open_elements: list[Counter[str]] = [Counter()]
    events = etree.iterparse(sample, ("start", "end"), resolve_entities=False, no_network=True, load_dtd=False)
    try:
        for event, element in events:
            if event == "start":
                name = etree.QName(element).localname
                siblings = open_elements[-1]
                siblings[name] += 1
                if siblings[name] > most:
                    best, most = name, siblings[name]
                open_elements.append(Counter())
            else:
                open_elements.pop()
                element.clear()
    except etree.XMLSyntaxError as error:
        raise SettingError(f"{sample} is no XML: {error}") from error
    return best


def _guess_key(records: Sequence[dict[str, Any]], fields: list[str]) -> str:
    """Return the field that is filled and different in every record, one that is named like an id first."""
    unique = []
    for field in fields:
        values = [record.get(field) for record in records]
        plain = all(isinstance(value, str | int) and value != "" for value in values)
        if plain and len(set(values)) == len(values):
            unique.append(field)
    named = [field for field in unique if re.search(r"(?i)(^|[^a-z])id([^a-z]|$)|Id$|ID$|uuid|number|key", field)]
    return (named or unique or fields)[0]


def _guess_time(records: Sequence[dict[str, Any]], fields: list[str]) -> tuple[str, str] | None:
    """Return the first field that holds times, and their format."""
    for field in fields:
        formats = {_time_format(str(record.get(field) or "")) for record in records}
        if len(formats) == 1 and (found := formats.pop()):
            return field, found
    return None


def _time_format(text: str) -> str:
    """Return the format of a time, empty where the text is none."""
    if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", text):
        return "iso"
    for form in _TIME_FORMATS:
        try:
            datetime.strptime(text, form)  # noqa: DTZ007
        except ValueError:
            continue
        return form
    return ""


def _recognise(fields: list[str], attributes: Mapping[str, AttributeFacts], *, timed: bool) -> dict[str, str]:
    """Return the fields whose name is that of an attribute, but for case and punctuation.

    An attribute that changes in time counts only where the record says when it was so.
    """
    usable = {name for name, facts in attributes.items() if _direct(facts) and (timed or not facts.telemetry)}
    by_name = {_plain(name): name for name in usable}
    found: dict[str, str] = {}
    for field in fields:
        attribute = by_name.get(_plain(field))
        if attribute is not None and attribute not in found.values():
            found[field] = attribute
    return found


def _direct(facts: AttributeFacts) -> bool:
    """Say whether a field's value can be the attribute's: no link, structure or time, whose form must be told."""
    return facts.kind == "Property" and not facts.derived and not facts.choices and facts.range in _DIRECT_RANGES


_DIRECT_RANGES = frozenset({"string", "integer", "decimal", "number", "double", "boolean"})


def _manifest(name: str, entity_type: str, source: dict[str, Any], key: str) -> dict[str, Any]:
    return {
        "id": name,
        "title": f"{name}, to be described",
        "version": "0.1.0",
        "stream": name,
        "source": source,
        "entities": [entity_type],
        "natural_key": {"fields": [key if not key.startswith("/") else f"/{_escape(key)}"]},
        "attribution": {"name": "to be named"},
        "licence": {"id": "to be found out"},
        "personal_data": "to be found out",
    }


def _mapping(
    name: str, entity_type: str, key: str, time: tuple[str, str] | None, recognised: dict[str, str]
) -> dict[str, Any]:
    entity: dict[str, Any] = {"type": entity_type, "id": [key]}
    mapping: dict[str, Any] = {"version": 1, "source": name}
    if time is not None:
        entity["observedAt"] = [time[0], {"datetime": time[1]}]
        mapping["zone"] = "UTC"
    entity["attributes"] = {attribute: field for field, attribute in recognised.items()}
    return mapping | {"entities": [entity]}


def _unmapped(left: list[str], records: Sequence[dict[str, Any]]) -> str:
    lines = ["", "# Fields that are no attribute yet, with a value of each:"]
    for field in left:
        value = next((record[field] for record in records if record.get(field) not in (None, "")), "")
        text = str(value).replace("\n", " ")
        form = _time_format(text)
        lines.append(f"#   {field}: {text[:60]}" + (f"   (a time; datetime: {form!r})" if form else ""))
    return "\n".join(lines) + "\n"


def _yaml(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
