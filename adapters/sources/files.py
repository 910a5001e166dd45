"""The file source: one file, or a folder into which files are dropped.

A file is known by the hash of its content: one that was read to its end is not read again, whatever its name; one that
was read in part goes on after the last record that is safe. In a folder a file is taken when its size and time of
change stood still for a while and its name is no temporary one, so that writers may rename or just write.
"""

from __future__ import annotations

import asyncio
import codecs
import gzip
import stat
import time
import zlib
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapters.errors import PermanentError, SettingError, TransientError
from adapters.raw import RawStore
from adapters.sources.chunk import Checkpoint, Chunk
from adapters.sources.formats import READERS, CsvOptions, JsonOptions, XmlOptions

_TEMPORARY_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")
_WHOLE_DOCUMENT_FORMATS = ("json",)


class FileOptions(BaseModel):
    """What a manifest says about a file source."""

    pause_seconds: ClassVar[float] = 5.0

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    protocol: Literal["file"]
    format: Literal["csv", "json", "jsonl", "xml"]
    path: str | None = Field(None, description="The file or folder; absent: the caller gives it.")
    package: str | None = Field(None, description="Python package that carries the file; path is relative to it.")
    pattern: str = Field("*", min_length=1, description="Which files of a folder are taken.")
    encoding: str = Field("utf-8", description="Encoding of the text; a byte order mark is skipped.")
    csv: CsvOptions = Field(default_factory=CsvOptions)
    json_document: JsonOptions = Field(default_factory=JsonOptions, alias="json")
    xml: XmlOptions | None = None

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError as error:
            raise ValueError(f"unknown encoding {value!r}") from error

    @model_validator(mode="after")
    def _complete(self) -> FileOptions:
        if self.format == "xml" and self.xml is None:
            raise ValueError("xml: the format xml needs the name of the item element")
        if self.package and not self.path:
            raise ValueError("path: a package needs the path of the file in it")
        return self

    def secret_names(self) -> list[str]:
        """Return the environment variables that the source reads: none."""
        return []

    def location(self, given: Path | None) -> Path:
        """Return the file or folder to read: the given one, else the manifest's."""
        if given is not None:
            path = given
        elif self.package and self.path:
            # Found without importing it: some packages take seconds.
            spec = find_spec(self.package)
            if spec is None or not spec.submodule_search_locations:
                raise SettingError(f"the Python package {self.package} is not installed; install it or give a PATH")
            path = Path(spec.submodule_search_locations[0]) / self.path
        elif self.path:
            path = Path(self.path)
        else:
            raise SettingError("the provider names no file: give a PATH")
        if not path.exists():
            raise SettingError(f"{path} does not exist; give the PATH of a file or folder")
        return path


class FileSource:
    """Reads files; one instance may be asked for chunks again and again."""

    def __init__(
        self,
        options: FileOptions,
        path: Path,
        raw: RawStore,
        *,
        chunk_records: int = 500,
        settle_seconds: float = 2.0,
        max_document_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        self._options = options
        self._path = path
        self._raw = raw
        self._chunk_records = chunk_records
        self._settle_seconds = settle_seconds
        self._max_document_bytes = max_document_bytes
        self._read: dict[Path, tuple[int, int]] = {}

    async def chunks(self, checkpoint: Checkpoint) -> AsyncGenerator[Chunk, None]:
        """Yield the records of every file that is complete and not read yet, file by file in the order of names."""
        for path in await self._complete_files():
            mark = await asyncio.to_thread(_mark, path)
            if mark is None or self._read.get(path) == mark:
                continue
            digest = await asyncio.to_thread(self._raw.keep_file, path)
            entry = checkpoint.get(f"file:{digest}") or {}
            if entry.get("done"):
                yield Chunk(unit=_unit(path, digest), first=1, records=[], done=1.0)
            else:
                async for chunk in self._file_chunks(path, digest, entry.get("records", 0)):
                    yield chunk
                if await asyncio.to_thread(_mark, path) != mark:
                    raise TransientError(f"{path} changed while it was read; it is read again")
            self._read[path] = mark

    async def _file_chunks(self, path: Path, digest: str, skip: int) -> AsyncGenerator[Chunk, None]:
        size = (await asyncio.to_thread(path.stat)).st_size
        limit = self._max_document_bytes
        if self._options.format in _WHOLE_DOCUMENT_FORMATS and size > limit:
            raise SettingError(f"{path} has {size} bytes, the limit for {self._options.format} is {limit}")
        if self._options.format in _WHOLE_DOCUMENT_FORMATS and path.suffix == ".gz":
            raise SettingError(f"{path} is packed: unpack it first, a {self._options.format} document is read whole")
        with open_input(path) as handle:
            records = READERS[self._options.format](handle, self._options)
            skipped = await asyncio.to_thread(_exhaust, records, skip)
            if skipped < skip:
                raise SettingError(f"{path} has {skipped} records, {skip} were read before: give another data folder")
            position = skip
            while True:
                batch = await asyncio.to_thread(_take, records, self._chunk_records)
                done = len(batch) < self._chunk_records
                entry = {"name": path.name, "records": position + len(batch), "done": done}
                yield Chunk(
                    unit=_unit(path, digest),
                    first=position + 1,
                    records=batch,
                    checkpoint={f"file:{digest}": entry},
                    raw=f"sha256:{digest}",
                    done=1.0 if done or not size else min(1.0, _offset(handle) / size),
                )
                position += len(batch)
                if done:
                    return

    async def _complete_files(self) -> list[Path]:
        if await asyncio.to_thread(self._path.is_file):
            return [self._path]
        before = await asyncio.to_thread(self._listing)
        if any(time.time() - modified / 1e9 < self._settle_seconds for _, modified in before.values()):
            await asyncio.sleep(self._settle_seconds)
            after = await asyncio.to_thread(self._listing)
            before = {path: mark for path, mark in before.items() if after.get(path) == mark}
        return sorted(before)

    def _listing(self) -> dict[Path, tuple[int, int]]:
        found: dict[Path, tuple[int, int]] = {}
        for path in self._path.glob(self._options.pattern):
            if path.name.startswith(".") or path.name.endswith(_TEMPORARY_SUFFIXES):
                continue
            mark = _mark(path)
            if mark is not None:
                found[path] = mark
        return found


def _unit(path: Path, digest: str) -> str:
    """Return the name of a file's content: two files of one name are two units."""
    return f"{path.name}#{digest[:12]}"


def _mark(path: Path) -> tuple[int, int] | None:
    """Return size and time of change of a regular file; None for anything else: a link may lead out of the folder."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _take(records: Any, count: int) -> list[Any]:
    try:
        return list(islice(records, count))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PermanentError(f"the packed file is damaged or not whole: {error}") from error


def _exhaust(records: Any, count: int) -> int:
    return sum(1 for _ in islice(records, count))


def open_input(path: Path) -> BinaryIO:
    """Open a file for reading; one whose name ends in .gz is unpacked on the way."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb", buffering=1024 * 1024)


def _offset(handle: Any) -> int:
    if handle.closed:
        return 0
    return int(cast(Any, handle).fileobj.tell() if isinstance(handle, gzip.GzipFile) else handle.raw.tell())
