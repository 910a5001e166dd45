"""How the bytes of a file become records: CSV, JSON, JSON lines and XML.

Each reader takes an open binary file and yields records in order; what is no record is yielded in its place as
`Unreadable`, so that the n-th item of a file is always the same and a reading can go on after any number of them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import orjson
from lxml import etree
from pydantic import BaseModel, ConfigDict, Field

from adapters.errors import RecordError
from adapters.pointer import resolve
from adapters.sources.chunk import Unreadable

Record = Mapping[str, Any]
Records = Iterator[Record | Unreadable]

_MAX_RAW_CHARACTERS = 64 * 1024
_MAX_LINE_BYTES = 16 * 1024 * 1024


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CsvOptions(_Options):
    """The dialect of a CSV file."""

    delimiter: str = Field(",", min_length=1, max_length=1, description="What stands between two fields.")
    quote: str = Field('"', min_length=1, max_length=1, description="What encloses a field.")
    columns: list[str] | None = Field(None, description="Names of the columns, for files without a header line.")


class JsonOptions(_Options):
    """Where the records are in a JSON document."""

    items: str = Field(
        "",
        description="Member or JSON Pointer of the array of records; empty: the document itself. One `/*/` in it stands"
        " for every item of the array there.",
    )
    parent: str | None = Field(
        None, description="With `/*/`: the member under which a record gets what the object around its array says."
    )


class XmlOptions(_Options):
    """Where the records are in an XML document."""

    item: str = Field(min_length=1, description="Local name of the element that is a record.")
    lists: list[str] = Field(default_factory=list, description="Child elements that are lists even when there is one.")


def unreadable(raw: str | bytes, message: str, rule: str) -> Unreadable:
    """Return what stands in the place of a record that cannot be read."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return Unreadable(text[:_MAX_RAW_CHARACTERS], RecordError(message, rule=rule))


def column_names(header: list[str]) -> list[str]:
    """Name the columns of a header line: `column N` where a name is empty, `NAME (2)` where it comes again."""
    names: list[str] = []
    for number, cell in enumerate(header, 1):
        name = cell.strip() or f"column {number}"
        occurrence = 2
        unique = name
        while unique in names:
            unique = f"{name} ({occurrence})"
            occurrence += 1
        names.append(unique)
    return names


def read_csv(handle: BinaryIO, encoding: str, options: CsvOptions) -> Records:
    """Yield the rows of a CSV file as column name -> text."""
    with io.TextIOWrapper(handle, _decoder(encoding), errors="surrogateescape", newline="") as text:
        rows = csv.reader(text, delimiter=options.delimiter, quotechar=options.quote)
        names = options.columns
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield unreadable("", f"line {rows.line_num} is no CSV: {error}", "csv")
                continue
            if names is None:
                names = column_names(row) if row else None
            elif row:
                yield _row(row, names, encoding, options.delimiter)


def _row(row: list[str], names: list[str], encoding: str, delimiter: str) -> Record | Unreadable:
    if len(row) != len(names):
        message = f"the row has {len(row)} fields, the header {len(names)}"
        return unreadable(delimiter.join(row), message, "columns")
    if not (joined := "".join(row)).isascii() and not _decoded(joined):
        return unreadable(delimiter.join(row), f"the row is not {encoding}", "encoding")
    return dict(zip(names, row, strict=True))


def read_json(handle: BinaryIO, encoding: str, options: JsonOptions) -> Records:
    """Yield the records of one JSON document, which is read whole."""
    body = handle.read()
    try:
        document = orjson.loads(body if encoding == "utf-8" else body.decode(encoding))
    except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
        yield unreadable(body[:_MAX_RAW_CHARACTERS], f"the document is no JSON: {error}", "json")
        return
    outer, star, inner = options.items.partition("/*/")
    items = resolve(document, outer)
    if items is None:
        yield unreadable(body[:_MAX_RAW_CHARACTERS], f"the document has no {outer!r}", "items")
        return
    for item in items if isinstance(items, list) else [items]:
        if star:
            yield from _nested_records(item, "/" + inner, options.parent)
        else:
            yield _as_record(item)


def _nested_records(holder: Any, pointer: str, parent: str | None) -> Records:
    """Yield the records of an array inside an object, with what else the object says."""
    items = resolve(holder, pointer)
    if not isinstance(items, list):
        yield unreadable(orjson.dumps(holder), f"the object has no array {pointer!r}", "items")
        return
    around = {name: value for name, value in holder.items() if not isinstance(value, list)}
    for item in items:
        record = _as_record(item)
        yield {**record, parent: around} if parent and not isinstance(record, Unreadable) else record


def read_lines(handle: BinaryIO, encoding: str) -> Records:
    """Yield the records of a file with one JSON object a line."""
    while line := handle.readline(_MAX_LINE_BYTES):
        if len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
            yield unreadable(
                line[:_MAX_RAW_CHARACTERS], f"the line is longer than {_MAX_LINE_BYTES} bytes", "line length"
            )
            while (rest := handle.readline(_MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            continue
        if line.isspace():
            continue
        try:
            yield _as_record(orjson.loads(line if encoding == "utf-8" else line.decode(encoding)))
        except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
            yield unreadable(line, f"the line is no JSON: {error}", "json")


def read_xml(handle: BinaryIO, options: XmlOptions) -> Records:
    """Yield the elements named by the options as records.

    Attributes become `@name`, child elements their local name (a list where it comes more than once), text beside
    either `#text`. A document type declaration is refused: with it come entities that expand without bound.
    """
    lists = frozenset(options.lists)
    events = etree.iterparse(
        handle,
        events=("end",),
        tag=f"{{*}}{options.item}",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for _, element in events:
            if element.getroottree().docinfo.doctype:
                yield unreadable("", "the document has a document type declaration", "no DTD")
                return
            record = _element_value(element, lists)
            yield record if isinstance(record, dict) else {"#text": record}
            element.clear(keep_tail=True)
            while element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        yield unreadable("", f"the document is no XML from here on: {error}", "xml")


def _element_value(element: Any, lists: frozenset[str]) -> Any:
    value: dict[str, Any] = {f"@{etree.QName(name).localname}": text for name, text in element.attrib.items()}
    for child in element:
        if not isinstance(child.tag, str):
            continue
        name = etree.QName(child).localname
        inner = _element_value(child, lists)
        if name in value and isinstance(value[name], list):
            value[name].append(inner)
        elif name in value:
            value[name] = [value[name], inner]
        else:
            value[name] = [inner] if name in lists else inner
    text = (element.text or "").strip()
    if not value:
        return text
    if text:
        value["#text"] = text
    return value


def _as_record(item: Any) -> Record | Unreadable:
    if isinstance(item, dict):
        return item
    return unreadable(orjson.dumps(item), f"a record is an object, this is {type(item).__name__}", "object")


def _decoder(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _decoded(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


#: Reader of each format, given the open file and the options of the source.
READERS: dict[str, Callable[[BinaryIO, Any], Records]] = {
    "csv": lambda handle, options: read_csv(handle, options.encoding, options.csv),
    "json": lambda handle, options: read_json(handle, options.encoding, options.json_document),
    "jsonl": lambda handle, options: read_lines(handle, options.encoding),
    "xml": lambda handle, options: read_xml(handle, options.xml),
}
