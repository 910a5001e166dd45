"""The provision operations as pure functions: an entity and what a request asks of it to the entity afterwards.

Append, update, partial update, replace, merge and delete of CIM 009 clauses 5.6.2 to 5.6.6 and 5.6.17 to 5.6.19, with
the patch algorithms of 5.5.8 and 5.5.12. No function changes its arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from ngsild.entity import (
    VALUE_MEMBERS,
    Attribute,
    Entity,
    Instance,
    Stamp,
    attribute_of,
    instance_value,
    instances,
    stamp_key,
    sub_attributes,
)
from ngsild.expand import Fragment, check_holder
from ngsild.names import NULL, parse_date_time
from ngsild.problems import BadRequestData, ResourceNotFound


@dataclass(slots=True)
class Update:
    """What an operation makes of an entity."""

    after: Entity
    touched: frozenset[str]
    """IRIs of the attributes that changed."""
    unchanged: frozenset[str] = frozenset()
    """IRIs of the attributes that have the content asked for already: they keep their times."""
    not_updated: dict[str, str] = field(default_factory=dict)
    """Attribute IRI -> why it stays as it is (clause 5.2.19)."""
    late: list[tuple[str, Instance]] = field(default_factory=list)
    """Telemetry older than what is stored: history only (decision 7)."""

    @property
    def updated(self) -> list[str]:
        done = self.touched | self.unchanged | {iri for iri, _ in self.late}
        return sorted(done - self.not_updated.keys())


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """The optional input of Merge Entity (clause 5.6.17.3)."""

    observed_at: str | None = None
    language: str | None = None


def is_null(instance: Instance) -> bool:
    """Tell whether an instance stands for NGSI-LD Null in any of its encodings (clause 4.5.0)."""
    return instance_value(instance) in (NULL, [NULL], {"@none": NULL})


class _Edit:
    """One change to an entity: instances are put and removed, then `finish` gives the entity afterwards."""

    def __init__(self, before: Entity, now: int, telemetry: frozenset[str] = frozenset()) -> None:
        self.before = before
        self.now = now
        self.telemetry = telemetry
        self.attributes = dict(before.attributes)
        self.stamps = dict(before.stamps)
        self.types = before.types
        self.scope = before.scope
        self.expires_at = before.expires_at
        self.touched: set[str] = set()
        self.unchanged: set[str] = set()
        self.not_updated: dict[str, str] = {}
        self.late: list[tuple[str, Instance]] = []

    def get(self, iri: str, dataset: str | None) -> Instance | None:
        found = self.attributes.get(iri)
        if found is None:
            return None
        return next((i for i in instances(found) if i.get("datasetId") == dataset), None)

    def put(self, iri: str, instance: Instance) -> None:
        dataset = instance.get("datasetId")
        old = self.get(iri, dataset)
        if old is not None and _is_equal(instance, old):
            self.unchanged.add(iri)
            return
        if old is not None and iri in self.telemetry and _is_older(instance, old):
            self.late.append((iri, instance))
            return
        rest = [i for i in instances(self.attributes.get(iri, [])) if i is not old]
        self._stamp(iri, old, instance, "")
        self.attributes[iri] = attribute_of([instance, *rest] if dataset is None else [*rest, instance])
        self.touched.add(iri)

    def remove(self, iri: str, dataset: str | None) -> bool:
        old = self.get(iri, dataset)
        if old is None:
            return False
        rest = [i for i in instances(self.attributes[iri]) if i is not old]
        if rest:
            self.attributes[iri] = attribute_of(rest)
        else:
            del self.attributes[iri]
        self._forget(stamp_key(iri, dataset))
        self.touched.add(iri)
        return True

    def add_types(self, types: Iterable[str]) -> None:
        self.types = list(dict.fromkeys([*self.types, *types]))

    def finish(self) -> Update:
        after = replace(
            self.before,
            attributes=self.attributes,
            types=self.types,
            scope=self.scope,
            expires_at=self.expires_at,
            stamps=self.stamps,
            modified_at=self.now,
        )
        return Update(after, frozenset(self.touched), frozenset(self.unchanged), self.not_updated, self.late)

    def _forget(self, key: str) -> None:
        for found in [k for k in self.stamps if k == key or k.startswith(key + " ")]:
            del self.stamps[found]

    def _stamp(self, iri: str, old: Instance | None, new: Instance, parent: str) -> None:
        """Set the system times of an instance and of its sub-attributes: created once, modified when it changes."""
        key = stamp_key(iri, new.get("datasetId"), parent)
        before = self._old_stamps(key) if old is not None else {}
        self._forget(key)
        created = before[key][0] if key in before else self.now if old is None else self.before.created_at
        self.stamps[key] = (created, self.now)
        olds = dict(sub_attributes(old)) if old is not None else {}
        for sub, attribute in sub_attributes(new):
            for instance in instances(attribute):
                self._stamp_below(sub, olds.get(sub), instance, key, before)

    def _stamp_below(
        self, iri: str, old: Attribute | None, new: Instance, parent: str, before: dict[str, Stamp]
    ) -> None:
        key = stamp_key(iri, new.get("datasetId"), parent)
        match = next(
            (i for i in instances(old if old is not None else []) if i.get("datasetId") == new.get("datasetId")), None
        )
        if match is None:
            self.stamps[key] = (self.now, self.now)
        else:
            created, modified = before.get(key, (self.before.created_at, self.before.created_at))
            self.stamps[key] = (created, modified if match == new else self.now)
        olds = dict(sub_attributes(match)) if match is not None else {}
        for sub, attribute in sub_attributes(new):
            for instance in instances(attribute):
                self._stamp_below(sub, olds.get(sub), instance, key, before)

    def _old_stamps(self, key: str) -> dict[str, Stamp]:
        return {k: v for k, v in self.stamps.items() if k == key or k.startswith(key + " ")}


def _is_equal(new: Instance, old: Instance) -> bool:
    """Tell whether two instances are the same JSON; Python also takes 1, 1.0 and True for equal."""
    return new == old and orjson.dumps(new, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        old, option=orjson.OPT_SORT_KEYS
    )


def _is_older(new: Instance, old: Instance) -> bool:
    ours, theirs = parse_date_time(new.get("observedAt")), parse_date_time(old.get("observedAt"))
    return ours is not None and theirs is not None and ours < theirs


def append_attributes(
    entity: Entity, fragment: Fragment, now: int, telemetry: frozenset[str], overwrite: bool = True
) -> Update:
    """Append Attributes (clause 5.6.3)."""
    edit = _Edit(entity, now, telemetry)
    for iri, attribute in fragment.attributes.items():
        for instance in instances(attribute):
            if not overwrite and edit.get(iri, instance.get("datasetId")) is not None:
                edit.not_updated[iri] = "the attribute exists and may not be overwritten"
            else:
                edit.put(iri, instance)
    edit.add_types(fragment.types)
    if fragment.scope is not None:
        edit.scope = fragment.scope if overwrite else list(dict.fromkeys([*entity.scope, *fragment.scope]))
    if fragment.expires_at is not None and (overwrite or entity.expires_at is None):
        edit.expires_at = fragment.expires_at
    return edit.finish()


def update_attributes(
    entity: Entity, fragment: Fragment, now: int, telemetry: frozenset[str], add_scope: bool = False
) -> Update:
    """Update Attributes: each one named is replaced, appended or, by NGSI-LD Null, deleted (clauses 5.6.2, 5.5.8).

    `add_scope` gives a scope to an entity that has none, as a batch does (clauses 5.6.9.4 and 5.6.3.4).
    """
    edit = _Edit(entity, now, telemetry)
    for iri, attribute in fragment.attributes.items():
        for instance in instances(attribute):
            if not is_null(instance):
                edit.put(iri, instance)
            elif not edit.remove(iri, instance.get("datasetId")):
                edit.not_updated[iri] = "the attribute to delete does not exist"
    edit.add_types(fragment.types)
    if fragment.scope is not None and (entity.scope or add_scope):
        edit.scope = fragment.scope
    elif fragment.scope:
        edit.not_updated["scope"] = "the entity has no scope to update (clause 5.6.2.4)"
    _set_expiry(edit, fragment)
    return edit.finish()


def _set_expiry(edit: _Edit, fragment: Fragment) -> None:
    if fragment.expires_at is not None:
        edit.expires_at = None if fragment.expires_at == NULL else fragment.expires_at


def merge_entity(
    entity: Entity, fragment: Fragment, now: int, telemetry: frozenset[str], options: MergeOptions
) -> Update:
    """Merge Entity: the fragment goes into the entity to any depth (clauses 5.6.17, 5.5.12; RFC 7396)."""
    edit = _Edit(entity, now, telemetry)
    for iri, attribute in fragment.attributes.items():
        for instance in instances(attribute):
            _merge_attribute(edit, iri, instance, options)
    edit.add_types(fragment.types)
    if fragment.scope is not None:
        edit.scope = fragment.scope
    _set_expiry(edit, fragment)
    return edit.finish()


def _merge_attribute(edit: _Edit, iri: str, new: Instance, options: MergeOptions) -> None:
    dataset = new.get("datasetId")
    old = edit.get(iri, dataset)
    if is_null(new):
        edit.remove(iri, dataset)
    elif old is None:
        _put_or_remove(edit, iri, _without_nulls(new))
    else:
        new = _in_language(old, new, options.language)
        if new["type"] != old["type"]:
            raise BadRequestData(f"{iri}: a {old['type']} cannot become a {new['type']}")
        merged = _merge_instance(old, new)
        if options.observed_at is not None and "observedAt" in old and "observedAt" not in new:
            merged["observedAt"] = options.observed_at
        _put_or_remove(edit, iri, merged)


def _put_or_remove(edit: _Edit, iri: str, merged: Instance) -> None:
    if _says_nothing(merged):
        edit.remove(iri, merged.get("datasetId"))
    else:
        edit.put(iri, merged)


def _says_nothing(instance: Instance) -> bool:
    """Tell whether a merge took the last language away: a LanguageProperty has at least one (clause 4.5.18)."""
    return instance["type"] == "LanguageProperty" and not instance["languageMap"]


def _in_language(old: Instance, new: Instance, language: str | None) -> Instance:
    """Return a text given for a LanguageProperty as a map of the common language (clause 5.6.17.4)."""
    if language is None or old["type"] != "LanguageProperty" or new["type"] != "Property":
        return new
    if not isinstance(new["value"], str):
        raise BadRequestData("lang: only a string can be the text of a LanguageProperty in this language")
    rest = {k: v for k, v in new.items() if k not in ("type", "value")}
    return {"type": "LanguageProperty", "languageMap": {language: new["value"]}} | rest


def _merge_instance(old: Instance, new: Instance) -> Instance:
    merged = dict(old)
    own = VALUE_MEMBERS[old["type"]]
    for member, value in new.items():
        if value == NULL and member not in ("type", "datasetId"):
            merged.pop(member, None)
        elif member == own:
            merged[member] = _merge_value(old[own], value) if old["type"] != "GeoProperty" else value
        elif ":" in member:
            _merge_sub_attribute(merged, member, value)
        else:
            merged[member] = value
    return merged


def _merge_sub_attribute(merged: Instance, iri: str, new: Attribute) -> None:
    kept = {i.get("datasetId"): i for i in instances(merged.get(iri, []))}
    for instance in instances(new):
        dataset = instance.get("datasetId")
        if is_null(instance):
            kept.pop(dataset, None)
        elif dataset in kept and kept[dataset]["type"] == instance["type"]:
            kept[dataset] = _merge_instance(kept[dataset], instance)
        else:
            kept[dataset] = _without_nulls(instance)
    kept = {dataset: instance for dataset, instance in kept.items() if not _says_nothing(instance)}
    if kept:
        merged[iri] = attribute_of(list(kept.values()))
    else:
        merged.pop(iri, None)


def _merge_value(old: Any, new: Any) -> Any:
    """Return RFC 7396's merge of two JSON values, NGSI-LD Null in the place of null."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value == NULL:
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(merged.get(key), value)
    return merged


