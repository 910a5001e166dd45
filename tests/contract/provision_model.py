"""A plain model of the provision operations, written from the clauses alone (CIM 009 clause 5.6)."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import orjson

NULL = "urn:ngsi-ld:null"
VALUE_OF = {
    "Property": "value",
    "GeoProperty": "value",
    "Relationship": "object",
    "LanguageProperty": "languageMap",
    "VocabProperty": "vocab",
    "JsonProperty": "json",
    "ListProperty": "valueList",
    "ListRelationship": "objectList",
}

Json = dict[str, Any]
Attrs = dict[str, dict[str | None, Json]]


class Refused(Exception):
    """An operation that answers with this status and leaves everything as it was."""

    def __init__(self, status: int) -> None:
        self.status = status


class Model:
    """What the standard says becomes of entities: id -> {"type": [...], "scope": [...], "attrs": name -> dataset}."""

    def __init__(self) -> None:
        self.entities: dict[str, Json] = {}
        self.changes: defaultdict[str, list[str]] = defaultdict(list)
        self.written: list[tuple[str, str, str, Json | None]] = []
        """(entity, attribute, dataset, instance; None where it was deleted)."""

    def create(self, body: Json) -> None:
        """Create Entity (5.6.1)."""
        if body["id"] in self.entities:
            raise Refused(409)
        self.entities[body["id"]] = {"type": body["type"], "scope": body.get("scope", []), "attrs": {}}
        for name, dataset, instance in instances_of(body):
            self._put(body["id"], name, dataset, instance)
        self.changes[body["id"]].append("createEntity")

    def append(self, id: str, body: Json, overwrite: bool, operation: str = "appendAttrs") -> set[str]:
        """Append Attributes (5.6.3); return the names of what stays as it is."""
        with self._change(id, operation) as entity:
            kept = set()
            for name, dataset, instance in instances_of(body):
                if not overwrite and dataset in entity["attrs"].get(name, {}):
                    kept.add(name)
                else:
                    self._put(id, name, dataset, instance)
            self._add_types(entity, body)
            if "scope" in body:
                more = [s for s in body["scope"] if s not in entity["scope"]]
                entity["scope"] = body["scope"] if overwrite else entity["scope"] + more
            return kept

    def update(self, id: str, body: Json, operation: str = "updateAttrs") -> set[str]:
        """Update Attributes (5.6.2); return the names of what stays as it is."""
        with self._change(id, operation) as entity:
            kept = set()
            for name, dataset, instance in instances_of(body):
                if not is_null(instance):
                    self._put(id, name, dataset, instance)
                elif not self._remove(id, name, dataset):
                    kept.add(name)
            self._add_types(entity, body)
            if "scope" in body and entity["scope"]:
                entity["scope"] = body["scope"]
            elif "scope" in body:
                kept.add("scope")
            return kept

    def partial(self, id: str, name: str, body: Json) -> None:
        """Partial Attribute update (5.6.4)."""
        with self._change(id, "updateAttr") as entity:
            dataset = body.get("datasetId")
            old = entity["attrs"].get(name, {}).get(dataset)
            if old is None:
                raise Refused(404)
            if body.get("type", old["type"]) != old["type"]:
                raise Refused(400)
            if "type" in body and is_null(body):
                self._remove(id, name, dataset)
            else:
                new = {k: v for k, v in {**old, **body}.items() if v != NULL}
                self._put(id, name, dataset, new)

    def replace_attribute(self, id: str, name: str, body: Json) -> None:
        """Replace Attribute (5.6.19)."""
        with self._change(id, "replaceAttr") as entity:
            if body.get("datasetId") not in entity["attrs"].get(name, {}):
                raise Refused(404)
            self._put(id, name, body.get("datasetId"), body)

    def delete_attribute(self, id: str, name: str, dataset: str | None, everything: bool) -> None:
        """Delete Attribute (5.6.5)."""
        with self._change(id, "deleteAttr") as entity:
            found = list(entity["attrs"].get(name, {}))
            wanted = found if everything else [d for d in found if d == dataset]
            if not wanted:
                raise Refused(404)
            for each in wanted:
                self._remove(id, name, each)

    def merge(self, id: str, body: Json) -> None:
        """Merge Entity (5.6.17): RFC 7396 with NGSI-LD Null for null."""
        with self._change(id, "mergeEntity") as entity:
            for name, dataset, instance in instances_of(body):
                old = entity["attrs"].get(name, {}).get(dataset)
                if is_null(instance):
                    self._remove(id, name, dataset)
                elif old is not None and old["type"] != instance["type"]:
                    raise Refused(400)
                else:
                    self._put(id, name, dataset, merged(old, instance))
            self._add_types(entity, body)
            entity["scope"] = body.get("scope", entity["scope"])

    def replace(self, id: str, body: Json) -> None:
        """Replace Entity (5.6.18)."""
        with self._change(id, "replaceEntity") as entity:
            stays = {(name, dataset) for name, dataset, _ in instances_of(body)}
            for name in list(entity["attrs"]):
                for dataset in list(entity["attrs"][name]):
                    if (name, dataset) not in stays:
                        self._remove(id, name, dataset)
            entity |= {"type": body["type"], "scope": body.get("scope", []), "attrs": {}}
            for name, dataset, instance in instances_of(body):
                self._put(id, name, dataset, instance)

    def delete(self, id: str, operation: str = "deleteEntity") -> None:
        """Delete Entity (5.6.6)."""
        if id not in self.entities:
            raise Refused(404)
        for name, found in self.entities.pop(id)["attrs"].items():
            self.written += [(id, name, dataset or "", None) for dataset in found]
        self.changes[id].append(operation)

    def purge(self, type: str, keep: set[str] | None, drop: set[str] | None) -> None:
        """Purge Entities (5.6.21)."""
        for id in [i for i, e in self.entities.items() if type in e["type"]]:
            if keep is None and drop is None:
                self.delete(id, "purgeEntity")
                continue
            with self._change(id, "purgeEntity") as entity:
                for name in list(entity["attrs"]):
                    if name in drop if drop is not None else name not in (keep or set()):
                        for dataset in list(entity["attrs"][name]):
                            self._remove(id, name, dataset)

    @contextlib.contextmanager
    def _change(self, id: str, operation: str) -> Iterator[Json]:
        """Give the entity to change; log the change if anything was written, and nothing of it when it is refused."""
        if id not in self.entities:
            raise Refused(404)
        before, writes = deepcopy(self.entities[id]), len(self.written)
        try:
            yield self.entities[id]
        except Refused:
            self.entities[id] = before
            del self.written[writes:]
            raise
        entity = self.entities[id]
        touched = len(self.written) > writes or (entity["type"], entity["scope"]) != (before["type"], before["scope"])
        if touched:
            self.changes[id].append(operation)

    def _put(self, id: str, name: str, dataset: str | None, instance: Json) -> None:
        """Write an instance; the same content again is no change."""
        found = self.entities[id]["attrs"].setdefault(name, {})
        if dataset in found and canonical(orjson.dumps(found[dataset])) == canonical(orjson.dumps(instance)):
            return
        found[dataset] = instance
        self.written.append((id, name, dataset or "", instance))

    def _remove(self, id: str, name: str, dataset: str | None) -> bool:
        found = self.entities[id]["attrs"].get(name, {})
        if dataset not in found:
            return False
        del found[dataset]
        if not found:
            del self.entities[id]["attrs"][name]
        self.written.append((id, name, dataset or "", None))
        return True

    def _add_types(self, entity: Json, body: Json) -> None:
        entity["type"] = [*entity["type"], *(t for t in body.get("type", []) if t not in entity["type"])]


def merged(old: Any, new: Any) -> Any:
    """RFC 7396 with NGSI-LD Null for null."""
    if not isinstance(new, dict):
        return new
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value == NULL:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def is_null(instance: Json) -> bool:
    return any(instance.get(member) in (NULL, [NULL], {"@none": NULL}) for member in VALUE_OF.values())


def instances_of(body: Json) -> Iterator[tuple[str, str | None, Json]]:
    """Yield (name, dataset, instance) of the attributes of a body."""
    for name, value in body.items():
        if name not in ("id", "type", "scope"):
            for instance in value if isinstance(value, list) else [value]:
                yield name, instance.get("datasetId"), instance


def canonical(text: str | bytes) -> bytes:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
