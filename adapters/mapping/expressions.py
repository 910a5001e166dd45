"""Compiles the expressions of a mapping: from the value of a field to the statements that compute it.

An expression is absent (None) where the record has nothing for it; absence passes through every step.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from adapters.mapping import values
from adapters.mapping.names import Names, Nulls
from adapters.mapping.references import parse_template
from adapters.mapping.steps import STEPS, StepContext
from adapters.mapping.times import DayClock, seconds_between
from adapters.mapping.writer import Writer, absent, append, dict_of, load, present, store, tuple_of


class Expressions(Names):
    """Compiles expressions and conditions into a Writer."""

    def __init__(self, writer: Writer, context: StepContext, nulls: Nulls, name: str) -> None:
        super().__init__(writer, nulls, name)
        self._context = context
        self._clocks: list[str] = []
        self._unit: str | None = None
        self._target: tuple[str, str] | None = None
        self._forms: dict[str, Callable[[Any], ast.expr]] = {
            "const": self._const,
            "template": self._template,
            "coalesce": self._coalesce,
            "when": self._choice,
            "object": self._object,
            "list": self._list,
            "each": self._each,
            "point": self._point,
            "seconds": self._seconds,
            "entity": self._entity,
            "key": self._key,
        }

    @contextmanager
    def for_attribute(self, unit: str | None, target: tuple[str, str] | None = None) -> Iterator[None]:
        """Let the step `unit` convert to this unit inside, and a key without type or source stand for this target."""
        before = self._unit, self._target
        self._unit, self._target = unit, target
        try:
            yield
        finally:
            self._unit, self._target = before

    def value(self, expression: Any) -> ast.expr:
        """Write the statements for an expression and return a name or literal that holds its value."""
        if isinstance(expression, str):
            return self.reference(expression)
        if isinstance(expression, bool | int | float):
            return ast.Constant(expression)
        if isinstance(expression, list) and expression:
            return self._pipe(expression)
        if isinstance(expression, dict):
            for form, compile_form in self._forms.items():
                if form in expression:
                    return compile_form(expression)
        raise self.error(f"{values.shown(expression)} is no expression")

    def _pipe(self, expression: list[Any]) -> ast.expr:
        current = self.value(expression[0])
        if len(expression) == 1:
            return current
        result = self.writer.assign(self.writer.fresh(), current)
        self._steps(result, expression[1:])
        return result

    def _steps(self, result: ast.Name, steps: list[Any]) -> None:
        """Write steps over the local name `result`, each behind the test that there is a value."""
        with self.writer.when(present(result)):
            current: ast.expr = result
            for number, step in enumerate(steps, 1):
                function, nullable, operands = self._step(step)
                current = self.writer.call(function, current, *operands)
                if nullable and number < len(steps):
                    self.writer.assign(result.id, current)
                    self._steps(result, steps[number:])
                    return
            self.writer.assign(result.id, current)

    def _step(self, step: Any) -> tuple[Callable[..., Any], bool, list[ast.expr]]:
        name, arguments = next(iter(step.items())) if isinstance(step, dict) and len(step) == 1 else (step, None)
        if not isinstance(name, str) or name not in STEPS:
            raise self.error(f"there is no step {values.shown(name)}")
        declared = STEPS[name]
        given = arguments if isinstance(arguments, dict) else {}
        operands = [self.value(given[operand]) for operand in declared.operands if operand in given]
        if name == "timeOfDay":
            operands.append(load(self._clock()))
        context = replace(self._context, unit=self._unit, place=self.place, functions=self._inner_step)
        try:
            return declared.make(arguments, context), declared.nullable, operands
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.error(f"the step {name}: {error}") from None

    def _inner_step(self, step: Any) -> tuple[Callable[[Any], Any], bool]:
        function, nullable, operands = self._step(step)
        if operands:
            raise self.error(f"the step {values.shown(step)} cannot stand inside map")
        return function, nullable

    def _clock(self) -> str:
        """Return the name of the clock that puts the times of day of this place on the calendar."""
        name = f"clock{len(self._clocks)}"
        self._clocks.append(name)
        return name

    def _const(self, expression: Mapping[str, Any]) -> ast.expr:
        return self.literal(expression["const"])

    def literal(self, value: Any) -> ast.expr:
        """Return a display of a constant, fresh at each evaluation where it is a list or an object."""
        if isinstance(value, dict):
            return self.writer.bind(dict_of([(str(k), self.literal(v)) for k, v in value.items()]))
        if isinstance(value, list):
            return self.writer.bind(ast.List([self.literal(v) for v in value], ast.Load()))
        if isinstance(value, str | int | float | bool):
            return ast.Constant(value)
        raise self.error(f"{value!r} is no constant of JSON; write dates in quotes")

    def _template(self, expression: Mapping[str, Any]) -> ast.expr:
        try:
            parsed = parse_template(expression["template"])
        except ValueError as error:
            raise self.error(str(error)) from None
        parts = [ast.Constant(part) if isinstance(part, str) else self.read(part) for part in parsed]
        return self.writer.bind(self.writer.call(values.joined, tuple_of(parts)))

    def _coalesce(self, expression: Mapping[str, Any]) -> ast.expr:
        choices = expression["coalesce"]
        result = self.writer.assign(self.writer.fresh(), self.value(choices[0]))
        for choice in choices[1:]:
            with self.writer.when(absent(result)):
                self.writer.assign(result.id, self.value(choice))
        return result

    def _choice(self, expression: Mapping[str, Any]) -> ast.expr:
        name = self.writer.fresh()
        test = self.condition(expression["when"])
        with self.writer.inside() as then:
            self.writer.assign(name, self.value(expression["then"]))
        with self.writer.inside() as otherwise:
            other = self.value(expression["otherwise"]) if "otherwise" in expression else ast.Constant(None)
            self.writer.assign(name, other)
        self.writer.emit(ast.If(test, then, otherwise))
        return load(name)

    def _object(self, expression: Mapping[str, Any]) -> ast.expr:
        members = [(name, self.value(inner)) for name, inner in expression["object"].items()]
        return self.writer.bind(self.writer.call(values.without_nulls, dict_of(members)))

    def _list(self, expression: Mapping[str, Any]) -> ast.expr:
        found = ast.List([self.value(inner) for inner in expression["list"]], ast.Load())
        return self.writer.bind(self.writer.call(values.list_without_nulls, found))

    def _each(self, expression: Mapping[str, Any]) -> ast.expr:
        result = self.writer.assign(self.writer.fresh(), ast.List([], ast.Load()))
        over = self.writer.call(values.items, self.value(expression["each"]))
        item = self.writer.fresh("i")
        with self.scope(), self.writer.loop(store(item), over):
            self.define(expression["as"], item)
            self.writer.emit(append(result, self.value(expression["value"])))
        return self.writer.assign(result.id, self.writer.call(values.list_without_nulls, result))

    def _point(self, expression: Mapping[str, Any]) -> ast.expr:
        written = expression["point"]
        longitude, latitude = self.value(written["longitude"]), self.value(written["latitude"])
        return self.writer.bind(self.writer.call(values.point, longitude, latitude))

    def _seconds(self, expression: Mapping[str, Any]) -> ast.expr:
        written = expression["seconds"]
        start, end = self.value(written["from"]), self.value(written["to"])
        return self.writer.bind(self.writer.call(seconds_between, start, end))

    def _entity(self, expression: Mapping[str, Any]) -> ast.expr:
        local = self.local(f"entity {expression['entity']}")
        if local is None:
            raise self.error(f"there is no entity named {expression['entity']!r} here")
        self.used.add(local)
        return load(local)

    def _key(self, expression: Mapping[str, Any]) -> ast.expr:
        target, source = self._target or (None, "")
        target = expression.get("type", target)
        if target is None:
            raise self.error("a key needs the type of the entity that it belongs to")
        return self.urn(target, expression.get("source", source), expression["key"])

    def urn(self, entity_type: str, source: str, key: list[Any]) -> ast.expr:
        """Return the id of an entity of this type, source and key."""
        parts = [self.value(part) for part in key]
        prefix = ast.Constant(f"urn:ngsi-ld:{entity_type}:{source}:")
        return self.writer.bind(self.writer.call(values.urn, prefix, tuple_of(parts)), "id")

    def condition(self, condition: Any) -> ast.expr:
        """Write the statements for a condition and return its test."""
        if not isinstance(condition, dict) or len(condition) != 1:
            raise self.error(f"{values.shown(condition)} is no condition")
        form, argument = next(iter(condition.items()))
        match form:
            case "present":
                return present(self.value(argument))
            case "absent":
                return absent(self.value(argument))
            case "equal":
                return ast.Compare(self.value(argument[0]), [ast.Eq()], [self.value(argument[1])])
            case "in":
                return self.writer.call(values.among, self.value(argument[0]), self.writer.constant(argument[1]))
            case "less":
                return self.writer.call(values.less, self.value(argument[0]), self.value(argument[1]))
            case "not":
                return ast.UnaryOp(ast.Not(), self.condition(argument))
            case "all" | "any":
                return ast.BoolOp(ast.And() if form == "all" else ast.Or(), [self.condition(c) for c in argument])
        raise self.error(f"there is no condition {values.shown(form)}")

    def new_clocks(self) -> list[ast.stmt]:
        """Return the statements that make the clocks for times of day, one set for each record."""
        with self.writer.inside() as body:
            for name in self._clocks:
                self.writer.assign(name, self.writer.call(DayClock))
        return body
