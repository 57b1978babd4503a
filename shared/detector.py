"""The online detector: one value at a time, and whether an incident begins with it.

It watches five faces of a series: the value, its median of three, its mean over about twelve values, its step from
the value before, and its distance from what this time of day is usually like. Of each it remembers the centre, the
usual distance from it, and the farthest that it has been on either side, which fades by half in 30 days. An incident
begins when a face is farther out than it has ever been, by more than ``MARGIN``; a constant or a series that is
spiky by nature is thereby its own measure, where multiples of a standard deviation are not. A record that is broken
by far is believed only in part, so that the second incident of a kind is found too.

Nothing is judged before ``WARM_VALUES`` values. One incident is told once in ``QUIET_SECONDS``. On clean Gaussian
noise it tells less than 1 in 10,000 values (measured: see the tests); on a clean daily cycle it is silent after two
days, for which the last face is not judged before four. State is bounded: about 140 numbers for a series, whatever its
length. The same values give the same output, also when the state is saved and restored between any two of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .cells import MAX_MAGNITUDE
from .timeline import US_PER_SECOND, to_us

MARGIN = 0.15
"""How much farther out than ever before a value has to be; chosen on half of the labelled series at a time."""
WARM_VALUES = 100
MAX_SCORE = 1000.0
"""Where nothing has ever moved, anything is out without measure."""
QUIET_SECONDS = 43_200
"""After the value that an incident was told with: what follows belongs to it."""
FADE_SECONDS = 30 * 86_400
"""In which a record fades by half."""
DAY_SECONDS = 86_400
STEP_SECONDS = 300.0
"""Between values whose times are not given."""
SLOTS = 96
"""Of a day, each with its own usual value: a quarter of an hour."""
_SLOT_SECONDS = DAY_SECONDS // SLOTS
_FADE_PER_SECOND = math.log(2.0) / FADE_SECONDS
_LATEST_SECONDS = 1e12


class Verdict(NamedTuple):
    """What the detector makes of one value.

    ``begins``: an incident begins with it; ``open``: it belongs to one. ``score`` is how far out it is, from 0 on: 1
    is what it takes. ``face`` names what is out most. ``expected`` is what is usual for the time of day, or before
    that is known the recent mean.
    """

    begins: bool
    open: bool
    score: float
    face: str
    expected: float

    def explain(self, value: float) -> str:
        """What was expected, what came, and how unusual that is, in one sentence."""
        out = f"{self.score:.1f} times" if self.score >= 1 else f"{self.score:.0%} of"
        return f"expected about {self.expected:.4g}, got {value:.4g}: the {self.face} is {out} what makes an incident"


FACES = ("value", "median of three", "mean", "step", "time of day")
_WEIGHTS = (1.0, 0.9, 1.0, 0.9, 0.9)
_MEAN_WEIGHT = 2.0 / 13.0
_CENTRE_WEIGHT = 1.0 / 200.0
_LEAST_DEVIATIONS = 5.0
"""A record counts as at least so many mean deviations: a short quiet past is no measure."""
_LEAST_PART = 0.05
"""Of the value's own mean deviation, which no other face's counts as less than: what is regular is not told of for
being a little less so."""
_MAX_GROWTH, _LEAST_SHARE = 1.8, 0.1
"""A record that is broken grows at most by this factor, or to this share of what broke it."""
_FREE_SECONDS = 2.5 * DAY_SECONDS
"""In which a record is believed whole: the first nights and mornings are news."""
_TIME_OF_DAY = 4
"""The face that is learned of for ``_LEARNING_SECONDS`` before it is judged: a short peak comes once a day."""
_LEARNING_SECONDS = 4 * DAY_SECONDS
_EARLY_DAYS = 0.1
_SLOT_WEIGHT = 0.2
_TINY = 1e-100
_VERSION = 1


class OnlineDetector:
    """The detector of one series. ``margin`` above 0: less finds more, and more that is nothing.

    ``count``, ``first`` and ``last`` are of the values so far (Unix seconds).
    """

    __slots__ = ("_faces", "_incident", "_mean", "_previous", "_rest", "_slots", "count", "first", "last", "margin")

    def __init__(self, margin: float = MARGIN) -> None:
        if not 0 < margin < math.inf:
            raise ValueError(f"expected a margin above 0, got {margin!r}")
        self.margin = margin
        self.count = 0
        self.first = self.last = 0.0
        self._incident: float | None = None
        self._mean = self._rest = 0.0
        self._previous = (0.0, 0.0)
        self._slots: list[float | None] = [None] * SLOTS
        self._faces = [[0.0, 0.0, 0.0, 0.0, 0.0] for _ in FACES]
        """Of each: how many values, centre, mean distance from it, and the records above and below it."""

    def observe(self, value: float, at: float | datetime | None = None) -> Verdict:
        """Take the next value at Unix seconds or an aware ``datetime``, by default five minutes after the last.

        A time before the last counts as the last. Raises ValueError for a value that is no finite number or beyond
        ``MAX_MAGNITUDE``, and for a time that is naive or not finite; nothing is remembered of it then.
        """
        if isinstance(value, str | bytes | bool | None) or not abs(value) <= MAX_MAGNITUDE:
            raise ValueError(f"expected a finite number of at most {MAX_MAGNITUDE:g}, got {value!r}")
        seconds = self.last + STEP_SECONDS if at is None else _seconds(at)
        value = float(value)
        if not self.count:
            self._begin(value, seconds)
        passed = max(seconds - self.last, 0.0)
        seconds = self.last = self.last + passed
        usual = self._usual(value, seconds, min(passed, _SLOT_SECONDS))
        score, out = self._judge(self._seen(value, usual), seconds - self.first, passed)
        return self._verdict(usual, score, out, seconds)

    def _begin(self, value: float, at: float) -> None:
        self.first = self.last = at
        self._mean = value
        self._previous = (value, value)
        for face, start in zip(self._faces, (value, value, value, 0.0, 0.0), strict=True):
            face[1] = start

    def _usual(self, value: float, at: float, passed: float) -> tuple[float, float] | None:
        """What this quarter of an hour was usually like, and how far the value is from it; None on the first day.

        A value between this quarter's and its neighbours' is not far at all: a day's steps come a little early or late.
        """
        slots = self._slots
        slot = int(at % DAY_SECONDS) // _SLOT_SECONDS
        known, before, after = slots[slot], slots[slot - 1], slots[slot + 1 - SLOTS]
        if known is None:
            slots[slot] = value
            return None
        slots[slot] = known + _SLOT_WEIGHT * max(passed, 1.0) / _SLOT_SECONDS * (value - known)
        if at - self.first <= DAY_SECONDS:
            return None
        low = high = known
        for near in (before, after):
            if near is not None:
                low, high = (near, high) if near < low else (low, near) if near > high else (low, high)
        return known, value - high if value > high else value - low if value < low else 0.0

    def _seen(self, value: float, usual: tuple[float, float] | None) -> tuple[float | None, ...]:
        """The faces that a value shows; None for one that is not known yet."""
        second, first = self._previous
        low, high = (first, second) if first < second else (second, first)
        median = low if value < low else high if value > high else value
        self._previous = (first, value)
        self._mean += _MEAN_WEIGHT * (value - self._mean)
        if usual is None:
            return value, median, self._mean, value - first, None
        self._rest += _MEAN_WEIGHT * (usual[1] - self._rest)
        return value, median, self._mean, value - first, self._rest

    def _judge(self, seen: tuple[float | None, ...], age: float, passed: float) -> tuple[float, int]:
        """How far out the face is that is out most, and which; then learn from all of them."""
        most, out = 0.0, 0
        fade = max(1.0 - passed * _FADE_PER_SECOND, 0.5)
        early = 1.0 + _EARLY_DAYS / (age / DAY_SECONDS + 0.01)
        limit = 1.0 / (early * (1.0 + self.margin))
        believed = age <= _FREE_SECONDS
        floor = _LEAST_PART * self._faces[0][2]
        for number, shown in enumerate(seen):
            if shown is None:
                continue
            face = self._faces[number]
            count, centre, spread, above, below = face
            error = shown - centre
            side, distance, record = (3, error, above) if error >= 0.0 else (4, -error, below)
            reach = 0.0
            if count >= WARM_VALUES and (number != _TIME_OF_DAY or age >= _LEARNING_SECONDS):
                least = _LEAST_DEVIATIONS * (spread if spread > floor else floor) + 1e-9 * abs(centre) + _TINY
                reach = record if record > least else least
                score = distance / reach * _WEIGHTS[number] * limit
                if score > most:
                    most, out = score, number
            face[3], face[4] = above * fade, below * fade
            if distance > face[side]:
                grown = distance if believed or not reach else max(_MAX_GROWTH * reach, _LEAST_SHARE * distance)
                face[side] = max(face[side], min(grown, distance))
            weight = 1.0 / (count + 1.0) if count < 199.0 else _CENTRE_WEIGHT
            face[0] = count + 1.0
            face[1] = centre + weight * error
            face[2] = spread + weight * (distance - spread)
        self.count += 1
        return most, out

    def _verdict(self, usual: tuple[float, float] | None, score: float, out: int, at: float) -> Verdict:
        quiet = self._incident is None or at - self._incident > QUIET_SECONDS
        begins = score > 1.0 and quiet
        if begins:
            self._incident = at
        expected = self._faces[0][1] if usual is None else usual[0]
        return Verdict(begins, begins or not quiet, min(score, MAX_SCORE), FACES[out], expected)

    def to_dict(self) -> dict[str, object]:
        """The state as a JSON document."""
        return {
            "version": _VERSION,
            "margin": self.margin,
            "count": self.count,
            "first": self.first,
            "last": self.last,
            "incident": self._incident,
            "mean": self._mean,
            "rest": self._rest,
            "previous": list(self._previous),
            "slots": list(self._slots),
            "faces": [list(face) for face in self._faces],
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> OnlineDetector:
        """The detector whose state was saved. Raises ValueError for what ``to_dict`` did not make."""
        try:
            return cls._restored(plain)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"expected the saved state of a detector: {error}") from error

    @classmethod
    def _restored(cls, plain: Mapping[str, Any]) -> OnlineDetector:
        if plain["version"] != _VERSION or len(plain["faces"]) != len(FACES):
            raise ValueError("another version's")
        detector = cls(float(plain["margin"]))
        detector.count = int(plain["count"])
        detector.first, detector.last, detector._mean, detector._rest = _numbers(
            [plain[name] for name in ("first", "last", "mean", "rest")], 4
        )
        detector._incident = None if plain["incident"] is None else _numbers([plain["incident"]], 1)[0]
        first, second = _numbers(plain["previous"], 2)
        detector._previous = (first, second)
        _numbers([0.0 if one is None else one for one in plain["slots"]], SLOTS)
        detector._slots = [None if one is None else float(one) for one in plain["slots"]]
        detector._faces = [_numbers(face, 5) for face in plain["faces"]]
        return detector


def _seconds(at: float | datetime) -> float:
    if isinstance(at, datetime):
        return to_us(at) / US_PER_SECOND
    if isinstance(at, str | bytes | bool) or not abs(at) <= _LATEST_SECONDS:
        raise ValueError(f"expected a time in Unix seconds, got {at!r}")
    return float(at)


def _numbers(values: Iterable[Any], length: int) -> list[float]:
    numbers = [float(one) for one in values]
    if len(numbers) != length or not all(math.isfinite(one) for one in numbers):
        raise ValueError(f"expected {length} finite numbers")
    return numbers
