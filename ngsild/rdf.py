"""Entities as RDF: the triples that JSON-LD means by the normalized representation with the core @context.

An entity in the stored form has IRIs for names, so that its triples can be written straight away. What JSON-LD gives a
meaning of its own inside a value (its keywords, and core terms that it coerces) goes through pyld, which is also the
oracle of the tests. Attribute instances are blank nodes; a value is at `hasValue`, a target at `hasObject`, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any

from pyld import jsonld
from pyld.context_resolver import ContextResolver

from ngsild.context import core_terms
from ngsild.core_context import core_document
from ngsild.entity import VALUE_MEMBERS, Entity
from ngsild.problems import NotAcceptable
from ngsild.render import Renderer, Representation

Triple = tuple[str, str, str]
"""Subject, predicate and object, each written as in N-Triples."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XSD = "http://www.w3.org/2001/XMLSchema#"
TYPE = f"<{_RDF}type>"
FIRST = f"<{_RDF}first>"
REST = f"<{_RDF}rest>"
NIL = f"<{_RDF}nil>"
_JSON = f"^^<{_RDF}JSON>"
_BOOLEAN = f"^^<{XSD}boolean>"
_INTEGER = f"^^<{XSD}integer>"
_DOUBLE = f"^^<{XSD}double>"
_WELL_FORMED = re.compile(r'[A-Za-z][A-Za-z0-9+.\-]*:[^\s\x00-\x20<>"{}|^`\\]*\Z')
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r"})
_LARGE = 1e21
#: The members of a value object with a datatype (JSON-LD 1.1 section 4.2.1).
_TYPED = {"@type", "@value"}
_EXPONENT = re.compile(r"(\d)0*E\+?(-)?0*(\d)")


def n_triples(triples: Iterable[Triple]) -> str:
    """Return triples as N-Triples, one a line."""
    return "".join(f"{s} {p} {o} .\n" for s, p, o in triples)


def triples_of(entities: Iterable[Entity], shown: Representation) -> list[Triple]:
    """Return the triples of entities as far as they are shown; raise NotAcceptable for what RDF cannot express.

    Only the normalized format without linked entities has a meaning in RDF. A name or target that makes no
    well-formed IRI is left out with its triple, as JSON-LD asks.
    """
    writer = _Writer(shown)
    for entity in entities:
        writer.add(entity)
    return writer.triples


class _AsStored:
    """Terms under which an entity is rendered with the IRIs that it is stored with."""

    def expand(self, name: str) -> str:
        return name

    def compact(self, iri: str) -> str:
        return iri


class _NeedsProcessor(Exception):
    """The entity holds what JSON-LD gives a meaning of its own."""


@lru_cache(maxsize=8192)
def _name(iri: str) -> str | None:
    """Return a name as an N-Triples IRI, None where it makes none; names come again and again."""
    return f"<{iri}>" if _WELL_FORMED.match(iri) else None


def is_plain_name(iri: str) -> bool:
    """Tell whether what a member of this name holds, of an entity or an object, stands at that predicate as it is."""
    return iri not in _SHAPED and iri not in _COERCED and _name(iri) is not None


def reference(uri: str) -> str | None:
    """Return the term of an id, which JSON-LD reads through the prefixes of the core @context; None if it is no IRI."""
    if uri.startswith(("ngsi-ld:", "geojson:")) and not uri.partition(":")[2].startswith("//"):
        uri = core_terms().expand(uri)
    return f"<{uri}>" if _WELL_FORMED.match(uri) else None


def text(value: str) -> str:
    """Write a text as a term of N-Triples."""
    return f'"{value.translate(_ESCAPES)}"'


def number(value: float) -> str:
    """Return a number as JSON-LD reads it: 22.0 is an integer, 1e21 is none."""
    if abs(value) < _LARGE and value == int(value):
        return f'"{int(value)}"{_INTEGER}'
    canonical = _EXPONENT.sub(r"\1E\2\3", f"{value:1.15E}")
    return f'"{canonical}"{_DOUBLE}'


def _coerced_terms() -> dict[str, Mapping[str, Any]]:
    """Return the definitions of the core terms that JSON-LD coerces, by IRI."""
    terms = core_document()["@context"]
    return {core_terms().expand(t): d for t, d in terms.items() if isinstance(d, dict)}


