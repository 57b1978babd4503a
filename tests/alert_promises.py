"""What alerting promises, and what it takes to test it: a ledger of all that happens, and its check.

``tests.nights`` plays seeded nights against it. Whatever happened in one, each T was judged once from what the T before
had left, and states and notifications are what the definitions (``tests.reference``) make of the cells that each T saw
and of what people had said by then. What became of the notifications is in ``tests.delivery_promises``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from shared.acks import ack_path
from shared.alerts import ENDINGS, AlertKind, AlertState, Reason, State, fingerprint
from shared.audit import Deed
from shared.buckets import SETTLE
from shared.bus import Message
from shared.cells import Cells
from shared.evaluator import STATE_PATH
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification, NotificationKind, notification_from_json
from shared.records import alerts_in, announcements_in, lines_in, transitions_in
from shared.rules import Severity
from shared.self_watch import without_own
from shared.silences import Silence, silence_from_fields
from shared.store import READ_LAG, Document, Fields, Listing, Put, Store, Write
from shared.telling import Hearing
from shared.tick import TickResult, Transition, rule_values, tick
from shared.timeline import MINUTE_SECONDS, from_minute, parse_minute_id, to_us
from shared.usual_store import Baselines
from shared.windows import Windows
from tests.reference import Episode, Group, Reference

Told: TypeAlias = tuple[str, datetime]
"""An episode: the fingerprint of its alert, and when it fired."""
BEGINNINGS = frozenset({Reason.FIRED, Reason.MISSING, Reason.FAILED})
"""The transitions that begin an episode."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What people had said when an evaluator asked."""

    acks: frozenset[str] = frozenset()
    silences: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """One T as it was committed: the configuration and the cells its tick was given, and what people had said."""

    minute: int
    config: MonitoringConfig
    minutes: Mapping[int, Cells]
    catching_up: bool
    heard: Heard
    writes: tuple[Write, ...]

    def notifications(self) -> list[Notification]:
        """What was decided to be told."""
        return [notification_from_json(line) for document in self._put("outbox") for line in lines_in(document)]

    def transitions(self) -> list[Transition]:
        """What changed its state."""
        return [transition for document in self._put("history") for transition in transitions_in(document)]

    def announced(self) -> Counter[tuple[str, Told]]:
        """The ids that history names as told, with the episode of each alert that each is about."""
        found = [one for document in self._put("history") for one in announcements_in(document)]
        return Counter((one.id, (one.fingerprint, one.fired_at)) for one in found)

    def alerts(self) -> dict[str, list[AlertState]]:
        """The rules whose alerts changed, with the alerts that are remembered from then on."""
        found: dict[str, list[AlertState]] = {w.path: [] for w in self.writes if w.path.startswith("alerts/")}
        return found | {document.path: alerts_in(document) for document in self._put("alerts")}

    def _put(self, collection: str) -> Iterator[Document]:
        for write in self.writes:
            if isinstance(write, Put) and write.path.startswith(f"{collection}/"):
                yield Document(write.path, write.fields, from_minute(self.minute))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A channel saw a notification; ``number`` orders it among all that happened, ``sender`` is who sent it."""

    number: int
    at: datetime
    sender: int
    channel: str
    notification: Notification


@dataclass(frozen=True, slots=True)
class Record:
    """A delivery's document as it was committed."""

    number: int
    at: datetime
    sender: int
    path: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Failure:
    """The delivery of a message by ``sender`` failed; ``number`` is that of the last that had happened by then."""

    number: int
    sender: int
    message: bytes
    why: str


@dataclass(frozen=True, slots=True)
class Pressed:
    """Somebody answered a message: ``reason`` came back at ``at``; ``before`` and ``after`` count the T judged then."""

    action: str
    conversation: str
    at: datetime
    before: int
    after: int
    reason: str


