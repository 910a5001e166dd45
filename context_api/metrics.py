"""The metrics of the broker, declared in one place: what each is called, what it means, its labels and its reading.

What the database knows is read from it at each scrape, by one statement a metric: it is right after a restart, and the
same whichever of several processes answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from context_api.broker import Broker

Sample = tuple[Sequence[str], float]
"""(values of the labels, value)"""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric that is read when it is asked for."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[Broker], Awaitable[Iterable[Sample]]]


async def _quarantined(broker: Broker) -> Iterator[Sample]:
    return (((s.tenant, s.stream, s.rule, s.state), s.records) for s in await broker.quarantine.sums())


async def _issuer_keys(broker: Broker) -> list[Sample]:
    return [((issuer.url,), issuer.keys) for issuer in broker.issuers]


async def _issuer_failures(broker: Broker) -> list[Sample]:
    return [((issuer.url,), issuer.failures) for issuer in broker.issuers]


METRICS = (
    Gauge(
        "voltweave_quarantined_records",
        "Records of sources in quarantine, by the gravest rule that each breaks.",
        ("tenant", "stream", "rule", "state"),
        _quarantined,
    ),
    Gauge(
        "voltweave_issuer_keys",
        "Keys of an issuer of tokens that the answering process knows.",
        ("issuer",),
        _issuer_keys,
    ),
    Gauge(
        "voltweave_issuer_failures",
        "Looks for the keys of an issuer that failed since the answering process began.",
        ("issuer",),
        _issuer_failures,
    ),
)


async def exposition(broker: Broker) -> bytes:
    """Return all metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Read([_family(gauge, await gauge.read(broker)) for gauge in METRICS]))
    return generate_latest(registry)


def _family(gauge: Gauge, samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


class _Read(Collector):
    """Gives what has been read to the registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
