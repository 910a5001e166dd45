"""Expansion: a request body to the stored form (CIM 009 clauses 4.5, 5.5.4 and 5.5.7).

Takes normalized and concise representations, mixed or not (clause 4.5.0 to 4.5.24), checks every rule of the data
types and refuses what breaks one with BadRequestData naming the member. The result is `ngsild.entity`'s form, names
expanded to IRIs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from ngsild.context import Terms
from ngsild.entity import VALUE_MEMBERS, Attribute, Entity, Instance, attribute_of
from ngsild.geometry import check_geometry, is_geometry
from ngsild.names import NULL, date_time, entity_id, is_language, is_name, is_scope, is_uri
from ngsild.problems import BadRequestData

#: Members that only the broker writes; what a client sends of them is left out (clauses 4.8, 4.5.2.2).
SYSTEM_MEMBERS = frozenset({"createdAt", "modifiedAt", "deletedAt", "instanceId"})
_PASSED_OVER = SYSTEM_MEMBERS | {"type", "@type"}
_ENTITY_TIMES = frozenset({"createdAt", "modifiedAt", "deletedAt"})
#: The GeoProperties of the core @context (clause 4.7.1).
_PLACES = frozenset({"location", "observationSpace", "operationSpace"})
_SPECIAL = _PLACES | {"ngsildproof"}
_LANG_STRING = "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
_OUTPUT_ONLY = frozenset({"entity", "entityList", "lang"}) | {
    "previous" + m[0].upper() + m[1:] for m in VALUE_MEMBERS.values()
}
_SEALED = frozenset({"entityIdSealed", "entityTypeSealed"})
#: The attribute types that hold these members; the other reserved ones go with every type.
_HOLDERS = {
    "unitCode": frozenset({"Property", "GeoProperty", "ListProperty"}),
    "objectType": frozenset({"Relationship", "ListRelationship"}),
}
_RESERVED = (
    frozenset(VALUE_MEMBERS.values())
    | SYSTEM_MEMBERS
    | _OUTPUT_ONLY
    | {"observedAt", "unitCode", "datasetId", "valueType", "objectType", "expiresAt"}
)
#: Core terms that cannot name an attribute (clause 4.5.1); the members that hold values can, one level up.
_NON_REIFIED = (_RESERVED | _SEALED) - frozenset(VALUE_MEMBERS.values())
#: The order in which a missing type is inferred from the member that holds the value (concise representation).
_INFERRED = {m: t for t, m in VALUE_MEMBERS.items() if t != "GeoProperty"}


class Nulls(Enum):
    """Where NGSI-LD Null may stand in a body (clause 5.5.4)."""

    NEVER = 0
    ATTRIBUTES = 1
    """As an attribute or the value of one: partial update (clause 5.5.8)."""
    DEEP = 2
    """Also inside compound values: merge (clause 5.5.12)."""


@dataclass(slots=True)
class Fragment:
    """An Entity Fragment (clause 5.4): what a body says of an entity."""

    id: str | None = None
    types: list[str] = field(default_factory=list)
    scope: list[str] | None = None
    """None when the body says nothing of it, empty when it asks for its removal."""
    expires_at: str | None = None
    """expiresAt as sent, or NGSI-LD Null."""
    attributes: dict[str, Attribute] = field(default_factory=dict)


def expand_entity(body: Any, terms: Terms, now: int) -> Entity:
    """Return the entity that a whole body describes, created at `now` (clause 5.2.4)."""
    fragment = expand_fragment(body, terms, Nulls.NEVER)
    if fragment.id is None:
        raise BadRequestData("id: an entity needs one")
    if not fragment.types:
        raise BadRequestData("type: an entity needs one")
    return Entity(
        fragment.id,
        fragment.types,
        fragment.attributes,
        fragment.scope or [],
        fragment.expires_at,
        created_at=now,
        modified_at=now,
    )


def expand_fragment(body: Any, terms: Terms, nulls: Nulls) -> Fragment:
    """Return what a body says of an entity."""
    if not isinstance(body, dict):
        raise BadRequestData("an entity is a JSON object")
    fragment = Fragment()
    for name, value in body.items():
        if name == "@context" or name in _ENTITY_TIMES:
            continue
        if name in ("id", "@id"):
            fragment.id = entity_id(value)
        elif name in ("type", "@type"):
            fragment.types = expand_types(value, terms)
        elif name == "scope":
            fragment.scope = expand_scope(value, nulls)
        elif name == "expiresAt":
            fragment.expires_at = _expiry(value, nulls)
        else:
            iri = expand_attribute_name(name, terms)
            if iri in fragment.attributes:
                raise BadRequestData(f"{name}: the attribute is named twice")
            fragment.attributes[iri] = expand_attribute(name, value, terms, nulls)
    return fragment


def expand_attribute_name(name: str, terms: Terms) -> str:
    """Return the IRI of an attribute's name, refusing what cannot name one (clauses 4.5.1 and 4.6.2)."""
    if not is_name(name):
        raise BadRequestData(f"{name!r} is not a valid attribute name")
    if name in _NON_REIFIED:
        raise BadRequestData(f"{name} is a core member and cannot name an attribute")
    iri = terms.expand(name)
    if ":" not in iri:
        raise BadRequestData(f"{name}: the @context maps the name to {iri!r}, which is no IRI")
    return iri


