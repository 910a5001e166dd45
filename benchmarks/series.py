"""Precision and recall of the rules about series, sample by sample, against labels that others gave.

pvanalytics ships a year's end of an inverter's AC power with stale and with interpolated stretches, each labelled. A
sample counts as found where it lies in a run that the rule finds. Series without labels of the same makers show how
often the rules speak where nothing is known to be wrong.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.options import Options
from benchmarks.rows import Row
from shapes.surroundings import Sample, Series, model_surroundings
from shapes.surroundings.shape import SurroundingShape
from shapes.surroundings.windows import interpolated_runs, score, stale_runs

DATA: Final = Path(__file__).parents[2] / "shared" / "data"
_PV: Final = Path("pv") / "pvanalytics"
_PLANT: Final = "https://w3id.org/voltweave/cim#PVPlant"
_WEATHER: Final = "https://w3id.org/voltweave/cim#WeatherObserved"
_UNLABELLED: Final = (("ac_power_inv_2173.csv", "value_normalized"), ("serf_east_15min_ac_power.csv", "ac_power"))


@dataclass(frozen=True, slots=True)
class Quality:
    """How well samples were found."""

    found: int
    """Samples found that are labelled."""
    wrong: int
    """Samples found that are not labelled."""
    missed: int
    """Samples labelled that were not found."""

    @property
    def precision(self) -> float:
        """The share of what was found that is labelled."""
        return self.found / (self.found + self.wrong)

    @property
    def recall(self) -> float:
        """The share of what is labelled that was found."""
        return self.found / (self.found + self.missed)


def measure(options: Options, data: Path = DATA) -> Iterator[Row]:
    """Yield precision and recall of each rule, and how much it finds in series that nobody labelled."""
    folder = data / _PV
    for name, quality in (("stale (C32)", stale(folder)), ("interpolated (C35)", interpolated(folder))):
        share = "of samples"
        yield Row(f"{name}: precision", quality.precision, share)
        yield Row(f"{name}: recall", quality.recall, share)
        yield Row(f"{name}: found and labelled", quality.found, "samples")
        yield Row(f"{name}: found, not labelled", quality.wrong, "samples")
        yield Row(f"{name}: labelled, not found", quality.missed, "samples")
    changing = interpolated(folder, changing=True)
    yield Row("interpolated (C35), without level stretches: precision", changing.precision, "of samples")
    yield Row("interpolated (C35), without level stretches: recall", changing.recall, "of samples")
    for file, column in _UNLABELLED:
        series, _ = read(folder / file, column)
        for component in ("stale", "interpolated"):
            found = sum(_marked(series, _shape(component, _PLANT, "activePower")))
            yield Row(f"{component} in {file}", found, f"of {len(series)} samples")
    series, _ = read(folder / "rmis_weather_data.csv", "Ambient Temperature")
    yield Row("outlier (C33) in rmis_weather_data.csv, temperature", outliers(series), f"of {len(series)} samples")


def stale(folder: Path) -> Quality:
    """Return how well the rule on stale values finds what pvanalytics labels."""
    series, labels = read(folder / "ac_power_inv_2173_stale_data.csv", "value_normalized", "stale_data_mask")
    return quality(_marked(series, _shape("stale", _PLANT, "activePower")), labels)


def interpolated(folder: Path, changing: bool = False) -> Quality:
    """Return how well the rule on interpolation finds what pvanalytics labels; `changing` leaves level samples out."""
    series, labels = read(
        folder / "ac_power_inv_2173_interpolated_data.csv", "value_normalized", "interpolated_data_mask"
    )
    marked = _marked(series, _shape("interpolated", _PLANT, "activePower"))
    kept = [at for at in range(len(series)) if not changing or not _level(series, at)]
    return quality([marked[at] for at in kept], [labels[at] for at in kept])


def _level(series: Series, at: int) -> bool:
    """Tell whether a sample has the value of both its neighbours, which no straight line but a level one makes."""
    return len({each.value for each in series[max(at - 1, 0) : at + 2]}) == 1


def outliers(series: Series) -> int:
    """Return how many samples of an air temperature the rule on outliers finds."""
    shape = _shape("outlier", _WEATHER, "temperature")
    window, least, most = int(shape.number("window")), shape.number("least"), shape.number("outlier")
    values = [float(each.value) for each in series]
    ends = range(window, len(values) + 1)
    return sum(score(values[end - window : end], values[end - 1], least) > most for end in ends)


def quality(marked: Iterable[bool], labels: Iterable[bool]) -> Quality:
    """Return how marks fit labels."""
    pairs = list(zip(marked, labels, strict=True))
    return Quality(pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)))


def read(file: Path, column: str, label: str | None = None) -> tuple[Series, list[bool]]:
    """Return the samples of a column and their labels; the first column holds the time."""
    series: Series = []
    labels = []
    with file.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            if row[column]:
                time = _moment(next(iter(row.values())))
                series.append(Sample(round(time.timestamp() * 1_000_000), float(row[column]), {}))
                labels.append(label is not None and row[label] == "True")
    return series, labels


def _moment(text: str) -> datetime:
    """Return a moment; some of the files write it as in the United States, without a zone."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.strptime(text, "%m/%d/%Y %H:%M").replace(tzinfo=UTC)


def _shape(component: str, type_: str, attribute: str) -> SurroundingShape:
    """Return the shape of the model that uses a component for an attribute, so that its parameters are measured."""
    found = model_surroundings().shapes
    wanted = (each for each in found if each.component == component and type_ in each.types)
    return next(each for each in wanted if each.attribute.rpartition("#")[2] == attribute)


def _marked(series: Series, shape: SurroundingShape) -> list[bool]:
    """Return for each sample whether it lies in a run that a shape finds."""
    if shape.component == "stale":
        runs = stale_runs(series, int(shape.number("stale")), shape.number("beyond"))
    else:
        runs = interpolated_runs(series, int(shape.number("interpolated")), shape.number("tolerance"))
    marked = [False] * len(series)
    for begin, end in runs:
        marked[begin : end + 1] = [True] * (end + 1 - begin)
    return marked