def _without_nulls(instance: Instance) -> Instance:
    """Return a new instance of a merge as it is stored: its nulls remove nothing and are left out."""
    kept: Instance = {}
    for member, value in instance.items():
        if ":" in member:
            new = [_without_nulls(i) for i in instances(value) if not is_null(i)]
            found = [i for i in new if not _says_nothing(i)]
            if found:
                kept[member] = attribute_of(found)
        elif value != NULL:
            own = member == VALUE_MEMBERS[instance["type"]] and isinstance(value, dict)
            kept[member] = _merge_value({}, value) if own and instance["type"] != "GeoProperty" else value
    return kept


def replace_entity(entity: Entity, new: Entity, now: int) -> Update:
    """Replace Entity: all content is new, createdAt stays (clause 5.6.18)."""
    after = replace(
        new,
        created_at=entity.created_at,
        modified_at=now,
        stamps=_fresh_stamps(new, now),
        version=entity.version,
        owner=entity.owner,
    )
    return Update(after, frozenset(entity.attributes) | frozenset(new.attributes))


def _fresh_stamps(entity: Entity, now: int) -> dict[str, Stamp]:
    """Return the system times of attributes that are all created now in an entity that is older."""
    edit = _Edit(replace(entity, attributes={}, stamps={}), now)
    for iri, attribute in entity.attributes.items():
        for instance in instances(attribute):
            edit.put(iri, instance)
    return edit.stamps


