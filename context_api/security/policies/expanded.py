"""Expanded JSON-LD as objects that are read member by member, each by its IRI."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from context_api.security.policies.profile import MAX_TEXT, MAX_VALUES, ODRL, short
from ngsild.problems import BadRequestData

_XSD: Final = "http://www.w3.org/2001/XMLSchema#"
_DUTIES: Final = frozenset(ODRL + each for each in ("obligation", "duty", "remedy", "consequence"))


class Object:
    """One node of a document; `place` is its name in messages."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, Mapping) or "@value" in value or "@list" in value:
            raise BadRequestData(f"{place}: an object is expected")
        self._members = value
        self.place = place
        self.id: str | None = value.get("@id")
        self.types: list[str] = list(value.get("@type", []))

    def check(self, known: Collection[str], types: Collection[str] | None = None, named: bool = False) -> None:
        """Refuse members that are not known, and where they are given other types; `named` nodes have an IRI."""
        for member in self._members:
            if member in _DUTIES:
                raise BadRequestData(f"{short(member)}: duties are not understood, for the broker cannot see them done")
            if member not in known and member not in ("@id", "@type"):
                raise BadRequestData(f"{short(member)[:200]}: a {self.place} has no such member in this profile")
        if types is None:
            return
        for each in self.types:
            if each not in types:
                raise BadRequestData(f"type: {short(each)[:200]!r} is no type of a {self.place}")
        if not named and self.id is not None and not self.id.startswith("_:"):
            raise BadRequestData(f"{self.place}: {self.id[:200]!r} stands for what is elsewhere; it must be said here")

    def values(self, member: str) -> list[Any]:
        """Return the values of a member, of a list as of a set."""
        found = [item for value in self._members.get(member, []) for item in _items(value)]
        if len(found) > MAX_VALUES:
            raise BadRequestData(f"{short(member)}: more than {MAX_VALUES} values")
        return found

    def objects(self, member: str, place: str) -> Iterator[Object]:
        """Yield the nodes of a member."""
        return (Object(value, place) for value in self.values(member))

    def iris(self, member: str) -> list[str]:
        """Return the IRIs that a member names, nothing being said of them."""
        found = []
        for value in self.values(member):
            if not isinstance(value, Mapping) or value.keys() != {"@id"}:
                raise BadRequestData(f"{short(member)}: a name of this profile, and nothing beside it, is expected")
            found.append(str(value["@id"]))
        return found

    def iri(self, member: str) -> str:
        """Return the only IRI of a member, which there must be."""
        found = self.iris(member)
        if len(found) != 1:
            raise BadRequestData(f"{short(member)}: a {self.place} has exactly one")
        return found[0]

    def text(self, member: str) -> str | None:
        """Return the only text of a member, None without it."""
        found = list(texts(self.values(member), short(member)))
        if len(found) > 1:
            raise BadRequestData(f"{short(member)}: only one is understood")
        return found[0] if found else None

    def number(self, member: str, most: int) -> int | None:
        """Return the only number of a member, None without it."""
        found = self.values(member)
        if not found:
            return None
        return number(found, short(member), most)


def number(values: list[Any], member: str, most: int) -> int:
    """Return what must be one whole number above 0."""
    value = values[0].get("@value") if len(values) == 1 and isinstance(values[0], Mapping) else None
    if len(values) == 1 and values[0].get("@type") in (None, _XSD + "integer"):
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most:
            return value
    raise BadRequestData(f"{member}: one whole number from 1 to {most} is expected")


def texts(values: Iterable[Any], member: str, types: Collection[str] = (_XSD + "string",)) -> Iterator[str]:
    """Yield what must be texts, without a language and of one of these datatypes where they have one."""
    for value in values:
        text = value.get("@value") if isinstance(value, Mapping) else None
        strange = set(value) - {"@value", "@type"} if isinstance(value, Mapping) else ()
        if not isinstance(text, str) or strange or value.get("@type") not in (None, *types):
            raise BadRequestData(f"{member}: a text is expected")
        if len(text) > MAX_TEXT:
            raise BadRequestData(f"{member}: a text of more than {MAX_TEXT} characters")
        yield text


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and "@list" in value:
        found: list[Any] = value["@list"]
        return found
    return [value]
