"""From a mapping as data to a function: checked against the schema and the CIM, compiled once through an ast."""

from __future__ import annotations

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from adapters.errors import ManifestError, RecordError
from adapters.mapping.entities import Entities, Made
from adapters.mapping.expressions import Expressions
from adapters.mapping.names import Nulls
from adapters.mapping.pseudonyms import stream_key
from adapters.mapping.references import RECORD
from adapters.mapping.steps import StepContext
from adapters.mapping.values import Unusable, shown
from adapters.mapping.vocabulary import Vocabulary
from adapters.mapping.writer import Writer, absent, load
from adapters.provider import Check, RecordMeta

_FUNCTION: Final = "entities"
_ARGUMENTS: Final = ("record", "meta", "seen")

Entity = dict[str, Any]
MadeEntities = Callable[[Mapping[str, Any], RecordMeta | None, Made | None], list[Entity]]


class _StrictLoader(yaml.SafeLoader):
    """Reads YAML with the scalars of JSON, and refuses a name that comes twice in an object.

    YAML 1.1 would make a number of 12:30:00, a boolean of `on` and a date of 2030-01-01; and of two equal names the
    second would win unseen.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own name and form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key))
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} comes twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"(?:null|~|)$", ["n", "~", ""]),
    ("bool", r"(?:true|false)$", ["t", "f"]),
    ("int", r"-?(?:0|[1-9][0-9]*)$", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?$", list("-0123456789")),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class CompiledMapping:
    """A mapping that is ready to use: `apply` turns a record into entities."""

    __slots__ = ("_make", "dropped", "fields", "source", "types")

    def __init__(
        self, source: str, types: tuple[str, ...], fields: frozenset[str], dropped: Counter[str], make: MadeEntities
    ) -> None:
        self.source = source
        self.types = types
        """The classes of the entities that it makes, the record's own first."""
        self.fields = fields
        """The members of a record that it reads."""
        self.dropped = dropped
        """How many personal values were left out for want of a key, by attribute."""
        self._make = make

    def apply(self, record: Mapping[str, Any], meta: RecordMeta | None = None) -> list[Entity]:
        """Return the entities of a record, its own first; raises RecordError, which names field, rule and value."""
        if not isinstance(record, dict):
            raise RecordError(f"a record is an object, this is {shown(record)}", rule="object")
        return self._make(record, meta, None)

    def apply_many(
        self, records: Iterable[tuple[Mapping[str, Any], RecordMeta | None]], check: Check | None = None
    ) -> list[list[Entity] | RecordError]:
        """Return entities or error for each record of a batch, in order.

        An entity marked `shared` (the station of many sessions) is made once in the batch as long as the values that it
        is made from stay the same. `check` raises RecordError where the entities of a record must not be delivered.
        """
        make, seen = self._make, Made()
        found: list[list[Entity] | RecordError] = []
        for record, meta in records:
            if not isinstance(record, dict):
                found.append(RecordError(f"a record is an object, this is {shown(record)}", rule="object"))
                continue
            try:
                entities = make(record, meta, seen)
                if check is not None:
                    check(entities)
                found.append(entities)
            except RecordError as error:
                # What was made of this record before it failed is lost: the next ones make it again.
                seen.clear()
                found.append(error)
        return found


def compile_mapping(
    document: Any, name: str, vocabulary: Vocabulary, environment: Mapping[str, str] | None = None
) -> CompiledMapping:
    """Return the mapping that a document describes.

    `name` is the file's, for messages; `environment` holds the secret for pseudonyms, by default the process's. Raises
    ManifestError, which names the part of the mapping that is wrong.
    """
    _validate(document, name)
    dropped: Counter[str] = Counter()
    key = stream_key(os.environ if environment is None else environment, document["source"])
    schemes = {**vocabulary.schemes, **document.get("schemes", {})}
    context = StepContext(schemes, document.get("zone"), key, dropped)
    nulls = Nulls(tuple(document.get("nullValues", [""])), document.get("trim", False))
    writer = Writer()
    expressions = Expressions(writer, context, nulls, name)
    entities = Entities(writer, expressions, vocabulary, document["source"], document.get("personal", False))
    with writer.inside() as body:
        _require(document.get("require", []), writer, expressions)
        entities.let(document.get("let", {}))
        _reject(document.get("reject", []), writer, expressions)
        entities.compile(document["entities"])
    make = _function(writer, expressions, body, name)
    fields = frozenset(found.path[0][0] for found in expressions.fields.values() if found.root == RECORD and found.path)
    return CompiledMapping(document["source"], tuple(entities.types), fields, dropped, make)