@dataclass(slots=True)
class Ledger:
    """The store below all others, which remembers what was committed by whom and in which order, and what was seen."""

    inner: Store
    judged: list[Judged] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)
    late: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    chunks: list[tuple[datetime, str]] = field(default_factory=list)
    acks: dict[str, Fields] = field(default_factory=dict)
    silences: dict[str, Fields] = field(default_factory=dict)
    pressed: list[Pressed] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    number: int = 0
    _given: dict[int, tuple[MonitoringConfig, Mapping[int, Cells], bool]] = field(default_factory=dict)
    _acks_read: dict[int, frozenset[str]] = field(default_factory=dict)
    _heard: dict[int, Heard] = field(default_factory=dict)

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """As the port says."""
        if paths and paths[0].startswith("acks/"):
            self._acks_read[threading.get_ident()] = frozenset(self.acks)
        return self.inner.get(paths)

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """As the port says."""
        if collection == "silences":
            known = [silence_from_fields(path.partition("/")[2], fields) for path, fields in self.silences.items()]
            acks = self._acks_read.pop(threading.get_ident(), frozenset(self.acks))
            self._heard[threading.get_ident()] = Heard(acks, tuple(known))
        return self.inner.list(collection, start, end, limit)

    def commit(self, writes: Sequence[Write]) -> datetime:
        """As the port says."""
        committed_at = self.inner.commit(writes)
        self.number += 1
        for write in writes:
            if isinstance(write, Put):
                self._note(write, committed_at)
        if writes[0].path == STATE_PATH:
            self._note_judged(writes)
        return committed_at

    def _note(self, write: Put, committed_at: datetime) -> None:
        match write.path.partition("/")[0]:
            case "acks":
                self.acks.setdefault(write.path, write.fields)
            case "silences":
                self.silences[write.path] = write.fields
            case "deliveries":
                self.records.append(Record(self.number, committed_at, threading.get_ident(), write.path, write.fields))
            case "conversations" if write.fields["late"]:
                self.late.update(one["seen"] for one in write.fields["late"])
            case "buckets":
                self.chunks.append((committed_at, write.path))

    def _note_judged(self, writes: Sequence[Write]) -> None:
        me = threading.get_ident()
        if me in self._given:
            minute = int(writes[0].fields["minute"]) if isinstance(writes[0], Put) else 0
            self.judged.append(Judged(minute, *self._given[me], self._heard.get(me, Heard()), tuple(writes)))

    def tick(
        self,
        config: MonitoringConfig,
        minutes: Mapping[int, Cells],
        states: Iterable[AlertState],
        at: datetime,
        hearing: Hearing,
        broken: Sequence[str] = (),
        windows: Windows | None = None,
        baselines: Baselines | None = None,
    ) -> TickResult:
        """What stands in for the evaluator's ``tick``: the same, and what it was given is remembered."""
        self._given[threading.get_ident()] = config, dict(minutes), hearing.catching_up
        return tick(config, minutes, states, at, hearing, broken, windows, baselines)

    def see(self, at: datetime, channel: str, notification: Notification) -> int:
        """A channel's receiver sees a notification; the number under which it is remembered."""
        self.number += 1
        self.sightings.append(Sighting(self.number, at, threading.get_ident(), channel, notification))
        return self.number

    def note_failure(self, message: Message, error: BaseException) -> None:
        """A delivery came to nothing."""
        why = str(error) or type(error).__name__
        self.failures.append(Failure(self.number, threading.get_ident(), message.data, why))


def check(ledger: Ledger) -> None:
    """What was promised of alerts and of what people did, or an AssertionError that names it."""
    _check_judged(ledger)
    _check_history(ledger)
    _check_definitions(ledger)
    _check_episodes(ledger)
    _check_people(ledger)


def _check_judged(ledger: Ledger) -> None:
    minutes = [one.minute for one in ledger.judged]
    assert minutes == list(range(minutes[0], minutes[-1] + 1, MINUTE_SECONDS)), "every T is judged once, in order"
    in_time: dict[int, set[str]] = {}
    for committed_at, path in ledger.chunks:
        minute = parse_minute_id(path.split("/")[1].partition("-")[2])
        if committed_at <= from_minute(minute) + SETTLE - READ_LAG:
            in_time.setdefault(minute, set()).add(path)
    for one in ledger.judged:
        seen = without_own(one.minutes[one.minute]).count.sum()
        assert seen >= len(in_time.get(one.minute, ())), "what came in time is judged"


