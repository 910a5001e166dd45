"""Term maps against pyld, over generated contexts, and what NGSI-LD refuses (CIM 009 clauses 4.4 and 5.5.7)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyld import jsonld

from ngsild.context import (
    CORE_NAMESPACE,
    DEFAULT_VOCABULARY,
    TermMap,
    compile_terms,
    core_terms,
)
from ngsild.core_context import core_document
from ngsild.problems import BadRequestData

CORE = core_document()["@context"]
PROPERTY = CORE_NAMESPACE + "Property"
PREFIXES = ["ex", "geo", "größe"]
NAMES = [
    "name",
    "speed",
    "Vehicle",
    "Ladepunkt",
    "größe",
    "速度",
    "temp_1",
    "value",
    "observedAt",
    "Property",
    "location",
]
NAMESPACES = [
    "http://example.org/a#",
    "http://example.org/a/",
    "urn:example:",
    "http://example.org/größe/",
    "http://e.org/x",
]
CONTAINERS = ["@set", "@list", "@language", "@index", ["@set"]]
DATATYPES = ["@id", "@vocab", "@json", "@none", "http://www.w3.org/2001/XMLSchema#double", "ex:Kind"]

full_iris = st.builds(str.__add__, st.sampled_from(NAMESPACES), st.sampled_from(["", "speed", "größe", "a/b", "x#y"]))
compact_iris = st.builds("{}:{}".format, st.sampled_from(PREFIXES), st.sampled_from(["speed", "größe", "name"]))
odd_iris = st.sampled_from(
    [DEFAULT_VOCABULARY + "speed", CORE_NAMESPACE + "hasValue", "https://a.b/", "speed", "@id", "@foo"]
)
iris = st.integers(0, 9).flatmap(lambda n: full_iris if n < 6 else compact_iris if n < 9 else odd_iris)
expanded_definitions = st.fixed_dictionaries(
    {"@id": iris},
    optional={
        "@type": st.sampled_from(DATATYPES),
        "@container": st.sampled_from(CONTAINERS),
        "@prefix": st.booleans(),
        "@language": st.sampled_from(["de", None]),
    },
)
odd_definitions = st.one_of(
    st.none(), st.builds(lambda iri: {"@reverse": iri}, iris), st.just({"@type": "@id"}), st.just({"@id": None})
)
definitions = st.integers(0, 9).flatmap(lambda n: iris if n < 4 else expanded_definitions if n < 8 else odd_definitions)
vocabularies = st.sampled_from(["http://vocab.example/", "http://vocab.example/", "", "ex:", None])
local_contexts = st.builds(
    lambda head, prefixes, terms, compact: head | prefixes | terms | compact,
    st.fixed_dictionaries(
        {}, optional={"@vocab": vocabularies, "@language": st.sampled_from(["en", None]), "@version": st.just(1.1)}
    ),
    st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from(NAMESPACES), max_size=3),
    st.dictionaries(st.sampled_from(NAMES), definitions, max_size=4),
    st.sampled_from([{}, {}, {}, {"ex:speed": {"@type": "@id"}}, {}, {"geo:name": "https://a.b/c"}]),
)
context_lists = st.lists(local_contexts, min_size=1, max_size=3)
used_names = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.builds(
        "{}:{}".format,
        st.sampled_from([*PREFIXES, "http", "urn", "other"]),
        st.sampled_from(["speed", "größe", "//h/p"]),
    ),
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8),
)


def names_for(contexts: list[Any]) -> st.SearchStrategy[tuple[list[Any], str]]:
    """Contexts with a name: one that they define, or any."""
    terms = [term for context in contexts for term in context if not term.startswith("@")]
    return st.tuples(st.just(contexts), st.one_of(st.sampled_from(terms), used_names) if terms else used_names)


cases = context_lists.flatmap(names_for)


def expanded_by_pyld(name: str, contexts: list[Any]) -> dict[str, str | None]:
    """Expand a name as a type, a vocab value and an attribute; None where JSON-LD drops or reshapes it.

    A coercion that does not fit an NGSI-LD attribute makes pyld refuse the value: then there is no such entry.
    """
    context = [*contexts, CORE]
    try:
        (node,) = jsonld.expand({"@context": context, "@id": "urn:e", "@type": name})
    except jsonld.JsonLdError:  # a type mapped to null
        return {"type": None}
    found: dict[str, str | None] = {"type": node["@type"][0]}
    (node,) = jsonld.expand({"@context": context, "@id": "urn:e", "urn:probe": {"vocab": name}})
    vocab = node["urn:probe"][0].get(CORE_NAMESPACE + "hasVocab", [{}])[0]
    found["vocab"] = vocab.get("@id")
    try:
        (node,) = jsonld.expand(
            {"@context": context, "@id": "urn:e", "@type": "T", name: {"type": "Property", "value": 1}}
        )
    except jsonld.JsonLdError:
        return found
    return found | {"attribute": next((key for key in node if not key.startswith("@")), None)}


def compacted_by_pyld(iri: str, contexts: list[Any]) -> dict[str, str]:
    """Compact an IRI as a type, a vocab value and an attribute."""
    context = {"@context": [*contexts, CORE]}
    found: dict[str, str] = {"type": jsonld.compact({"@id": "urn:e", "@type": [iri]}, context)["type"]}
    vocab = jsonld.compact({"@id": "urn:e", CORE_NAMESPACE + "hasVocab": [{"@id": iri}]}, context)
    found["vocab"] = vocab["vocab"]
    attribute = {"@type": [PROPERTY], CORE_NAMESPACE + "hasValue": [{"@value": 1}]}
    document = jsonld.compact({"@id": "urn:e", iri: [attribute]}, context)
    return found | {"attribute": next((key for key in document if key not in ("@context", "id")), iri)}


def without_coercion(contexts: list[Any]) -> list[Any]:
    """The same contexts with datatypes, containers and languages left out of their term definitions."""
    idle = ("@type", "@container", "@language")
    return [
        {t: {k: v for k, v in d.items() if k not in idle} if isinstance(d, dict) else d for t, d in c.items()}
        for c in contexts
    ]


def compiled(contexts: list[Any], seen: Counter[str]) -> TermMap | None:
    """Our term map; None where pyld refuses the contexts, and then so do we."""
    try:
        jsonld.expand({"@context": [*contexts, CORE], "@id": "urn:e"})
    except jsonld.JsonLdError:
        with pytest.raises(BadRequestData):
            compile_terms(contexts)
        seen["refused contexts"] += 1
        return None
    except KeyError:  # pyld's own: null for a @vocab or @language that is not set
        return None
    return compile_terms(contexts)


thorough = settings(max_examples=1200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_expand_equals_pyld() -> None:
    seen: Counter[str] = Counter()

    @thorough
    @given(cases)
    def check(case: tuple[list[Any], str]) -> None:
        contexts, name = case
        terms = compiled(contexts, seen)
        if terms is None:
            return
        expected = expanded_by_pyld(name, contexts)
        try:
            iri = terms.expand(name)
        except BadRequestData:
            seen["unusable name"] += 1
            assert expected.get("attribute") is None or str(expected["type"]).startswith("@"), expected
            return
        seen["core term" if name in CORE else "term" if is_term(name, contexts) else "other name"] += 1
        assert set(expected.values()) == {iri}, expected

    check()
    assert {"unusable name", "core term", "term", "other name", "refused contexts"} <= set(seen), seen


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_compact_equals_pyld() -> None:
    seen: Counter[str] = Counter()

    @thorough
    @given(context_lists, st.one_of(iris, iris, odd_iris))
    def check(contexts: list[Any], iri: str) -> None:
        terms = compiled(contexts, seen)
        if terms is None or ":" not in iri:
            return
        try:
            expected = compacted_by_pyld(iri, contexts)
            uncoerced = compacted_by_pyld(iri, without_coercion(contexts))
        except jsonld.JsonLdError as error:
            assert error.code in ("IRI confused with prefix", "invalid type mapping", "keyword redefinition")
            seen["confused IRI"] += 1
            return
        name = terms.compact(iri)
        seen[kind_of(name, iri, contexts)] += 1
        assert name == (expected if is_term(expected["type"], contexts) else uncoerced)["type"], (expected, uncoerced)
        if without_coercion(contexts) == contexts:
            assert set(expected.values()) == {name}

    check()
    assert {"term", "name in the vocabulary", "compact IRI", "IRI"} <= set(seen), seen


def kind_of(name: str, iri: str, contexts: list[Any]) -> str:
    """Tell what an IRI was compacted to."""
    kinds = {"term": is_term(name, contexts), "IRI": name == iri, "compact IRI": ":" in name}
    return next((kind for kind, found in kinds.items() if found), "name in the vocabulary")


def is_term(name: str, contexts: list[Any]) -> bool:
    """Tell whether a name is defined."""
    return name in CORE or any(name in context for context in contexts)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@thorough
@given(cases)
def test_a_name_survives_expand_and_compact(case: tuple[list[Any], str]) -> None:
    contexts, name = case
    terms = compiled(contexts, Counter())
    if terms is None:
        return
    try:
        iri = terms.expand(name)
        again = terms.expand(terms.compact(iri))
    except BadRequestData:
        return
    assert again == iri


USER = {
    "ex": "http://example.org/",
    "speed": {"@id": "ex:speed", "@type": "http://www.w3.org/2001/XMLSchema#double"},
    "owner": {"@id": "ex:owner", "@type": "@id"},
    "value": "ex:other",
}


def test_core_terms_win_and_a_declared_datatype_keeps_its_name() -> None:
    terms = compile_terms([USER])
    assert terms.expand("value") == CORE_NAMESPACE + "hasValue"
    assert terms.compact("http://example.org/other") == "ex:other"
    assert terms.compact("http://example.org/speed") == "speed"
    assert terms.compact("http://example.org/else") == "ex:else"
    assert core_terms().compact("http://example.org/speed") == "http://example.org/speed"


def test_core_terms_win_over_a_protected_user_context() -> None:
    terms = compile_terms([{"@protected": True, "value": "http://example.org/v", "mine": "http://example.org/mine"}])
    assert terms.expand("value") == CORE_NAMESPACE + "hasValue"
    with pytest.raises(BadRequestData, match="protected"):
        compile_terms([{"@protected": True, "mine": "http://a.b/mine"}, {"mine": "http://a.b/other"}])


@pytest.mark.parametrize(
    ("contexts", "named"),
    [
        ([{"speed": {"@id": "http://a.b/speed", "@context": {"x": "http://a.b/x"}}}], "speed"),
        ([{"@propagate": False}], "@propagate"),
        ([{"@import": "http://a.b/c"}], "@import"),
        (["http://a.b/c"], "http://a.b/c"),
        ([7], "7"),
        ([{"speed": 7}], "@context"),
        ([{"a": "b:x", "b": "a:x"}], "[Cc]yclical"),
        ([{"@version": 2}], "version"),
        ([{"@vocab": 3}], "vocab"),
    ],
)
def test_what_a_user_context_must_not_hold(contexts: list[Any], named: str) -> None:
    with pytest.raises(BadRequestData, match=named):
        compile_terms(contexts)


@pytest.mark.parametrize("name", ["gone", "identifier", "back", "@reserved", "@id", "größe://x"])
def test_names_that_cannot_be_used(name: str) -> None:
    context = {"gone": None, "identifier": "@id", "back": {"@reverse": "http://a.b/forth"}}
    with pytest.raises(BadRequestData, match=name):
        compile_terms([context]).expand(name)


def test_null_clears_the_contexts_before_it() -> None:
    terms = compile_terms([{"speed": "http://a.b/speed"}, None, {"name": "http://a.b/name"}])
    assert terms.expand("speed") == DEFAULT_VOCABULARY + "speed"
    assert terms.expand("name") == "http://a.b/name"
    assert (
        compile_terms([{"@vocab": None, "@language": None, "@odd": 1, "n": "http://a.b/n"}]).expand("n")
        == "http://a.b/n"
    )


def test_equal_contexts_have_equal_keys() -> None:
    assert (
        compile_terms([{"a": "http://a/", "b": "http://b/"}]).content_key
        == compile_terms([{"b": "http://b/", "a": "http://a/"}]).content_key
    )
    assert compile_terms([{"a": "http://a/"}]).content_key != compile_terms([{"a": "http://b/"}]).content_key


def test_the_memory_of_names_is_bounded() -> None:
    terms = compile_terms([USER])
    for number in range(20_000):
        terms.compact(terms.expand(f"name{number}"))
    assert len(terms._expanded) <= 8192
    assert len(terms._compacted) <= 8192
    assert terms.expand("name1") == DEFAULT_VOCABULARY + "name1"


scraps = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | iris
    | st.sampled_from(["", "@vocab", "@set", "@none", "a:b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["@id", "@type", "@container", "@nest", "@index", "@prefix", "@reverse"]), inner
        )
    ),
    max_leaves=6,
)
wrecks = st.dictionaries(
    st.sampled_from([*NAMES, *PREFIXES, "", "@vocab", "@base", "@type", "@id", "@protected"]), scraps
)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_nothing_but_bad_request_data_comes_of_a_wreck() -> None:
    seen: Counter[str] = Counter()

    @thorough
    @given(st.lists(wrecks | scraps, max_size=3), used_names)
    def check(contexts: list[Any], name: str) -> None:
        try:
            terms = compile_terms(contexts)
            terms.compact(terms.expand(name))
            seen["sound"] += 1
        except BadRequestData:
            seen["refused"] += 1

    check()
    assert {"sound", "refused"} <= set(seen), seen
