"""Raw copies: what a source sent, byte for byte, before anything is made of it.

They lie in `<folder>/stream_id=<stream>/date=<day of arrival>/<content hash>-<name>.gz`, the layout that Hive-style
readers take as partitions. A copy appears by rename, whole or not at all, and the same content is kept once.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

_BLOCK = 1024 * 1024
_HASH_CHARACTERS = 16


class RawStore:
    """The raw copies of one stream."""

    def __init__(self, folder: Path, stream: str) -> None:
        self._stream = folder / f"stream_id={stream}"

    def keep_file(self, path: Path) -> str:
        """Copy a file and return the SHA-256 of its content."""
        with path.open("rb") as source:
            return self._keep(path.name, iter(lambda: source.read(_BLOCK), b""))

    def keep_bytes(self, name: str, body: bytes) -> str:
        """Copy a body and return its SHA-256."""
        return self._keep(name, [body])

    def expire(self, days: int, today: date | None = None) -> list[str]:
        """Remove the partitions older than `days` (0: all) and return their names."""
        limit = (today or datetime.now(UTC).date()) - timedelta(days=days)
        gone = [part for part in self._partitions() if days == 0 or date.fromisoformat(part.name[5:]) < limit]
        for part in gone:
            shutil.rmtree(part)
        return [part.name for part in gone]

    def _keep(self, name: str, blocks: Iterable[bytes]) -> str:
        partition = self._stream / f"date={datetime.now(UTC).date().isoformat()}"
        partition.mkdir(parents=True, exist_ok=True)
        content = hashlib.sha256()
        descriptor, temporary = tempfile.mkstemp(prefix=".raw-", dir=partition)
        try:
            with os.fdopen(descriptor, "wb") as target, gzip.GzipFile("", "wb", 4, target, mtime=0) as packed:
                for block in blocks:
                    content.update(block)
                    packed.write(block)
            final = f"{content.hexdigest()[:_HASH_CHARACTERS]}-{_safe(name)}.gz"
            if not any((part / final).exists() for part in self._partitions()):
                Path(temporary).rename(partition / final)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return content.hexdigest()

    def _partitions(self) -> Iterator[Path]:
        return self._stream.glob("date=????-??-??")


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)[:100] or "body"
