"""Native JSON: what any language can publish by hand (version 1).

``{"version": 1, "points": [{"metric", "labels", "timestamp", "value" | "values" | "histogram"}]}``, optionally with
``writer``, ``boot`` and ``seq``; the schema is in ``docs/native-message.schema.json``. Nothing is guessed: a message
that breaks one rule is refused whole, with the path and the form that is accepted.

A fraction below a microsecond is rounded up, so that a point stays in its bucket (M - 60 s, M].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ..cells import MAX_MAGNITUDE, Cells, Observation, fold, merge
from ..errors import PermanentError
from ..identity import MAX_WRITER_BYTES
from ..series import Kind, Labels, Series, check_series
from ..timeline import MINUTE_SECONDS, US_PER_SECOND, minute_of_us, to_us
from .bin_columns import MAX_CHUNK_BINS
from .compact import MAX_MINUTE, MAX_SECTIONS, Chunk, Section
from .exponential import Histogram, cells_of, read_histogram
from .series_table import MAX_SERIES
from .strict_json import (
    MISSING,
    below,
    check_keys,
    checked_utf8,
    integer_of,
    malformed,
    number_of,
    object_of,
    parse,
    quoted,
    refused,
    text_of,
)

CONTENT_TYPE = "application/json"
"""The message attribute ``content-type`` of this format; also what a message without the attribute is read as."""
VERSION = 1
MAX_OBSERVATIONS = 100_000
MAX_VALUES = 10_000
MAX_SEQ = 2**53 - 1
_MESSAGE_KEYS = frozenset({"version", "points", "writer", "boot", "seq"})
_POINT_KEYS = frozenset({"metric", "labels", "timestamp", "kind", "value", "values", "histogram"})
_NUMBERS = frozenset({int, float})
_KINDS = {kind.name.lower(): kind for kind in Kind}
_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_INSTANT_FORM = "an RFC 3339 time with Z or an offset, such as 2025-10-18T12:34:56Z"


def decode_native(data: bytes, kinds: Mapping[str, Kind]) -> Chunk:
    """The chunk that a message says. ``kinds`` are the configured metrics.

    A point's kind is its own, else the configured one, else distribution for values and histograms and gauge for a
    value. Raises PermanentError: ``malformed_message``, ``invalid_series``, ``chunk_too_large``.
    """
    message = parse(data)
    check_keys(message, _MESSAGE_KEYS, "")
    integer_of(message.get("version", MISSING), "version", VERSION, VERSION)
    writer, boot, seq = _writer_of(message)
    points = message.get("points", MISSING)
    if not isinstance(points, list) or not points:
        raise refused("points", "an array of at least one point", points)
    collected = _Points(kinds)
    for index, point in enumerate(points):
        try:
            collected.add(point)
        except PermanentError as error:
            raise _within(f"points[{index}]", error) from error
    return Chunk(writer, boot, seq, collected.sections())


def _within(path: str, error: PermanentError) -> PermanentError:
    """An error about what lies below ``path``; one about the thing itself begins with a colon."""
    joint = "" if error.detail.startswith((":", "[")) else "."
    return PermanentError(error.reason, f"{path}{joint}{error.detail}")


def _writer_of(message: dict[str, Any]) -> tuple[str, str, int | None]:
    """Writer, boot and seq: a writer counts its messages, and only a writer does; a boot is optional."""
    writer = text_of(message.get("writer", ""), "writer", MAX_WRITER_BYTES)
    boot = text_of(message.get("boot", ""), "boot", MAX_WRITER_BYTES)
    if "writer" in message and not writer:
        raise refused("writer", f"a string of 1 to {MAX_WRITER_BYTES} bytes", writer)
    if bool(writer) != ("seq" in message):
        raise malformed("expected writer and seq together, or neither")
    if not writer:
        if boot:
            raise malformed("boot: expected with a writer only")
        return "", "", None
    return writer, boot, integer_of(message["seq"], "seq", 0, MAX_SEQ)


class _Points:
    """Collects the points of one message by minute, and remembers their times, which repeat.

    Errors name paths below the point: building the whole one for each point would cost a tenth of the message's time.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds
        self._times: dict[str, tuple[int, int]] = {}
        self._observations: dict[int, list[Observation]] = {}
        self._histograms: dict[int, list[Histogram]] = {}
        self._left = MAX_OBSERVATIONS
        self._bins_left = MAX_CHUNK_BINS

    def add(self, value: object) -> None:
        """Check one point and keep it."""
        point = object_of(value, "")
        if not point.keys() <= _POINT_KEYS:
            check_keys(point, _POINT_KEYS, "")
        series = _series_of(point)
        at_us, minute = self._time_of(point.get("timestamp", MISSING))
        if ("value" in point) + ("values" in point) + ("histogram" in point) != 1:
            raise malformed(": expected exactly one of value, values, histogram")
        kind = self._kind_of(point, series.metric)
        if "histogram" in point:
            self._add_histogram(read_histogram(series, at_us, point["histogram"], "histogram"), kind)
            return
        numbers = _numbers_of(point, kind)
        self._spend(len(numbers))
        kept = self._observations.get(minute)
        if kept is None:
            kept = self._observations[minute] = []
        for number in numbers:
            kept.append(Observation(series, kind, at_us, number))  # one number mostly: a list costs more

    def sections(self) -> tuple[Section, ...]:
        """What was collected, by minute."""
        minutes = sorted({*self._observations, *self._histograms})
        if len(minutes) > MAX_SECTIONS:
            raise malformed(f"expected at most {MAX_SECTIONS} minutes a message, got {len(minutes)}")
        return tuple(Section(minute, self._cells(minute)) for minute in minutes)

    def _cells(self, minute: int) -> Cells:
        observed = fold(self._observations.get(minute, ()))
        histograms = self._histograms.get(minute)
        cells = merge([observed, cells_of(histograms)]) if histograms else observed
        if len(cells) > MAX_SERIES:
            raise malformed(f"expected at most {MAX_SERIES} series a minute, got {len(cells)}")
        return cells

    def _spend(self, observations: int) -> None:
        self._left -= observations
        if self._left < 0:
            raise malformed(f": expected at most {MAX_OBSERVATIONS} observations a message")

    def _add_histogram(self, histogram: Histogram, kind: Kind) -> None:
        """Keep a histogram; one of a single observation is that observation."""
        if kind is not Kind.DISTRIBUTION:
            raise malformed(f"histogram: expected a metric of kind distribution, it is a {kind.name.lower()}")
        self._spend(1)
        self._bins_left -= len(histogram.keys)
        if self._bins_left < 0:
            raise malformed(f": expected at most {MAX_CHUNK_BINS} populated buckets a message")
        minute = minute_of_us(histogram.at_us)
        if histogram.count > 1:
            self._histograms.setdefault(minute, []).append(histogram)
            return
        alone = Observation(histogram.series, kind, histogram.at_us, histogram.sum)
        self._observations.setdefault(minute, []).append(alone)

    def _time_of(self, value: object) -> tuple[int, int]:
        """A timestamp in Unix microseconds, and its minute."""
        if not isinstance(value, str):
            raise refused("timestamp", _INSTANT_FORM, value)
        known = self._times.get(value)
        if known is None:
            at_us = _instant_us(value)
            known = self._times[value] = at_us, minute_of_us(at_us)
        return known

    def _kind_of(self, point: dict[str, Any], metric: str) -> Kind:
        if "kind" not in point:
            default = Kind.GAUGE if "value" in point else Kind.DISTRIBUTION
            return self._kinds.get(metric, default)
        name = point["kind"]
        if not isinstance(name, str) or name not in _KINDS:
            raise refused("kind", f"one of {', '.join(_KINDS)}", name)
        return _KINDS[name]


