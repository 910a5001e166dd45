"""The patterns that mean the same to RE2 and to PostgreSQL's regular expressions (docs/decisions/0023).

Literals, escaped punctuation, `.`, \\d \\w \\s, classes of ASCII characters and ranges, the greedy quantifiers, groups,
alternatives and the anchors. Every other pattern is asked of RE2, on the texts that SQL could not rule out.
"""

from __future__ import annotations

from functools import lru_cache

#: PostgreSQL repeats nothing more often than that, and compiles many repetitions slowly.
_MOST_REPEATS = 255
_MOST_REPEATS_OF_ALL = 500
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\\t\\n\\f\\r "}


class _Untranslatable(Exception):
    """The pattern has a part that may mean something else to PostgreSQL."""


@lru_cache(maxsize=1024)
def translated(pattern: str) -> str | None:
    """Return a pattern that RE2 accepts as PostgreSQL's operator ~ takes it, None where it may mean something else."""
    try:
        return _Translation(pattern).whole()
    except _Untranslatable:
        return None


class _Translation:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._repeats = 0

    def whole(self) -> str:
        found, _ = self._alternatives()
        if self._at < len(self._pattern):
            raise _Untranslatable
        return found

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        found = self._peek()
        if not found:
            raise _Untranslatable
        self._at += 1
        return found

    def _alternatives(self) -> tuple[str, bool]:
        """Return the alternatives up to the end of a group, and whether any of them counts repetitions."""
        branches = [self._branch()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._branch())
        return "|".join(text for text, _ in branches), any(counts for _, counts in branches)

    def _branch(self) -> tuple[str, bool]:
        parts, counting = [], False
        while self._peek() not in ("", "|", ")"):
            part, counts = self._part()
            parts.append(part)
            counting = counting or counts
        if not parts:
            raise _Untranslatable
        return "".join(parts), counting

    def _part(self) -> tuple[str, bool]:
        character = self._next()
        if character in "^$":
            if self._peek() in ("?", "*", "+", "{"):
                raise _Untranslatable
            return character, False
        counting = False
        if character == "(":
            if self._pattern.startswith("?:", self._at):
                self._at += 2
            inner, counting = self._alternatives()
            if self._next() != ")":
                raise _Untranslatable
            atom = f"(?:{inner})"
        else:
            atom = self._atom(character)
        quantifier = self._quantifier()
        if counting and quantifier[:1] == "{":
            # Counts of counts grow beyond what PostgreSQL compiles quickly.
            raise _Untranslatable
        return atom + quantifier, counting or quantifier[:1] == "{"

    def _atom(self, character: str) -> str:
        if character == ".":
            return r"[^\n]"
        if character == "[":
            return self._class()
        if character == "\\":
            character = self._next()
            if character in _CLASSES:
                return f"[{_CLASSES[character]}]"
            if character not in _PUNCTUATION:
                raise _Untranslatable
        elif character in "?*+{}]\0":
            raise _Untranslatable
        return f"\\{character}" if character in _PUNCTUATION else character

    def _quantifier(self) -> str:
        quantifier = self._peek()
        if quantifier == "{":
            quantifier = self._count()
        elif quantifier in ("?", "*", "+"):
            self._at += 1
        else:
            return ""
        if self._peek() in ("?", "*", "+", "{"):
            raise _Untranslatable
        return quantifier

    def _count(self) -> str:
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at + 1 : end].partition(",")
        if end < 0 or not _is_count(low) or (high and not _is_count(high)):
            raise _Untranslatable
        self._repeats += max(int(low), int(high or 0))
        if self._repeats > _MOST_REPEATS_OF_ALL:
            raise _Untranslatable
        self._at = end + 1
        return f"{{{low}{comma}{high}}}"

    def _class(self) -> str:
        if self._peek() in ("^", "]"):
            raise _Untranslatable
        members = []
        while self._peek() != "]":
            if self._pattern[self._at : self._at + 2] in ("\\d", "\\w", "\\s"):
                members.append(_CLASSES[self._pattern[self._at + 1]])
                self._at += 2
                continue
            low = self._class_character()
            if self._pattern[self._at : self._at + 1] == "-" and self._pattern[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                members.append(f"{low}-{self._class_character()}")
            else:
                members.append(low)
        self._at += 1
        return f"[{''.join(members)}]"

    def _class_character(self) -> str:
        character = self._next()
        if character == "\\":
            character = self._next()
            if character not in _PUNCTUATION:
                raise _Untranslatable
        elif character in "[]-^":
            raise _Untranslatable
        if not " " <= character <= "~":
            raise _Untranslatable
        return f"\\{character}" if character in _PUNCTUATION else character


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= _MOST_REPEATS
