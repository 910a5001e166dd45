"""ICU collations (CIM 009 clause 4.23.3): a BCP 47 tag -> sort keys of texts.

icu4py brings ICU along but has no collator of its own, so its C library is called through ctypes.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from importlib import metadata
from typing import Any, NamedTuple

import icu4py.breakers

from ngsild.problems import BadRequestData, OperationNotSupported

_MAX_TAG = 200
_LONGEST_LOCALE = 256


class _Icu(NamedTuple):
    """The C functions of ICU that sort keys need."""

    locale_of_tag: Any
    open_collator: Any
    close_collator: Any
    sort_key: Any


class Collation:
    """An open ICU collator; sort keys compare as bytes in its order."""

    def __init__(self, tag: str) -> None:
        self._icu = _icu()
        locale = ctypes.create_string_buffer(_LONGEST_LOCALE)
        parsed, status = ctypes.c_int32(0), ctypes.c_int(0)
        raw = tag.encode("ascii", "replace")
        self._icu.locale_of_tag(raw, locale, _LONGEST_LOCALE, ctypes.byref(parsed), ctypes.byref(status))
        if status.value > 0 or not raw or len(raw) > _MAX_TAG or parsed.value < len(raw):
            raise BadRequestData(f"collation: {tag[:_MAX_TAG]!r} is not an ICU collation (RFC 6067)")
        status = ctypes.c_int(0)
        self._collator = self._icu.open_collator(locale.value, ctypes.byref(status))
        if status.value > 0:
            raise BadRequestData(f"collation: ICU knows no collation {tag!r}")

    def key(self, text: str) -> bytes:
        """Return the sort key of a text."""
        units = text.encode("utf-16-le")
        room = 2 * len(units) + 64
        while True:
            key = ctypes.create_string_buffer(room)
            length = self._icu.sort_key(self._collator, units, len(units) // 2, key, room)
            if length <= room:
                return key.raw[: length - 1]
            room = length

    def __del__(self) -> None:
        if hasattr(self, "_collator"):
            self._icu.close_collator(self._collator)


@lru_cache(maxsize=64)
def collation(tag: str) -> Collation:
    """Return the collation of a tag such as "und" or "de-u-co-phonebk"; BadRequestData when there is none."""
    return Collation(tag)


@lru_cache(maxsize=1)
def _icu() -> _Icu:
    """Return the functions of the ICU libraries that icu4py has loaded."""
    version = icu4py.icu_version_info[0]
    libraries = {
        name: ctypes.CDLL(str(file.locate()))
        for file in metadata.files("icu4py") or ()
        for name in ("icuuc", "icui18n")
        if file.name.startswith((f"lib{name}-", f"lib{name}."))
    }
    try:
        found = _Icu(
            libraries["icuuc"][f"uloc_forLanguageTag_{version}"],
            libraries["icui18n"][f"ucol_open_{version}"],
            libraries["icui18n"][f"ucol_close_{version}"],
            libraries["icui18n"][f"ucol_getSortKey_{version}"],
        )
    except (KeyError, AttributeError):
        raise OperationNotSupported("collation: this installation has no ICU library") from None
    status = ctypes.POINTER(ctypes.c_int)
    found.locale_of_tag.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_int32),
        status,
    ]
    found.open_collator.argtypes = [ctypes.c_char_p, status]
    found.open_collator.restype = ctypes.c_void_p
    found.close_collator.argtypes = [ctypes.c_void_p]
    found.close_collator.restype = None
    found.sort_key.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int32]
    return found