def _check_history(ledger: Ledger) -> None:
    """Each alert's transitions follow one another; all of them are kept, and what was told is announced."""
    states: dict[str, State] = {}
    kept: dict[str, Any] = {}
    for one in ledger.judged:
        for transition in one.transitions():
            known = states.get(transition.fingerprint, State.INACTIVE)
            assert transition.before is known, f"no state is skipped: {transition}"
            assert transition.at == from_minute(one.minute)
            states[transition.fingerprint] = transition.after
        told = Counter((two.id, episode) for two in one.notifications() for episode in episodes_of(two))
        assert one.announced() == told, "what is told is announced in history"
        kept |= {w.path: w.fields["d"] for w in one.writes if isinstance(w, Put) and w.path.startswith("history/")}
    assert {one.path: one.fields["d"] for one in ledger.inner.list("history").documents} == kept


class _Foreseen(Reference):
    """The reference, which asks its values of the cells that an evaluation was given."""

    minutes: Mapping[int, Cells] = {}

    def _values(self, known: Sequence[object], at: int) -> dict[Group, float]:  # noqa: ARG002 - the cells are known
        return rule_values(self.config, self.rule, self.minutes, from_minute(at))


def _check_definitions(ledger: Ledger) -> None:
    """At every T, states and notifications are what the definitions give."""
    references: dict[str, _Foreseen] = {}
    alerts: dict[str, list[AlertState]] = {}
    for judged in ledger.judged:
        rules = {rule.id: rule for rule in judged.config.list_alert_rules(enabled_only=True)}
        for rule in rules.values():
            one = references.setdefault(rule.id, _Foreseen(rule, judged.config, ()))
            one.rule, one.config, one.minutes = rule, judged.config, judged.minutes
            one.query = judged.config.query_for(rule)
        for rule_id, one in references.items():
            if rule_id in rules:
                one.evaluate(judged.minute)
            else:
                one.remove()
        for one in references.values():
            _say(one, list(references.values()), judged)
        alerts |= judged.alerts()
        where = f"at {from_minute(judged.minute):%H:%M}"
        assert _states(alerts) == _expected_states(references), f"states are what the definitions give {where}"
        assert _told(judged) == _expected_told(references, judged.minute), (
            f"notifications are what the definitions give {where}"
        )


def _say(one: _Foreseen, others: Sequence[Reference], judged: Judged) -> None:
    at = from_minute(judged.minute)

    def hushed(group: Group, about: str, episode: Episode) -> bool:
        alert = AlertState(one.rule.id, group, Severity(episode.severity), kind=AlertKind(about))
        return judged.catching_up or any(silence.covers(alert, at) for silence in judged.heard.silences)

    def taken(group: Group, about: str, episode: Episode) -> bool:
        path = ack_path(fingerprint(one.rule.id, group, AlertKind(about)), from_minute(episode.fired_at))
        return path in judged.heard.acks

    one.say(others, judged.minute, hushed, taken)


def _states(alerts: Mapping[str, Sequence[AlertState]]) -> dict[tuple[str, Group, str], tuple[object, ...]]:
    known = [alert for some in alerts.values() for alert in some if alert.state is not State.INACTIVE]
    return {
        (alert.rule_id, alert.labels, alert.kind.value): (alert.state.value, alert.severity.value)
        if alert.kind is not AlertKind.THRESHOLD
        else (alert.state.value, alert.severity.value, alert.count)
        for alert in known
    }


def _expected_states(references: Mapping[str, Reference]) -> dict[tuple[str, Group, str], tuple[object, ...]]:
    found: dict[tuple[str, Group, str], tuple[object, ...]] = {}
    for rule_id, reference in references.items():
        for group, one in reference.groups.items():
            if one.state != "inactive":
                found[rule_id, group, "threshold"] = (one.state, one.severity, one.count)
            if one.missing_since is not None:
                found[rule_id, group, "no_data"] = ("firing", one.missing_severity)
    return found


