"""Conditional requests: a tag stands for one answer, and a write happens to the version that its client knows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from context_api.app import create_app
from context_api.settings import Settings, StorageSettings
from ngsild.names import format_date_time

ENTITIES = "/ngsi-ld/v1/entities"
CAR = "urn:x:car"
PATH = f"{ENTITIES}/{CAR}"
LINK = '<{}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
BODY: dict[str, Any] = {
    "id": CAR,
    "type": "Car",
    "speed": [
        {"type": "Property", "value": 1, "unitCode": "KMH"},
        {"type": "Property", "value": 2, "datasetId": "urn:x:second"},
    ],
    "label": {"type": "LanguageProperty", "languageMap": {"en": "car", "de": "Auto"}},
    "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [8, 47]}},
    "garage": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [9, 48]}},
    "driver": {"type": "Relationship", "object": "urn:x:driver"},
}
DRIVER = {"id": "urn:x:driver", "type": "Driver", "name": {"type": "Property", "value": "Ann"}}
FRAGMENT = {"speed": {"type": "Property", "value": 5}}
WRITES: list[tuple[str, str, Any]] = [
    ("PATCH", PATH, FRAGMENT),
    ("PUT", PATH, {"type": "Car"} | FRAGMENT),
    ("POST", f"{PATH}/attrs", FRAGMENT),
    ("PATCH", f"{PATH}/attrs", FRAGMENT),
    ("PATCH", f"{PATH}/attrs/speed", {"value": 6}),
    ("PUT", f"{PATH}/attrs/speed", {"type": "Property", "value": 7}),
    ("DELETE", f"{PATH}/attrs/label", None),
    ("DELETE", PATH, None),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Run the application; nothing that expires is swept."""
    path: Path = tmp_path_factory.mktemp("conditions") / "test.db"
    storage = StorageSettings(database=f"sqlite:///{path}", sqlite_synchronous="NORMAL", expiry_interval=3600)
    with TestClient(create_app(Settings(storage=storage)), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(autouse=True)
def _entities(api: TestClient) -> None:
    assert api.post("/ngsi-ld/v1/entityOperations/upsert", json=[BODY, DRIVER]).is_success


@pytest.fixture(scope="module")
def contexts(api: TestClient) -> list[str]:
    """Return @contexts, two of the same content."""
    found = []
    for term in ("speed", "speed", "label"):
        vocabulary = "https://uri.etsi.org/ngsi-ld/default-context/"
        answer = api.post("/ngsi-ld/v1/jsonldContexts", json={"@context": {"short": vocabulary + term}})
        found.append("http://127.0.0.1:9090" + answer.headers["location"])
    return found


def tag_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


parameters = st.fixed_dictionaries(
    {},
    optional={
        "format": st.sampled_from(["normalized", "concise", "simplified"]),
        "options": st.just("sysAttrs"),
        "lang": st.sampled_from(["en", "de", "fr"]),
        "pick": st.sampled_from(["id,type,speed", "id,type,label,driver", "id,label"]),
        "omit": st.sampled_from(["garage", "scope"]),
        "datasetId": st.sampled_from(["@none", "urn:x:second"]),
        "type": st.just("Car"),
        "join": st.sampled_from(["inline", "flat"]),
    },
)
MEDIA_TYPES = ("application/json", "application/ld+json", "application/geo+json")


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(parameters, min_size=2, max_size=3, unique_by=str))
def test_two_answers_share_a_tag_only_if_they_are_the_same(
    api: TestClient, contexts: list[str], asked: list[dict[str, str]]
) -> None:
    links = [{"Link": LINK.format(context)} for context in contexts]
    by_tag: dict[str, tuple[bytes, str, str | None]] = {}
    for params, media_type, link, prefer in product(asked, MEDIA_TYPES, [{}, *links], [{}, {"Prefer": "body=json"}]):
        headers = {"Accept": media_type} | link | prefer
        answer = api.get(PATH, params=params, headers=headers)
        own = tag_of(answer)
        seen = (answer.content, answer.headers["content-type"], answer.headers.get("link"))
        assert by_tag.setdefault(own, seen) == seen
        others = ", ".join(['"none"', *(tag for tag in by_tag if tag != own)])
        again = api.get(PATH, params=params, headers=headers | {"If-None-Match": others})
        assert (again.content, tag_of(again)) == (answer.content, own)
        known = api.get(PATH, params=params, headers=headers | {"If-None-Match": f"{others}, {own}"})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", own)