_COERCED = _coerced_terms()
_LISTS = frozenset(iri for iri, definition in _COERCED.items() if definition.keys() == {"@id", "@container"})
_LISTS -= frozenset(iri for iri in _LISTS if _COERCED[iri]["@container"] != "@list")
#: Attributes of these names are no nodes in JSON-LD, or nodes with something between.
_SHAPED = frozenset(i for i, d in _COERCED.items() if "@container" in d or d.get("@type") == "@json")
#: The predicates of the members of an attribute instance.
PREDICATES = {
    name: f"<{core_terms().expand(name)}>"
    for name in (
        *VALUE_MEMBERS.values(), "scope", "observedAt", "createdAt", "modifiedAt", "expiresAt", "unitCode", "datasetId",
        "valueType", "objectType", "lang",
    )
}  # fmt: skip
_DATE_TIME = f"^^<{core_terms().expand('DateTime')}>"
COORDINATES = f"<{core_terms().expand('coordinates')}>"


class _Writer:
    """Collects triples; blank nodes are numbered through."""

    def __init__(self, shown: Representation) -> None:
        self.triples: list[Triple] = []
        self._renderer = Renderer(_AsStored(), shown)
        self._named = Renderer(core_terms(), shown)
        self._numbers = count()

    def add(self, entity: Entity) -> None:
        """Add the triples of an entity."""
        begin = len(self.triples)
        try:
            self._entity(self._renderer.entity(entity))
        except _NeedsProcessor:
            del self.triples[begin:]
            self._process(entity)

    def _blank(self) -> str:
        return f"_:b{next(self._numbers)}"

    def _add(self, subject: str, predicate: str | None, found: str | None) -> None:
        if predicate is not None and found is not None:
            self.triples.append((subject, predicate, found))

    def _entity(self, members: dict[str, Any]) -> None:
        subject = reference(members["id"]) if "id" in members else self._blank()
        if subject is None:
            return
        for member, value in members.items():
            if ":" in member:
                self._attribute(subject, member, value)
            elif member != "id":
                _MEMBERS[member](self, subject, member, value)

    def _attribute(self, subject: str, iri: str, value: Any) -> None:
        """Add an attribute with all its instances."""
        if iri in _SHAPED:
            raise _NeedsProcessor
        predicate = _name(iri)
        for instance in value if isinstance(value, list) else [value]:
            node = self._blank()
            self._add(subject, predicate, node)
            for member, held in instance.items():
                if ":" in member:
                    self._attribute(node, member, held)
                elif member == "value" and instance["type"] == "GeoProperty":
                    self._geometry(node, held)
                elif member in _MEMBERS:
                    _MEMBERS[member](self, node, member, held)
                else:
                    raise _NeedsProcessor

    # The members, one function a kind: (subject, member, value)

    def _types(self, subject: str, _: str, value: Any) -> None:
        for iri in value if isinstance(value, list) else [value]:
            if iri in VALUE_MEMBERS:
                iri = core_terms().expand(iri)
            self._add(subject, TYPE, _name(iri))

    def _value(self, subject: str, member: str, value: Any) -> None:
        self._values(subject, PREDICATES[member], value)

    def _list_value(self, subject: str, member: str, value: list[Any]) -> None:
        self._add(subject, PREDICATES[member], self._list(value, self._item))

    def _moment(self, subject: str, member: str, value: str) -> None:
        self._add(subject, PREDICATES[member], text(value) + _DATE_TIME)

    def _references(self, subject: str, member: str, value: Any) -> None:
        for uri in value if isinstance(value, list) else [value]:
            self._add(subject, PREDICATES[member], reference(uri))

    def _names(self, subject: str, member: str, value: Any) -> None:
        for iri in value if isinstance(value, list) else [value]:
            if iri.startswith(("@", "_:")):
                raise _NeedsProcessor
            self._add(subject, PREDICATES[member], _name(iri))

    def _targets(self, subject: str, member: str, value: list[dict[str, str]]) -> None:
        self._add(subject, PREDICATES[member], self._list(value, self._target))

    def _target(self, item: dict[str, str]) -> str:
        node = self._blank()
        self._add(node, PREDICATES["object"], reference(item["object"]))
        return node

    def _languages(self, subject: str, member: str, value: dict[str, Any]) -> None:
        for tag, texts in value.items():
            suffix = "" if tag == "@none" else f"@{tag.lower()}"
            for each in texts if isinstance(texts, list) else [texts]:
                self._add(subject, PREDICATES[member], text(each) + suffix)

    def _json(self, subject: str, member: str, value: Any) -> None:
        self._add(subject, PREDICATES[member], text(jsonld.canonicalize(value).decode()) + _JSON)

    def _geometry(self, subject: str, value: dict[str, Any]) -> None:
        if value.keys() != {"type", "coordinates"}:
            raise _NeedsProcessor
        node = self._blank()
        self._add(subject, PREDICATES["value"], node)
        self._add(node, TYPE, _name(core_terms().expand(value["type"])))
        self._add(node, COORDINATES, self._list(value["coordinates"], self._item))

    # Values as JSON-LD reads them

    def _values(self, subject: str, predicate: str | None, value: Any) -> None:
        """Add a value; an array, however nested, is a set of values."""
        if isinstance(value, list):
            for item in value:
                self._values(subject, predicate, item)
        else:
            self._add(subject, predicate, self._term(value))

    def _item(self, value: Any) -> str:
        """Return an item of a list; an array is a list of its own."""
        return self._list(value, self._item) if isinstance(value, list) else self._term(value)

    def _list(self, items: list[Any], write: Callable[[Any], str]) -> str:
        """Return the head of an RDF collection."""
        rest = NIL
        for item in reversed(items):
            node = self._blank()
            self._add(node, FIRST, write(item))
            self._add(node, REST, rest)
            rest = node
        return rest

    def _term(self, value: Any) -> str:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, bool):
            return f'"{"true" if value else "false"}"{_BOOLEAN}'
        if isinstance(value, int | float):
            return number(value)
        return self._node(value)

    def _node(self, value: dict[str, Any]) -> str:
        """Return the node of a JSON object, or the literal that it writes."""
        if value.keys() == _TYPED:
            return self._typed(value["@type"], value["@value"])
        named = value.get("id")
        node = self._blank() if "id" not in value else reference(named) if isinstance(named, str) else None
        if node is None:
            raise _NeedsProcessor
        for key, item in value.items():
            if ":" in key:
                self._member(node, key, item)
            elif key == "type":
                self._value_types(node, item)
            elif key != "id":
                raise _NeedsProcessor
        return node

    def _typed(self, datatype: Any, value: Any) -> str:
        """Return a literal written as text with its datatype."""
        if not isinstance(value, str) or not isinstance(datatype, str) or datatype.startswith(("@", "_:")):
            raise _NeedsProcessor
        iri = _name(datatype)
        if iri is None:
            raise _NeedsProcessor
        return text(value) if datatype == f"{XSD}string" else f"{text(value)}^^{iri}"

    def _member(self, node: str, iri: str, value: Any) -> None:
        if iri in _LISTS and isinstance(value, list):
            self._add(node, _name(iri), self._list(value, self._item))
        elif iri in _COERCED or iri.startswith("_:"):
            raise _NeedsProcessor
        else:
            self._values(node, _name(iri), value)

    def _value_types(self, node: str, value: Any) -> None:
        for iri in value if isinstance(value, list) else [value]:
            if not isinstance(iri, str) or iri.startswith(("@", "_:")):
                raise _NeedsProcessor
            self._add(node, TYPE, _name(iri))

    def _process(self, entity: Entity) -> None:
        """Add the triples of an entity by JSON-LD processing."""
        document = self._named.entity(entity) | {"@context": core_document()["@context"]}
        options = {"documentLoader": _load_nothing, "contextResolver": ContextResolver({}, _load_nothing)}
        try:
            found = jsonld.to_rdf(document, options).get("@default", [])
        except Exception as error:  # pyld trips over some malformed values instead of naming them
            raise NotAcceptable(f"{entity.id}: it holds a value that JSON-LD cannot read, so it is no RDF") from error
        labels: dict[str, str] = {}
        for triple in found:
            terms = [self._processed(triple[part], labels) for part in ("subject", "predicate", "object")]
            subject, predicate, value = terms
            if subject is not None:
                self._add(subject, predicate, value)

    def _processed(self, term: dict[str, str], labels: dict[str, str]) -> str | None:
        if term["type"] == "blank node":
            return labels.get(term["value"]) or labels.setdefault(term["value"], self._blank())
        if term["type"] == "IRI":
            return _name(term["value"])
        if "language" in term:
            return f"{text(term['value'])}@{term['language']}"
        suffix = "" if term["datatype"] == f"{XSD}string" else f"^^<{term['datatype']}>"
        return text(term["value"]) + suffix


def _load_nothing(url: str, _: object) -> Any:
    raise LookupError(url)


_MEMBERS: dict[str, Callable[[_Writer, str, str, Any], None]] = {
    "type": _Writer._types,
    "scope": _Writer._value,
    "value": _Writer._value,
    "object": _Writer._references,
    "languageMap": _Writer._languages,
    "vocab": _Writer._names,
    "json": _Writer._json,
    "valueList": _Writer._list_value,
    "objectList": _Writer._targets,
    "observedAt": _Writer._moment,
    "createdAt": _Writer._moment,
    "modifiedAt": _Writer._moment,
    "expiresAt": _Writer._moment,
    "unitCode": _Writer._value,
    "lang": _Writer._value,
    "datasetId": _Writer._references,
    "valueType": _Writer._names,
    "objectType": _Writer._names,
}
