"""What rollups promise, and what it takes to test it: the store that watches or forgets, the messages, the check.

``tests.races`` plays seeded stories against it on one thread at a time, ``tests.rounds`` on the real emulator with real
threads.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.buckets import EXPIRY_AFTER, LOST_AFTER, SETTLE, stored_in, writers_of
from shared.bus import PUBLISH_TIME_ATTRIBUTE, REASON_ATTRIBUTE, Bus, Message, Subscription
from shared.cells import EMPTY, Cells, Observation, equal, fold, merge_writers
from shared.configuration import document
from shared.dead_letters import REJECTED_METRIC
from shared.evaluator import STATE_PATH
from shared.formats.compact import CONTENT_TYPE, Chunk, Section, encode
from shared.formats.dispatch import decode
from shared.formats.otlp_labels import DEFAULT_RULE
from shared.hours import hour_of, hour_path, minutes_of, read_hours, roll_up_hour
from shared.identity import identify, rejection
from shared.ingest import LATE
from shared.monitoring_config import MonitoringConfig
from shared.parts import read_parts
from shared.retention import live
from shared.rollups import read_rollups, roll_up, rollup_path
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection
from shared.self_watch import without_own
from shared.series import Kind, Series
from shared.store import Delete, Document, Listing, Put, Store, Write
from shared.timeline import MINUTE_SECONDS, from_minute, iso, minute_floor, minute_of_us, to_us
from tests.world import labels, point

CONFIG = MonitoringConfig(replace(document.defaults(), rules=(), sources=()))
RULE = AlertRule(
    "Level", "", MetricType.BUSINESS, MetricThreshold(1e9), query=Query(Selection("level"), Aggregation.MAX)
)
OTHER_CONFIG = MonitoringConfig(replace(document.defaults(), rules=(RULE,), sources=()))
"""Of an evaluator that runs beside another during a deploy: it looks back, where the other does not."""
SKEW_SECONDS = 8.0
"""An evaluator's clock is at most this far ahead of the store's."""
LATENESS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 90, 71 * 60, 72 * 60))
EXPIRED = "point_expired"
LETTERS = Subscription("letters", "dead")
SERIES = tuple(Series(name) for name in ("level", "requests", "delay"))
KINDS = dict(zip(("level", "requests", "delay"), Kind, strict=True))
_DIGEST = re.compile(r"~[0-9a-f]{16}~")


@dataclass(frozen=True, slots=True)
class Weakness:
    """What a safeguard's absence does: a store that forgets, one for each safeguard. With none it is honest.

    ``mixes_versions`` is a store whose rollups' parts have numbers alone.
    """

    forgets_markers: bool = False
    writes_rollups_blindly: bool = False
    deletes_markers_blindly: bool = False
    reads_before_the_end: bool = False
    lags_too_long: bool = False
    mixes_versions: bool = False


@dataclass(slots=True)
class WatchedStore:
    """The store below all others: it remembers what was committed when, and has the story's weakness.

    ``judged`` are the T, ``stored`` the chunks by path and key: when first and last, by the readers' clock ``now``.

    Its listings lack what was committed within ``lag`` before their read times. ``changes`` counts what was done to
    markers, ``rewritten`` how often each document was written.
    """

    inner: Store
    now: Callable[[], datetime]
    weakness: Weakness = field(default_factory=Weakness)
    lag: timedelta = timedelta(0)
    judged: list[tuple[datetime, int]] = field(default_factory=list)
    stored: dict[tuple[str, str], tuple[datetime, datetime]] = field(default_factory=dict)
    changes: Counter[type[Write]] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        if not self.weakness.mixes_versions:
            return self.inner.get(paths)
        found = self.inner.get([_DIGEST.sub("~", path) for path in paths])
        held = {path: found[_DIGEST.sub("~", path)] for path in paths if _DIGEST.sub("~", path) in found}
        return {path: replace(one, path=path) for path, one in held.items()}

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """As the port says."""
        listing = self.inner.list(collection, start, end, limit)
        early = self.lag
        if self.weakness.reads_before_the_end and collection.startswith("buckets/"):
            early = timedelta(days=1)
        return replace(listing, read_time=listing.read_time + early)

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        kept = [self._weakened(write) for write in writes if not self._forgotten(write)]
        committed_at = self.inner.commit(kept) if kept else self.inner.list("late").read_time
        self.judged += [
            (committed_at, write.fields["minute"])
            for write in writes
            if isinstance(write, Put) and write.path == STATE_PATH
        ]
        self.rewritten.update(write.path for write in writes if isinstance(write, Put))
        self.changes.update(type(write) for write in writes if write.path.startswith("late/"))
        self._note_chunks(writes, self.now())
        return committed_at

    def _note_chunks(self, writes: Sequence[Write], at: datetime) -> None:
        for write in writes:
            if isinstance(write, Put) and write.path.startswith("buckets/"):
                for key in write.fields["c"]:
                    first, _ = self.stored.setdefault((write.path, key), (at, at))
                    self.stored[write.path, key] = (first, at)

    def _forgotten(self, write: Write) -> bool:
        if self.weakness.mixes_versions and isinstance(write, Delete) and _DIGEST.search(write.path):
            return True
        return self.weakness.forgets_markers and isinstance(write, Put) and write.path.startswith("late/")

    def _weakened(self, write: Write) -> Write:
        blind = self.weakness.writes_rollups_blindly and write.path.startswith("rollups/")
        blind |= self.weakness.deletes_markers_blindly and write.path.startswith("late/")
        write = replace(write, precondition=None) if blind else write
        return replace(write, path=_DIGEST.sub("~", write.path)) if self.weakness.mixes_versions else write


@dataclass(frozen=True, slots=True)
class Messages:
    """Makes a story's messages: ``late`` are the ages of its late points, ``writers`` names its writers."""

    rng: random.Random
    late: Sequence[timedelta]
    writers: Sequence[int]

    def make(self, number: int, began: datetime) -> Message:
        """A message published in the minute after ``began``; now and then one that says its number twice, or none."""
        rng = self.rng
        published = began + timedelta(seconds=rng.choice([20.0, 60.0]) * rng.random())
        expiring = EXPIRY_AFTER - LATE - timedelta(minutes=rng.choice([0, 0, 3]))
        told = published - rng.choice([timedelta(0)] * 4 + [expiring, timedelta(hours=5)])
        at = [self._instant(told) for _ in range(rng.choice([1, 1, 1, 3]))]
        attributes = {PUBLISH_TIME_ATTRIBUTE: iso(told)}
        writer, seq = f"writer-{rng.choice(self.writers)}", rng.choice([number] * 6 + [number % 3, None])
        if seq is not None and rng.random() < 0.5:
            attributes["content-type"] = CONTENT_TYPE
            data = encode(Chunk(writer, "boot", seq, tuple(self._sections(at))))
        else:
            points = [point(rng.choice(SERIES).metric, when, float(rng.randrange(1, 100))) for when in at]
            envelope = {} if seq is None else {"writer": writer, "boot": "boot", "seq": seq}
            data = json.dumps({"version": 1, "points": points, **envelope}).encode()
        return Message(data, attributes, str(number), published)

    def _instant(self, told: datetime) -> datetime:
        """When a point was measured: in the running minute, in the one that just ended, or in the story's late one."""
        into_minute = timedelta(seconds=to_us(told) / 1e6 % MINUTE_SECONDS)
        running = timedelta(seconds=self.rng.uniform(-5, 5))
        return told - self.rng.choice([running, into_minute + running, *self.late])

    def _sections(self, at: Sequence[datetime]) -> Iterator[Section]:
        minutes = [(minute_of_us(to_us(when)), to_us(when)) for when in sorted(at)]
        for minute, group in itertools.groupby(minutes, lambda one: one[0]):
            yield Section(
                minute,
                fold(
                    [
                        Observation(self.rng.choice(SERIES), Kind.GAUGE, at_us, float(self.rng.randrange(1, 100)))
                        for _, at_us in group
                    ]
                ),
            )


