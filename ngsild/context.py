"""Term maps: an @context compiled once to look-ups in both directions (CIM 009 clauses 4.4 and 5.5.7).

pyld processes the contexts, the core @context always last; from then on a name costs a dictionary look-up. The maps
equal pyld's expansion and compaction of attribute names, type names and vocab values, but for what NGSI-LD rules out:

- scoped contexts, @propagate and references that are not loaded yet are BadRequestData when compiled;
- a name that the @context maps to null, to a keyword or to a reverse property is BadRequestData when used, where
  JSON-LD would drop or reshape the member;
- a term with a datatype, language or container still compacts its IRI: in NGSI-LD the name belongs to the attribute,
and the
  coercion to the value below it (clause 4.4 asks data providers to declare datatypes so).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any, Protocol

from pyld import jsonld
from pyld.context_resolver import ContextResolver

from ngsild.core_context import core_document
from ngsild.problems import BadRequestData

DEFAULT_VOCABULARY = "https://uri.etsi.org/ngsi-ld/default-context/"
CORE_NAMESPACE = "https://uri.etsi.org/ngsi-ld/"

LocalContext = Mapping[str, Any]

_MEMO_SIZE = 8192
_KEYWORD_ALIASES = {"id": "@id", "type": "@type"}
_KEYWORD_FORM = re.compile(r"@[A-Za-z]+\Z")
_ABSOLUTE_IRI = re.compile(r"(?:[A-Za-z][A-Za-z0-9+-.]*|_):[^\s]*\Z")
_compiling = Lock()


class Terms(Protocol):
    """What expansion, rendering and the query language need of a compiled @context."""

    def expand(self, name: str) -> str:
        """Return the IRI of a term, compact IRI or IRI; an unknown term falls in the default vocabulary."""

    def compact(self, iri: str) -> str:
        """Return the shortest name for an IRI: its term, else a compact IRI, else the IRI itself."""


@dataclass(frozen=True, slots=True, eq=False)
class TermMap:
    """A compiled @context: immutable but for its bounded memory of names already seen."""

    content_key: str
    """Hash of the local contexts that this was compiled from: equal contexts, equal key."""
    _iris: Mapping[str, str]
    _refused: Mapping[str, str]
    _names: Mapping[str, str]
    _prefixes: Mapping[str, str]
    _expanded: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _compacted: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> int:
        """Return how many terms there are: what the map weighs in memory."""
        return len(self._iris) + len(self._refused)

    @property
    def prefixes(self) -> Mapping[str, str]:
        """Return the namespaces of compact IRIs, by prefix."""
        return self._prefixes

    def expand(self, name: str) -> str:
        """Return the IRI of a term, compact IRI or IRI; an unknown term falls in the default vocabulary.

        Raises BadRequestData for a name that the @context maps to null, a keyword or a reverse property.
        """
        iri = self._iris.get(name) or self._expanded.get(name)
        if iri is None:
            iri = _remember(self._expanded, name, self._expand(name))
        return iri

    def compact(self, iri: str) -> str:
        """Return the shortest name for an IRI: its term, vocabulary-relative name, compact IRI, else the IRI itself."""
        name = self._names.get(iri) or self._compacted.get(iri)
        if name is None:
            name = _remember(self._compacted, iri, self._compact(iri))
        return name

    def _expand(self, name: str) -> str:
        if name in self._refused:
            raise BadRequestData(f"{name}: the @context maps this name to {self._refused[name]}")
        if _KEYWORD_FORM.match(name):
            raise BadRequestData(f"{name}: a JSON-LD keyword cannot be used as a name")
        prefix, colon, suffix = name.partition(":")
        if prefix and colon:
            if prefix in self._prefixes and not suffix.startswith("//"):
                return self._prefixes[prefix] + suffix
            if _ABSOLUTE_IRI.match(name):
                return name
            if suffix.startswith("//"):
                raise BadRequestData(f"{name}: neither a name nor an IRI")
        return DEFAULT_VOCABULARY + name

    def _compact(self, iri: str) -> str:
        suffix = iri.removeprefix(DEFAULT_VOCABULARY)
        if suffix and suffix != iri and not self._is_term(suffix):
            return suffix
        candidates = (f"{p}:{iri[len(n) :]}" for p, n in self._prefixes.items() if iri.startswith(n) and iri != n)
        usable = [c for c in candidates if not self._is_term(c)]
        return min(usable, key=lambda c: (len(c), c), default=iri)

    def _is_term(self, name: str) -> bool:
        return name in self._iris or name in self._refused


def compile_terms(contexts: Sequence[LocalContext | None]) -> TermMap:
    """Compile local contexts, given in their order and without references, to a term map; the core @context wins.

    None stands for a null @context, which clears those before it. Raises BadRequestData for what is no valid JSON-LD
    context and for what clause 5.5.7 forbids.
    """
    local = _without_idle_members(contexts)
    for context in local:
        check_local_context(context)
    with _compiling:
        return _term_map(content_key(contexts), _process(local))


def check_local_context(context: LocalContext | None) -> None:
    """Refuse, with BadRequestData, what a local context must not hold whatever stands before it (clause 5.5.7)."""
    if context is None:
        return
    if not isinstance(context, Mapping):
        raise BadRequestData(f"@context: {context!r} is no JSON object, array of objects or URL")
    for term, definition in context.items():
        if term in ("@context", "@import", "@propagate"):
            raise BadRequestData(f"@context: {term} is not supported in a user @context")
        if isinstance(definition, Mapping) and "@context" in definition:
            raise BadRequestData(f"@context: {term!r} holds a scoped context, which a user @context must not (5.5.7)")


@cache
def core_terms() -> TermMap:
    """Return the term map of the core @context alone (clause 5.5.5)."""
    return compile_terms([])


def content_key(contexts: Sequence[LocalContext | None]) -> str:
    """Return the hash that identifies these local contexts."""
    text = json.dumps(contexts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _remember(memory: dict[str, str], key: str, value: str) -> str:
    if len(memory) >= _MEMO_SIZE:
        memory.clear()
    memory[key] = value
    return value


def _without_idle_members(contexts: Sequence[LocalContext | None]) -> list[LocalContext | None]:
    """Leave out what JSON-LD ignores but pyld stumbles over: keys like keywords, and null for what is unset."""
    found: list[LocalContext | None] = []
    seen: set[str] = set()
    for context in contexts:
        if not isinstance(context, Mapping):
            found.append(context)
            continue
        unset = {k for k in ("@vocab", "@language", "@direction") if k in context and context[k] is None} - seen
        seen.update(k for k, v in context.items() if v is not None)
        found.append({k: v for k, v in context.items() if k not in unset and not _is_reserved(k)})
    return found


def _is_reserved(key: str) -> bool:
    return _KEYWORD_FORM.match(key) is not None and key not in jsonld.KEYWORDS


def _process(contexts: Sequence[LocalContext | None]) -> dict[str, Any]:
    """Return pyld's active context for these contexts followed by the core @context, whose terms override any other."""
    processor = jsonld.JsonLdProcessor()
    options = {"processingMode": "json-ld-1.1", "base": "", "contextResolver": ContextResolver({}, _no_loading)}
    active = processor.process_context(None, None, options)
    try:
        active = processor.process_context(active, list(contexts), options)
    except jsonld.JsonLdError as error:
        raise BadRequestData(f"@context: {error.args[0]}") from error
    except Exception as error:  # pyld trips over some malformed definitions instead of naming them
        raise BadRequestData("@context: not a JSON-LD context that can be processed") from error
    core = processor._process_context(active, core_document()["@context"], options, override_protected=True)
    result: dict[str, Any] = core
    return result