def partial_update(entity: Entity, iri: str, fragment: Instance, now: int, telemetry: frozenset[str]) -> Update:
    """Partial Attribute update: members named are replaced, the others stay (clauses 5.6.4, 5.5.8)."""
    edit = _Edit(entity, now, telemetry)
    old = edit.get(iri, fragment.get("datasetId"))
    if old is None:
        raise ResourceNotFound(f"{entity.id} has no such instance of {iri}")
    if fragment.get("type", old["type"]) != old["type"]:
        raise BadRequestData(f"{iri}.type: a {old['type']} cannot become a {fragment['type']}")
    if "type" in fragment and VALUE_MEMBERS[old["type"]] in fragment and is_null(fragment):
        edit.remove(iri, fragment.get("datasetId"))
        return edit.finish()
    updated = dict(old)
    for member, value in fragment.items():
        check_holder(iri, old["type"], member)
        if value == NULL:
            updated.pop(member, None)
        elif ":" in member and any(is_null(i) for i in instances(value)):
            _merge_sub_attribute(updated, member, value)
        else:
            updated[member] = value
    edit.put(iri, updated)
    return edit.finish()


def replace_attribute(entity: Entity, iri: str, instance: Instance, now: int) -> Update:
    """Replace Attribute (clause 5.6.19)."""
    edit = _Edit(entity, now)
    if edit.get(iri, instance.get("datasetId")) is None:
        raise ResourceNotFound(f"{entity.id} has no such instance of {iri}")
    edit.put(iri, instance)
    return edit.finish()


def delete_attribute(entity: Entity, iri: str, dataset: str | None, delete_all: bool, now: int) -> Update:
    """Delete Attribute: one instance, or all of them (clause 5.6.5)."""
    edit = _Edit(entity, now)
    found = [i.get("datasetId") for i in instances(entity.attributes.get(iri, []))]
    wanted = found if delete_all else [d for d in found if d == dataset]
    if not wanted:
        raise ResourceNotFound(f"{entity.id} has no such instance of {iri}")
    for each in wanted:
        edit.remove(iri, each)
    return edit.finish()


def delete_scope(entity: Entity, now: int) -> Update:
    """Delete Attribute on scope (clause 5.6.5.4)."""
    if not entity.scope:
        raise ResourceNotFound(f"{entity.id} has no scope")
    edit = _Edit(entity, now)
    edit.scope = []
    return edit.finish()


def delete_attributes(entity: Entity, iris: Iterable[str], now: int) -> Update:
    """Remove all instances of these attributes, as purge with keep or drop does (clause 5.6.21.4)."""
    edit = _Edit(entity, now)
    for iri in iris:
        for instance in list(instances(entity.attributes.get(iri, []))):
            edit.remove(iri, instance.get("datasetId"))
    return edit.finish()
