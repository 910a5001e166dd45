"""Compiles the entities of a mapping: ids, links, attributes with their metadata, loops over arrays."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, Final

from adapters.mapping import times, values
from adapters.mapping.expressions import Expressions
from adapters.mapping.references import META
from adapters.mapping.values import Unusable
from adapters.mapping.vocabulary import AttributeFacts, Vocabulary
from adapters.mapping.writer import Writer, append, dict_of, load, present, set_item, store, tuple_of

_MEMBERS: Final = {
    "Property": "value",
    "GeoProperty": "value",
    "Relationship": "object",
    "VocabProperty": "vocab",
    "LanguageProperty": "languageMap",
    "ListProperty": "valueList",
}
_SPECIFICATION: Final = {"value", "observedAt", "datasetId", "attributes"}
_SEEN_AT_MOST: Final = 100_000

#: What a batch made shared entities from last, by their place in the mapping and id.
Made = dict[tuple[int, str], tuple[Any, ...]]


def _typed(datatype: str, text: Callable[[Any], str]) -> Callable[[Any], dict[str, str]]:
    return lambda value: {"@type": datatype, "@value": text(value)}


def _language_map(value: Any) -> dict[str, Any]:
    if value.__class__ is dict and all(isinstance(v, str) for v in value.values()):
        return value
    raise Unusable("language map", value, "is no object of language -> text")


#: How a value of each range of the CIM is written; a range that is absent here is taken as it is.
_WRITERS: Final[dict[str, Callable[[Any], Any]]] = {
    "string": values.text,
    "number": values.number,
    "integer": values.integer,
    "boolean": values.boolean,
    "anyURI": values.uri,
    "dateTime": _typed("DateTime", times.utc_text),
    "date": _typed("Date", times.date_text),
    "geometry": values.geometry,
    "langString": _language_map,
}


def observed(value: Any) -> str:
    """Return the text of observedAt; raises Unusable where there is no time."""
    if value is None:
        raise Unusable("observedAt", None, "has no time at which it was observed")
    return times.utc_text(value)


def unseen(seen: Made | None, entity: tuple[int, str], made_from: tuple[Any, ...]) -> bool:
    """Return whether an entity is to be made: not where the batch made it from the same values last."""
    if seen is None:
        return True
    if seen.get(entity) == made_from:
        return False
    if len(seen) >= _SEEN_AT_MOST:
        seen.clear()
    seen[entity] = made_from
    return True


def no_key(entity_type: str) -> None:
    """Refuse a record that lacks the key of its own entity."""
    raise Unusable("key", None, f"is missing: it is the key of the {entity_type}")


def each_of(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that applies another one to each item of a list, or to what is no list."""
    return lambda value: [function(item) for item in value] if value.__class__ is list else function(value)


