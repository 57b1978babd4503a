"""``python -m tests.bench.anomaly FOLDER``: the online detector on labelled series, beside three textbook methods.

A folder holds ``windows.json`` (file: list of first and last time stamp) and CSV files of ``timestamp,value``. Each
method's threshold is chosen on one half of the files and reported on the other, and the other way round; the mean of
``SPLITS`` random halvings (seeded) is printed, and the least and the greatest threshold that was chosen. The first
15 % of a file, at most 750 rows, are not judged. A textbook method's alert tells of 12 hours, which suits them best.
"""

from __future__ import annotations

import csv
import json
import math
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import TypeAlias

from shared.detector import OnlineDetector

Method: TypeAlias = Callable[["Labelled", float], list[int]]
"""The rows of a series that begin an alert, at a threshold."""
SPLITS = 20
WINDOW_ROWS = 288
_TOLD_SECONDS = 43_200
_FALSE_WEIGHT = 2.0
"""A tenth of a false alert a day is worth as much as a fifth of the windows, where a threshold is chosen."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One series: Unix seconds, values, and the windows in which something happened."""

    name: str
    at_seconds: Sequence[float]
    values: Sequence[float]
    windows: Sequence[tuple[float, float]]

    @property
    def warm(self) -> int:
        """The first row that is judged."""
        return min(int(0.15 * len(self.values)), 750)


@dataclass(frozen=True, slots=True)
class Score:
    """What a method found and cried over some files; scores add."""

    windows: int = 0
    found: int = 0
    true: int = 0
    false: int = 0
    days: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.windows + other.windows,
            self.found + other.found,
            self.true + other.true,
            self.false + other.false,
            self.days + other.days,
        )

    @property
    def recall(self) -> float:
        """Of the windows, those that were found; 1 without any."""
        return self.found / self.windows if self.windows else 1.0

    @property
    def precision(self) -> float:
        """Of the alerts, those inside a window; 1 without any."""
        return self.true / (self.true + self.false) if self.true + self.false else 1.0

    @property
    def false_per_day(self) -> float:
        """False alerts for each day of a series."""
        return self.false / self.days if self.days else 0.0

    @property
    def worth(self) -> float:
        """What a threshold is chosen by."""
        return self.recall - _FALSE_WEIGHT * self.false_per_day


def read_folder(folder: Path) -> list[Labelled]:
    """The labelled series of a folder, by name."""
    windows: Mapping[str, Sequence[Sequence[str]]] = json.loads((folder / "windows.json").read_text("utf-8"))
    return [_read(folder, name, spans) for name, spans in sorted(windows.items())]


def _read(folder: Path, name: str, spans: Sequence[Sequence[str]]) -> Labelled:
    with (folder / name).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    windows = [(_seconds(first), _seconds(last)) for first, last in spans]
    return Labelled(name, [_seconds(row["timestamp"]) for row in rows], [float(row["value"]) for row in rows], windows)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def score(series: Labelled, alerts: Iterable[int]) -> Score:
    """The alerts of one series against its windows."""
    at = [series.at_seconds[row] for row in alerts if row >= series.warm]
    start = series.at_seconds[series.warm]
    windows = [(first, last) for first, last in series.windows if last >= start]
    inside = [any(first <= one <= last for first, last in windows) for one in at]
    found = sum(any(first <= one <= last for one in at) for first, last in windows)
    return Score(len(windows), found, sum(inside), len(at) - sum(inside), (series.at_seconds[-1] - start) / 86_400)


def detector(series: Labelled, margin: float) -> list[int]:
    """The project's own."""
    one = OnlineDetector(margin)
    rows = zip(series.at_seconds, series.values, strict=True)
    return [row for row, (at, value) in enumerate(rows) if one.observe(value, at).begins]


def static_sigma(series: Labelled, sigmas: float) -> list[int]:
    """Mean and deviation of the rows that are not judged, for ever."""
    past = series.values[: series.warm]
    mean, deviation = _moments(len(past), math.fsum(past), math.fsum(one * one for one in past))
    return _told(series, (abs(one - mean) > sigmas * deviation for one in series.values))