def _series_of(point: dict[str, Any]) -> Series:
    metric, labels = point.get("metric", MISSING), point.get("labels", {})
    if not isinstance(metric, str):
        raise refused("metric", "a name", metric)
    for name, value in object_of(labels, "labels").items():
        if not isinstance(value, str):
            raise refused(below("labels", name), "a string", value)
    try:
        return _series(metric, tuple(labels.items()))
    except UnicodeEncodeError:
        checked_utf8(metric, "metric")
        for name, value in labels.items():
            checked_utf8(name + value, below("labels", name))
        raise
    except PermanentError as error:
        raise PermanentError(error.reason, f": {error.detail}") from error


@lru_cache(maxsize=2048)
def _series(metric: str, labels: Labels) -> Series:
    """The checked series. Publishers repeat theirs, so they are remembered: 30 MB at the very most."""
    return check_series(Series(metric, tuple(sorted(labels))))


def _numbers_of(point: dict[str, Any], kind: Kind) -> list[float]:
    """The observations of a point; those of a counter are what was added, at least 0."""
    numbers = [number_of(point["value"], "value")] if "value" in point else _values_of(point["values"])
    if kind is Kind.COUNTER and min(numbers) < 0:
        name = "value" if "value" in point else f"values[{numbers.index(min(numbers))}]"
        raise refused(name, "what was added to a counter, at least 0", min(numbers))
    return numbers


def _values_of(values: object) -> list[float]:
    if not isinstance(values, list) or not values or len(values) > MAX_VALUES:
        got = f"{len(values)} of them" if isinstance(values, list) else quoted(values)
        raise malformed(f"values: expected an array of 1 to {MAX_VALUES} numbers, got {got}")
    if all(type(value) in _NUMBERS and -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE for value in values):
        return [float(value) for value in values]
    return [number_of(value, f"values[{at}]") for at, value in enumerate(values)]


def _instant_us(text: str) -> int:
    """Unix microseconds of an RFC 3339 time from 1970 to 9999, rounded up."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise refused("timestamp", _INSTANT_FORM, text)
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        year, month, day, hour, minute, second = map(int, parts)
        whole_us = to_us(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    except ValueError as error:
        raise refused("timestamp", _INSTANT_FORM, text) from error
    offset_seconds = (int(hours) * 60 + int(minutes)) * MINUTE_SECONDS if sign else 0
    east = -offset_seconds if sign == "-" else offset_seconds
    nanoseconds = int((fraction or "0").ljust(9, "0"))
    at_us = whole_us - east * US_PER_SECOND - (-nanoseconds // 1000)
    if not 0 <= at_us <= MAX_MINUTE * US_PER_SECOND:
        raise refused("timestamp", "a time from 1970 to 9999", text)
    return at_us
