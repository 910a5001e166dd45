"""The mapping language: what a mapping means, and what is refused when it is loaded."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.errors import ManifestError, RecordError
from adapters.mapping import CompiledMapping, compile_mapping, parse_mapping
from adapters.mapping.pseudonyms import KEY_VARIABLE
from adapters.mapping.vocabulary import cim
from adapters.provider import RecordMeta

META = RecordMeta("stream", "file.csv", 7, "2030-01-01T00:00:00Z")


def mapping(text: str, environment: dict[str, str] | None = None) -> CompiledMapping:
    return parse_mapping(text, "test.yaml", cim(), environment or {})


def session(attributes: str, extra: str = "") -> CompiledMapping:
    lines = "\n".join("      " + line for line in attributes.strip().splitlines())
    return mapping(
        f"version: 1\nsource: s\n{extra}\nentities:\n  - type: ChargingSession\n    id: [id]\n"
        f"    observedAt: {{const: '2030-01-01T00:00:00Z'}}\n    attributes:\n{lines}\n"
    )


def value(found: CompiledMapping, record: dict[str, Any], attribute: str = "sessionId") -> Any:
    made = found.apply({"id": "1", **record}, META)[0].get(attribute)
    return made and made["value"]


@pytest.mark.parametrize(
    ("expression", "record", "expected"),
    [
        ("a.b [0]", {"a.b [0]": "x"}, "x"),
        ("/a/b/0", {"a": {"b": ["x"]}}, "x"),
        ("/a/b/1", {"a": {"b": ["x"]}}, None),
        ("/a~1b/~0", {"a/b": {"~": "x"}}, "x"),
        ("/a/0", {"a": {"0": "x"}}, "x"),
        ("{const: ''}", {}, ""),
        ("{template: '{a}-{/b/c}!'}", {"a": 1, "b": {"c": "y"}}, "1-y!"),
        ("{template: '{a}-{b}'}", {"a": 1}, None),
        ("{coalesce: [a, b, {const: z}]}", {"b": "y"}, "y"),
        ("{coalesce: [a, b, {const: z}]}", {}, "z"),
        ("{when: {present: a}, then: b}", {"a": "1", "b": "y"}, "y"),
        ("{when: {present: a}, then: b}", {"b": "y"}, None),
        ("{when: {all: [{absent: a}, {in: [b, [y]]}]}, then: b, otherwise: a}", {"b": "y"}, "y"),
        ("{when: {any: [{equal: [a, b]}, {less: [c, 5]}]}, then: c}", {"a": 1, "b": 2, "c": 4}, "4"),
        ("{when: {not: {equal: [a, 1]}}, then: a}", {"a": 1}, None),
        ("[a, trim, upper]", {"a": " x "}, "X"),
        ("[a, {nullValues: ['0', '-']}, lower]", {"a": "-"}, None),
        ("[a, {extract: '^([A-Z]+)-'}]", {"a": "AB-1"}, "AB"),
        ("[a, {extract: '^([A-Z]+)-'}, lower]", {"a": "1"}, None),
        ("[a, {split: ','}, {item: -1}]", {"a": "x, y,"}, "y"),
        ("[a, {split: ','}, {map: [trim, upper]}, unique, {join: '+'}]", {"a": "x, y, x"}, "X+Y"),
        ("[a, {replace: {old: x, new: ''}}]", {"a": "xax"}, "a"),
        ("[{list: [a, b]}, flatten, {join: ''}]", {"a": ["x", "y"], "b": "z"}, "xyz"),
        ("[{each: a, as: item, value: [$item/n, text]}, {join: ','}]", {"a": [{"n": 1}, {}, {"n": 2}]}, "1,2"),
        ("$meta/unit", {}, "file.csv"),
        ("[a, max, text]", {"a": ["7", 9, 8.5]}, "9"),
        ("[a, {lookup: {scheme: EVSEStatus/OICP, otherwise: none}}]", {"a": "Occupied"}, "charging"),
        ("[a, {lookup: {scheme: EVSEStatus/OICP, otherwise: none}}]", {"a": "x"}, "none"),
    ],
)
def test_expressions(expression: str, record: dict[str, Any], expected: Any) -> None:
    assert value(session(f"sessionId: {expression}"), record) == expected


def test_numbers_units_and_money() -> None:
    found = session(
        "energyDelivered: [wh, {unit: W.h}]\nduration: [h, {unit: h}]\n"
        "totalCost: {value: [cost, {number: {decimal: ','}}], attributes: {currency: {const: EUR}}}"
    )
    made = found.apply({"id": 1, "wh": "1234567", "h": 1.5, "cost": "0,79296"})[0]
    assert made["energyDelivered"]["value"] == 1234.567
    assert made["energyDelivered"]["unitCode"] == "KWH"
    assert made["duration"]["value"] == 5400
    cost = made["totalCost"]
    assert cost["value"] == 0.79296
    assert "unitCode" not in cost
    assert cost["currency"] == {"type": "Property", "value": "EUR"}


def test_the_model_decides_kind_time_and_unit() -> None:
    found = mapping(
        """
        version: 1
        source: s
        entities:
          - type: VehicleModel
            id: [id]
            attributes:
              name: name
              connectorType: [ports, {map: [{lookup: ConnectorType/OpenEVData}]}]
              averageConsumption: use
          - type: ChargingStation
            id: [id]
            attributes:
              stationId: id
              commissioningDate: [since, {date: "%d.%m.%y"}]
              site: {key: [place]}
              connectivityStatus: {value: {const: online}, observedAt: at, datasetId: {const: "urn:x:d"}}
        """
    )
    record = {"id": "ü/1", "name": "n", "ports": ["ccs", "type2"], "use": "15.6", "since": "31.12.29", "place": "a b"}
    model, station = found.apply(record | {"at": "2030-01-01T00:00:00.5+01:00"})
    assert model["id"] == "urn:ngsi-ld:VehicleModel:s:%C3%BC%2F1"
    assert model["connectorType"] == {"type": "VocabProperty", "vocab": ["iec62196T2Combo", "iec62196T2"]}
    assert model["averageConsumption"]["unit"] == {"type": "Property", "value": "kW.h/(100.km)"}
    assert station["commissioningDate"]["value"] == {"@type": "Date", "@value": "2029-12-31"}
    assert station["site"] == {"type": "Relationship", "object": "urn:ngsi-ld:ChargingSite:s:a%20b"}
    status = station["connectivityStatus"]
    assert (status["observedAt"], status["datasetId"]) == ("2029-12-31T23:00:00.500Z", "urn:x:d")


LOOP = """
version: 1
source: s
entities:
  - type: ChargingStation
    id: [id]
    attributes: {stationId: id}
  - each: places
    as: place
    number: number
    when: {present: $place/power}
    let: {power: [$place/power, number]}
    entities:
      - type: EVSE
        id: [id, $number]
        attributes:
          station: {entity: ChargingStation}
          ratedPower: $power
      - each: $place/plugs
        as: plug
        entities:
          - type: Connector
            id: [id, $number, $plug]
            attributes: {connectorId: $plug, evse: {entity: EVSE}}