def _no_loading(url: str, _options: object) -> Any:
    raise BadRequestData(f"@context: {url} is not loaded")


def _term_map(key: str, active: dict[str, Any]) -> TermMap:
    active.setdefault("_uuid", key)
    iris: dict[str, str] = dict(_KEYWORD_ALIASES)
    refused: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    terms_of: dict[str, list[str]] = {}
    for term, mapping in active["mappings"].items():
        iri = mapping["@id"] if mapping else None
        if iri is None:
            refused[term] = "null"
        elif iri in jsonld.KEYWORDS:
            if term not in _KEYWORD_ALIASES:
                refused[term] = f"the keyword {iri}"
        elif mapping["reverse"]:
            refused[term] = "a reverse property"
        else:
            iris[term] = iri
            terms_of.setdefault(iri, []).append(term)
            if mapping["_prefix"] and ":" not in term and term != "_":
                prefixes[term] = iri
    names = {iri: _name_for(iri, terms, active) for iri, terms in terms_of.items()}
    names |= {keyword: alias for alias, keyword in _KEYWORD_ALIASES.items()}
    return TermMap(key, iris, refused, names, prefixes)


def _name_for(iri: str, terms: list[str], active: dict[str, Any]) -> str:
    """Return the term that pyld selects for an IRI, else the shortest and then least of those with other coercions."""
    selected = jsonld.JsonLdProcessor()._select_term(active, iri, None, ["@set", "@none"], "@type", "@id")
    return selected if selected in terms else min(terms, key=lambda t: (len(t), t))
