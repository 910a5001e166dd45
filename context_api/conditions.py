"""Conditional requests (RFC 9110 clause 13): entity tags, and If-Match and If-None-Match with them.

The tag of an entity is strong and reads `"<version>-<variant>"`: the version that the store gave to its last change,
and a hash of all else that an answer is made from. Conditions of reads compare whole tags, those of writes the version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from starlette.responses import Response

from context_api.answers import GEO_JSON
from context_api.negotiation import RequestContext, prefers_plain
from context_api.operation import Answer, Call, Parameter
from context_api.storage.port import Row
from ngsild.problems import InvalidRequest, PreconditionFailed

#: Bytes of a hash in a tag: two answers of one version never share it by chance.
_HASH = 12
_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')


@dataclass(frozen=True, slots=True)
class Tags:
    """The value of If-Match or If-None-Match: any tag at all, or one of these."""

    any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def __contains__(self, tag: str) -> bool:
        """Tell whether a tag is among them, by weak comparison (RFC 9110 clause 8.8.3.2)."""
        return self.any or tag in self.strong or tag in self.weak


def _tags(name: str, text: str) -> Tags:
    if text.strip() == "*":
        return Tags(any=True)
    strong: set[str] = set()
    weak: set[str] = set()
    end = -1
    while end < len(text):
        found = _TAG.match(text, end + 1)
        if found is None or (found.end() < len(text) and text[found.end()] != ","):
            raise InvalidRequest(f'{name}: {text[:80]!r} is neither * nor a list of entity tags such as "17-5af0"')
        (weak if found[1] else strong).add(found[2])
        end = found.end()
    return Tags(False, frozenset(strong), frozenset(weak))


_EXAMPLES = {"type": "string", "minLength": 1, "examples": ['"17-5af0"', "*"]}
IF_MATCH = Parameter(
    "If-Match", "Write only if the entity has the version of one of these tags.", _EXAMPLES, _tags, place="header"
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "Write only if the entity has the version of none of these tags.", _EXAMPLES, _tags, place="header"
)
IF_CHANGED = Parameter(
    "If-None-Match", "Answer 304 if the answer has one of these tags.", _EXAMPLES, _tags, place="header"
)
WRITE_CONDITIONS = (IF_MATCH, IF_NONE_MATCH)
FAILED = {412: Answer("The entity has another version: PreconditionFailed.", "ProblemDetails")}
UNCHANGED = {304: Answer("The answer is the one that the client has.", headers=("ETag",))}


@dataclass(frozen=True, slots=True)
class Precondition:
    """What the version of an entity must be, or must not be, for a write to happen."""

    match: Tags | None
    none_match: Tags | None

    def check(self, version: int) -> None:
        """Raise PreconditionFailed where an entity of this version may not be written.

        If-Match compares strongly, so that a weak tag never holds (RFC 9110 clause 13.1.1).
        """
        match, none_match = self.match, self.none_match
        if match is not None and not match.any and version not in _versions(match.strong):
            raise PreconditionFailed("If-Match: the entity has another version by now")
        if none_match is not None and (none_match.any or version in _versions(none_match.strong | none_match.weak)):
            raise PreconditionFailed("If-None-Match: the entity has this version")


def _versions(tags: frozenset[str]) -> set[int]:
    """Return the version parts of tags; a tag that none of ours looks like has none."""
    parts = (tag.partition("-")[0] for tag in tags)
    return {int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 20}


def precondition_of(call: Call) -> Precondition | None:
    """Return the condition of a write, None without one."""
    match, none_match = call.header(IF_MATCH), call.header(IF_NONE_MATCH)
    return None if match is None and none_match is None else Precondition(match, none_match)


def stored_tag(call: Call, row: Row, media_type: str, context: RequestContext) -> str:
    """Return the tag of an answer that shows one stored row and nothing beside it.

    The bytes of the row are in the hash because what expires leaves it without a new version, the release of the
    program because another one may render otherwise. The @context is there as its URL and as its content.
    """
    made_from = (
        call.request.scope["query_string"],
        media_type.encode(),
        b"plain" if media_type == GEO_JSON and prefers_plain(call.request) else b"",
        str(context.source).encode(),
        context.terms.content_key.encode(),
        call.request.app.version.encode(),
        row.sys or b"",
        row.doc,
    )
    return f"{row.version}-{_hash(made_from)}"


def answer_tag(response: Response, version: int | None = None) -> str:
    """Return the tag of an answer as it stands: a hash of its headers and body, behind a version where there is one."""
    made_from = (*(part for header in response.raw_headers for part in header), bytes(response.body))
    return _hash(made_from) if version is None else f"{version}-{_hash(made_from)}"


def _hash(parts: tuple[bytes, ...]) -> str:
    """Return a hash of parts, none of which holds a NUL."""
    return blake2b(b"\0".join(parts), digest_size=_HASH).hexdigest()


def not_modified(call: Call, tag: str) -> Response | None:
    """Return 304 where the client has the answer with this tag (RFC 9110 clause 13.1.2)."""
    tags: Tags | None = call.header(IF_CHANGED)
    if tags is None or tag not in tags:
        return None
    return Response(status_code=304, headers={"ETag": f'"{tag}"'})


def tagged(response: Response, tag: str) -> Response:
    """Return an answer with its tag."""
    response.headers["ETag"] = f'"{tag}"'
    return response