"""


def test_loops_make_many_entities_and_link_them() -> None:
    record = {"id": "A", "places": [{"power": 1, "plugs": ["x", "y"]}, {"plugs": ["z"]}, {"power": "2"}]}
    made = mapping(LOOP).apply(record)
    assert [entity["id"].split(":", 2)[2] for entity in made] == [
        "ChargingStation:s:A",
        "EVSE:s:A:1",
        "Connector:s:A:1:x",
        "Connector:s:A:1:y",
        "EVSE:s:A:3",
    ]
    assert made[2]["evse"]["object"] == made[1]["id"]
    assert made[1]["station"]["object"] == made[0]["id"]


def test_times_of_day_take_the_date_from_elsewhere() -> None:
    found = mapping(
        """
        version: 1
        source: s
        zone: Europe/Rome
        let: {day: [day, {date: "%d/%m/%y"}]}
        entities:
          - type: ChargingStation
            id: [id]
            attributes: {stationId: id}
          - each: samples
            as: sample
            entities:
              - type: EVSE
                id: [id]
                observedAt: [$sample/t, {timeOfDay: {date: $day}}]
                attributes:
                  activePower: $sample/kW
        """
    )
    samples = [{"t": t, "kW": n} for n, t in enumerate(("23:59:50", "00:00:00", "00:00:10"))]
    record = {"id": "A", "day": "03/07/30", "samples": samples}
    for _ in range(2):
        made = [entity["activePower"]["observedAt"] for entity in found.apply(record)[1:]]
        assert made == ["2030-07-03T21:59:50Z", "2030-07-03T22:00:00Z", "2030-07-03T22:00:10Z"]


def test_entities_without_key_are_left_out_with_the_links_to_them() -> None:
    found = mapping(LOOP.replace("id: [id]", "id: [id]", 1))
    assert [entity["type"] for entity in found.apply({"id": "A", "places": None})] == ["ChargingStation"]
    with pytest.raises(RecordError, match="the key of the ChargingStation") as error:
        found.apply({"places": []})
    assert error.value.field == "id"


def test_pseudonyms_need_a_secret() -> None:
    text = """
        version: 1
        source: s
        personal: true
        entities:
          - type: ChargingSession
            id: [id]
            attributes: {sessionId: id, userPseudonym: [card, pseudonym]}
    """
    with_secret = mapping(text, {KEY_VARIABLE: "a secret of enough length"})
    assert len(with_secret.apply({"id": 1, "card": "Ann"})[0]["userPseudonym"]["value"]) == 64
    without = mapping(text)
    assert "userPseudonym" not in without.apply({"id": 1, "card": "Ann"})[0]
    assert without.dropped == {"ChargingSession.userPseudonym": 1}
    strict = mapping(text.replace("pseudonym]", "{pseudonym: {missing: error}}]"))
    with pytest.raises(RecordError, match=KEY_VARIABLE) as error:
        strict.apply({"id": 1, "card": "Ann"})
    assert "Ann" not in str(error.value)


def test_every_error_names_field_rule_and_value() -> None:
    found = session("energyDelivered: kWh", "let: {start: [from, {datetime: '%Y-%m-%d'}]}\nzone: UTC\nrequire: [from]")
    for record, field, part in (
        ({"from": "2030-01-01", "kWh": "9,5"}, "kWh", "'9,5'"),
        ({"from": "01.01.2030"}, "from", "'01.01.2030'"),
        ({"from": ""}, "from", "missing"),
    ):
        with pytest.raises(RecordError) as error:
            found.apply({"id": 1, **record})
        assert error.value.field == field
        assert error.value.rule
        assert field in str(error.value)
        assert part in str(error.value)


def test_rejections_give_their_reason() -> None:
    found = session("sessionId: id", "reject: [{when: {less: [b, a]}, reason: b is less than a}]")
    assert found.apply({"id": 1, "a": 1, "b": 1})
    assert found.apply({"id": 1, "a": 1})
    with pytest.raises(RecordError, match="b is less than a") as error:
        found.apply({"id": 1, "a": 2, "b": 1})
    assert error.value.field == "b, a"
    with pytest.raises(RecordError, match="cannot be compared"):
        found.apply({"id": 1, "a": "2", "b": 1})


def test_what_means_no_value_is_absent_and_not_zero() -> None:
    found = session("energyDelivered: kWh\nsessionId: name", "nullValues: ['', '-', 0]\ntrim: true")
    made = found.apply({"id": " 1 ", "kWh": 0, "name": " - "})[0]
    assert made["id"].endswith(":1")
    assert "energyDelivered" not in made
    assert "sessionId" not in made
    assert found.apply({"id": 1, "kWh": "0"})[0]["energyDelivered"]["value"] == 0


SHARED = """
version: 1
source: s
entities:
  - type: EVSE
    id: [evse]
    attributes: {evseId: evse, station: {entity: ChargingStation}}
  - type: ChargingStation
    shared: true
    id: [station]
    attributes: {stationId: station, model: model}