def _told(judged: Judged) -> Counter[tuple[object, ...]]:
    return Counter(
        (one.rule_id, labels, one.about, one.kind.value, _seconds(one.fired_at), one.severity.value, one.channels)
        for one in judged.notifications()
        if one.kind is not NotificationKind.SUMMARY
        for labels in (one.labels, *(other.labels for other in one.also))
    )


def _expected_told(references: Mapping[str, Reference], minute: int) -> Counter[tuple[object, ...]]:
    return Counter(
        (rule_id, group, about, said.kind, said.fired_at, said.severity, said.channels)
        for rule_id, reference in references.items()
        for group, one in reference.groups.items()
        for about, some in (("threshold", one.said), ("no_data", one.said_of_missing))
        for said in some
        if said.at == minute
    )


def _seconds(instant: datetime) -> int:
    return to_us(instant) // 1_000_000


def episodes_of(one: Notification) -> list[Told]:
    """The episodes that a notification is about."""
    others = [fingerprint(one.rule_id, other.labels, AlertKind(one.about)) for other in one.also]
    return [(alert, one.fired_at) for alert in (one.fingerprint, *others)]


def _check_episodes(ledger: Ledger) -> None:
    """Each episode has ended once, and who was told that it fires was told that it ended, each under one id."""
    began: Counter[Told] = Counter()
    ended: Counter[Told] = Counter()
    told: dict[Told, list[Notification]] = {}
    for judged in ledger.judged:
        for transition in judged.transitions():
            if transition.reason in BEGINNINGS:
                began[transition.fingerprint, transition.at] += 1
            elif transition.reason in ENDINGS and transition.episode is not None:
                ended[transition.fingerprint, transition.episode] += 1
        _check_together(judged)
        for one in judged.notifications():
            for episode in episodes_of(one):
                known = told.setdefault(episode, [])
                assert one.kind is NotificationKind.SUMMARY or episode in began
                assert [(two.id, two.channels) for two in known] == [
                    (before.notification_id, before.channels) for before in one.follows
                ], f"who is told more knows what was told: {one.id}"
                known.append(one)
    assert began == ended, "every episode that began has ended, once"
    assert set(began.values()) <= {1}
    for some in told.values():
        ids = [one.id for one in some]
        assert len(set(ids)) == len(ids), f"nothing is decided twice: {ids}"
        kinds = Counter(one.kind for one in some)
        if NotificationKind.SUMMARY not in kinds:
            firing, resolved = kinds[NotificationKind.FIRING], kinds[NotificationKind.RESOLVED]
            assert (firing, resolved) == (1, 1), f"one firing and one resolution: {ids}"


def _check_together(judged: Judged) -> None:
    """What fires together is told together."""
    alike = Counter(
        (one.rule_id, one.about, one.kind, one.severity, one.fired_at, one.reason, one.channels, one.follows)
        for one in judged.notifications()
    )
    assert set(alike.values()) <= {1}, f"what belongs together is told together: {alike}"


def _check_people(ledger: Ledger) -> None:
    """What people did is as they left it, and is on record once."""
    entries = [one.fields for one in ledger.inner.list("audit").documents]
    stored = {one.path: one.fields for one in ledger.inner.list("acks").documents}
    assert stored == ledger.acks, "no acknowledgement is lost"
    silences = {one.path: one.fields for one in ledger.inner.list("silences").documents}
    assert silences == ledger.silences, "no silence is lost"
    expected = [(Deed.ACKNOWLEDGED.value, path) for path in stored]
    expected += [(Deed.SILENCED.value, path) for path in silences]
    recorded = [(one["deed"], one["target"]) for one in entries if one["deed"] != Deed.UNSILENCED.value]
    assert sorted(recorded) == sorted(expected), "what people did is on record once"
    for path, fields in silences.items():
        ended = [one["at"] for one in entries if (one["deed"], one["target"]) == (Deed.UNSILENCED.value, path)]
        assert not ended or fields["ends_at"] == max(min(ended), fields["starts_at"]), (
            "the first who ends a silence ends it"
        )
