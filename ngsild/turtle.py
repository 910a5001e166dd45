"""Triples as Turtle: short names, a paragraph a subject, blank nodes and collections where they are used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from ngsild.rdf import FIRST, NIL, REST, TYPE, XSD, Triple

_PREFIX = re.compile(r"[A-Za-z](?:[A-Za-z0-9_\-]*[A-Za-z0-9_\-])?\Z")
_NAMED = re.compile(r"<(.*[/#:])([A-Za-z_][A-Za-z0-9_\-]*)>\Z")
#: Literals that Turtle writes bare.
_BARE = re.compile(rf'"(.+)"\^\^<{re.escape(XSD)}(?:integer|boolean|double)>\Z')
_TYPED = re.compile(r'("(?:[^"\\]|\\.)*"\^\^)(<[^<>]*>)\Z', re.DOTALL)


def turtle(triples: Iterable[Triple], prefixes: Mapping[str, str]) -> str:
    """Return triples as a Turtle document; `prefixes` maps names to namespaces, those unused are left out."""
    return _Document(triples, prefixes).text()


class _Document:
    def __init__(self, triples: Iterable[Triple], prefixes: Mapping[str, str]) -> None:
        self._names = {namespace: name for name, namespace in sorted(prefixes.items()) if _PREFIX.match(name)}
        self._used: dict[str, str] = {}
        self._members: dict[str, list[tuple[str, str]]] = {}
        uses: Counter[str] = Counter()
        for subject, predicate, value in dict.fromkeys(triples):
            self._members.setdefault(subject, []).append((predicate, value))
            if value.startswith("_:"):
                uses[value] += 1
        self._once = {node for node, times in uses.items() if times == 1}
        self._written: set[str] = set()

    def text(self) -> str:
        roots = [s for s in self._members if s not in self._once]
        paragraphs = [self._paragraph(subject) for subject in roots]
        # What is left are blank nodes in a circle.
        paragraphs += [self._paragraph(subject) for subject in self._members if subject not in self._written]
        head = [f"@prefix {name}: <{namespace}> ." for name, namespace in sorted(self._used.items())]
        return "\n".join([*head, "", *paragraphs]) if head else "\n".join(paragraphs)

    def _paragraph(self, subject: str) -> str:
        self._written.add(subject)
        return f"{self._term(subject)} {self._body(subject, 1)} .\n" if subject in self._members else ""

    def _body(self, subject: str, depth: int) -> str:
        """Return predicates and objects of a subject."""
        by_predicate: dict[str, list[str]] = {}
        for predicate, value in self._members[subject]:
            by_predicate.setdefault(predicate, []).append(value)
        parts = []
        for predicate, values in by_predicate.items():
            name = "a" if predicate == TYPE else self._term(predicate)
            parts.append(f"{name} {', '.join(self._object(value, depth) for value in values)}")
        return f" ;\n{'    ' * depth}".join(parts)

    def _object(self, value: str, depth: int) -> str:
        if value not in self._once or value in self._written:
            return self._term(value)
        items = self._collection(value)
        if items is not None:
            return f"( {' '.join(self._object(item, depth) for item in items)} )"
        self._written.add(value)
        if value not in self._members:
            return "[]"
        indent = "    " * (depth + 1)
        return f"[\n{indent}{self._body(value, depth + 1)}\n{'    ' * depth}]"

    def _collection(self, head: str) -> list[str] | None:
        """Return the items of the list that begins here, None where there is none, or not one that is used once."""
        items: list[str] = []
        nodes: list[str] = []
        node = head
        while node != NIL:
            members = dict(self._members.get(node, ()))
            if node not in self._once or members.keys() != {FIRST, REST} or len(self._members[node]) != 2:
                return None
            if node in self._written or len(nodes) > len(self._members):
                return None
            nodes.append(node)
            items.append(members[FIRST])
            node = members[REST]
        self._written.update(nodes)
        return items

    def _term(self, term: str) -> str:
        """Return an N-Triples term as short as Turtle has it."""
        if term.startswith("<"):
            return self._short(term)
        bare = _BARE.match(term)
        if bare is not None:
            return bare[1]
        typed = _TYPED.match(term)
        return typed[1] + self._short(typed[2]) if typed is not None else term

    def _short(self, iri: str) -> str:
        named = _NAMED.match(iri)
        prefix = self._names.get(named[1]) if named is not None else None
        if named is None or prefix is None:
            return iri
        self._used[prefix] = named[1]
        return f"{prefix}:{named[2]}"