def letters_on(bus: Bus) -> list[Message]:
    """The dead letters, each once."""
    return [*{one.message.data: one.message for one in bus.pull(LETTERS.name, 1000)}.values()]


def check(store: WatchedStore, messages: Sequence[Message], letters: Sequence[Message], now: datetime) -> None:
    """What was promised, or an AssertionError that names it. ``now`` is the evaluators' time."""
    judged = [minute for _, minute in sorted(store.judged)]
    assert judged == list(range(judged[0], judged[-1] + 1, MINUTE_SECONDS)), "every T is judged once"
    assert store.list("late").documents == (), "no late marker is left"
    chunks: dict[int, list[Cells]] = {}
    for message in messages:
        for minute, cells in chunks_of(message):
            chunks.setdefault(minute, []).append(cells)
    _check_letters(store, messages, {letter.data for letter in letters})
    for letter in letters:
        assert letter.attributes[REASON_ATTRIBUTE] == EXPIRED
        minute, cells = _count_of(letter)
        chunks.setdefault(minute, []).append(cells)
    for minute, parts in chunks.items():
        _check_minute(store, minute, parts, now)
    for hour in {hour_of(minute) for minute in chunks}:
        _check_hour(store, hour, now)


def _check_letters(store: WatchedStore, messages: Sequence[Message], letters: Container[bytes]) -> None:
    """What first came when its minute had expired is a letter, and only what came about then is one."""
    for message in messages:
        came = [(from_minute(minute), *store.stored[place]) for minute, place in _places_of(message)]
        if any(first >= ends + EXPIRY_AFTER for ends, first, _ in came):
            assert message.data in letters, "what came after its minute has expired is a letter"
        if message.data in letters:
            about = LOST_AFTER - timedelta(seconds=SKEW_SECONDS)
            assert any(last >= ends + about for ends, _, last in came), "what came in time is no letter"


