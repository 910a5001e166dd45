"""The query language q (CIM 009 clause 4.9): text -> AST.

    query   = all *("|" all)            link  = name "{" [type *("," type) ":"] (link / path) "}"
    all     = term *(";" term)          path  = name *("." name) ["[" key *("." key) "]"]
    term    = "(" query ")" / (link / path) [operator value]

The text comes percent-decoded. Names expand through the @context; a bad text gets BadRequestData with its position.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

from ngsild.context import CORE_NAMESPACE, Terms
from ngsild.names import is_name, is_uri, parse_date, parse_date_time, parse_time
from ngsild.problems import BadRequestData, TooComplexQuery
from ngsild.query.ast import (
    ENTITY_MEMBERS,
    INSTANCE_MEMBERS,
    TEMPORAL_MEMBERS,
    TERM_MEMBERS,
    And,
    Boolean,
    Compare,
    Equal,
    Exists,
    Key,
    Leaf,
    Linked,
    Match,
    Moment,
    MomentType,
    Node,
    Number,
    Or,
    Path,
    Range,
    Scalar,
    Text,
)
from ngsild.query.pattern import parse_pattern

MAX_LENGTH = 8192
MAX_TERMS = 100
MAX_DEPTH = 16
MAX_VALUES = 500

_NAME = re.compile(r"[^\W\d_]\w*")
_PREFIXED = re.compile(r"[^\W\d_]\w*(?::[^\W\d_]\w*)?")
_HINT = re.compile(r"[^\W\d_]\w*(?:,[^\W\d_]\w*)*:")
_TRAIL = re.compile(r"\[([^\[\]]*)\]")
_TRAIL_KEY = re.compile(r"[\w@*:-]+")
_OPERATOR = re.compile(r"!~=|~=|==|!=|>=|<=|>|<")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?=\.\.|[,;|)]|\Z)", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?Z(?=\.\.|[,;|)]|\Z)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?=\.\.|[,;|)]|\Z)", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d(?:[.,]\d+)?Z(?=\.\.|[,;|)]|\Z)", re.ASCII)
_BARE = re.compile(r"[^,;|()\"\s]+")
_ORDERING: Final = ("<", "<=", ">", ">=")
_MOMENTS: tuple[tuple[MomentType, re.Pattern[str], Callable[[object], int | None]], ...] = (
    ("DateTime", _DATE_TIME, parse_date_time),
    ("Time", _TIME, parse_time),
    ("Date", _DATE, parse_date),
)


def parse_q(
    text: str, terms: Terms, expand_values: Iterable[str] = (), json_keys: Iterable[str] = (), parameter: str = "q"
) -> Node:
    """Return the AST of a query (clause 4.9).

    `expand_values` names attributes whose query values are terms; `json_keys` attributes whose trailing paths are raw
    keys. BadRequestData names the position of an error; TooComplexQuery is raised above the limits of this module.
    """
    if len(text) > MAX_LENGTH:
        raise TooComplexQuery(f"{parameter}: longer than {MAX_LENGTH} characters")
    parser = Parser(text, terms, parameter)
    parser.expanded = {terms.expand(name) for name in expand_values}
    parser.raw = {terms.expand(name) for name in json_keys}
    node = parser.query(0)
    parser.end()
    return node


class Parser:
    """A position in a text of the query language; methods are the rules of its grammar."""

    def __init__(self, text: str, terms: Terms, parameter: str) -> None:
        self.text = text
        self.terms = terms
        self.parameter = parameter
        self.position = 0
        self.expanded: set[str] = set()
        self.raw: set[str] = set()
        self._terms_left = MAX_TERMS
        self._values_left = MAX_VALUES

    def fail(self, expected: str, position: int | None = None) -> NoReturn:
        at = self.position if position is None else position
        raise BadRequestData(f"{self.parameter}: {expected} expected at position {at + 1}")

    def end(self) -> None:
        if self.position < len(self.text):
            self.fail("the end")

    def query(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise TooComplexQuery(f"{self.parameter}: nested more than {MAX_DEPTH} levels deep")
        alternatives = [self._all(depth)]
        while self._take("|"):
            alternatives.append(self._all(depth))
        return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))

    def _all(self, depth: int) -> Node:
        terms = [self._term(depth)]
        while self._take(";"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, depth: int) -> Node:
        if self._take("("):
            node = self.query(depth + 1)
            if not self._take(")"):
                self.fail("a closing parenthesis")
            return node
        self._terms_left -= 1
        if self._terms_left < 0:
            raise TooComplexQuery(f"{self.parameter}: more than {MAX_TERMS} terms")
        links, path = self._linked_path(MAX_DEPTH)
        node = self._comparison(path)
        for relationship, types in reversed(links):
            node = Linked(relationship, types, node)
        return node

    def _linked_path(self, depth: int) -> tuple[list[tuple[str, frozenset[str]]], Path]:
        start = self.position
        name = self._match(_NAME)
        if name is None or not self._take("{"):
            self.position = start
            return [], self.path()
        if depth == 0:
            raise TooComplexQuery(f"{self.parameter}: more than {MAX_DEPTH} links in one path")
        hint = self._match(_HINT)
        types = frozenset(self.terms.expand(t) for t in hint[:-1].split(",")) if hint else frozenset()
        links, path = self._linked_path(depth - 1)
        if not self._take("}"):
            self.fail("a closing brace")
        return [(self._expand(name, start), types), *links], path

    def path(self) -> Path:
        """Read an attribute path, as orderBy has it too."""
        start = self.position
        name = self._match(_PREFIXED)
        if name is None:
            self.fail("an attribute name")
        if name in ENTITY_MEMBERS:
            return Path(name)
        attribute = self._expand(name, start)
        sub_attributes: list[str] = []
        member = None
        while member is None and self._take("."):
            start = self.position
            name = self._match(_PREFIXED)
            if name is None:
                self.fail("an attribute name")
            iri = self._expand(name, start)
            member = name if name in INSTANCE_MEMBERS else _core_member(iri)
            if member is None:
                sub_attributes.append(iri)
        trail = () if member else self._trail()
        return Path(attribute, tuple(sub_attributes), member, trail, bool(trail) and attribute in self.raw)

    def _trail(self) -> tuple[Key, ...]:
        start = self.position
        bracket = _TRAIL.match(self.text, start)
        if bracket is None:
            return ()
        self.position = bracket.end()
        keys = bracket[1].split(".")
        if not all(_TRAIL_KEY.fullmatch(key) for key in keys):
            self.fail("a dotted path of names", start + 1)
        return tuple(Key(key, self.terms.expand(key)) for key in keys)

    def _comparison(self, path: Path) -> Leaf:
        operator = self._match(_OPERATOR)
        if operator is None:
            return Exists(path)
        if operator in ("~=", "!~="):
            return Match(path, parse_pattern(self._pattern(), self.parameter), operator == "!~=")
        if operator in ("==", "!="):
            values = [self._value_or_range(path)]
            while self._take(","):
                values.append(self._value(path))
            return Equal(path, tuple(values), operator == "!=")
        start = self.position
        value = self._value(path)
        if isinstance(value, Boolean) or self.text[start] not in '"-0123456789':
            self.fail("a number, a quoted text or a time", start)
        return Compare(path, next(o for o in _ORDERING if o == operator), value)

    def _value_or_range(self, path: Path) -> Scalar | Range:
        start = self.position
        low = self._value(path)
        if not self.text.startswith("..", self.position):
            return low
        self.position += 2
        high = self._value(path)
        if isinstance(low, Boolean) or not _same_type(low, high):
            self.fail("a range of two values of one type", start)
        return Range(low, high)

    def _value(self, path: Path) -> Scalar:
        self._values_left -= 1
        if self._values_left < 0:
            raise TooComplexQuery(f"{self.parameter}: more than {MAX_VALUES} values")
        start = self.position
        if self.text.startswith('"', start):
            return self._text(path, self._quoted())
        for kind, syntax, parse in _MOMENTS:
            literal = self._match(syntax)
            if literal is not None:
                moment = parse(literal)
                if moment is None:
                    self.fail(f"a valid {kind}", start)
                return Moment(moment, kind)
        literal = self._match(_NUMBER)
        if literal is not None:
            number = float(literal)
            if not math.isfinite(number):
                self.fail("a number in the range of IEEE doubles", start)
            return Number(number)
        literal = self._match(_BARE)
        if literal in ("true", "false"):
            return Boolean(literal == "true")
        if literal is None or not (is_uri(literal) or is_name(literal)):
            self.fail("a value", start)
        return self._text(path, literal)

    def _text(self, path: Path, text: str) -> Scalar:
        """Return a text as the type of its target asks: a time for system times, an IRI for a term."""
        last = path.member or path.attribute
        if last in TEMPORAL_MEMBERS:
            moment = parse_date_time(text)
            return Text(text) if moment is None else Moment(moment)
        if last in TERM_MEMBERS or path.attribute in self.expanded:
            return Text(self.terms.expand(text))
        return Text(text)

    def _quoted(self) -> str:
        start = self.position
        literal = self._match(_QUOTED)
        if literal is None:
            self.fail("a closing quote", len(self.text))
        try:
            text = str(json.loads(literal))
            text.encode()
        except ValueError:
            self.fail("a JSON string", start)
        return text

    def _pattern(self) -> str:
        literal = self._match(_QUOTED)
        if literal is not None:
            return literal[1:-1].replace('\\"', '"')
        start, depth = self.position, 0
        while self.position < len(self.text):
            character = self.text[self.position]
            if depth == 0 and character in ";|)":
                break
            depth += {"(": 1, ")": -1}.get(character, 0)
            self.position += 1
        if start == self.position:
            self.fail("a pattern")
        return self.text[start : self.position]

    def _expand(self, name: str, position: int) -> str:
        iri = self.terms.expand(name)
        if ":" not in iri:
            self.fail("an attribute name", position)
        return iri

    def _take(self, character: str) -> bool:
        found = self.text.startswith(character, self.position)
        self.position += found
        return found

    def _match(self, syntax: re.Pattern[str]) -> str | None:
        match = syntax.match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        return match[0]


def _core_member(iri: str) -> str | None:
    """Return the reserved member that an IRI of the core @context names."""
    name = iri.removeprefix(CORE_NAMESPACE)
    return name if name != iri and name in INSTANCE_MEMBERS else None


def _same_type(low: Scalar, high: Scalar) -> bool:
    if isinstance(low, Moment) and isinstance(high, Moment):
        return low.type == high.type
    return type(low) is type(high)
