"""Alerts and transitions as they are stored, there and back, and the writes of what a T decided."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.alerts import AlertKind, AlertState, Reason, State, Told
from shared.decided import HISTORY_KEPT, MAX_LINES, MAX_LINES_BYTES, decided, notifications_in
from shared.notifications import Notification, NotificationKind
from shared.records import (
    Announcement,
    alert_line,
    alerts_in,
    announcement_line,
    announcements_in,
    lines_in,
    packed,
    transition_line,
    transitions_in,
)
from shared.rules import Operator, Severity
from shared.series import make_labels
from shared.store import Delete, Document, Put
from shared.tick import TickResult, Transition, tick
from tests.fakes import START
from tests.ticks import GROUPED, MINUTE, RULE, config_of, level, minutes_of, play, run
from tests.world import labels

FEW = settings(max_examples=80, deadline=None, derandomize=True, database=None)
texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
instants = st.integers(0, 10**8).map(lambda minute: datetime.fromtimestamp(60 * minute, UTC))
maybe = st.none() | instants
any_labels = st.dictionaries(texts.map(lambda name: f"n{name}"), texts, max_size=3).map(make_labels)
severities = st.sampled_from(Severity)
alerts = st.builds(
    AlertState,
    rule_id=texts,
    labels=any_labels,
    severity=severities,
    state=st.sampled_from(State),
    value=st.none() | numbers,
    count=st.integers(0, 10**9),
    told=st.lists(st.builds(Told, texts, st.lists(texts, max_size=3).map(tuple)), max_size=3).map(tuple),
    kind=st.sampled_from(AlertKind),
    counts=st.lists(severities, unique=True).map(lambda some: tuple((one, 7) for one in Severity if one in some)),
    told_severity=st.none() | severities,
    held=texts,
    since=maybe, pending_since=maybe, fired_at=maybe, good_since=maybe, no_data_since=maybe, told_at=maybe,
    escalated_at=maybe, evaluated_at=maybe,
)  # fmt: skip
transitions = st.builds(
    Transition,
    fingerprint=texts,
    rule_id=texts,
    labels=any_labels,
    severity=severities.map(str),
    at=instants,
    before=st.sampled_from(State),
    after=st.sampled_from(State),
    reason=st.sampled_from(Reason),
    value=st.none() | numbers,
    count=st.integers(0, 10**9),
    episode=maybe,
    config_hash=texts,
    kind=st.sampled_from(AlertKind),
    held=texts,
)
notifications = st.builds(
    Notification,
    kind=st.sampled_from(NotificationKind),
    fingerprint=texts,
    rule_id=texts,
    rule_name=texts,
    description=texts,
    severity=severities,
    labels=any_labels,
    value=st.none() | numbers,
    unit=texts,
    operator=st.sampled_from(Operator),
    threshold=numbers,
    fired_at=instants,
    at=instants,
    reason=texts,
    channels=st.lists(texts, max_size=3).map(tuple),
    config_hash=texts,
    about=st.sampled_from(AlertKind).map(str),
)


def document(data: bytes) -> Document:
    """A stored document with some data."""
    return Document("alerts/x", {"d": data}, START)


@FEW
@given(st.lists(alerts, max_size=4))
def test_alerts_there_and_back(some: list[AlertState]) -> None:
    """What is read of alerts is what was written, to the last bit of a value and whatever text labels hold."""
    assert alerts_in(document(packed(map(alert_line, some)))) == some


@FEW
@given(st.lists(transitions, max_size=4))
def test_transitions_there_and_back(some: list[Transition]) -> None:
    """So it is of transitions."""
    assert transitions_in(document(packed(map(transition_line, some)))) == some


@FEW
@given(st.lists(notifications, max_size=4))
def test_announcements_there_and_back(some: list[Notification]) -> None:
    """What history keeps of a notification is its own: which alert, to whom, and what was judged."""
    found = announcements_in(
        Document("history/x~n000", {"d": packed(announcement_line(one.id, one) for one in some)}, START)
    )
    assert found == [
        Announcement(one.id, one.kind, one.fingerprint, one.rule_id, one.labels, one.severity, one.fired_at, one.at,
               one.value, one.reason, AlertKind(one.about), one.channels, one.config_hash)
        for one in some
    ]  # fmt: skip


def test_a_record_of_another_version_is_read() -> None:
    """What a record lacks has its default, and what it has too much is passed over."""
    raw = {"rule": "level", "severity": "high", "state": "pending", "mood": "grim"}
    assert alerts_in(document(packed([json.dumps(raw).encode()]))) == [
        AlertState("level", (), Severity.HIGH, State.PENDING)
    ]


def test_an_alert_says_only_what_there_is_to_say() -> None:
    """Fields at their defaults take no room."""
    line = json.loads(alert_line(AlertState("level", (), Severity.HIGH, value=0.0)))
    assert line == {"rule": "level", "severity": "high", "state": "inactive", "value": 0.0}


@pytest.mark.parametrize("text", ["", "a\nb", "\r\n\x85\u2028", "\ud800", "\x00"], ids=repr)
def test_no_text_breaks_a_line(text: str) -> None:
    """Line feeds, NUL and lone surrogates in labels are escaped, so that lines are lines."""
    alert = AlertState("level", labels(region=text), Severity.HIGH)
    assert len(lines_in(document(packed([alert_line(alert)] * 3)))) == 3
    assert alerts_in(document(packed([alert_line(alert)]))) == [alert]


def test_one_document_a_rule() -> None:
    """Rules whose alerts changed are written, a document each; others are not, and one without alerts is deleted."""
    rules = [replace(RULE, name=name, cooldown_period=60) for name in ("A", "B")]
    first = run(config_of(*rules), minutes_of("B"), 1)[0]
    assert [write.path for write in decided((), first)] == [
        "alerts/a", "alerts/b", "history/20251018T1200~000", "history/20251018T1200~n000", "outbox/20251018T1200~000"
    ]  # fmt: skip
    assert decided(first.states, TickResult(START, first.states, (), (), ())) == []
    other = tuple(replace(one, count=9) if one.rule_id == "b" else one for one in first.states)
    assert [write.path for write in decided(first.states, TickResult(START, other, (), (), ()))] == ["alerts/b"]
    (gone,) = decided(first.states, TickResult(START, first.states[:1], (), (), ()))
    assert gone == Delete("alerts/b")


def test_history_expires_and_the_outbox_does_not() -> None:
    """Transitions and announcements are kept for ninety days, each in its documents; notifications until published."""
    (result,) = play(RULE, "B")
    history, announcements, outbox = [one for one in decided((), result)[1:] if isinstance(one, Put)]
    assert history.fields["expires_at"] == announcements.fields["expires_at"] == START + HISTORY_KEPT
    assert set(outbox.fields) == {"d"}
    read = [Document(one.path, one.fields, START) for one in (history, announcements)]
    assert [transitions_in(one) for one in read] == [list(result.transitions), []]
    assert [[one.id for one in announcements_in(each)] for each in read] == [
        [],
        [told.id for told in result.notifications],
    ]
    (notification,) = result.notifications
    assert notifications_in(document(outbox.fields["d"])) == [(notification.id, notification.to_json())]


@pytest.mark.parametrize(
    ("groups", "size", "parts"),
    [
        pytest.param(MAX_LINES, 10, 1, id="as many as fit"),
        pytest.param(MAX_LINES + 1, 10, 2, id="one more"),
        pytest.param(2 * MAX_LINES + 1, 10, 3, id="many"),
        pytest.param(50, 20_000, 2, id="long ones"),
        pytest.param(3, 2 * MAX_LINES_BYTES, 3, id="too long each"),
    ],
)
def test_a_document_holds_some_lines(groups: int, size: int, parts: int) -> None:
    """At most 200 transitions, and 800,000 bytes of several, are in one document; none is lost and none moved."""
    (one,) = play(RULE, "B")[0].transitions
    some = tuple(replace(one, rule_id=f"{number}" + "x" * size) for number in range(groups))
    writes = [write for write in decided((), TickResult(START, (), some, (), ())) if isinstance(write, Put)]
    assert [write.path for write in writes] == [f"history/20251018T1200~{part:03}" for part in range(parts)]
    found = [each for write in writes for each in transitions_in(document(write.fields["d"]))]
    assert found == list(some)
    lines = [zlib.decompress(write.fields["d"]).splitlines() for write in writes]
    assert all(len(each) <= MAX_LINES and (len(each) == 1 or sum(map(len, each)) <= MAX_LINES_BYTES) for each in lines)


def test_what_a_tick_decides_is_what_is_read_again() -> None:
    """States that go through the store between ticks decide what states that stay in memory do."""
    rule = replace(RULE, query=GROUPED, cooldown_period=180, no_data_after=60, min_occurrences=2)
    minutes = minutes_of({level("eu"): "BBB.gBB...BB", level("us"): "gBBgBBBBg.BB"})
    states: tuple[AlertState, ...] = ()
    for number, expected in enumerate(run(config_of(rule), minutes, 12)):
        result = tick(config_of(rule), minutes, states, START + number * MINUTE)
        assert result == expected
        states = tuple(alerts_in(document(packed(map(alert_line, result.states)))))


def test_what_is_published_is_not_judged() -> None:
    """A notification of another version goes on the bus under its id: only notify knows what it cannot deliver."""
    (write,) = [one for one in decided((), play(RULE, "B")[0]) if one.path.startswith("outbox/")]
    assert isinstance(write, Put)
    odd = b'{"id": "odd", "version": 9}'
    lines = [*lines_in(document(write.fields["d"])), odd]
    found = notifications_in(document(packed(lines)))
    assert [data for _, data in found] == lines
    assert [name for name, _ in found][1] == "odd"
