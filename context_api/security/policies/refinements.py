"""Refinements of a target: of the entities, those that meet all of them, with the attributes that they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

from context_api.security.policies.expanded import Object, texts
from context_api.security.policies.model import SELF, Target
from context_api.security.policies.personal import NON_PERSONAL
from context_api.security.policies.profile import MAX_TEXT, NAMESPACE, ODRL, short
from ngsild.context import Terms
from ngsild.names import entity_id, is_name, is_uri
from ngsild.problems import BadRequestData
from ngsild.query import (
    GeoQuery,
    Node,
    link_depth,
    parse_geo,
    parse_pattern,
    parse_q,
    parse_scope_q,
    parse_type_selection,
)
from ontology import Kind, model

_TARGET = frozenset({ODRL + "source", ODRL + "refinement"})
_REFINEMENT = frozenset({ODRL + "leftOperand", ODRL + "operator", ODRL + "rightOperand"})
_GEO: Final = ("georel", "geometry", "coordinates", "geoproperty")

Read = Callable[[list[Any], Terms], Any]


def read_target(node: Object, names: Terms) -> Target:
    """Return a target; BadRequestData names what is not understood."""
    if node.id is not None and not node.types:
        raise BadRequestData("target: an AssetCollection with refinements is expected; entityId names single entities")
    node.check(_TARGET, types={ODRL + "AssetCollection"})
    source = node.iris(ODRL + "source")
    if source not in ([], [NAMESPACE + "entities"]):
        raise BadRequestData("source: the only collection is that of all entities")
    found: dict[str, Any] = {}
    for each in node.objects(ODRL + "refinement", "refinement"):
        member, value = _refinement(each, names)
        if member in found:
            raise BadRequestData(f"{short(each.iri(ODRL + 'leftOperand'))}: the same refinement is given twice")
        found[member] = value
    return replace(Target(), **found)


def _refinement(node: Object, names: Terms) -> tuple[str, Any]:
    node.check(_REFINEMENT, types={ODRL + "Constraint"})
    left, operator = node.iri(ODRL + "leftOperand"), node.iri(ODRL + "operator")
    known = _OPERANDS.get(left)
    if known is None:
        raise BadRequestData(f"leftOperand: {short(left)[:200]!r} is no refinement of this profile")
    member, several, read = known
    expected = "isAnyOf" if several else "eq"
    # What has one value only may be asked for by either.
    values = node.values(ODRL + "rightOperand")
    if operator != ODRL + expected and not (several and operator == ODRL + "eq" and len(values) == 1):
        raise BadRequestData(f"operator: {short(operator)[:200]!r} is not understood for {short(left)}, {expected} is")
    if not values or (len(values) > 1 and not several):
        raise BadRequestData(f"rightOperand: {short(left)} needs {'at least' if several else 'exactly'} one value")
    return member, read(values, names)


def _text(values: list[Any], member: str) -> str:
    return next(texts(values, member))


def _types(values: list[Any], names: Terms) -> Any:
    return parse_type_selection(_text(values, "entityType"), names, "entityType")


def _ids(values: list[Any], _: Terms) -> frozenset[str]:
    return frozenset(entity_id(_iri_or_text(value, "entityId"), "entityId") for value in values)


def _datasets(values: list[Any], _: Terms) -> frozenset[str]:
    found = frozenset(_iri_or_text(value, "datasetId") for value in values)
    for each in found:
        if each != "@none" and not is_uri(each):
            raise BadRequestData(f"datasetId: {each[:200]!r} is neither a URI nor @none")
    return found


def _tenants(values: list[Any], _: Terms) -> frozenset[str]:
    return frozenset(texts(values, "tenant"))


def _owners(values: list[Any], _: Terms) -> frozenset[str]:
    return frozenset(
        SELF if isinstance(value, Mapping) and value == {"@id": SELF} else next(texts([value], "owner"))
        for value in values
    )


def _attributes(values: list[Any], names: Terms) -> frozenset[str]:
    found = set()
    for value in values:
        if isinstance(value, Mapping) and value.keys() == {"@id"}:
            found.add(str(value["@id"]))
            continue
        name = next(texts([value], "readableAttribute or writableAttribute"))
        if not is_name(name):
            raise BadRequestData(f"readableAttribute or writableAttribute: {name[:200]!r} is no name of an attribute")
        found.add(names.expand(name))
    for iri in found:
        if not is_uri(iri) or (iri.startswith(NAMESPACE) and iri != NON_PERSONAL):
            raise BadRequestData(f"readableAttribute or writableAttribute: {short(iri)[:200]!r} is no attribute")
    return frozenset(found)


def _query(values: list[Any], names: Terms) -> Node:
    node = parse_q(_text(values, "q"), names, vocabulary_attributes())
    if link_depth(node):
        raise BadRequestData("q: the query of a policy follows no links")
    return node


def _geoquery(values: list[Any], names: Terms) -> GeoQuery:
    pairs = parse_qsl(_text(values, "geoQ"), keep_blank_values=True, max_num_fields=len(_GEO) + 1)
    given = dict(pairs)
    if len(given) != len(pairs) or not given.keys() <= set(_GEO):
        raise BadRequestData(f"geoQ: {', '.join(_GEO)} are expected, as in the query of a URL, each once")
    georel, geometry, coordinates, geoproperty = map(given.get, _GEO)
    return parse_geo(georel, geometry, coordinates, geoproperty, names)


def _iri_or_text(value: Any, member: str) -> str:
    if isinstance(value, Mapping) and value.keys() == {"@id"}:
        return str(value["@id"])[:MAX_TEXT]
    return next(texts([value], member))


@cache
def vocabulary_attributes() -> frozenset[str]:
    """Return the attributes of the model whose values are terms, also in queries."""
    return frozenset(each.iri for each in model().attributes.values() if each.kind is Kind.VOCAB_PROPERTY)


#: Operands: the member of a target that each fills, whether it takes several values, and what reads them.
_OPERANDS: Final[Mapping[str, tuple[str, bool, Read]]] = {
    NAMESPACE + "tenant": ("tenants", True, _tenants),
    NAMESPACE + "entityType": ("types", False, _types),
    NAMESPACE + "entityId": ("ids", True, _ids),
    NAMESPACE + "idPattern": (
        "id_pattern", False, lambda values, _: parse_pattern(_text(values, "idPattern"), "idPattern"),
    ),
    NAMESPACE + "scopeQ": ("scopes", False, lambda values, _: parse_scope_q(_text(values, "scopeQ"))),
    NAMESPACE + "readableAttribute": ("readable", True, _attributes),
    NAMESPACE + "writableAttribute": ("writable", True, _attributes),
    NAMESPACE + "datasetId": ("datasets", True, _datasets),
    NAMESPACE + "owner": ("owners", True, _owners),
    NAMESPACE + "q": ("q", False, _query),
    NAMESPACE + "geoQ": ("geo", False, _geoquery),
}  # fmt: skip
