"""What becomes of the published files that a provider covers: every record accounted for, and what validation finds.

It writes its tables into docs/measurements.md, between their marks. Records go through the whole adapter to a sink that
takes everything; judging is that of the adapters, in the mode of each manifest.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from adapters.providers import load_provider
from adapters.quarantine import Replay
from adapters.runner import run_provider
from adapters.settings import AdapterSettings
from adapters.sink import Entity, ItemResult, WriteMode
from adapters.state import AdapterState, Counts
from benchmarks.options import Options
from benchmarks.rows import Row
from shapes import NAMESPACE, model_rules

CHECKOUT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = CHECKOUT / "docs" / "measurements.md"
_SESSIONS: Final = "sessions/ev-load-open-data"
_SWISS: Final = "chargepoints/feeds/opendata_swiss/opendata_swiss"
#: Provider, and its file below the folder of real inputs.
FILES: Final = (
    ("boulder-sessions", f"{_SESSIONS}/boulder_2018_2021.csv"),
    ("dundee-sessions", f"{_SESSIONS}/dundee_2017Q4.csv"),
    ("dundee-sessions", f"{_SESSIONS}/dundee_2018Q3.csv"),
    ("sap-sessions", f"{_SESSIONS}/sap_labs_mougins.csv"),
    ("swiss-stations", f"{_SWISS}_static.json"),
    ("swiss-status", f"{_SWISS}_realtime.json"),
    ("german-register", "chargepoints/feeds/bnetza/bnetza.json"),
    ("open-charge-map", "ocm/ocm_brussels.ccbysa.json"),
    ("open-charge-map", "ocm/ocm_lyon.ccbysa.json"),
    ("ev-models", "vehicles/open-ev-data/ev-data.json"),
    ("pv-serf-east", "pv/pvanalytics/serf_east_15min_ac_power.csv"),
    ("weather-nrel", "pv/pvanalytics/rmis_weather_data.csv"),
    ("building-eemeter", "building/eemeter/il-electricity-cdd-hdd-hourly.csv.gz"),
)
#: Words of constraints-on-real-data.txt for what it counted over raw columns, and the rule that finds the same.
RAW_RULES: Final = (
    ("SoC end<start", "C17"), ("end<start", "C10"), (">120", "C11"), ("charging>total", "C12"),
    ("idle>duration", "C12"), ("duration>24h", "C13"), ("mean power", "C14"), ("energy>0 & charging time 0", "C15"),
    ("energy==0", "C19"), ("cost<0", "C20"), ("price/kWh", "C20"), ("SoC>100", "C04"),
)  # fmt: skip
RAW_NAMES: Final = {
    "boulder": "boulder_2018_2021.csv", "dundee_2018Q3": "dundee_2018Q3.csv", "dundee_2017Q4": "dundee_2017Q4.csv",
    "sap": "sap_labs_mougins.csv",
}  # fmt: skip
#: Why the two counts differ, by file and rule.
REASONS: Final = {
    ("boulder", "C10"): "its end is in 1970, which the mapping takes as no end",
    ("boulder", "C11"): "the fourth ends in 1970: it has no end, and so no duration to compare",
    ("boulder", "C19"): "the one more ends in 1970: it is not completed",
    ("dundee_2017Q4", "C10"): "the mapping puts swapped days and months right",
    ("dundee_2017Q4", "C13"): "the others have swapped days and months; a reader of its own counts 535 as well",
}
_L3: Final = "needs the charger beside the session: the server's, not the adapter's"


@dataclass
class Takes:
    """A sink that takes everything."""

    entities: int = 0
    quarantined: set[str] = field(default_factory=set)

    async def deliver(
        self, batch: Sequence[Entity], tenant: str | None, mode: WriteMode = "update"
    ) -> list[ItemResult]:
        """Count entities."""
        self.entities += len(batch)
        return [ItemResult(entity["id"]) for entity in batch]

    async def quarantine(self, records: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        """Remember records."""
        self.quarantined |= {record["id"] for record in records}
        return [ItemResult(record["id"]) for record in records]

    async def settle(self, outcomes: Sequence[dict[str, Any]], tenant: str | None) -> list[ItemResult]:
        """Take outcomes, of which there are none."""
        return [ItemResult(outcome["id"]) for outcome in outcomes]

    async def requested(self, stream: str, tenant: str | None) -> list[tuple[str, int]]:
        """Ask for no replay."""
        return []

    async def replay(self, record_id: str, tenant: str | None) -> Replay | None:
        """Hold no record."""
        return None


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a file."""

    provider: str
    file: str
    counts: Counts
    sink: Takes
    findings: dict[tuple[str, str], int]
    """How many entities broke a rule, by rule and severity."""
    seconds: float
    """CPU time of the adapter, writing the spool included."""


