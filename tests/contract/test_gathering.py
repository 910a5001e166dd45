"""What is read for rules across entities and over history, on every database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from context_api.validation import relatives
from context_api.validation.gathering import Asked, gather
from ngsild.names import date_time
from shapes.surroundings import Needs, Related, SeriesNeed, Surroundings
from shapes.surroundings.facts import STATUS

CIM = "https://w3id.org/voltweave/cim#"
SOC, EVSE, STATION, START, END = (f"{CIM}{name}" for name in ("soc", "evse", "station", "start", "end"))
SESSION = f"{CIM}Session"
DAYS = [f"2024-01-{day:02}T00:00:00Z" for day in range(1, 31)]


def property_(value: Any, observed: str | None = None, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **({"observedAt": observed} if observed else {}), **members}


def link(*ids: str) -> dict[str, Any]:
    return {"type": "Relationship", "object": ids[0] if len(ids) == 1 else list(ids)}


def day(text: str) -> Any:
    return property_({"@type": "DateTime", "@value": text})


async def surroundings(broker: Any, entity: Any, needs: Needs, new_from: int | None = None) -> Surroundings:
    now = date_time("2024-02-01T00:00:00Z", "now")
    [found] = await gather(broker.store, broker.tenant, [Asked(entity, needs, frozenset(), new_from)], now)
    return found


def needs(**members: Any) -> Needs:
    return Needs(judged=True, **members)


@pytest.mark.anyio
async def test_links_are_followed_step_by_step(broker: Any) -> None:
    station = broker.entity("station", {"soc": property_(3)})
    evses = [broker.entity(f"evse-{n}", {"station": link(station.id)}) for n in (1, 2)]
    session = broker.entity("session", {"evse": link(*(e.id for e in evses), "urn:ngsi-ld:absent:1")})
    await broker.create(station, *evses, session)
    found = await surroundings(broker, session, needs(links=frozenset({(EVSE,), (EVSE, STATION)})))
    assert {e.id for e in found.along((EVSE,))} == {e.id for e in evses}
    assert [e.id for e in found.along((EVSE, STATION))] == [station.id]
    assert found.linked.keys() == {station.id, *(e.id for e in evses)}


@pytest.mark.anyio
async def test_relatives_are_those_that_refer_to_the_same(broker: Any) -> None:
    evse = broker.entity("evse", {})
    sessions = [
        broker.entity(
            f"session-{n}",
            {"evse": link(evse.id), "start": day(DAYS[n]), "end": day(DAYS[n + 1])},
            types=[SESSION],
        )
        for n in (1, 20, 22, 28)
    ]
    other = broker.entity("other", {"evse": link("urn:ngsi-ld:other:1")}, types=[SESSION])
    await broker.create(evse, *sessions, other)
    same = Related(SESSION, EVSE, (EVSE,))
    found = await surroundings(broker, sessions[1], needs(related=frozenset({same})))
    assert {e.id for e in found.related[SESSION, EVSE]} == {e.id for e in sessions}
    near = same._replace(overlapping=(START, END))
    found = await surroundings(broker, sessions[1], needs(related=frozenset({near})))
    assert {e.id for e in found.related[SESSION, EVSE]} == {sessions[1].id}
    children = Related(SESSION, EVSE, ())
    found = await surroundings(broker, evse, needs(related=frozenset({children})))
    assert {e.id for e in found.related[SESSION, EVSE]} == {e.id for e in sessions}
    assert (
        await surroundings(broker, other, needs(related=frozenset({Related(SESSION, STATION, (STATION,))})))
    ).related == {}


@pytest.mark.anyio
async def test_relatives_that_ended_before_are_left_out_and_open_ones_are_not(broker: Any) -> None:
    def session(name: str, first: int, last: int | None = None, status: str = "completed") -> Any:
        end = {} if last is None else {"end": day(DAYS[last])}
        attributes = {"evse": link("urn:ngsi-ld:evse:1"), "start": day(DAYS[first])} | end
        made = broker.entity(f"session-{name}", attributes, types=[SESSION])
        return replace(made, attributes=made.attributes | {STATUS: property_(status)})

    sessions = [
        session("ended", 8, 9),
        session("beside", 8, 11),
        session("open", 5, status="active"),
        session("lost", 5, status="suspended"),
    ]
    own = session("own", 10, 12)
    await broker.create(own, *sessions)
    beside = Related(SESSION, EVSE, (EVSE,), (START, END), open_status="active")
    found = await surroundings(broker, own, needs(related=frozenset({beside})))
    names = {e.id.rpartition(":session-")[2] for e in found.related[SESSION, EVSE]}
    assert names == {"own", "beside", "open"}
    since_2019 = {"evse": link("urn:ngsi-ld:evse:1"), "start": day("2019-01-01T00:00:00Z")}
    await broker.create(broker.entity("session-lasting", since_2019, types=[SESSION]))
    contracts = Related(SESSION, EVSE, (EVSE,), (START, END), longest=0)
    found = await surroundings(broker, own, needs(related=frozenset({contracts})))
    assert "lasting" in {e.id.rpartition(":session-")[2] for e in found.related[SESSION, EVSE]}
    spared = await surroundings(broker, own, needs(related=frozenset({beside._replace(unless=START)})))
    assert spared.related == {}


@pytest.mark.anyio
async def test_relatives_by_a_value_share_it(broker: Any) -> None:
    twins = [broker.entity(f"battery-{n}", {"serial": property_("B-1")}, types=[SESSION]) for n in (1, 2)]
    await broker.create(*twins, broker.entity("battery-3", {"serial": property_("B-2")}, types=[SESSION]))
    serial = f"{CIM}serial"
    found = await surroundings(broker, twins[0], needs(related=frozenset({Related(SESSION, serial, (serial,))})))
    assert {e.id for e in found.related[SESSION, serial]} == {e.id for e in twins}


@pytest.mark.anyio
async def test_series_are_the_last_samples_and_say_which_are_new(broker: Any) -> None:
    session = broker.entity("session", {"soc": property_(0, DAYS[0])})
    await broker.create(session)
    for n in range(1, 6):
        await broker.update(
            session.id, lambda e, n=n: replace(e, attributes={SOC: property_(n, DAYS[n])}), touched=frozenset({SOC})
        )
    stored = await broker.get(session.id)
    found = await surroundings(broker, stored, needs(series={SOC: (SeriesNeed(3),)}), new_from=stored.version)
    samples = found.samples(SOC)
    assert [sample.value for sample in samples][-3:] == [3, 4, 5]
    assert found.since is not None and [s.value for s in samples if s.time > found.since] == [5]
    found = await surroundings(broker, stored, needs(series={SOC: (SeriesNeed(3),)}))
    assert found.since is None


@pytest.mark.anyio
async def test_histories_of_linked_entities_cover_the_time_between_two_moments(broker: Any) -> None:
    evse = broker.entity("evse", {"soc": property_(0, DAYS[0])})
    session = broker.entity("session", {"evse": link(evse.id), "start": day(DAYS[2]), "end": day(DAYS[4])})
    await broker.create(evse, session)
    for n in range(1, 10):
        await broker.update(
            evse.id, lambda e, n=n: replace(e, attributes={SOC: property_(n, DAYS[n])}), touched=frozenset({SOC})
        )
    between = SeriesNeed(2, between=(START, END))
    found = await surroundings(
        broker, session, needs(links=frozenset({(EVSE,)}), histories={((EVSE,), SOC): (between,)})
    )
    values = [float(sample.value) for sample in found.histories[evse.id][SOC, None]]
    assert values[0] <= 2 and values[-1] >= 4 and set(range(2, 5)) <= set(values)


@pytest.mark.anyio
async def test_one_sample_a_period_is_enough_where_a_rule_says_so(broker: Any) -> None:
    session = broker.entity("session", {"soc": property_(0, DAYS[0])})
    await broker.create(session)
    for n in range(1, 25):
        await broker.update(
            session.id, lambda e, n=n: replace(e, attributes={SOC: property_(n, DAYS[n])}), touched=frozenset({SOC})
        )
    stored = await broker.get(session.id)
    day_ = 86_400_000_000
    weekly = SeriesNeed(0, 28 * day_, every=7 * day_)
    found = await surroundings(broker, stored, needs(series={SOC: (weekly,)}))
    values = [float(sample.value) for sample in found.samples(SOC)]
    assert 3 <= len(values) <= 5 and values[-1] == 24 and values == sorted(values)
    both = await surroundings(broker, stored, needs(series={SOC: (weekly, SeriesNeed(2))}))
    assert [sample.value for sample in both.samples(SOC)][-2:] == [23, 24]


@pytest.mark.anyio
@pytest.mark.parametrize("every", [0, 86_400_000_000])
async def test_a_span_ends_at_the_newest_sample_and_not_at_the_present(broker: Any, every: int) -> None:
    year_before = [text.replace("2024", "2023") for text in DAYS]
    session = broker.entity("session", {"soc": property_(0, year_before[0])})
    await broker.create(session)
    for n in range(1, 25):
        await broker.update(
            session.id,
            lambda e, n=n: replace(e, attributes={SOC: property_(n, year_before[n])}),
            touched=frozenset({SOC}),
        )
    stored = await broker.get(session.id)
    week = SeriesNeed(0, 7 * 86_400_000_000, every=every)
    found = await surroundings(broker, stored, needs(series={SOC: (week,)}))
    assert [sample.value for sample in found.samples(SOC)][-8:] == list(range(17, 25))


@pytest.mark.anyio
@pytest.mark.parametrize("page", [500, 3])
async def test_relatives_are_the_same_for_many_entities_as_for_each_alone(
    broker: Any, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    def session(evse: int, first: int) -> Any:
        evses = link(f"urn:ngsi-ld:evse:{evse}", f"urn:ngsi-ld:evse:{evse + 1}")
        attributes = {"evse": evses, "start": day(DAYS[first]), "end": day(DAYS[first + 1])}
        return broker.entity(f"session-{evse}-{first}", attributes, types=[SESSION])

    sessions = {(evse, first): session(evse, first) for evse in range(4) for first in range(0, 21, 3)}
    await broker.create(*sessions.values())
    monkeypatch.setattr(relatives, "_MOST_RELATED", page)
    now = date_time("2024-02-01T00:00:00Z", "now")
    beside = needs(related=frozenset({Related(SESSION, EVSE, (EVSE,), (START, END), open_status="active")}))
    asked = [Asked(each, beside, frozenset()) for each in sessions.values()]
    together = await gather(broker.store, broker.tenant, asked, now)
    for (evse, first), each, found in zip(sessions, asked, together, strict=True):
        [alone] = await gather(broker.store, broker.tenant, [each], now)
        at_once = {sessions[other, first].id for other in range(4) if abs(other - evse) < 2}
        ids, ids_alone = ({e.id for e in about.related[SESSION, EVSE]} for about in (found, alone))
        assert ids & at_once == ids_alone & at_once
        assert page < 500 or ids & at_once == at_once
