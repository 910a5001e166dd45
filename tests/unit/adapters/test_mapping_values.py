"""The library of steps: numbers, units, times, ids, pseudonyms."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import SettingError
from adapters.mapping import mapping_schema, times, units, values
from adapters.mapping.pseudonyms import KEY_VARIABLE, pseudonymiser, stream_key
from adapters.mapping.steps import STEPS
from adapters.mapping.values import Unusable

DENVER = ZoneInfo("America/Denver")
LONDON = ZoneInfo("Europe/London")
MOMENTS = st.datetimes(datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("2099-01-01"))


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_its_own_text(number: float) -> None:
    assert values.number(repr(number)) == number
    assert values.number(number) == number


@pytest.mark.parametrize(
    "text", ["", " 1", "1_000", "nan", "inf", "1e999", "0x10", "\u0661", "1,5", "--1", str(2**63), "1 "]
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(Unusable):
        values.number(text)


@pytest.mark.parametrize("value", [None, True, [], {}, float("nan"), float("inf"), 2**63])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(Unusable):
        values.number(value)


@given(st.decimals(-(10**9), 10**9, places=6))
def test_decimal_comma_and_thousands(number: Decimal) -> None:
    text = f"{number:,}".replace(",", "#").replace(".", ",").replace("#", ".")
    assert values.number_format(",", ".")(text) == values.shortest(number)


@pytest.mark.parametrize("text", ["1.23,5", "12.34.567", "1.2345", "1,2,3"])
def test_thousands_must_part_by_three(text: str) -> None:
    with pytest.raises(Unusable):
        values.number_format(",", ".")(text)


@given(st.integers(0, 10**12), st.sampled_from(["W.h", "MW.h", "kW.h"]))
def test_energy_converts_exactly(amount: int, unit: str) -> None:
    factor = {"W.h": Decimal("0.001"), "MW.h": Decimal(1000), "kW.h": Decimal(1)}[unit]
    assert values.exact(units.converter(unit, "kW.h")(str(amount))) == amount * factor


@given(st.decimals(-1000, 1000, places=3))
def test_units_with_a_ratio_or_an_offset(amount: Decimal) -> None:
    kelvin = units.converter("Cel", "K")(str(amount))
    assert kelvin == float(Fraction(amount) + Fraction("273.15"))
    assert units.converter("km.h-1", "m.s-1")(str(amount)) == pytest.approx(float(amount) / 3.6, rel=1e-15)


def test_units_of_two_dimensions_do_not_convert() -> None:
    with pytest.raises(ValueError, match="energy"):
        units.converter("kW.h", "kW")
    with pytest.raises(ValueError, match="not known"):
        units.converter("furlong", "m")
    assert units.converter("[degF]", "Cel")(212) == 100
    assert units.converter("1", "%")("0.07") == 7


@given(MOMENTS, st.sampled_from([DENVER, LONDON, ZoneInfo("UTC")]))
def test_local_times_in_explicit_formats_mean_what_zoneinfo_says(wall: datetime, zone: ZoneInfo) -> None:
    wall = wall.replace(microsecond=0)
    expected = wall.replace(tzinfo=zone).astimezone(UTC)
    for layout in ("%d/%m/%Y %H:%M:%S", "%Y-%d-%mT%H:%M:%S", "%m/%d/%Y %H:%M:%S"):
        assert times.datetime_reader([layout], zone)(wall.strftime(layout)) == expected


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_offsets_are_honoured(moment: datetime, minutes: int) -> None:
    sign, size = "-" if minutes < 0 else "+", abs(minutes)
    written = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}{sign}{size // 60:02}:{size % 60:02}"
    expected = moment.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    assert times.datetime_reader(["%Y-%m-%dT%H:%M:%S.%f%z"], None)(written) == expected
    assert times.datetime_reader([times.ISO], None)(written) == expected
    assert datetime.fromisoformat(times.utc_text(expected)) == expected


def test_the_first_format_that_fits_decides_whether_day_and_month_were_swapped() -> None:
    read = times.datetime_reader(["%Y-%d-%m", "%Y-%m-%d"], ZoneInfo("UTC"))
    assert read("2017-01-12").date() == date(2017, 12, 1)
    assert read("2017-11-30").date() == date(2017, 11, 30)
    with pytest.raises(Unusable):
        read("2017-13-13")


def test_two_digit_years_are_of_this_century() -> None:
    assert times.date_reader(["%d/%m/%y"])("31/12/99") == date(2099, 12, 31)


def test_a_time_without_offset_or_zone_is_refused() -> None:
    with pytest.raises(Unusable, match="no zone"):
        times.datetime_reader([times.ISO], None)("2030-01-01T00:00:00")


def test_the_hour_that_comes_twice() -> None:
    read = times.datetime_reader(["%Y-%m-%d %H:%M"], LONDON)
    start = read("2017-10-29 01:55")
    assert start == datetime(2017, 10, 29, 0, 55, tzinfo=UTC)
    assert read("2017-10-29 01:20") < start
    assert read("2017-10-29 01:20", start) == datetime(2017, 10, 29, 1, 20, tzinfo=UTC)
    assert read("2017-10-29 00:20", start) == datetime(2017, 10, 28, 23, 20, tzinfo=UTC)


@pytest.mark.parametrize("layout", ["%Y-%m", "%Y-%m-%d %Y", "%Q", "%H:%M"])
def test_wrong_formats_are_refused_when_the_mapping_is_loaded(layout: str) -> None:
    with pytest.raises(ValueError, match="format"):
        times.datetime_reader([layout], None)


def test_times_of_day_roll_over_midnight() -> None:
    clock = times.DayClock()
    day = date(2030, 7, 3)
    rome = ZoneInfo("Europe/Rome")
    found = [clock.at(text, day, rome) for text in ("22:00:00", "23:59:50", "00:00:00", "06:00:00", "05:00:00")]
    hours = [(moment.astimezone(rome).day, moment.astimezone(rome).hour) for moment in found]
    assert hours == [(3, 22), (3, 23), (4, 0), (4, 6), (5, 5)]
    assert clock.at("05:00:00", date(2030, 7, 9), rome).astimezone(rome).day == 9


def test_the_repeated_hour_is_no_midnight() -> None:
    clock = times.DayClock()
    found = [clock.at(text, date(2017, 10, 29), LONDON) for text in ("01:59:50", "01:00:00", "02:00:00")]
    assert [moment.hour for moment in found] == [0, 1, 2]
    assert {moment.day for moment in found} == {29}


def test_durations_have_hours_without_limit() -> None:
    assert times.duration("838:59:59") == 3_020_399
    for text in ("1:60:00", "10:00", "", "-1:00:00"):
        with pytest.raises(Unusable):
            times.duration(text)


def test_epochs() -> None:
    assert times.epoch_reader("ms")(1_900_000_000_123).microsecond == 123_000
    with pytest.raises(Unusable):
        times.epoch_reader("s")(10**18)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_ids_are_safe_and_tell_keys_apart(parts: list[str]) -> None:
    made = values.urn("urn:ngsi-ld:EVSE:s:", tuple(parts))
    assert made is not None
    keys = made.removeprefix("urn:ngsi-ld:EVSE:s:").split(":")
    assert [unquote(key, errors="surrogatepass") for key in keys] == parts
    assert set("".join(keys)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._*-~%")


def test_an_id_needs_every_part() -> None:
    assert values.urn("urn:x:", ("a", None)) is None
    assert values.urn("urn:x:", ("",)) is None
    assert values.urn("urn:x:", ("DE*ABC*E1", 7)) == "urn:x:DE*ABC*E1:7"
    with pytest.raises(Unusable):
        values.urn("urn:x:", (["a"],))


def test_points_lie_on_the_earth() -> None:
    assert values.point("4.35", 50.85) == {"type": "Point", "coordinates": [4.35, 50.85]}
    assert values.point(None, None) is None
    for longitude, latitude in ((181, 0), (0, 91), (None, 1), ("x", 1)):
        with pytest.raises(Unusable):
            values.point(longitude, latitude)


def test_pseudonyms_depend_on_secret_and_source_and_hide_the_value() -> None:
    secret = {KEY_VARIABLE: "a secret of enough length"}
    one = pseudonymiser(stream_key(secret, "one"), "drop", Counter(), "x")("Ann Example")
    assert one == pseudonymiser(stream_key(secret, "one"), "drop", Counter(), "x")("Ann Example")
    assert one != pseudonymiser(stream_key(secret, "two"), "drop", Counter(), "x")("Ann Example")
    assert one is not None
    assert len(one) == 64
    assert "Ann" not in one


def test_without_a_secret_personal_values_are_dropped_and_counted_or_refused() -> None:
    dropped: Counter[str] = Counter()
    assert stream_key({}, "one") is None
    assert pseudonymiser(None, "drop", dropped, "card")("Ann") is None
    assert dropped == {"card": 1}
    with pytest.raises(Unusable) as refused:
        pseudonymiser(None, "error", dropped, "card")("Ann")
    assert "Ann" not in str(refused.value) + str(refused.value.value)
    with pytest.raises(SettingError, match=KEY_VARIABLE):
        stream_key({KEY_VARIABLE: "short"}, "one")


def test_the_schema_describes_the_steps_that_there_are() -> None:
    bare, with_arguments = mapping_schema()["$defs"]["step"]["oneOf"]
    assert {step["const"] for step in bare["oneOf"]} | set(with_arguments["properties"]) == set(STEPS)
    json.dumps(mapping_schema())