def test_tags_weak_ones_and_a_star_are_known(api: TestClient) -> None:
    tag = tag_of(api.get(PATH))
    assert tag == f'"{tag[1:-1]}"' and tag[1:-1].partition("-")[0].isdigit()
    for condition in (tag, f"W/{tag}", f'"x" , W/"y",{tag}', "*"):
        assert api.get(PATH, headers={"If-None-Match": condition}).status_code == 304, condition
    lines = httpx.Headers([("If-None-Match", '"x"'), ("If-None-Match", tag)])
    assert api.get(PATH, headers=lines).status_code == 304
    assert api.get(f"{ENTITIES}/urn:x:none", headers={"If-None-Match": "*"}).status_code == 404
    assert api.patch(f"{PATH}/attrs", json={"speed": {"type": "Property", "value": 3}}).status_code == 204
    assert api.get(PATH, headers={"If-None-Match": tag}).status_code == 200


def test_what_expires_changes_the_tag_without_a_write(api: TestClient) -> None:
    soon = time.time_ns() // 1000 + 700_000
    fleeting = {"type": "Property", "value": 1, "expiresAt": format_date_time(soon)}
    assert api.delete(PATH).status_code == 204
    assert api.post(ENTITIES, json=BODY | {"fleeting": fleeting}).status_code == 201
    before = api.get(PATH)
    assert "fleeting" in before.json()
    assert api.get(PATH, headers={"If-None-Match": tag_of(before)}).status_code == 304
    time.sleep(0.8)
    after = api.get(PATH, headers={"If-None-Match": tag_of(before)})
    assert "fleeting" not in after.json()
    assert tag_of(after) != tag_of(before)
    assert tag_of(after).partition("-")[0] == tag_of(before).partition("-")[0]


@pytest.mark.parametrize("join", ["inline", "flat"])
def test_what_is_joined_changes_the_tag(api: TestClient, join: str) -> None:
    before = tag_of(api.get(PATH, params={"join": join}))
    assert api.get(PATH, params={"join": join}, headers={"If-None-Match": before}).status_code == 304
    assert api.patch(f"{ENTITIES}/urn:x:driver", json={"name": {"type": "Property", "value": join}}).is_success
    after = api.get(PATH, params={"join": join}, headers={"If-None-Match": before})
    assert tag_of(after) != before
    assert tag_of(after).partition("-")[0] == before.partition("-")[0]


def test_a_query_is_unchanged_until_its_answer_changes(api: TestClient) -> None:
    params = {"type": "Car", "count": "true"}
    tag = tag_of(api.get(ENTITIES, params=params))
    assert api.get(ENTITIES, params=params, headers={"If-None-Match": tag}).status_code == 304
    other = {"id": "urn:x:other", "type": "Car"}
    assert api.post(ENTITIES, json=other).status_code == 201
    limited = tag_of(api.get(ENTITIES, params=params | {"limit": 1}, headers={"If-None-Match": tag}))
    assert api.delete(f"{ENTITIES}/urn:x:other").status_code == 204
    # The page is the same, the total that its headers tell is not.
    assert tag_of(api.get(ENTITIES, params=params | {"limit": 1})) != limited


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_every_write_heeds_its_conditions(api: TestClient, method: str, path: str, body: Any) -> None:
    def send(**conditions: str) -> Any:
        headers = {name.replace("_", "-"): text for name, text in conditions.items()}
        return api.request(method, path, json=body, headers=headers)

    whole = api.get(PATH, params={"options": "sysAttrs"})
    tag = tag_of(whole)
    other = tag_of(api.get(PATH, params={"format": "simplified"}))
    refused: list[dict[str, str]] = [
        {"If_Match": '"1-0"'},
        {"If_Match": f"W/{tag}"},
        {"If_Match": '"foreign", "99999999999999999999999-0"'},
        {"If_None_Match": "*"},
        {"If_None_Match": f'"x", W/{other}'},
        {"If_Match": "*", "If_None_Match": tag},
    ]
    for conditions in refused:
        assert send(**conditions).status_code == 412, conditions
    assert api.get(PATH, params={"options": "sysAttrs"}).content == whole.content
    # The version is that of any representation.
    answer = send(If_Match=f'"foreign", {other}', If_None_Match='"1-0"')
    assert answer.status_code == 204, answer.text
    assert send(If_Match=tag).status_code in (404, 412)
    assert api.request(method, path.replace(CAR, "urn:x:none"), json=body, headers={"If-Match": "*"}).status_code == 404


def test_creating_on_condition_that_nothing_is_there_is_what_creating_means(api: TestClient) -> None:
    headers = {"If-None-Match": "*"}
    assert api.post(ENTITIES, json=BODY, headers=headers).status_code == 409
    assert api.delete(PATH).status_code == 204
    assert api.post(ENTITIES, json=BODY, headers=headers).status_code == 201


def test_moments_are_no_conditions(api: TestClient) -> None:
    past = "Thu, 01 Jan 1970 00:00:00 GMT"
    assert api.get(PATH, headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}).status_code == 200
    assert api.patch(PATH, json={"speed": 9}, headers={"If-Unmodified-Since": past}).status_code == 204
