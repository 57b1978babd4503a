"""A series: one metric with one set of labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from .errors import PermanentError

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Label pairs in ascending order of name, each name once. Empty for none."""

MAX_NAME_BYTES = 200
MAX_LABEL_VALUE_BYTES = 500
MAX_LABELS = 16


class Kind(IntEnum):
    """What a metric's observations mean. Where writers disagree, the greater kind wins."""

    GAUGE = 0
    """A level: the newest value counts (`instance_count`)."""
    COUNTER = 1
    """A delta: what was added since the last observation; the sum counts (`requests`)."""
    DISTRIBUTION = 2
    """Many observations of one thing, kept as a histogram (`response_time`)."""


class Series(NamedTuple):
    """A metric and its labels; ordered by metric, then labels, by code point.

    A tuple, because a message's series are hashed and sorted, and a dataclass takes ten times as long for both.
    """

    metric: str
    labels: Labels = ()

    def matches(self, wanted: Labels) -> bool:
        """Whether every wanted pair is among the labels; an empty filter matches all."""
        return set(wanted) <= set(self.labels)

    def group(self, names: Iterable[str]) -> Labels:
        """The labels named, in ascending order of name; a label the series lacks is left out."""
        chosen = set(names)
        return tuple(pair for pair in self.labels if pair[0] in chosen)


def check_series(series: Series) -> Series:
    """The series itself. Raises PermanentError ``invalid_series`` when it breaks a limit of this module."""
    if not series.metric or _is_longer(series.metric, MAX_NAME_BYTES):
        raise _invalid(f"a metric's name has 1 to {MAX_NAME_BYTES} bytes, got {series.metric[:40]!r}")
    if len(series.labels) > MAX_LABELS:
        raise _invalid(f"a series has at most {MAX_LABELS} labels, {series.metric!r} has {len(series.labels)}")
    names = [name for name, _ in series.labels]
    if any(a >= b for a, b in itertools.pairwise(names)):
        raise _invalid(f"the labels of {series.metric!r} do not ascend")
    for name, value in series.labels:
        if not name or _is_longer(name, MAX_NAME_BYTES) or _is_longer(value, MAX_LABEL_VALUE_BYTES):
            raise _invalid(f"label {name[:40]!r} of {series.metric!r} is empty or too long")
    return series


def _is_longer(text: str, limit_bytes: int) -> bool:
    """Whether text has more bytes of UTF-8; at once for one that is megabytes long, which thousands may share."""
    return len(text) > limit_bytes or len(text.encode()) > limit_bytes


def _invalid(detail: str) -> PermanentError:
    return PermanentError("invalid_series", detail)


def make_labels(labels: Mapping[str, str]) -> Labels:
    """Labels in their canonical order."""
    return tuple(sorted(labels.items()))


def label_text(labels: Labels) -> str:
    """``region=europe-west1, endpoint=/process``; an empty string for none. Not escaped."""
    return ", ".join(f"{name}={value}" for name, value in labels)
