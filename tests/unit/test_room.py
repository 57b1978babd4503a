"""Room: what is remembered is bounded so that whatever changes at one T fits one commit."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.alerts import AlertKind, AlertState, Reason, State, Told
from shared.cells import Cells, Observation, fold, merge
from shared.decided import decided
from shared.evaluator import STATE_PATH
from shared.limits import commit_bytes
from shared.notifications import Notification, NotificationKind, notification_id
from shared.records import alerts_in, announcements_in, transitions_in
from shared.room import CHANGE_BYTES, MAX_GROUPS, STATE_BYTES, Room, label_bytes
from shared.rules import AlertRule, Operator, Query, Selection, Severity
from shared.series import MAX_LABEL_VALUE_BYTES, MAX_LABELS, Kind, Labels, Series, make_labels
from shared.store import MAX_COMMIT_BYTES, Put, Write
from shared.tick import TickResult, Transition, tick
from shared.timeline import US_PER_SECOND, minute_floor
from tests.fakes import START, Clock
from tests.ticks import LEVELLED, MINUTE, RULE, config_of
from tests.world import labels

CHANNELS = ("slack", "pagerduty", "email", "sentry", "webhook", "inbox")
ALPHABETS = {
    "letters": string.ascii_letters,
    "quotes": "\"\\'",
    "control": "".join(map(chr, range(32))),
    "han": "".join(map(chr, range(0x4E00, 0x9000))),
    "emoji": "".join(map(chr, range(0x1F300, 0x1F600))),
}


def text(rng: random.Random, alphabet: str, size: int) -> str:
    """As much random text of an alphabet as fits some bytes."""
    letters = ALPHABETS[alphabet]
    return "".join(rng.choice(letters) for _ in range(size // len(letters[-1].encode())))


def long_labels(rng: random.Random, alphabet: str) -> Labels:
    """As much as labels can hold."""
    size = MAX_LABEL_VALUE_BYTES
    return make_labels({f"label_{number:02}": text(rng, alphabet, size) for number in range(MAX_LABELS)})


def short_labels(rng: random.Random, _: str) -> Labels:
    """A region."""
    return labels(region=f"region-{rng.getrandbits(24):06x}")


def everything(rng: random.Random, where: Labels) -> tuple[AlertState, Transition, Notification]:
    """An alert with all its fields, and what a T can write of it."""

    def value() -> float:
        return rng.uniform(-1e15, 1e15)

    fired = START - rng.randrange(10**6) * MINUTE
    fingerprint = f"{rng.getrandbits(64):016x}"
    ids = [
        notification_id(fingerprint, fired, NotificationKind.FIRING),
        *(notification_id(fingerprint, fired, NotificationKind.RAISED) + f"-{one.value}" for one in Severity),
        notification_id(fingerprint, fired, NotificationKind.ESCALATED),
    ]
    told = tuple(Told(one, CHANNELS) for one in ids)
    times: dict[str, Any] = {
        name: START - rng.randrange(10**6) * MINUTE
        for name in (
            "since", "pending_since", "good_since", "no_data_since", "told_at", "escalated_at", "evaluated_at"
        )
    }  # fmt: skip
    counts = tuple((one, rng.randrange(10**6)) for one in Severity)
    state = AlertState(
        "level", where, rng.choice(list(Severity)), State.FIRING, value(), rng.randrange(10**6), fired_at=fired,
        told=told, counts=counts, told_severity=rng.choice(list(Severity)), held="inhibited", **times,
    )  # fmt: skip
    transition = Transition(
        fingerprint, "level", where, "critical", START, State.FIRING, State.INACTIVE, Reason.RESOLVED, value(),
        rng.randrange(10**6), fired, "0123456789ab", held="inhibited",
    )  # fmt: skip
    description = " ".join(value for _, value in where)[:2000]
    notification = Notification(
        NotificationKind.RESOLVED, fingerprint, "level", "Level" * 40, description, Severity.HIGH, where, value(), "ms",
        Operator.GREATER, value(), fired, START, "resolved", CHANNELS, "0123456789ab", "https://example.com", "no_data",
        told,
    )  # fmt: skip
    return state, transition, notification


@pytest.mark.parametrize(
    ("make", "alphabet", "count"),
    [
        pytest.param(short_labels, "", 1000, id="regions"),
        *(pytest.param(long_labels, alphabet, 30, id=f"long labels of {alphabet}") for alphabet in ALPHABETS),
    ],
)
def test_what_is_reckoned_is_at_least_what_it_takes(
    make: Callable[[random.Random, str], Labels], alphabet: str, count: int
) -> None:
    """Besides labels, as JSON has them, a state takes at most 200 bytes, and all that one T writes of an alert 400."""
    rng = random.Random(1)
    rows = [everything(rng, make(rng, alphabet)) for _ in range(count)]
    states = tuple(state for state, _, _ in rows)
    writes = decided(
        (), TickResult(START, states, tuple(one for _, one, _ in rows), tuple(one for *_, one in rows), ())
    )
    held = sum(label_bytes(state.labels) for state in states)
    assert commit_bytes(writes[:1]) <= STATE_BYTES * count + held
    assert commit_bytes(writes) <= CHANGE_BYTES * count + 4 * held


def group(number: int) -> Labels:
    """The labels of a group of 1,000 bytes or so."""
    return labels(a=f"{number:06}" + "x" * 480, b="y" * 490)


def test_a_group_has_its_room_once() -> None:
    """Asking again takes nothing, and what is remembered had its room before anything new."""
    known = [AlertState("level", labels(region=f"r{number}"), Severity.HIGH) for number in range(MAX_GROUPS)]
    room = Room([*known, *(replace(one, kind=AlertKind.NO_DATA) for one in known)])
    assert all(room.takes("level", state.labels) for state in known)
    assert not room.takes("level", labels(region="new"))
    assert room.takes("other", labels(region="new"))
    assert room.takes("other", labels(region="new"))


def test_a_rule_has_at_most_a_thousand_groups() -> None:
    """And fewer of long labels, because their states are one document."""
    room = Room()
    short = [room.takes("short", labels(region=f"r{number}")) for number in range(MAX_GROUPS + 10)]
    assert short == [True] * MAX_GROUPS + [False] * 10
    long = [room.takes("long", group(number)) for number in range(MAX_GROUPS)]
    assert 250 < sum(long) < 300
    assert long == sorted(long, reverse=True)


def test_all_rules_share_what_one_commit_holds() -> None:
    """When the commit is full no rule begins another alert, and those that there are have their room."""
    room = Room()
    taken = {f"rule-{rule}": [number for number in range(350) if room.takes(f"rule-{rule}", group(number))]
             for rule in range(9)}  # fmt: skip
    assert [bool(found) for found in taken.values()] == [True] * 2 + [False] * 7
    assert not room.takes("another", group(0))
    assert room.takes("rule-0", group(0))


def test_what_an_alert_about_a_rule_takes_is_not_counted() -> None:
    """There is one for each rule at most, and for these there is room aside."""
    room = Room([AlertState("level", group(number), Severity.HIGH, kind=AlertKind.FAILURE) for number in range(2000)])
    assert room.takes("level", group(0))


RULES = 5
REGIONS = 620


def storming(number: int, names: tuple[str, ...]) -> AlertRule:
    """A rule of three levels on some labels, whose alerts stay in their cooldown for hours."""
    return replace(
        LEVELLED,
        name=f"Level {number}",
        query=Query(Selection("level"), LEVELLED.query.aggregation, group_by=names) if LEVELLED.query else None,
        notification_channels=CHANNELS,
        cooldown_period=7200,
        no_data_after=0,
        message="{value} {threshold} {severity} " + " ".join(f"{{{name}}}" for name in names),
    )


def minute_of(groups: list[Labels], value: float, at: int) -> dict[int, Cells]:
    """One minute in which every group has a value."""
    end = minute_floor(START) + 60 * at
    return {end: fold([Observation(Series("level", one), Kind.GAUGE, end * US_PER_SECOND, value) for one in groups])}


@pytest.mark.parametrize(
    ("make", "alphabet", "count"),
    [
        pytest.param(short_labels, "", REGIONS, id="regions"),
        *(pytest.param(long_labels, alphabet, 50, id=f"long labels of {alphabet}") for alphabet in ALPHABETS),
    ],
)
def test_the_worst_ticks_fit_a_commit(make: Callable[[random.Random, str], Labels], alphabet: str, count: int) -> None:
    """Five rules whose groups fire, rise, lose their data, fire again and are removed, all at once: each T commits.

    Of 620 regions each, all are remembered; of labels as long as labels can be, as many as there is room for.
    """
    rng = random.Random(2)
    groups = [make(rng, alphabet) for _ in range(count)]
    rules = [storming(number, tuple(name for name, _ in groups[0])) for number in range(RULES)]
    store = StrictStore(SqliteStore(":memory:", Clock()), Clock())
    values: list[float | None] = [150.0, 500.0, None, 150.0, 150.0]
    states: tuple[AlertState, ...] = ()
    told = 0
    for at, value in enumerate(values):
        config = config_of(*(rules if at < len(values) - 1 else ()))
        minutes = {} if value is None else minute_of(groups, value, at)
        result = tick(config, minutes, states, START + at * MINUTE)
        writes: list[Write] = [Put(STATE_PATH, {"at": at, "failures": ["x" * 300] * 300}), *decided(states, result)]
        store.commit(writes)
        told += len(result.notifications)
        changed = {one.labels for one in result.transitions if one.labels}
        assert len(changed) == count if make is short_labels else 0 < len(changed) <= count
        assert (result.failures == ()) is (make is short_labels or value is None or at == len(values) - 1)
        states = result.states
    assert set(_alerts(store)) == set(states)
    history = store.list("history").documents
    if make is short_labels:
        assert sum(len(transitions_in(one)) for one in history) == RULES * REGIONS * (1 + 1 + 2 + 2 + 1)
        assert sum(len(announcements_in(one)) for one in history) == told
        sizes = [len(value) for one in history for value in one.fields.values() if isinstance(value, bytes)]
        assert max(sizes) < MAX_COMMIT_BYTES / 8


def _alerts(store: StrictStore) -> list[AlertState]:
    return [alert for document in store.list("alerts").documents for alert in alerts_in(document)]


def test_the_worst_rule_has_the_room_first() -> None:
    """Where there is not room for all, the groups of critical rules are remembered before those of low ones."""
    rng = random.Random(3)
    groups = [long_labels(rng, "letters") for _ in range(60)]
    names = tuple(name for name, _ in groups[0])
    low = replace(storming(0, names), levels=())
    critical = replace(storming(1, names), levels=(), threshold=replace(RULE.threshold, severity=Severity.CRITICAL))
    result = tick(config_of(low, critical), minute_of(groups, 500.0, 0), (), START)
    remembered = [sum(one.rule_id == rule.id and bool(one.labels) for one in result.states) for rule in (critical, low)]
    assert remembered[0] > remembered[1]
    assert {one.rule_id for one in result.failures} == {low.id, critical.id}
    assert all(one.reason.startswith("too_many_alerts: ") for one in result.failures)


def test_room_is_free_again_when_alerts_are_forgotten() -> None:
    """What there was no room for is remembered from the evaluation after others were forgotten."""
    many = [labels(region=f"r{number:04}") for number in range(MAX_GROUPS + 50)]
    rule = replace(storming(0, ("region",)), cooldown_period=0)
    first = tick(config_of(rule), minute_of(many, 150.0, 0), (), START)
    calm = minute_of(many[:100], 10.0, 1)
    calm |= {end: _with(cells, minute_of(many[100:], 150.0, 1)[end]) for end, cells in calm.items()}
    second = tick(config_of(rule), calm, first.states, START + MINUTE)
    third = tick(config_of(rule), minute_of(many[100:], 150.0, 2), second.states, START + 2 * MINUTE)
    assert [_groups(one) for one in (first, second, third)] == [MAX_GROUPS, MAX_GROUPS - 100, MAX_GROUPS - 50]
    assert [len(one.failures) for one in (first, second, third)] == [1, 1, 0]


def _groups(result: TickResult) -> int:
    return sum(one.kind is AlertKind.THRESHOLD for one in result.states)


def _with(cells: Cells, other: Cells) -> Cells:
    return merge([cells, other])