def expand_types(value: Any, terms: Terms) -> list[str]:
    """Return the IRIs of type names (clause 4.16)."""
    names = value if isinstance(value, list) else [value]
    if not names:
        raise BadRequestData("type: an entity needs one")
    iris: list[str] = []
    for name in names:
        if not isinstance(name, str) or not is_name(name) or name in (NULL, "id", "type"):
            raise BadRequestData(f"type: {name!r} is not a valid type name")
        iri = terms.expand(name)
        if iri not in iris:
            iris.append(iri)
    return iris


def expand_scope(value: Any, nulls: Nulls) -> list[str]:
    """Return the scopes of an entity (clause 4.18), empty for NGSI-LD Null."""
    if value == NULL and nulls is not Nulls.NEVER:
        return []
    scopes = value if isinstance(value, list) else [value]
    for scope in scopes:
        if not is_scope(scope):
            raise BadRequestData(f"scope: {scope!r} is not a Scope")
    return list(dict.fromkeys(scopes))


def _expiry(value: Any, nulls: Nulls) -> str:
    if not (value == NULL and nulls is not Nulls.NEVER):
        date_time(value, "expiresAt")
    return str(value)


def expand_attribute(name: str, value: Any, terms: Terms, nulls: Nulls) -> Attribute:
    """Return one attribute, with all its instances (clause 4.5.5)."""
    if isinstance(value, list) and value and all(_looks_like_instance(item) for item in value):
        found = [_expand_instance(name, item, terms, nulls) for item in value]
        datasets = [instance.get("datasetId") for instance in found]
        if len(set(datasets)) != len(datasets):
            raise BadRequestData(f"{name}: two instances have the same datasetId")
        return attribute_of(found)
    return _expand_instance(name, value, terms, nulls)