def parse_mapping(
    text: str, name: str, vocabulary: Vocabulary, environment: Mapping[str, str] | None = None
) -> CompiledMapping:
    """Return the mapping that a YAML text describes; raises ManifestError."""
    try:
        document = yaml.load(text, _StrictLoader)  # noqa: S506 - a safe loader, only stricter
    except yaml.YAMLError as error:
        raise ManifestError(f"{name}: no YAML: {error}") from error
    return compile_mapping(document, name, vocabulary, environment)


@cache
def mapping_schema() -> dict[str, Any]:
    """Return the JSON schema of a mapping."""
    return json.loads(files("adapters.mapping").joinpath("mapping.schema.json").read_text())  # type: ignore[no-any-return]


def _validate(document: Any, name: str) -> None:
    error = best_match(Draft202012Validator(mapping_schema()).iter_errors(document))
    if error is not None:
        where = "/".join(map(str, error.absolute_path))
        raise ManifestError(f"{name}: {where or 'mapping'}: {error.message[:500]}")


def required(value: Any) -> None:
    """Refuse an absent value."""
    if value is None:
        raise Unusable("require", None, "is missing")


def reject(reason: str) -> None:
    """Refuse the record."""
    raise Unusable("reject", "", reason)


def _require(fields: list[str], writer: Writer, expressions: Expressions) -> None:
    for written in fields:
        expressions.at("require")
        value = expressions.reference(written)
        with writer.when(absent(value)):
            writer.emit(ast.Expr(writer.call(required, value)))


def _reject(rules: list[dict[str, Any]], writer: Writer, expressions: Expressions) -> None:
    for rule in rules:
        expressions.at("reject")
        with writer.when(expressions.condition(rule["when"])):
            writer.emit(ast.Expr(writer.call(reject, ast.Constant(rule["reason"]))))


def _failed(places: list[tuple[str, list[str]]], at: int, error: Unusable) -> RecordError:
    """Return the error of a record: what is wrong with which field, for which part of the mapping."""
    place, mentioned = places[at]
    fields = list(dict.fromkeys(mentioned))
    if error.rule == "reject":
        return RecordError(f"{error.reason} ({', '.join(fields)})", field=", ".join(fields), rule=error.reason)
    value = "" if error.value is None else f"{shown(error.value)} "
    message = f"{place}: {', '.join(fields) or 'record'}: {value}{error.reason}"
    return RecordError(message, field=", ".join(fields), rule=error.rule)


def _function(writer: Writer, expressions: Expressions, body: list[ast.stmt], name: str) -> MadeEntities:
    """Return the function whose statements were written, compiled in a namespace of its own."""
    with writer.inside() as start:
        writer.assign("at", ast.Constant(0))
        writer.assign("out", ast.List([], ast.Load()))
        start += expressions.new_clocks()
    places = writer.constant(writer.places)
    failed = ast.Raise(writer.call(_failed, places, load("at"), load("error")), ast.Constant(None))
    handler = ast.ExceptHandler(writer.constant(Unusable), "error", [failed])
    attempt = ast.Try([*expressions.read_fields(), *body], [handler], [], [])
    arguments = ast.arguments([], [ast.arg(a) for a in _ARGUMENTS], None, [], [], None, [])
    function = ast.FunctionDef(_FUNCTION, arguments, [*start, attempt, ast.Return(load("out"))], [], None)
    module = ast.fix_missing_locations(ast.Module([function], []))
    exec(compile(module, f"<mapping {name}>", "exec"), writer.namespace)  # noqa: S102 - the tree holds no text of the mapping but constants
    return writer.namespace[_FUNCTION]  # type: ignore[no-any-return]