"""


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", ["z"], {"q": 1}])), max_size=20))
def test_a_batch_leaves_the_same_entities_as_single_records(rows: list[tuple[str, Any]]) -> None:
    found = mapping(SHARED)
    records = [{"evse": n, "station": station, "model": model} for n, (station, model) in enumerate(rows)]
    single = [_outcome(found, record) for record in records]
    many = found.apply_many((record, None) for record in records)
    assert [isinstance(a, str) for a in single] == [isinstance(b, RecordError) for b in many]
    for one, batch in zip(single, many, strict=True):
        if not isinstance(one, str) and not isinstance(batch, RecordError):
            assert batch[0] == one[0]
            assert batch[1:] in ([], one[1:])
    stored = [{e["id"]: e for made in run if isinstance(made, list) for e in made} for run in (single, many)]
    assert stored[0] == stored[1]


def test_a_shared_entity_of_a_record_that_fails_is_made_by_the_next_one() -> None:
    power = "{type: Connector, shared: true, id: [plug], attributes: {maxPower: [power, number]}}"
    found = mapping(f"{SHARED}  - {power}\n")
    rows = [{"evse": n, "station": "a", "plug": "p", "power": power} for n, power in enumerate(["?", 7, 7])]
    failed, first, second = found.apply_many((row, None) for row in rows)
    assert isinstance(failed, RecordError)
    assert [len(made) for made in (first, second) if isinstance(made, list)] == [3, 1]


def _outcome(found: CompiledMapping, record: dict[str, Any]) -> list[dict[str, Any]] | str:
    try:
        return found.apply(record)
    except RecordError as error:
        return str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["12", "x-1", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abid"), inner, max_size=3),
    max_leaves=8,
)
EVERYTHING = """
version: 1
source: s
zone: Europe/Rome
let:
  t: [a, {datetime: ["%Y-%m-%d", iso]}]
  n: [b, {number: {decimal: ",", thousands: "."}}]