def rolling_sigma(series: Labelled, sigmas: float) -> list[int]:
    """Mean and deviation of the last ``WINDOW_ROWS`` values."""
    return _told(series, (abs(one - mean) > sigmas * deviation for one, mean, deviation in _rolled(series)))


def windowed_gaussian(series: Labelled, threshold: float) -> list[int]:
    """One less the probability of a value so far out, in a normal distribution of the last values: ``-log10`` of it."""
    normal = NormalDist()

    def odd(one: float, mean: float, deviation: float) -> bool:
        tail = 2 * normal.cdf(-abs(one - mean) / deviation) if deviation else float(one == mean)
        return -math.log10(max(tail, 1e-300)) > threshold

    return _told(series, (odd(*row) for row in _rolled(series)))


def _rolled(series: Labelled) -> Iterator[tuple[float, float, float]]:
    """Each value with mean and deviation of those before it; a value that has too few is its own mean."""
    past: deque[float] = deque()
    total = squares = 0.0
    for one in series.values:
        yield (one, *_moments(len(past), total, squares)) if len(past) >= WINDOW_ROWS // 4 else (one, one, 1.0)
        past.append(one)
        total, squares = total + one, squares + one * one
        if len(past) > WINDOW_ROWS:
            gone = past.popleft()
            total, squares = total - gone, squares - gone * gone


def _moments(count: int, total: float, squares: float) -> tuple[float, float]:
    mean = total / count
    return mean, math.sqrt(max(squares / count - mean * mean, 0.0))


def _told(series: Labelled, odd: Iterable[bool]) -> list[int]:
    """The rows that are told: the first, and then none for as long as it tells of."""
    told: list[int] = []
    for row, one in enumerate(odd):
        if one and (not told or series.at_seconds[row] - series.at_seconds[told[-1]] > _TOLD_SECONDS):
            told.append(row)
    return told


METHODS: Mapping[str, tuple[Method, Sequence[float]]] = {
    "online detector": (detector, (0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5)),
    "static sigma": (static_sigma, (3, 4, 5, 6, 8, 10)),
    "rolling sigma": (rolling_sigma, (3, 4, 5, 6, 8, 10)),
    "windowed Gaussian": (windowed_gaussian, (3, 5, 8, 12, 20, 30)),
}


def judged(files: Sequence[Labelled], method: Method, thresholds: Sequence[float]) -> tuple[Score, list[float]]:
    """The scores, added over all halvings, on each half at the threshold that was best on the other; all thresholds."""
    scores = {limit: [score(one, method(one, limit)) for one in files] for limit in thresholds}
    total, chosen = Score(), []
    for half, other in _halves(len(files)):
        best = max(thresholds, key=lambda limit: sum((scores[limit][one] for one in other), Score()).worth)
        total += sum((scores[best][one] for one in half), Score())
        chosen.append(best)
    return total, chosen


def _halves(count: int) -> list[tuple[list[int], list[int]]]:
    """Each half of each halving, and what is not in it."""
    drawn, halves = random.Random(1), []
    for _ in range(SPLITS):
        order = drawn.sample(range(count), count)
        first, second = order[: count // 2], order[count // 2 :]
        halves += [(first, second), (second, first)]
    return halves


def lines(files: Sequence[Labelled]) -> Iterator[str]:
    """The table, a line for each method, the detector's first."""
    points = sum(len(one.values) for one in files)
    yield f"{len(files)} series, {points:,} points, {sum(len(one.windows) for one in files)} windows"
    yield "method                windows found  precision  false/series-day  us/point  thresholds"
    for name, (method, thresholds) in METHODS.items():
        total, chosen = judged(files, method, thresholds)
        began = time.process_time()
        for one in files:
            method(one, chosen[0])
        micros = (time.process_time() - began) / points * 1e6
        yield (
            f"{name:18} {total.found / SPLITS:5.1f} of {total.windows // SPLITS:2} ({total.recall:4.0%})"
            f" {total.precision:9.2f} {total.false_per_day:17.3f} {micros:9.1f}  {min(chosen):g} to {max(chosen):g}"
        )


if __name__ == "__main__":
    for line in lines(read_folder(Path(sys.argv[1]))):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