def real_inputs() -> Path:
    """Return the folder of real inputs, which may be absent."""
    return Path(os.environ.get("VOLTWEAVE_SHARED_DATA") or CHECKOUT.parent / "shared" / "data")


def account(name: str, path: Path) -> Account:
    """Take in a file with a new state and say what became of its records."""
    provider = load_provider(name, {"VOLTWEAVE_PSEUDONYM_KEY": "0" * 64})
    sink = Takes()
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        asyncio.run(
            run_provider(
                provider, sink, Path(folder), asyncio.Event(), location=str(path), follow=False,
                settings=AdapterSettings(),
            )
        )  # fmt: skip
        seconds = time.process_time() - began
        state = AdapterState(Path(folder))
        try:
            [status] = state.streams()
            findings = state.findings(provider.manifest.stream)
        finally:
            state.close()
    return Account(name, path.name, status.counts, sink, findings, seconds)


def accounts() -> Iterator[Account]:
    """Account for every file."""
    for name, file in FILES:
        yield account(name, real_inputs() / file)


def measure(_: Options) -> Iterator[Row]:
    """Yield what became of each file, and write the tables."""
    found = []
    for each in accounts():
        found.append(each)
        counts = each.counts
        beside = {"entities": counts.entities, "updates": counts.updates, "quarantined": counts.quarantined}
        yield Row(each.file, counts.records, "records", beside | {"duplicates": counts.duplicates})
        yield Row(f"{each.file}: the adapter", each.seconds / counts.records * 1e6, "CPU µs a record")
    write("records", _records_table(found))
    write("rules", _rules_table(found))
    write("beside", _beside_table(found))


def write(name: str, table: Iterable[str]) -> None:
    """Put a table between its marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    marks = f"<!-- real {name} -->", f"<!-- end of real {name} -->"
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    body = "\n".join([marks[0], "", *table, "", marks[1]])
    PAGE.write_text(pattern.sub(lambda _: body, text), encoding="utf-8")


def _records_table(found: Iterable[Account]) -> Iterator[str]:
    yield "| provider | file | rows | entities | updates | quarantined | duplicates | sum equal |"
    yield "|---|---|---|---|---|---|---|---|"
    for each in found:
        c = each.counts
        sums = f"{c.records:,} | {c.entities:,} | {c.updates:,} | {c.quarantined:,} | {c.duplicates:,}"
        yield f"| {each.provider} | {each.file} | {sums} | {'yes' if c.balanced() else 'no'} |"


def _rules_table(found: Iterable[Account]) -> Iterator[str]:
    rules = {iri.removeprefix(NAMESPACE): rule.label for iri, rule in model_rules().items()}
    yield "| file | rule | Violations | Warnings | Infos |"
    yield "|---|---|---|---|---|"
    for each in found:
        names = sorted({rule for rule, _ in each.findings})
        for rule in names:
            counted = (each.findings.get((rule, severity), 0) for severity in ("Violation", "Warning", "Info"))
            cells = " | ".join(f"{count:,}" for count in counted)
            yield f"| {each.file} | {rule} {rules.get(rule, '')} | {cells} |"


def _beside_table(found: Iterable[Account]) -> Iterator[str]:
    """Hold what was counted over the raw columns beside what the rules find in the entities."""
    by_file = {each.file: each for each in found}
    yield "| file | rows in the file itself | count | rule | entities | why they differ |"
    yield "|---|---|---|---|---|---|"
    for name, counted in raw_counts():
        each = by_file.get(RAW_NAMES.get(name, ""))
        if each is None:
            continue
        broken: Counter[str] = Counter()
        for (rule, _), count in each.findings.items():
            # What is a Violation is a Warning too, where the rule has both.
            broken[rule] = max(broken[rule], count)
        for what, count in counted.items():
            for rule in [rule for words, rule in RAW_RULES if words in what][:1]:
                why = _L3 if rule == "C14" else REASONS.get((name, rule), "" if broken[rule] == count else "?")
                shown = what.replace("|", "\\|")
                yield f"| {each.file} | {shown} | {count:,} | {rule} | {broken[rule]:,} | {why} |"


def raw_counts() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield what the design counted over raw columns, file by file; nothing where that is absent."""
    path = real_inputs().parent / "design" / "constraints-on-real-data.txt"
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, counted = line.partition(" {")
            yield name, ast.literal_eval("{" + counted)
