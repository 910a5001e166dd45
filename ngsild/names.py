"""Names, URIs and times as NGSI-LD allows them (CIM 009 clauses 4.6.2, 4.6.3 and 4.18)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ngsild.problems import BadRequestData

NULL = "urn:ngsi-ld:null"
"""NGSI-LD Null (clause 4.5.0): asks for removal where a URI or a value may stand."""

_NAME = re.compile(r"[^\W\d_]\w*(?::[^\W\d_]\w*)?\Z")
# Beside what RFC 3987 rules out: characters that nobody sees, with which one id could pass for another.
_INVISIBLE = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
) + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`\x00-\x20\x7f-\x9f" + _INVISIBLE + r"]+\Z")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,6})?Z\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d:\d\d(?:[.,]\d{1,6})?Z\Z", re.ASCII)
_SCOPE = re.compile(r"/?[^\W\d_]\w*(?:/[^\W\d_]\w*)*\Z")
_LANGUAGE = re.compile(r"(?:@none|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The same few names and moments come again and again; a moment is read when it is checked and when it is stored.


def is_uri(text: object) -> bool:
    """Tell whether this is a URI or IRI with a scheme (RFC 3986, RFC 3987)."""
    return isinstance(text, str) and _URI.match(text) is not None


@lru_cache(maxsize=4096)
def is_name(text: str) -> bool:
    """Tell whether this may name a type or an attribute: a short or prefixed name (clause 4.6.2) or an IRI."""
    return _NAME.match(text) is not None or _URI.match(text) is not None


def is_scope(text: object) -> bool:
    """Tell whether this is a Scope (clause 4.18)."""
    return isinstance(text, str) and _SCOPE.match(text) is not None


def is_language(text: str) -> bool:
    """Tell whether this is a key of a languageMap: a language tag or @none (clause 4.6.5)."""
    return _LANGUAGE.match(text) is not None


def entity_id(text: object, member: str = "id") -> str:
    """Return an entity id, or refuse it when it is no URI."""
    if not is_uri(text) or text == NULL:
        raise BadRequestData(f"{member}: {text!r} is not a URI")
    return str(text)


def parse_date_time(text: object) -> int | None:
    """Return a DateTime (clause 4.6.3) as microseconds since 1970 UTC, or None when it is none."""
    return _moment(text) if isinstance(text, str) else None


@lru_cache(maxsize=16_384)
def _moment(text: str) -> int | None:
    if not _DATE_TIME.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND


def parse_date(text: object) -> int | None:
    """Return a Date (clause 4.6.3) as microseconds since 1970 UTC of its first moment, or None when it is none."""
    if not isinstance(text, str) or not _DATE.match(text):
        return None
    return parse_date_time(text + "T00:00:00Z")


def parse_time(text: object) -> int | None:
    """Return a Time (clause 4.6.3) as microseconds since midnight UTC, or None when it is none."""
    if not isinstance(text, str) or not _TIME.match(text):
        return None
    return parse_date_time("1970-01-01T" + text)


def date_time(text: object, member: str) -> int:
    """Return a DateTime as microseconds since 1970 UTC, or refuse it naming the member."""
    moment = parse_date_time(text)
    if moment is None:
        raise BadRequestData(f"{member}: {text!r} is not a DateTime (YYYY-MM-DDThh:mm:ss[.ssssss]Z)")
    return moment


def format_date_time(moment: int) -> str:
    """Return microseconds since 1970 UTC as a DateTime, with milli- or microseconds where there are any."""
    stamp = _EPOCH + timedelta(microseconds=moment)
    if moment % 1_000_000 == 0:
        return stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
    precision = "milliseconds" if moment % 1000 == 0 else "microseconds"
    return stamp.replace(tzinfo=None).isoformat(timespec=precision) + "Z"
