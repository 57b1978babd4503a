"""Ingest: a message becomes chunks, exactly once, or goes whole to the dead-letter topic with a named reason.

The order makes every crash harmless: the chunks are committed, the markers of late minutes are written, what was
rejected is counted and copied to the dead-letter topic, and only then is the message acknowledged. A crash before
that repeats all of it, and repeating changes nothing but adding a copy to the dead-letter topic.

Only the message's own chunks can be refused for good. A store or bus that refuses what ingest adds, markers, counts
and dead letters, has said nothing about the message, which therefore comes again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from .buckets import LATE_AFTER, LOST_AFTER, MAX_WRITES, Late, apart, commits_of
from .bus import Bus, Message
from .cells import Observation, fold
from .dead_letters import REJECTED_METRIC, dead_letter
from .errors import PermanentError, TransientError
from .formats.compact import Chunk, Section
from .formats.dispatch import decode
from .formats.otlp_labels import DEFAULT_RULE, LabelRule
from .identity import Identity, identify, rejection
from .large_messages import in_turn
from .series import Kind, Series
from .store import Put, Store, Write
from .timeline import from_minute, iso, minute_of_us, to_us

LATE = timedelta(hours=72)
"""How old a point may be when its message is first published."""
EARLY = timedelta(minutes=5)
"""How far ahead of its message's publish time a point may be: clocks differ."""
_BAD_TIME = "malformed_publish_time"
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message: how many observations were stored, and why it was rejected, if it was."""

    observations: int
    reason: str = ""
    detail: str = ""
    late_minutes: int = 0


@dataclass(frozen=True, slots=True)
class _Stored:
    """A chunk as it was stored: when, which of its minutes were marked as late, and which may be shown by nobody."""

    at: datetime
    late: Collection[int]
    lost: Collection[int]


@dataclass(frozen=True, slots=True)
class Ingest:
    """The function ``ingest`` on its ports.

    ``kinds`` is the configured metric catalogue, ``label_rule`` says which attributes of OTLP become labels. A commit
    ``late_after`` a minute's end or later marks the minute; no evaluator settles before ``READ_LAG`` after that.
    ``now`` is the clock by which minutes expire for whoever reads (aware UTC).
    """

    store: Store
    bus: Bus
    dead_letter_topic: str
    kinds: Mapping[str, Kind]
    now: Callable[[], datetime]
    label_rule: LabelRule = DEFAULT_RULE
    late_after: timedelta = LATE_AFTER

    def __call__(self, message: Message) -> Outcome:
        """Store one message. Raises TransientError only: everything permanent is dead-lettered and returned.

        What is sound is stored also when a part of the message is refused: a point's time, or a metric of OTLP. What
        comes when its minute expires is stored, and a dead letter, too: nobody may have time to see it.
        """
        with in_turn() as weigh:
            return self._ingest(message, weigh)

    def _ingest(self, message: Message, weigh: Callable[[int], None]) -> Outcome:
        try:
            published = _first_publish_time(message)
            chunk, refused = decode(message.data, message.attributes, self.kinds, self.label_rule, weigh)
            kept = chunk.only(list(_timely(chunk, published)))
            stored = self._store(kept, identify(message.data, chunk.writer, chunk.boot, chunk.seq))
        except PermanentError as error:
            return self._reject(message, error, Outcome(0))
        outcome = Outcome(_observations(kept, stored.lost), late_minutes=len(stored.late))
        if len(kept.sections) < len(chunk.sections):
            refused = refused or _untimely(chunk, kept, published)
        if stored.lost:
            refused = refused or _expired(stored)
        return self._reject(message, refused, outcome) if refused else outcome

    def reject_envelope(self, event: object, error: PermanentError, now: datetime) -> Outcome:
        """Keep what was pushed and is no message (see ``push``) as a dead letter of JSON. Raises TransientError."""
        data = json.dumps(event, default=repr).encode()
        return self._reject(Message(data, {}, "", now), error, Outcome(0))

    def _store(self, chunk: Chunk, identity: Identity) -> _Stored:
        """Commit a chunk and mark the minutes whose rollup may lack it, those too that are about to expire."""
        late: set[int] = set()
        for commit in [*commits_of(chunk, identity)]:  # all of them before the first: a chunk is stored whole or not
            committed_at = self._commit(commit.puts, identity)
            marked = _older(commit.minutes, committed_at - self.late_after)
            self._mark(marked, identity.wid, committed_at)
            late |= marked
        at = self.now()
        return _Stored(at, late, _older((section.minute for section in chunk.sections), at - LOST_AFTER))

    def _commit(self, puts: Sequence[Put], identity: Identity) -> datetime:
        """Commit a chunk's writes. Where the document that its writer's messages share is full, it gets its own."""
        try:
            return self.store.commit(puts)
        except PermanentError as error:
            if error.reason != "document_too_large":
                raise
        return self.store.commit(apart(puts, identity))

    def _mark(self, minutes: set[int], wid: str, at: datetime) -> None:
        markers: list[Write] = [Late(minute, wid, at).write() for minute in sorted(minutes)]
        for start in range(0, len(markers), MAX_WRITES):
            with _never_for_good():
                self.store.commit(markers[start : start + MAX_WRITES])

    def _reject(self, message: Message, error: PermanentError, outcome: Outcome) -> Outcome:
        """Count the message, copy it whole to the dead-letter topic, and say why."""
        published = message.publish_time if error.reason == _BAD_TIME else _first_publish_time(message)
        with _never_for_good():
            self._count(message.data, error.reason, published)
            dead_letter(self.bus, self.dead_letter_topic, message, error, published)
        return replace(outcome, reason=error.reason, detail=error.detail)

    def _count(self, data: bytes, reason: str, published: datetime) -> None:
        """Count a rejection as a chunk of its own, under the digest of the message: once, however often it comes.

        It counts when the message was published; where nobody would see it there any more, in the minute in which it
        comes, and so once for each such minute.
        """
        minute = minute_of_us(to_us(published))
        if _older([minute], self.now() - LOST_AFTER):
            minute = minute_of_us(to_us(self.now()))
            published = from_minute(minute)
        rejected = Observation(Series(REJECTED_METRIC, (("reason", reason),)), Kind.COUNTER, to_us(published), 1.0)
        self._store(Chunk("ingest", "", None, (Section(minute, fold([rejected])),)), rejection(data))


@contextmanager
def _never_for_good() -> Iterator[None]:
    """Inside, a refusal is none of the message: it is raised as a TransientError, under the same reason."""
    try:
        yield
    except PermanentError as error:
        raise TransientError(error.reason, error.detail) from error


def _first_publish_time(message: Message) -> datetime:
    try:
        published = message.first_publish_time()
    except ValueError as error:
        raise PermanentError(_BAD_TIME, str(error)) from error
    if not _OLDEST <= published <= message.publish_time + EARLY:
        raise PermanentError(_BAD_TIME, f"first published {iso(published)}, on the bus {iso(message.publish_time)}")
    return published


def _timely(chunk: Chunk, published: datetime) -> Iterator[Section]:
    """The sections within 72 h before and 5 min after the publish time, to the minute."""
    for section in chunk.sections:
        if published - LATE <= from_minute(section.minute) <= published + EARLY + timedelta(minutes=1):
            yield section


def _untimely(chunk: Chunk, kept: Chunk, published: datetime) -> PermanentError:
    lost = sorted({section.minute for section in chunk.sections} - {section.minute for section in kept.sections})
    reason = "point_too_old" if from_minute(lost[0]) < published else "point_too_early"
    return PermanentError(reason, f"{len(lost)} minutes, first {iso(from_minute(lost[0]))}, published {iso(published)}")


def _older(minutes: Iterable[int], than: datetime) -> set[int]:
    """Those that had ended at an instant."""
    return {minute for minute in minutes if from_minute(minute) <= than}


def _observations(chunk: Chunk, lost: Collection[int]) -> int:
    return sum(int(section.cells.count.sum()) for section in chunk.sections if section.minute not in lost)


def _expired(stored: _Stored) -> PermanentError:
    """What came when its minutes had expired, or were about to."""
    first = iso(from_minute(min(stored.lost)))
    return PermanentError("point_expired", f"{len(stored.lost)} minutes, first {first}, stored {iso(stored.at)}")