def _looks_like_instance(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type", item.get("@type"))
    return any(m in item for m in _INFERRED) if kind is None else isinstance(kind, str) and kind in VALUE_MEMBERS


def expand_attribute_fragment(name: str, body: Any, terms: Terms) -> Instance:
    """Return an Attribute Fragment for a partial update (clause 5.6.4): type and value may be missing."""
    if not isinstance(body, dict):
        raise BadRequestData(f"{name}: an attribute fragment is a JSON object")
    members = {k: v for k, v in body.items() if k != "@context"}
    if not members:
        raise BadRequestData(f"{name}: the attribute fragment is empty")
    kind = members.get("type", members.get("@type"))
    if kind is None:
        kind = next((t for m, t in _INFERRED.items() if m in members), None)
        if kind == "Property" and is_geometry(members["value"]):
            kind = "GeoProperty"
    elif not isinstance(kind, str) or kind not in VALUE_MEMBERS:
        raise BadRequestData(f"{name}: {kind!r} is not an attribute type")
    if kind is None:
        return _expand_members(name, members, "", terms, Nulls.ATTRIBUTES)
    instance = {"type": kind} | _expand_members(name, members, kind, terms, Nulls.ATTRIBUTES)
    member = VALUE_MEMBERS[kind]
    if member in members:
        instance[member] = _VALUES[kind](f"{name}.{member}", members[member], terms, Nulls.ATTRIBUTES)
    return instance


def _expand_instance(name: str, value: Any, terms: Terms, nulls: Nulls) -> Instance:
    kind, members = _classify(name, value, nulls)
    member = VALUE_MEMBERS[kind]
    if member not in members:
        raise BadRequestData(f"{name}.{member}: a {kind} needs it")
    instance: Instance = {"type": kind}
    instance[member] = _VALUES[kind](f"{name}.{member}", members[member], terms, nulls)
    if len(members) > 2 or "type" not in members:
        instance |= _expand_members(name, members, kind, terms, nulls)
    if kind == "LanguageProperty" or name in _SPECIAL:
        _check_special(name, instance)
    return instance


def _check_special(name: str, instance: Instance) -> None:
    """Refuse what the standard rules out for single names and types (clauses 4.5.2.2, 4.7.1, 5.2.32)."""
    kind, value = instance["type"], instance[VALUE_MEMBERS[instance["type"]]]
    if name in _PLACES and kind != "GeoProperty" and value != NULL:
        raise BadRequestData(f"{name}.type: it is a GeoProperty, not a {kind}")
    if name == "ngsildproof" and not isinstance(value, dict) and value != NULL:
        raise BadRequestData(f"{name}.value: an object is needed")
    if kind == "LanguageProperty" and instance.get("valueType", _LANG_STRING) != _LANG_STRING:
        raise BadRequestData(f"{name}.valueType: of a LanguageProperty it is langString")


def _classify(name: str, value: Any, nulls: Nulls) -> tuple[str, dict[str, Any]]:
    """Return the attribute type and the members of a normalized or concise instance."""
    if not isinstance(value, dict):
        if value == NULL and nulls is Nulls.NEVER:
            raise BadRequestData(f"{name}: NGSI-LD Null is not allowed here")
        return "Property", {"value": value}
    if "@context" in value:
        raise BadRequestData(f"{name}.@context: attributes hold no @context of their own")
    kind = value.get("type", value.get("@type"))
    if kind is not None:
        if isinstance(kind, str) and kind in VALUE_MEMBERS:
            return kind, value
        if is_geometry(value):
            return "GeoProperty", {"value": value}
        raise BadRequestData(f"{name}.type: {kind!r} is not an attribute type")
    for member, inferred in _INFERRED.items():
        if member in value:
            return ("GeoProperty" if inferred == "Property" and is_geometry(value["value"]) else inferred), value
    return "Property", {"value": value}


def _expand_members(name: str, members: dict[str, Any], kind: str, terms: Terms, nulls: Nulls) -> Instance:
    """Return the other members of an instance than type and value: reserved ones checked, the rest expanded."""
    expanded: Instance = {}
    own = VALUE_MEMBERS.get(kind)
    for member, value in members.items():
        if member == own or member in _PASSED_OVER:
            continue
        check = _MEMBERS.get(member)
        if check is not None:
            if member in _HOLDERS:
                check_holder(name, kind, member)
            checked = check(f"{name}.{member}", value, terms, nulls)
            if checked is not None:
                expanded[member] = checked
        elif member in _SEALED and name == "ngsildproof":
            expanded[member] = _sealed(f"{name}.{member}", value, terms)
        elif member in _RESERVED:
            raise BadRequestData(f"{name}.{member}: a {kind or 'fragment'} does not hold this member")
        else:
            iri = expand_attribute_name(member, terms)
            if iri in expanded:
                raise BadRequestData(f"{name}.{member}: the sub-attribute is named twice")
            expanded[iri] = expand_attribute(member, value, terms, nulls)
    return expanded


def check_holder(name: str, kind: str, member: str) -> None:
    """Refuse a reserved member that an attribute of this type does not hold; "" is a type yet unknown."""
    if kind and kind not in _HOLDERS.get(member, VALUE_MEMBERS):
        raise BadRequestData(f"{name}.{member}: a {kind} does not hold this member")


def _sealed(path: str, value: Any, terms: Terms) -> Any:
    if not isinstance(value, str):
        raise BadRequestData(f"{path}: a string is needed")
    return terms.expand(value) if path.endswith("entityTypeSealed") else value


# The values, one function an attribute type: (path, value, terms, nulls) -> value in the stored form


def _property(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == NULL:
        if nulls is Nulls.NEVER:
            raise BadRequestData(f"{path}: NGSI-LD Null is not allowed here")
        return value
    return expand_value(path, value, terms, nulls)


def expand_value(path: str, value: Any, terms: Terms, nulls: Nulls = Nulls.NEVER) -> Any:
    """Return a Property value with the keys and types of its objects expanded (JSON-LD reads them as terms)."""
    if value is None:
        raise BadRequestData(f"{path}: null is not a value (clause 4.5.0)")
    if isinstance(value, dict):
        expanded = {}
        for key, item in value.items():
            if item == NULL and nulls is not Nulls.DEEP:
                raise BadRequestData(f"{path}.{key}: NGSI-LD Null is not allowed here")
            if key in ("type", "@type"):
                expanded[key] = _value_type(item, terms)
            elif key.startswith("@") or key in ("", "id"):
                expanded[key] = item
            else:
                iri = terms.expand(key)
                if iri in expanded:
                    raise BadRequestData(f"{path}.{key}: another key of this object also means {iri}")
                expanded[iri] = expand_value(f"{path}.{key}", item, terms, nulls)
        return expanded
    if isinstance(value, list):
        return _expand_items(path, value, terms)
    return value


def _expand_items(path: str, items: list[Any], terms: Terms) -> list[Any]:
    """Return the items of an array, which a merge replaces whole: a Null in it would remove nothing (RFC 7396)."""
    if NULL in items:
        raise BadRequestData(f"{path}: NGSI-LD Null is not allowed in an array")
    return [expand_value(path, item, terms) for item in items]


def _value_type(value: Any, terms: Terms) -> Any:
    if isinstance(value, str):
        return terms.expand(value)
    if isinstance(value, list):
        return [terms.expand(item) if isinstance(item, str) else item for item in value]
    return value


def _geo_property(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == NULL and nulls is not Nulls.NEVER:
        return value
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise BadRequestData(f"{path}: neither a GeoJSON geometry nor its text") from None
    check_geometry(path, value)
    return value


def _relationship(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == NULL and nulls is not Nulls.NEVER:
        return value
    targets = value if isinstance(value, list) else [value]
    if not targets:
        raise BadRequestData(f"{path}: at least one URI is needed")
    for target in targets:
        if not is_uri(target) or target == NULL:
            raise BadRequestData(f"{path}: {target!r} is not a URI")
    return value


def _list_relationship(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value in ([NULL], NULL) and nulls is not Nulls.NEVER:
        return [NULL]
    if not isinstance(value, list):
        raise BadRequestData(f"{path}: an array of objects is needed")
    targets = []
    for item in value:
        target = item.get("object") if isinstance(item, dict) and len(item) == 1 else item
        if not is_uri(target) or target == NULL:
            raise BadRequestData(f"{path}: {item!r} is not a URI")
        targets.append({"object": target})
    return targets


def _list_property(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value in ([NULL], NULL) and nulls is not Nulls.NEVER:
        return [NULL]
    if not isinstance(value, list):
        raise BadRequestData(f"{path}: an array is needed")
    return _expand_items(path, value, terms)


def _language_property(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value in ({"@none": NULL}, NULL):
        if nulls is Nulls.NEVER:
            raise BadRequestData(f"{path}: NGSI-LD Null is not allowed here")
        return {"@none": NULL}
    if not isinstance(value, dict) or not value:
        raise BadRequestData(f"{path}: an object of language tags is needed")
    for tag, text in value.items():
        if not is_language(tag):
            raise BadRequestData(f"{path}.{tag}: not a language tag")
        if text == NULL and nulls is Nulls.DEEP:
            continue
        texts = text if isinstance(text, list) and text else [text]
        if not all(isinstance(t, str) and t != NULL for t in texts):
            raise BadRequestData(f"{path}.{tag}: a string or an array of strings is needed")
    return value


def _vocab_property(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == NULL and nulls is not Nulls.NEVER:
        return value
    concepts = value if isinstance(value, list) else [value]
    if not concepts or not all(isinstance(c, str) and c and c != NULL for c in concepts):
        raise BadRequestData(f"{path}: a string or an array of strings is needed")
    expanded = [terms.expand(c) for c in concepts]
    return expanded if isinstance(value, list) else expanded[0]


def _json_property(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == NULL and nulls is not Nulls.NEVER:
        return value
    if not isinstance(value, dict | list):
        raise BadRequestData(f"{path}: a JSON object or array is needed")
    return value


Expander = Callable[[str, Any, Terms, Nulls], Any]

_VALUES: dict[str, Expander] = {
    "Property": _property,
    "GeoProperty": _geo_property,
    "Relationship": _relationship,
    "LanguageProperty": _language_property,
    "VocabProperty": _vocab_property,
    "JsonProperty": _json_property,
    "ListProperty": _list_property,
    "ListRelationship": _list_relationship,
}


# The reserved members, one function each


def _moment(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if not (value == NULL and nulls is not Nulls.NEVER):
        date_time(value, path)
    return value


def _text(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if not isinstance(value, str) or (value == NULL and nulls is Nulls.NEVER):
        raise BadRequestData(f"{path}: a string is needed")
    return value


def _dataset(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == "@none":
        return None
    if not is_uri(value) or value == NULL:
        raise BadRequestData(f"{path}: {value!r} is neither a URI nor @none")
    return value


def _type_names(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    if value == NULL and nulls is not Nulls.NEVER:
        return value
    names = value if isinstance(value, list) and value else [value]
    if not all(isinstance(n, str) and is_name(n) and n != NULL for n in names):
        raise BadRequestData(f"{path}: {value!r} is not a type name")
    return [terms.expand(n) for n in names] if isinstance(value, list) else terms.expand(value)


def _value_datatype(path: str, value: Any, terms: Terms, nulls: Nulls) -> Any:
    text = _text(path, value, terms, nulls)
    return text if text == NULL else terms.expand(text)


_MEMBERS: dict[str, Expander] = {
    "observedAt": _moment,
    "expiresAt": _moment,
    "unitCode": _text,
    "datasetId": _dataset,
    "valueType": _value_datatype,
    "objectType": _type_names,
}