class Entities:
    """Compiles entity blocks into a Writer."""

    def __init__(
        self, writer: Writer, expressions: Expressions, vocabulary: Vocabulary, source: str, personal: bool
    ) -> None:
        self.types: list[str] = []
        self._writer = writer
        self._expressions = expressions
        self._vocabulary = vocabulary
        self._source = source
        self._personal = personal

    def compile(self, blocks: list[dict[str, Any]], *, outer: bool = True) -> None:
        """Write the statements for a list of blocks: entities, and loops that hold blocks of their own."""
        identified = [(block, *self._identify(block, own=outer and n == 0)) for n, block in enumerate(blocks)]
        for number, (block, local, used) in enumerate(identified):
            if local is None:
                self._loop(block)
            elif outer and number == 0:
                self._entity(block, local)
            else:
                with self._writer.when(present(load(local))):
                    if block.get("shared"):
                        self._shared(block, local, used, outer)
                    else:
                        self._entity(block, local)

    def _identify(self, block: dict[str, Any], own: bool) -> tuple[str | None, set[str]]:
        """Write the id of an entity, None where the record has no key for it; return its local name."""
        if "type" not in block:
            if own:
                raise self._expressions.error("the first of the entities is the record's own: it cannot be a loop")
            return None, set()
        entity_type = block["type"]
        if entity_type not in self._vocabulary.classes:
            near = _near(entity_type, self._vocabulary.classes)
            raise self._expressions.error(f"the CIM has no class {entity_type}{near}")
        if entity_type not in self.types:
            self.types.append(entity_type)
        self._expressions.at(f"{entity_type}.id")
        self._expressions.used = set()
        local = self._writer.fresh("id")
        source = block.get("source", self._source)
        if "when" in block:
            if own:
                raise self._expressions.error("the first of the entities is the record's own: it takes no when")
            self._writer.assign(local, ast.Constant(None))
            with self._writer.when(self._expressions.condition(block["when"])):
                self._writer.assign(local, self._expressions.urn(entity_type, source, block["id"]))
        else:
            self._writer.assign(local, self._expressions.urn(entity_type, source, block["id"]))
        if own:
            missing = ast.UnaryOp(ast.Not(), load(local))
            with self._writer.when(missing):
                self._writer.emit(ast.Expr(self._writer.call(no_key, ast.Constant(entity_type))))
        self._expressions.define_entity(block.get("name", entity_type), local)
        return local, set(self._expressions.used)

    def _loop(self, block: dict[str, Any]) -> None:
        self._expressions.at(f"each {block['as']}")
        over = self._writer.call(values.items, self._expressions.value(block["each"]))
        item, number = self._writer.fresh("i"), self._writer.fresh("n")
        start = [ast.keyword("start", ast.Constant(1))]
        counted = ast.Call(self._writer.constant(enumerate), [over], start)
        target = ast.Tuple([store(number), store(item)], ast.Store())
        with self._expressions.scope(), self._writer.loop(target, counted):
            self._expressions.define(block["as"], item)
            if "number" in block:
                self._expressions.define(block["number"], number)
            self.let(block.get("let", {}))
            if "when" in block:
                with self._writer.when(self._expressions.condition(block["when"])):
                    self.compile(block["entities"], outer=False)
            else:
                self.compile(block["entities"], outer=False)

    def let(self, named: dict[str, Any]) -> None:
        """Write the values of `let`, each usable by those after it."""
        for name, expression in named.items():
            self._expressions.at(f"${name}")
            local = self._writer.fresh("x")
            self._writer.assign(local, self._expressions.value(expression))
            self._expressions.define(name, local)

    def _shared(self, block: dict[str, Any], local: str, used: set[str], outer: bool) -> None:
        """Write an entity that many records describe: made again in a batch when its values changed."""
        if not outer:
            raise self._expressions.error("shared: has no effect inside a loop")
        self._expressions.used = set()
        with self._writer.inside() as body:
            self._entity(block, local)
        used = used | self._expressions.used
        if META in used:
            raise self._expressions.error("shared: an entity that uses $meta differs from record to record")
        entity = tuple_of([ast.Constant(len(self._writer.places)), load(local)])
        made_from = tuple_of([load(name) for name in sorted(used)])
        self._writer.emit(ast.If(self._writer.call(unseen, load("seen"), entity, made_from), body, []))

    def _entity(self, block: dict[str, Any], local: str) -> None:
        entity_type = block["type"]
        entity = self._writer.fresh("e")
        self._writer.assign(entity, dict_of([("id", load(local)), ("type", ast.Constant(entity_type))]))
        moment: ast.expr | None = None
        if "observedAt" in block:
            self._expressions.at(f"{entity_type}.observedAt")
            moment = self._moment(block["observedAt"])
        for name, specification in block["attributes"].items():
            self._expressions.at(f"{entity_type}.{name}")
            self._attribute(entity, self._facts(entity_type, name), name, specification, moment)
        self._writer.emit(append(load("out"), load(entity)))

    def _moment(self, expression: Any) -> ast.expr:
        return self._writer.bind(self._writer.call(observed, self._expressions.value(expression)))

    def _facts(self, entity_type: str, name: str) -> AttributeFacts:
        known = self._vocabulary.classes[entity_type]
        if name not in known:
            raise self._expressions.error(f"the CIM gives {entity_type} no attribute {name}{_near(name, known)}")
        if known[name].derived:
            raise self._expressions.error(f"{name} is derived: set the link on the other side, from child to parent")
        return known[name]

    def _sub_facts(self, name: str, sub_name: str) -> AttributeFacts:
        known = self._vocabulary.sub_attributes
        if sub_name not in known:
            near = _near(sub_name, known)
            raise self._expressions.error(f"the CIM has no sub-attribute {sub_name} for {name}{near}")
        return known[sub_name]

    def _attribute(
        self, holder: str, facts: AttributeFacts, name: str, specification: Any, moment: ast.expr | None
    ) -> None:
        """Write one attribute into the local name `holder`, where the record has a value for it."""
        whole = specification if _is_specification(specification) else {"value": specification}
        self._check(facts, name, whole, moment)
        target = (facts.range, self._source) if facts.kind == "Relationship" else None
        with self._expressions.for_attribute(facts.unit, target):
            value = self._expressions.value(whole["value"])
        if isinstance(value, ast.Constant) and value.value is not None:
            self._instance(holder, facts, name, whole, value, moment)
            return
        with self._writer.when(present(value)):
            self._instance(holder, facts, name, whole, value, moment)

    def _check(self, facts: AttributeFacts, name: str, whole: dict[str, Any], moment: ast.expr | None) -> None:
        if facts.personal and not self._personal:
            message = f"{name} is personal data: say `personal: true` in the mapping, or leave it out"
            raise self._expressions.error(message)
        if facts.telemetry and moment is None and "observedAt" not in whole:
            raise self._expressions.error(f"{name} changes in time: it needs observedAt, here or on the entity")
        if facts.money and "currency" not in whole.get("attributes", {}):
            raise self._expressions.error(f"{name} is money: it needs the sub-attribute currency")

    def _instance(
        self,
        holder: str,
        facts: AttributeFacts,
        name: str,
        whole: dict[str, Any],
        value: ast.expr,
        moment: ast.expr | None,
    ) -> None:
        members = [("type", ast.Constant(facts.kind)), (_MEMBERS[facts.kind], self._written(facts, whole, value))]
        if "observedAt" in whole:
            members.append(("observedAt", self._moment(whole["observedAt"])))
        elif facts.telemetry and moment is not None:
            members.append(("observedAt", moment))
        if facts.unit_code is not None:
            members.append(("unitCode", ast.Constant(facts.unit_code)))
        elif facts.unit is not None:
            members.append(("unit", dict_of([("type", ast.Constant("Property")), ("value", ast.Constant(facts.unit))])))
        instance: ast.expr = dict_of(members)
        if "datasetId" in whole or "attributes" in whole:
            local = self._writer.fresh("a")
            instance = self._writer.assign(local, instance)
            if "datasetId" in whole:
                dataset = self._expressions.value(whole["datasetId"])
                with self._writer.when(present(dataset)):
                    self._writer.emit(set_item(instance, "datasetId", self._writer.call(values.uri, dataset)))
            for sub_name, inner in whole.get("attributes", {}).items():
                self._attribute(local, self._sub_facts(name, sub_name), sub_name, inner, None)
        self._writer.emit(set_item(load(holder), name, instance))

    def _written(self, facts: AttributeFacts, whole: dict[str, Any], value: ast.expr) -> ast.expr:
        """Return the value as its range demands: text, number, typed time, URI."""
        if facts.kind == "Relationship":
            made_here = isinstance(whole["value"], dict) and ("key" in whole["value"] or "entity" in whole["value"])
            return value if made_here else self._writer.call(each_of(values.uri), value)
        function = values.text if facts.kind == "VocabProperty" else _WRITERS.get(facts.range)
        if function is None:
            return value
        if isinstance(value, ast.Constant):
            try:
                constant = function(value.value)
                if facts.choices and constant not in facts.choices:
                    raise Unusable("scheme", constant, f"is none of {', '.join(sorted(facts.choices))}")
                return self._expressions.literal(constant)
            except Unusable as error:
                raise self._expressions.error(f"{error.value!r} {error.reason}") from None
        return self._writer.call(each_of(function) if facts.many else function, value)


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 3, 0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _is_specification(specification: Any) -> bool:
    return isinstance(specification, dict) and "value" in specification and specification.keys() <= _SPECIFICATION