reject: [{when: {less: [$t, a]}, reason: late}]
entities:
  - type: ChargingSession
    id: [id]
    observedAt: {coalesce: [$t, {const: "2030-01-01T00:00:00Z"}]}
    attributes:
      sessionId: {template: "{a}{/a/b}"}
      startDateTime: $t
      duration: {seconds: {from: $t, to: a}}
      energyDelivered: [b, {unit: MW.h}, {round: 3}]
      stopReason: [a, {split: "-"}, {map: [trim, {lookup: {scheme: EVSEStatus/OICP, otherwise: null}}]}, {join: ","}]
      peakPower: [{each: b, as: x, value: $x/a}, max]
      evse: {key: [a, b]}
  - type: ChargingSite
    id: [[a, slug]]
    attributes:
      location: {point: {longitude: /a/0, latitude: /a/1}}
      address: {object: {streetAddress: a, postalCode: b}}
      renewableEnergy: [b, {boolean: {trueWords: [12], falseWords: [0]}}]
"""


@settings(max_examples=1000)
@given(st.dictionaries(st.sampled_from(["a", "b", "id"]), JSON))
def test_any_record_becomes_entities_or_a_record_error(record: dict[str, Any]) -> None:
    found = _EVERYTHING
    before = copy.deepcopy(record)
    outcome = _outcome(found, record)
    assert repr(record) == repr(before)
    if not isinstance(outcome, str):
        assert outcome[0]["type"] == "ChargingSession"
        json.dumps(outcome)


_EVERYTHING = mapping(EVERYTHING)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ChargingStation\n", "ChargingStatoin\n", "no class ChargingStatoin; did you mean ChargingStation"),
        ("stationId", "stationID", "no attribute stationID; did you mean stationId"),
        ("version: 1", "version: 2", "version"),
        ("source: s", "source: s p", "source"),
        ("$place/plugs", "$plaice/plugs", r"there is no \$plaice"),
        ("{entity: EVSE}", "{entity: Evse}", "no entity named 'Evse'"),
        ("as: plug", "as: place", "defined twice"),
        ("[$place/power, number]", "[$place/power, numbr]", "power"),
        ("ratedPower: $power", "activePower: $power", "needs observedAt"),
        ("ratedPower: $power", "connector: {key: [id]}", "is derived"),
        ("ratedPower: $power", "ratedPower: [$power, {unit: V}]", "a unit of voltage"),
        ("ratedPower: $power", "currentType: {const: AC9}", "none of"),
        ("ratedPower: $power", "ratedPower: {const: high}", "is no number"),
        ("ratedPower: $power", "evseId: [$power, {extract: '('}]", "pattern"),
        ("ratedPower: $power", "evseId: [$power, {lookup: nowhere}]", "no scheme 'nowhere'"),
        ("ratedPower: $power", "evseId: {template: '{a'}", "brace"),
        ("ratedPower: $power", "evseId: {eval: '1+1'}", "ratedPower|evseId|entities"),
        ("number: number", "shared: true", "entities"),
    ],
)
def test_a_wrong_mapping_is_refused_when_it_is_loaded(old: str, new: str, message: str) -> None:
    assert old in LOOP
    with pytest.raises(ManifestError, match=message) as error:
        mapping(LOOP.replace(old, new))
    assert str(error.value).startswith("test.yaml: ")


def test_personal_attributes_and_money_must_be_declared() -> None:
    with pytest.raises(ManifestError, match="personal data"):
        session("userPseudonym: card")
    with pytest.raises(ManifestError, match="currency"):
        session("totalCost: cost")


def test_text_of_a_mapping_is_never_code() -> None:
    """Names and texts that would do harm as code come out as data."""
    evil = "__import__('os').system('false') or {x}"
    found = session(f"sessionId: {{const: {json.dumps(evil)}}}")
    assert value(found, {}) == evil
    assert value(session(f"sessionId: {json.dumps(evil)}"), {evil: "y"}) == "y"
    with pytest.raises(ManifestError):
        session("sessionId: $__class__")
    with pytest.raises(ManifestError):
        session("sessionId: $meta/__class__")


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"stationId.*twice"):
        mapping(LOOP.replace("{stationId: id}", "{stationId: id, stationId: name}"))


def test_texts_that_yaml_takes_for_something_else_stay_texts() -> None:
    for text in ("838:59:59", "on", "no", "2030-01-01", "007", "0x10", ".5", "1_000"):
        assert value(session(f"sessionId: {{const: {text}}}"), {}) == text
        assert value(session("sessionId: a", f"nullValues: [{text}]"), {"a": text}) is None


@given(st.text())
def test_any_yaml_compiles_or_is_a_manifest_error(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_mapping(text, "test.yaml", cim(), {})


@given(st.data())
def test_a_damaged_mapping_is_a_manifest_error_or_works(data: st.DataObject) -> None:
    document = yaml.safe_load(EVERYTHING)
    holders = list(_holders(document))
    holder, key = data.draw(st.sampled_from(holders))
    holder[key] = data.draw(st.none() | st.text() | st.integers() | st.lists(st.text()) | st.just({}))
    try:
        found = compile_mapping(document, "test.yaml", cim(), {})
    except ManifestError:
        return
    _outcome(found, {"id": "1", "a": "x"})


def _holders(node: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        found.append((node, key))
        found += _holders(inner)
    return found


def test_the_namespace_of_a_mapping_is_closed() -> None:
    namespace = mapping(LOOP)._make.__globals__
    assert namespace["__builtins__"] == {}
    assert not {"eval", "exec", "open", "__import__", "getattr"} & {
        getattr(v, "__name__", "") for v in namespace.values()
    }
