"""What the writers of a storm say, drawn from a seed, and what it adds up to, in whole numbers and without our code."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from shared.bins import SCALE
from shared.bus import PUBLISH_TIME_ATTRIBUTE
from shared.cells import Cells
from shared.dead_letters import REJECTED_METRIC
from shared.series import Kind, Series, make_labels
from shared.timeline import MINUTE_SECONDS, US_PER_SECOND, from_us, iso
from tests.storm_messages import FORMATS, PARTS, Name, Point, Said, key_of

_METRICS = (
    ("response_time", Kind.DISTRIBUTION),
    ("database_query_time", Kind.DISTRIBUTION),
    ("requests", Kind.COUNTER),
    ("cache_requests", Kind.COUNTER),
    ("cpu_utilization", Kind.GAUGE),
    ("users_active", Kind.GAUGE),
    ("queue_depth", Kind.GAUGE),
)
_REGIONS = ("us-central1", "europe-west1", "asia-southeast1")
_ENDPOINTS = ("/process", "/recommend")
_MEDIAN = 20 * PARTS
AHEAD_MINUTES = 3
"""Some points are this far ahead of the clock: of what is let in, some is committed before its minute ends."""
_LATE_MINUTES = 10
_LATE_HOURS = 70
_VERY_LATE = 8
"""How many different minutes of the last hours get points."""
_REJECTED_RATIO = 0.01


@dataclass(frozen=True, slots=True)
class Row:
    """A series in a minute; ``bins`` of a distribution at scale 5, by key."""

    kind: Kind
    count: int
    sum: float
    min: float
    max: float
    last_at_us: int
    last: float
    last_sum: float
    writers: int
    bins: tuple[tuple[int, int], ...]


Rows: TypeAlias = dict[Series, Row]


@dataclass(slots=True)
class _Tally:
    kind: Kind
    numbers: list[int] = field(default_factory=list)
    newest: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, writer: str, point: Point) -> None:
        self.numbers += point.numbers
        told = (point.at_us, point.last)
        self.newest[writer] = max(self.newest.get(writer, told), told)

    def row(self) -> Row:
        at_us, last = max(self.newest.values())
        keys = Counter(map(key_of, self.numbers)) if self.kind is Kind.DISTRIBUTION else {}
        return Row(
            kind=self.kind,
            count=len(self.numbers),
            sum=sum(self.numbers) / PARTS,
            min=min(self.numbers) / PARTS,
            max=max(self.numbers) / PARTS,
            last_at_us=at_us,
            last=last,
            last_sum=math.fsum(value for _, value in self.newest.values()),
            writers=len(self.newest),
            bins=tuple(sorted(keys.items())),
        )


class Ledger:
    """What all that was said adds up to."""

    def __init__(self) -> None:
        self._minutes: dict[int, dict[Series, _Tally]] = {}

    def add(self, writer: str, points: Sequence[Point]) -> None:
        """A writer says some points; one that does not name itself is another in each of its messages."""
        for point in points:
            minute = -(-point.at_us // (MINUTE_SECONDS * US_PER_SECOND)) * MINUTE_SECONDS
            self._minutes.setdefault(minute, {}).setdefault(point.series, _Tally(point.kind)).add(writer, point)

    @property
    def minutes(self) -> list[int]:
        """The minutes that have any points."""
        return sorted(self._minutes)

    def rows(self, minute: int) -> Rows:
        """What a minute must hold; nothing of a minute of which nobody spoke."""
        return {series: tally.row() for series, tally in self._minutes.get(minute, {}).items()}

    def observations(self) -> int:
        """How many numbers were said in all."""
        return sum(row.count for minute in self.minutes for row in self.rows(minute).values())


def rows_of(cells: Cells) -> Rows:
    """Cells as rows; a distribution that has lost precision is an AssertionError."""
    found: Rows = {}
    for at, series in enumerate(cells.series):
        kind = Kind(int(cells.kind[at]))
        assert kind is not Kind.DISTRIBUTION or int(cells.scale[at]) == SCALE
        held = slice(int(cells.bin_start[at]), int(cells.bin_start[at + 1]))
        found[series] = Row(
            kind,
            int(cells.count[at]),
            float(cells.sum[at]),
            float(cells.min[at]),
            float(cells.max[at]),
            int(cells.last_at_us[at]),
            float(cells.last[at]),
            float(cells.last_sum[at]),
            int(cells.writers[at]),
            tuple(zip(cells.bin_key[held].tolist(), cells.bin_count[held].tolist(), strict=True)),
        )
    return found


class Traffic:
    """Messages of thirty writers, ``running`` being the minute in which they begin (Unix seconds, of its end).

    About half of them speak of that minute and the three after it, a third of the ten minutes before, and the
    others of up to seventy hours ago; a quarter of them of two or three minutes at once. One in a hundred is malformed:
    those are ``rejected``, and ``ledger`` says how often they must have been counted.
    """

    def __init__(self, seed: int, messages: int, running: int) -> None:
        self._rng = random.Random(seed)
        self._running = running
        self._late = [running - MINUTE_SECONDS * (back + 1) for back in range(_LATE_MINUTES)]
        hours = [MINUTE_SECONDS * self._rng.randint(60, 60 * _LATE_HOURS) for _ in range(_VERY_LATE)]
        self._very_late = [running - back for back in hours]
        self._seqs = Counter[tuple[str, str]]()
        self.ledger = Ledger()
        self.rejected: list[Said] = []
        self.messages = [self._message(number) for number in range(messages)]
        assert len({said.data for said in self.messages}) == messages

    def copies(self) -> list[Said]:
        """Every message one to four times, in any order."""
        copies = [said for said in self.messages for _ in range(self._rng.randint(1, 4))]
        self._rng.shuffle(copies)
        return copies

    def _message(self, number: int) -> Said:
        if self._rng.random() < _REJECTED_RATIO:
            return self._malformed(number)
        who = self._rng.randrange(len(FORMATS))
        spoken, name = FORMATS[who], self._name(who)
        points = list(self._points(spoken.summarised))
        author = f"{name.writer}/{name.boot}" if spoken.named else f"message {number}"
        self.ledger.add(author, points)
        return spoken.say(name, points, self._rng)

    def _name(self, who: int) -> Name:
        """The next number of a writer, which now and then is started again and counts from 0."""
        boot = f"boot-{self._rng.choice((1, 1, 1, 2))}"
        self._seqs[f"writer-{who}", boot] += 1
        return Name(f"writer-{who}", boot, self._seqs[f"writer-{who}", boot] - 1)

    def _malformed(self, number: int) -> Said:
        """What no retry can mend. It has been published before, so its copies agree about the minute it counts in."""
        at_us = self._instant(self._rng.choice(self._late))
        said = Said(b'{"version": 1, "points": %d}' % number, {PUBLISH_TIME_ATTRIBUTE: iso(from_us(at_us))})
        series = Series(REJECTED_METRIC, (("reason", "malformed_message"),))
        self.ledger.add(f"rejected {number}", [Point(series, Kind.COUNTER, at_us, (PARTS,), summarised=False)])
        self.rejected.append(said)
        return said

    def _points(self, summarised: float) -> Iterator[Point]:
        for minute in {self._minute() for _ in range(self._rng.choice((1, 1, 1, 1, 1, 1, 2, 3)))}:
            for _ in range(self._rng.randint(1, 4)):
                yield self._point(minute, summarised)

    def _minute(self) -> int:
        ahead = [self._running + MINUTE_SECONDS * minutes for minutes in range(AHEAD_MINUTES + 1)]
        (chosen,) = self._rng.choices((ahead, self._late, self._very_late), (50, 35, 15))
        return self._rng.choice(chosen)

    def _point(self, minute: int, summarised: float) -> Point:
        metric, kind = self._rng.choice(_METRICS)
        labels = {"region": self._rng.choice(_REGIONS), "endpoint": self._rng.choice(_ENDPOINTS)}
        numbers = tuple(self._number(kind) for _ in range(self._rng.randint(1, 8) if kind is Kind.DISTRIBUTION else 1))
        is_summarised = kind is Kind.DISTRIBUTION and self._rng.random() < summarised
        return Point(Series(metric, make_labels(labels)), kind, self._instant(minute), numbers, is_summarised)

    def _instant(self, minute: int) -> int:
        """An instant of a minute; now and then its very end."""
        back_us = self._rng.choice((0, *(self._rng.randrange(MINUTE_SECONDS * US_PER_SECOND) for _ in range(9))))
        return minute * US_PER_SECOND - back_us

    def _number(self, kind: Kind) -> int:
        if kind is Kind.GAUGE:
            return self._rng.randrange(-100 * PARTS, 100 * PARTS)
        if kind is Kind.COUNTER:
            return self._rng.randrange(50 * PARTS)
        size = int(self._rng.lognormvariate(math.log(_MEDIAN), 1.2))
        return self._rng.choice((size,) * 18 + (0, -size))
