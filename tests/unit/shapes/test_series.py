"""What SPARQL has no words for is held against plain evaluators; labelled series say how much is found."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.series import interpolated, stale
from benchmarks.sessions import FILES, broken
from shapes.surroundings import SurroundingShapes
from shapes.surroundings.clock import shifted, weekly_rises
from shapes.surroundings.windows import score
from tests.unit.shapes.surrounded import about, entity, samples
from tests.unit.shapes.surrounded_examples import SHAPES, WEEK, spectrum, weekly

OUTLIER = SHAPES["WeatherObserved-temperature-outlier"]


def test_outliers_are_those_of_numpy() -> None:
    random = Random(1)
    found: list[float] = []
    for _ in range(500):
        values = [round(random.gauss(20, random.choice((0, 0.1, 3))), 1) for _ in range(45)]
        at = random.randrange(45)
        values[at] = round(values[at] + random.choice((0, 5, 20, -40)), 1)
        series = [(n - 44, value) for n, value in enumerate(values)]
        observed = about(entity("WeatherObserved:1"), series={"temperature": series}, since=-10)
        judged = SurroundingShapes([OUTLIER]).judge(observed, "window")
        expected = set()
        for end in range(36, 46):
            window = np.array(values[end - 30 : end])
            deviation = 1.4826 * np.median(np.abs(window - np.median(window)))
            if abs(values[end - 1] - np.median(window)) / max(deviation, 1.0) > 8:
                expected.add(values[end - 1])
        assert {float(str(each.value).split('"')[1]) for each in judged} == expected
        found += expected
    assert 50 < len(found) < 2000


def test_a_series_that_hardly_moves_may_move_by_its_least_deviation() -> None:
    assert score([20.0] * 30, 20.5, least=1.0) == 0.5
    assert score([20.0] * 29 + [29.0], 29.0, least=1.0) == 9


def test_weekly_rises_are_differences_of_what_stood_at_the_end_of_each_week() -> None:
    rises = [float(n) for n in range(16)]
    series = samples([*weekly(rises), (-WEEK * 3 + 10, 1e6)][:-1])
    assert weekly_rises(series, 16) == rises
    assert weekly_rises(series, 17) is None
    assert weekly_rises(samples([(-WEEK, 5), (0, 3)]), 1) == [0]


def test_a_shift_is_one_of_numpy_medians() -> None:
    random = Random(2)
    verdicts = []
    for _ in range(500):
        rises = [max(random.gauss(100, random.choice((1, 20, 60))), 0) for _ in range(12)]
        rises += [each * random.choice((0.2, 1, 1.4, 1.6, 3)) for each in random.sample(rises, 1) * 4]
        usual, late = np.median(rises[:12]), np.median(rises[12:])
        deviation = np.median(np.abs(np.array(rises[:12]) - usual))
        expected = abs(late - usual) > 3 * deviation and abs(late - usual) > 0.5 * usual
        verdicts.append(shifted(rises, 4, 3, 0.5))
        assert verdicts[-1] == expected
    assert 50 < sum(verdicts) < 450


@pytest.mark.parametrize(
    ("points", "found"),
    [
        (np.geomspace(0.1, 1000, 12), 0),
        (np.geomspace(0.1, 1000, 4), 1),
        (np.linspace(1, 1000, 12), 1),
        ([1, 2, 4, 8, 16, 32], 0),
        ([1, 2, 4, 8, 25], 1),
        ([1, 2, 4, 4, 8, 16], 0),
    ],
)
def test_a_spectrum_is_spaced_as_a_logarithm(points: list[float], found: int) -> None:
    shapes = SurroundingShapes([SHAPES["EISMeasurement-frequency-spectrum"]])
    assert len(shapes.judge(spectrum(*map(float, points)), "clock")) == found
    assert shapes.judge(spectrum(*map(float, points), added=-59), "clock") == []


def test_labelled_stale_and_interpolated_series_are_found(shared_data: Path) -> None:
    folder = shared_data / "pv" / "pvanalytics"
    found = stale(folder)
    assert (found.precision, found.recall) == (1, 1)
    assert interpolated(folder).precision > 0.98
    assert interpolated(folder).recall > 0.94
    assert interpolated(folder, changing=True).recall > 0.99


@pytest.mark.parametrize(
    ("file", "energy", "overlap"),
    [("boulder_2018_2021.csv", 0, 7511), ("dundee_2018Q3.csv", 95, 66), ("sap_labs_mougins.csv", 0, 10)],
)
def test_real_sessions_break_the_rules_as_often_as_counted(
    shared_data: Path, file: str, energy: int, overlap: int
) -> None:
    provider = next(name for name, path, _ in FILES if path == file)
    found = broken(provider, shared_data / "sessions" / "ev-load-open-data" / file)
    assert (found["C14"], found["C21"]) == (energy, overlap)
