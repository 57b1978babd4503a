"""The collector: what Cloud Monitoring knows of each minute becomes messages, each (series, minute) once.

One call:

1. publishes what is left of an earlier call, in the same bytes, so that a repetition counts once;
2. reads of each source the minutes after its cursor that the service has whole by now: up to its metric's own ingest
   delay before ``now``, 15 minutes of a source in one round, the oldest first;
3. commits the messages and the moved cursors at once, on the condition that the cursors are still what was read;
4. publishes the messages, and deletes them here.

Two collectors may run: whoever loses the race publishes nothing of what it read. A source that fails keeps its cursor
and stops no other. What a source was asked for once is not asked again, so a point that appears after the service's
own delay is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..bus import Bus
from ..errors import MonitoringError, PreconditionFailed, TransientError
from ..formats.compact import Chunk, encode
from ..publisher import ATTRIBUTES
from ..store import Absent, Delete, Document, Put, Store, Unchanged
from ..timeline import HOUR_SECONDS, MINUTE_SECONDS, iso, minute_floor
from .port import MonitoringApi, Request
from .rows import Row, Rows, rows_of, section_of
from .sources import Source

WRITER = "collector"
STATE_PATH = "collector/state"
ROUND_MINUTES = 15
FIRST_MINUTES = 5
"""What is read of a source that was never read before."""
MAX_BEHIND_SECONDS = 24 * HOUR_SECONDS
"""What is older is given up: messages may be 72 h late, and a day is enough to mend what is broken."""
MAX_ROWS = 8_000
"""Of one round, unless a single minute of a source has more: with bins, well below a commit's 4 MiB."""
ROWS_PER_MESSAGE = 2_000
MAX_ROUNDS = 20
ENOUGH = timedelta(seconds=40)
"""After so long no further round begins; the next call goes on."""
ABSENT = "not_found"
QUOTA = "resource_exhausted"


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be read, and why."""

    source: str
    reason: str
    detail: str


@dataclass(slots=True)
class Collected:
    """What a call did. ``absent`` are sources whose metric the project does not have; ``lost_race`` ended it."""

    messages: int = 0
    rows: int = 0
    failures: list[Failure] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    lost_race: bool = False

    def skips(self, source: str) -> bool:
        """Whether a source is not asked again in this call."""
        return source in self.absent or any(one.source == source for one in self.failures)


@dataclass(frozen=True, slots=True)
class State:
    """The cursors: up to which minute each source was read, and the number of the next message."""

    boot: str
    seq: int
    minutes: Mapping[str, int]
    update_time: datetime | None

    def put(self, seq: int, minutes: Mapping[str, int]) -> Put:
        """The write that moves the cursors, if they are still these."""
        condition = Absent() if self.update_time is None else Unchanged(self.update_time)
        fields = {"boot": self.boot, "seq": seq, "minutes": dict(minutes)}
        return Put(STATE_PATH, fields, precondition=condition)


@dataclass(frozen=True, slots=True)
class Collector:
    """The function ``collect`` on its ports."""

    store: Store
    bus: Bus
    api: MonitoringApi
    sources: Sequence[Source]
    topic: str
    now: Callable[[], datetime]

    def __call__(self) -> Collected:
        """Collect what is due. Raises TransientError when store or bus do not answer, or no source does."""
        began, report = self.now(), Collected()
        self._publish(self.store.list("collector", "message-", "message.").documents, report)
        state = self._state(began)
        for _ in range(MAX_ROUNDS):
            moved = self._round(state, began, report)
            if moved is None or self.now() - began > ENOUGH:
                break
            state = moved
        if self.sources and len(report.failures) == len(self.sources):
            first = report.failures[0]
            raise TransientError("every_source_failed", f"{first.source}: {first.reason}: {first.detail}")
        return report

    def _state(self, now: datetime) -> State:
        found = self.store.get([STATE_PATH]).get(STATE_PATH)
        if found is None:
            return State(iso(now), 0, {}, None)
        return State(found.fields["boot"], found.fields["seq"], found.fields["minutes"], found.update_time)

    def _round(self, state: State, now: datetime, report: Collected) -> State | None:
        """Read, commit and publish one round; None when nothing is left to read, or another collector was faster."""
        minutes, rows = self._read(state.minutes, now, report)
        if minutes == state.minutes:
            return None
        messages = list(_messages(state.boot, state.seq, rows))
        seq = state.seq + len(messages)
        try:
            at = self.store.commit([state.put(seq, minutes), *messages])
        except PreconditionFailed:
            report.lost_race = True
            return None
        self._publish([Document(one.path, one.fields, at) for one in messages], report)
        report.rows += sum(map(len, rows.values()))
        return State(state.boot, seq, minutes, at)

    def _read(self, minutes: Mapping[str, int], now: datetime, report: Collected) -> tuple[dict[str, int], Rows]:
        """Where the cursors are after this round, and what was read on the way there."""
        moved, rows = dict(minutes), dict[int, list[Row]]()
        room = MAX_ROWS
        for source in self.sources:
            if room <= 0 or report.skips(source.name):
                continue
            try:
                end, found = self._read_source(source, minutes.get(source.name), now, room)
            except MonitoringError as error:
                if self._note(source, error, report):
                    break
                continue
            moved |= {source.name: end} if end else {}
            for minute, more in found.items():
                rows.setdefault(minute, []).extend(more)
                room -= len(more)
        return moved, rows

    def _note(self, source: Source, error: MonitoringError, report: Collected) -> bool:
        """Remember why a source was not read; whether asking others makes no sense now."""
        if error.reason == ABSENT:
            report.absent.append(source.name)
            return False
        report.failures.append(Failure(source.name, error.reason, error.detail))
        return error.reason == QUOTA

    def _read_source(self, source: Source, cursor: int | None, now: datetime, room: int) -> tuple[int, Rows]:
        """The minute up to which a source is read now, 0 when none is due, and its rows; as many minutes as fit."""
        delay = timedelta(seconds=self.api.ingest_delay_seconds(source.metric_type))
        newest = minute_floor(now - delay)
        start = newest - FIRST_MINUTES * MINUTE_SECONDS if cursor is None else max(cursor, newest - MAX_BEHIND_SECONDS)
        end = min(newest, start + ROUND_MINUTES * MINUTE_SECONDS)
        if end <= start:
            return 0, {}
        group_by = tuple(sorted(set(source.labels.values())))
        request = Request(source.metric_type, source.filter, start, end, source.align, source.reduce, group_by)
        rows = rows_of(source, self.api.list(request))
        return _fitting({minute: rows[minute] for minute in sorted(rows) if start < minute <= end}, end, room)

    def _publish(self, messages: Sequence[Document], report: Collected) -> None:
        """Publish messages that the store holds, and forget them there; repeating it changes nothing."""
        for message in messages:
            self.bus.publish(self.topic, message.fields["data"], ATTRIBUTES)
        if messages:
            self.store.commit([Delete(message.path) for message in messages])
        report.messages += len(messages)


def _fitting(rows: Rows, end: int, room: int) -> tuple[int, Rows]:
    """As many whole minutes as there is room for, one at least, and the minute up to which they reach."""
    fitting: dict[int, Sequence[Row]] = {}
    for minute, more in rows.items():
        if fitting and len(more) > room:
            return minute - MINUTE_SECONDS, fitting
        fitting[minute] = more
        room -= len(more)
    return end, fitting


def _messages(boot: str, seq: int, rows: Rows) -> Iterator[Put]:
    """Rows as numbered messages, in the documents that keep them until they are published."""
    flat = [(minute, row) for minute in sorted(rows) for row in rows[minute]]
    for number, first in enumerate(range(0, len(flat), ROWS_PER_MESSAGE), seq):
        by_minute: dict[int, list[Row]] = {}
        for minute, row in flat[first : first + ROWS_PER_MESSAGE]:
            by_minute.setdefault(minute, []).append(row)
        sections = tuple(section_of(minute, by_minute[minute]) for minute in sorted(by_minute))
        yield Put(f"collector/message-{number:012d}", {"data": encode(Chunk(WRITER, boot, number, sections))})