def _places_of(message: Message) -> Iterator[tuple[int, tuple[str, str]]]:
    """The minutes of a message, and where its chunks lie."""
    chunk, _ = decode(message.data, message.attributes, KINDS, DEFAULT_RULE)
    identity = identify(message.data, chunk.writer, chunk.boot, chunk.seq)
    for section in chunk.sections:
        yield section.minute, (f"{writers_of(section.minute)}/{identity.document}", identity.key)


def _count_of(letter: Message) -> tuple[int, Cells]:
    """The minute in which a letter is counted, and the chunk that counts it."""
    at_us = to_us(letter.first_publish_time())
    counted = Observation(Series(REJECTED_METRIC, labels(reason=EXPIRED)), Kind.COUNTER, at_us, 1.0)
    return minute_of_us(at_us), fold([counted]).written_by(rejection(letter.data).writer)


def _check_minute(store: Store, minute: int, parts: Sequence[Cells], now: datetime) -> None:
    found = read_rollups(store, [minute], now)
    if from_minute(minute) + EXPIRY_AFTER <= now:
        assert found == {}, "an expired minute is not read"
    elif from_minute(minute) + EXPIRY_AFTER > now + timedelta(seconds=SKEW_SECONDS):
        assert equal(without_own(found.get(minute, EMPTY)), merge_writers(parts)), (
            f"all acknowledged chunks are in the rollup of {minute}"
        )
        documents = live(store.list(writers_of(minute)).documents, now)
        raw = [cells for chunk in stored_in(documents) for cells in chunk.cells()]
        assert equal(without_own(found[minute]), merge_writers(raw)), "the rollup is the merge of what is stored"
        _check_rebuilt(store, rollup_path(minute), lambda: roll_up(store, minute, now, SETTLE))


def _check_hour(store: Store, hour: int, now: datetime) -> None:
    kept = from_minute(minutes_of(hour)[0]) + EXPIRY_AFTER > now + timedelta(seconds=SKEW_SECONDS)
    if kept and hour <= minute_floor(now):
        _check_rebuilt(store, hour_path(hour), lambda: roll_up_hour(store, hour, now))


def _check_rebuilt(store: Store, path: str, rebuild: Callable[[], object]) -> None:
    before = _bytes_of(store, path)
    store.commit([Delete(path)])
    rebuild()
    assert _bytes_of(store, path) == before, f"{path} rebuilt from scratch has the same bytes"


def _bytes_of(store: Store, path: str) -> list[bytes]:
    return [one.fields["d"] for one in read_parts(store, [path])[path]]


def check_whole(store: Store, minute: int, now: datetime) -> None:
    """That a minute and its hour, if they are there, are each of one version, as what they say of themselves tells."""
    for cells in read_rollups(store, [minute], now).values():
        own = {name.metric: float(cells.sum[row]) for row, name in enumerate(cells.series)}
        chunks = without_own(cells)
        assert own.get("ion_series") == len(chunks), "a minute is read in one version"
        assert own.get("ion_points") == chunks.count.sum(), "a minute is read in one version"
    for hour in read_hours(store, [hour_of(minute)], now).values():
        own = {name.metric: float(hour.cells.sum[row]) for row, name in enumerate(hour.cells.series)}
        assert own.get("ion_points") == without_own(hour.cells).count.sum(), "an hour is read in one version"


def chunks_of(message: Message) -> Iterator[tuple[int, Cells]]:
    """What a message says, minute by minute, under its writer's id."""
    chunk, refused = decode(message.data, message.attributes, KINDS, DEFAULT_RULE)
    assert refused is None
    writer = identify(message.data, chunk.writer, chunk.boot, chunk.seq).writer
    for section in chunk.sections:
        yield section.minute, section.cells.written_by(writer)
