"""Entities as files, URLs and standard input hold them: NGSI-LD JSON, JSON-LD, JSON lines, or RDF as Turtle."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import ontology
from ngsild.context import TermMap, compile_terms
from ngsild.core_context import is_core_context
from ngsild.entity import Entity
from ngsild.expand import expand_entity
from ngsild.payload import parse
from ngsild.problems import Problem
from voltweave.problems import Refused, Unreachable

MAX_BYTES = 256 * 1024 * 1024
_TIMEOUT_S = 30.0
_ACCEPT = "application/ld+json, application/json;q=0.9, text/turtle;q=0.8"


@dataclass(frozen=True, slots=True)
class Read:
    """One entity, or why there is none."""

    name: str
    """Its id, or where it stands."""
    entity: Entity | None
    problem: str | None = None


def load(source: str) -> bytes:
    """Return what a file, a URL or "-" (standard input) holds, without a byte order mark.

    Raises Refused or Unreachable.
    """
    if source == "-":
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    elif source.startswith(("http://", "https://")):
        content = _fetch(source, _ACCEPT)
    else:
        try:
            with Path(source).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise Refused(f"{source}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise Refused(f"{source}: it has more than {MAX_BYTES >> 20} MiB", "Split it into several files.")
    return content.removeprefix(codecs.BOM_UTF8)


def _fetch(url: str, accepted: str) -> bytes:
    try:
        headers = {"Accept": accepted}
        with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Refused(f"{url} answers with status {answer.status_code}")
            content = bytearray()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MAX_BYTES:
                    break
            return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"{url}: {str(error) or type(error).__name__}") from error


def is_json(content: bytes) -> bool:
    """Tell JSON from Turtle by how it begins; Turtle may begin with [ too, but no object follows that."""
    start = content.lstrip()[:64]
    return start[:1] == b"{" or (start[:1] == b"[" and start[1:].lstrip()[:1] in (b"{", b"]", b""))


class Contexts:
    """Finds the @context of entities: those of ours and the core one are at hand, others are fetched."""

    def __init__(self, default: str) -> None:
        self._default = default
        self._documents: dict[str, Any] = dict(ontology.contexts())
        self._terms: dict[str, TermMap] = {}

    def terms(self, context: Any) -> TermMap:
        """Return the terms of an @context as a body has it, of the default one for None."""
        wanted = self._default if context is None else context
        key = json.dumps(wanted, sort_keys=True)
        if key not in self._terms:
            self._terms[key] = compile_terms(list(self._resolved(wanted, 0)))
        return self._terms[key]

    def _resolved(self, context: Any, depth: int) -> Iterator[Mapping[str, Any] | None]:
        if depth > 8:
            raise Refused("@context: it refers to others more than 8 deep")
        if isinstance(context, list):
            for each in context:
                yield from self._resolved(each, depth + 1)
        elif isinstance(context, str):
            if not is_core_context(context):
                yield from self._resolved(self._document(context), depth + 1)
        else:
            yield context

    def _document(self, url: str) -> Any:
        if url not in self._documents:
            if not url.startswith(("http://", "https://")):
                raise Refused(f"@context: {url!r} is no URL")
            try:
                self._documents[url] = json.loads(_fetch(url, "application/ld+json, application/json"))
            except ValueError as error:
                raise Refused(f"@context {url}: it is no JSON") from error
        document = self._documents[url]
        return document.get("@context") if isinstance(document, dict) else None


def read_entities(content: bytes, contexts: Contexts) -> Iterator[Read]:
    """Yield the entities of a JSON document: one, an array of them, or one a line."""
    try:
        document = parse(content)
    except Problem as problem:
        lines = content.splitlines()
        if len(lines) < 2 or not all(line.lstrip().startswith(b"{") for line in lines[:2]):
            raise Refused(str(problem)) from problem
        yield from _read_lines(lines, contexts)
        return
    for number, item in enumerate(document if isinstance(document, list) else [document], 1):
        yield _read(item, f"entity {number}", contexts)


def _read_lines(lines: list[bytes], contexts: Contexts) -> Iterator[Read]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                item = parse(line)
            except Problem as problem:
                yield Read(f"line {number}", None, str(problem))
                continue
            yield _read(item, f"line {number}", contexts)


def _read(item: Any, place: str, contexts: Contexts) -> Read:
    named = item.get("id", item.get("@id")) if isinstance(item, dict) else None
    name = named if isinstance(named, str) else place
    try:
        terms = contexts.terms(item.get("@context") if isinstance(item, dict) else None)
        return Read(name, expand_entity(item, terms, 0))
    except Problem as problem:
        return Read(name, None, str(problem))
