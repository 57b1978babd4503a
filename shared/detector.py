"""The online detector: one value at a time, and whether an incident begins with it.

It watches six faces of a series: the value, its median of three, its mean over about twelve values, its step from the
value before, its ratio to what is usual (while no value was 0 or below: a fall to a tenth is far by its ratio only),
and its distance from what this time of day is usually like. Of each it remembers the centre, the usual distance from
it, and the farthest that it has been on either side, which fades by half in 30 days. An incident begins when a face
is farther out than it has ever been, by more than ``MARGIN``; a constant or a series that is spiky by nature is
thereby its own measure, where multiples of a standard deviation are not. A record that is broken by far is believed
only in part, so that the second incident of a kind is found too.

Nothing is judged before ``WARM_VALUES`` values. One incident is told once: it lasts until no value was half out for
``CALM_SECONDS``, at most ``LONGEST_SECONDS``, and what is told after that is farther out than it was. On clean
Gaussian noise it tells less than 1 in 10,000 values (measured: see the tests); on a clean daily cycle it is silent
after two days, for which the time of day is not judged before four. State is bounded: about 130 numbers for a series,
whatever its length. The same values give the same output, also when the state is saved and restored between any two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .cells import MAX_MAGNITUDE
from .timeline import US_PER_SECOND, to_us

MARGIN = 0.12
"""How much farther out than ever before a value has to be: chosen by random halves of the labelled series, amid 0.05 to
0.15, between which as many windows are found."""
WARM_VALUES = 100
MAX_SCORE = 1000.0
"""Where nothing has ever moved, anything is out without measure."""
CALM_SECONDS = 3600
"""After the last value of an incident that was half out: what follows belongs to it, also the way back."""
LONGEST_SECONDS = 43_200
"""After which an incident is over, however it goes on: where half out is usual none would end."""
STAYING_SCORE = 0.5
FADE_SECONDS = 30 * 86_400
"""In which a record fades by half."""
DAY_SECONDS = 86_400
STEP_SECONDS = 300.0
"""Between values whose times are not given."""
SLOTS = 96
"""Of a day, each with its own usual value: a quarter of an hour."""
_SLOT_SECONDS = DAY_SECONDS // SLOTS
_FADE_PER_SECOND = math.log(2.0) / FADE_SECONDS
_HALVED_SECONDS = 0.5 / _FADE_PER_SECOND
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


FACES = ("value", "median of three", "mean", "step", "time of day", "ratio")
_WEIGHTS = (1.0, 0.9, 1.0, 0.9, 0.9, 0.8)
_LEARNING_WEIGHTS = (1.0, 0.9, 1.0, 0.9, 0.0, 0.8)
_UNKNOWN = (0.0,) * len(FACES)
_MEAN_WEIGHT = 2.0 / 13.0
_CENTRE_WEIGHT = 1.0 / 200.0
_LEAST_DEVIATIONS = 5.0
"""A record counts as at least so many mean deviations: a short quiet past is no measure."""
_LEAST_PART = 5.0 * 0.05
"""Of the value's own mean deviation, which no record counts as less than: what is regular is not told of for being a
little less so. A ratio is of another unit."""
_ROUNDING = 1e-9
_MAX_GROWTH, _LEAST_SHARE = 1.8, 0.1
"""A record that is broken grows at most by this factor, or to this share of what broke it."""
_FREE_SECONDS = 2.5 * DAY_SECONDS
"""In which a record is believed whole: the first nights and mornings are news."""
_LEARNING_SECONDS = 4 * DAY_SECONDS
"""In which the time of day is learned and not judged: a short peak comes once a day."""
_EARLY_SECONDS, _EARLIEST_SECONDS = 0.1 * DAY_SECONDS, 0.01 * DAY_SECONDS
"""A young record is no measure: at this age it is taken as twice as far."""
_SLOT_WEIGHT = 0.2
_SLOT_WEIGHT_PER_SECOND = _SLOT_WEIGHT / _SLOT_SECONDS
_TINY = 1e-100
_LEAST_KEPT = 1e-3
_VERSION = 2
_made = tuple.__new__


class OnlineDetector:
    """The detector of one series. ``margin`` above 0: less finds more, and more that is nothing.

    ``count``, ``first`` and ``last`` are of the values so far (Unix seconds).
    """

    __slots__ = (
        "_began",
        "_faces",
        "_kept",
        "_mean",
        "_positive",
        "_previous",
        "_reach",
        "_rest",
        "_slots",
        "_stayed",
        "count",
        "first",
        "last",
        "margin",
    )

    def __init__(self, margin: float = MARGIN) -> None:
        if not 0 < margin < math.inf:
            raise ValueError(f"expected a margin above 0, got {margin!r}")
        self.margin = margin
        self.count = 0
        self.first = self.last = 0.0
        self._reach = 1.0 / (1.0 + margin)
        self._began = self._stayed = -math.inf
        """Of the last incident: its first value, and the last one that was half out."""
        self._mean = self._rest = 0.0
        self._previous = (0.0, 0.0)
        self._positive = True
        self._slots: list[float | None] = [None] * SLOTS
        self._kept = 1.0
        """What has not faded of a record: they are remembered divided by it, so that none is touched for fading."""
        self._faces = [[0.0, 0.0, 0.0, 0.0] for _ in FACES]
        """Of each: centre, mean distance from it, and the records above and below it."""

    def observe(self, value: float, at: float | datetime | None = None) -> Verdict:
        """Take the next value at Unix seconds or an aware ``datetime``, by default five minutes after the last.

        A time before the last counts as the last. Raises ValueError for a value that is no finite number or beyond
        ``MAX_MAGNITUDE``, and for a time that is naive or not finite; nothing is remembered of it then.
        """
        if type(value) is not float or not -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
            value = _number(value)
        if type(at) is not float or not -_LATEST_SECONDS <= at <= _LATEST_SECONDS:
            at = self.last + STEP_SECONDS if at is None else _seconds(at)
        if not self.count:
            self._begin(value, at)
        passed = at - self.last
        if passed > 0.0:
            self.last = at
            self._kept *= 1.0 - passed * _FADE_PER_SECOND if passed < _HALVED_SECONDS else 0.5
            if self._kept < _LEAST_KEPT:
                self._settle()
        else:
            passed, at = 0.0, self.last
        age = at - self.first
        usual, rest = self._usual(value, at, age, passed)
        score, face = self._judge(self._seen(value, rest), age)
        begins = belongs = False
        if score > STAYING_SCORE or at - self._stayed <= CALM_SECONDS:
            begins, belongs = self._incident(score, at)
        return _made(Verdict, (begins, belongs, score if score < MAX_SCORE else MAX_SCORE, face, usual))

    def _incident(self, score: float, at: float) -> tuple[bool, bool]:
        """Whether an incident begins now, and whether now belongs to one."""
        goes_on = at - self._stayed <= CALM_SECONDS and at - self._began <= LONGEST_SECONDS
        begins = score > 1.0 and not goes_on
        if begins:
            self._began = self._stayed = at
        elif goes_on and score > STAYING_SCORE:
            self._stayed = at
        return begins, begins or goes_on

    def _begin(self, value: float, at: float) -> None:
        self.first = self.last = at
        self._mean = value
        self._previous = (value, value)
        ratio = math.log(value) if value > 0.0 else 0.0
        for face, start in zip(self._faces, (value, value, value, 0.0, 0.0, ratio), strict=True):
            face[0] = start

    def _settle(self) -> None:
        """Write what has faded into the records themselves."""
        for face in self._faces:
            face[2] *= self._kept
            face[3] *= self._kept
        self._kept = 1.0

    def _usual(self, value: float, at: float, age: float, passed: float) -> tuple[float, float | None]:
        """What this quarter of an hour was usually like, and the mean distance from it; on the first day the centre.

        A value between this quarter's and its neighbours' is not far at all: a day's steps come a little early or late.
        """
        slots = self._slots
        slot = int(at % DAY_SECONDS / _SLOT_SECONDS) % SLOTS
        known = slots[slot]
        if known is None:
            slots[slot] = value
            return self._faces[0][0], None
        part = _SLOT_WEIGHT if passed >= _SLOT_SECONDS else passed * _SLOT_WEIGHT_PER_SECOND
        slots[slot] = known + part * (value - known)
        if age <= DAY_SECONDS:
            return self._faces[0][0], None
        low = high = known
        for near in (slots[slot - 1], slots[slot + 1 - SLOTS]):
            if near is not None:
                if near < low:
                    low = near
                elif near > high:
                    high = near
        far = value - high if value > high else value - low if value < low else 0.0
        self._rest += _MEAN_WEIGHT * (far - self._rest)
        return known, self._rest

    def _seen(self, value: float, rest: float | None) -> tuple[float | None, ...]:
        """The faces that a value shows; None for one that is not known."""
        second, first = self._previous
        low, high = (first, second) if first < second else (second, first)
        median = low if value < low else high if value > high else value
        self._previous = (first, value)
        mean = self._mean = self._mean + _MEAN_WEIGHT * (value - self._mean)
        if value <= 0.0:
            self._positive = False
        return value, median, mean, value - first, rest, math.log(value) if self._positive else None

    def _judge(self, seen: tuple[float | None, ...], age: float) -> tuple[float, str]:
        """How far out the face is that is out most, and which; then learn from all of them."""
        count, kept, faces = self.count, self._kept, self._faces
        self.count = count + 1
        weights = _UNKNOWN if count < WARM_VALUES else _LEARNING_WEIGHTS if age < _LEARNING_SECONDS else _WEIGHTS
        part = _CENTRE_WEIGHT if count >= 199 else 1.0 / (count + 1.0)
        level, usual = faces[0][0], faces[0][1]
        floor = _LEAST_PART * usual + (level if level > 0.0 else -level) * _ROUNDING + _TINY
        most, out = 0.0, "value"
        floors = (floor, floor, floor, floor, floor, _ROUNDING)
        for face, shown, weight, least, name in zip(faces, seen, weights, floors, FACES, strict=True):
            if shown is None:
                continue
            centre, spread, above, below = face
            distance = shown - centre
            face[0] = centre + part * distance
            if distance >= 0.0:
                record = above * kept
            else:
                distance = -distance
                record = below * kept
            face[1] = spread + part * (distance - spread)
            reach = _LEAST_DEVIATIONS * spread
            if reach < least:
                reach = least
            if reach < record:
                reach = record
            far = distance * weight
            if far > most * reach:
                most, out = far / reach, name
            if distance > record:
                grown = distance if not weight or age <= _FREE_SECONDS else _believed(distance, reach)
                face[2 if shown >= centre else 3] = grown / kept
        old = age + _EARLIEST_SECONDS
        return most * self._reach * old / (old + _EARLY_SECONDS), out

    def to_dict(self) -> dict[str, object]:
        """The state as a JSON document."""
        return {
            "version": _VERSION,
            "margin": self.margin,
            "count": self.count,
            "first": self.first,
            "last": self.last,
            "incident": [self._began, self._stayed] if self._began > -math.inf else None,
            "mean": self._mean,
            "rest": self._rest,
            "previous": list(self._previous),
            "positive": self._positive,
            "slots": list(self._slots),
            "kept": self._kept,
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
        detector.first, detector.last, detector._mean, detector._rest, detector._kept = _numbers(
            [plain[name] for name in ("first", "last", "mean", "rest", "kept")], 5
        )
        if not _LEAST_KEPT <= detector._kept <= 1.0:
            raise ValueError(f"expected from {_LEAST_KEPT} to 1 as kept")
        if plain["incident"] is not None:
            detector._began, detector._stayed = _numbers(plain["incident"], 2)
        first, second = _numbers(plain["previous"], 2)
        detector._previous = (first, second)
        detector._positive = bool(plain["positive"])
        _numbers([0.0 if one is None else one for one in plain["slots"]], SLOTS)
        detector._slots = [None if one is None else float(one) for one in plain["slots"]]
        detector._faces = [_numbers(face, 4) for face in plain["faces"]]
        return detector


def _believed(distance: float, reach: float) -> float:
    """The record after one that was broken: of what is far beyond it only a part is believed."""
    return min(distance, max(_MAX_GROWTH * reach, _LEAST_SHARE * distance))


def _number(value: float) -> float:
    if isinstance(value, str | bytes | bool | None) or not abs(value) <= MAX_MAGNITUDE:
        raise ValueError(f"expected a finite number of at most {MAX_MAGNITUDE:g}, got {value!r}")
    return float(value)


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
