"""Alerts about a rule itself: its data stopped while it fired, it cannot be evaluated, or it was taken away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.alerts import GONE_AFTER, AlertKind, AlertState, Reason, State
from shared.conformance.run import with_rules
from shared.notifications import Notification
from shared.rule_health import ROLLUP_ID
from shared.rules import OnNoData, Severity
from shared.tick import MAX_REASON_CHARACTERS, TickResult, tick
from tests.fakes import START
from tests.ticks import (
    GROUPED,
    LEVELLED,
    MINUTE,
    RULE,
    config_of,
    level,
    minutes_after,
    minutes_of,
    notifications,
    play,
    reasons,
    run,
)

KEEPS = replace(RULE, no_data_after=120)


def about(results: list[TickResult]) -> list[tuple[str, str, int]]:
    """Each notification: what it is about, its kind, and its minute."""
    return [(one.about, one.kind.value, minutes_after(one.at)) for one in notifications(results)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param(
            "B....", [("threshold", "firing", 0), ("threshold", "resolved", 3), ("no_data", "firing", 3)], id="replaced"
        ),
        pytest.param("B..B", [("threshold", "firing", 0)], id="data in time"),
        pytest.param("B..g", [("threshold", "firing", 0), ("threshold", "resolved", 3)], id="good data in time"),
        pytest.param("g....", [], id="never from a good one"),
        pytest.param("Bg....", [("threshold", "firing", 0), ("threshold", "resolved", 1)], id="nor after it ended"),
        pytest.param(
            "B...g",
            [("threshold", "firing", 0), ("threshold", "resolved", 3), ("no_data", "firing", 3),
             ("no_data", "resolved", 4)],
            id="ends on data",
        ),
        pytest.param(
            "B...B",
            [("threshold", "firing", 0), ("threshold", "resolved", 3), ("no_data", "firing", 3),
             ("threshold", "firing", 4), ("no_data", "resolved", 4)],
            id="ends on bad data too, which fire anew",
        ),
        pytest.param(
            "B...g...", [("threshold", "firing", 0), ("threshold", "resolved", 3), ("no_data", "firing", 3),
                         ("no_data", "resolved", 4)],
            id="and comes again only from another firing",
        ),
    ],
)  # fmt: skip
def test_a_no_data_alert_takes_the_place_of_one_that_fired(pattern: str, expected: list[tuple[str, str, int]]) -> None:
    """With ``keep`` a firing alert that ends for want of data is replaced at that evaluation, until the first value."""
    assert about(play(KEEPS, pattern)) == expected


def test_a_pending_alert_is_replaced_by_nothing() -> None:
    """Data that stop before anything fired are missed by nobody."""
    results = play(replace(KEEPS, min_occurrences=3), "BB.....")
    assert (reasons(results), about(results)) == ([(0, "started"), (4, "no_data")], [])


@pytest.mark.parametrize("mode", [OnNoData.OK, OnNoData.ALERT])
def test_other_answers_to_missing_data_make_no_second_alert(mode: OnNoData) -> None:
    """With ``ok`` the alert resolves, with ``alert`` it goes on: the rule has said what silence means."""
    results = play(replace(KEEPS, on_no_data=mode), "B.....")
    assert {one.about for one in notifications(results)} == {"threshold"}


def test_a_no_data_alert_is_another_alert() -> None:
    """It has a fingerprint, an episode and ids of its own, the severity of what it replaces, and no value."""
    _, ended, missing = notifications(play(replace(LEVELLED, no_data_after=120), "c..."))
    assert missing.fingerprint != ended.fingerprint
    assert missing.id != ended.id
    assert (missing.severity, missing.value, missing.reason) == (Severity.CRITICAL, None, "data_missing")
    assert missing.description == "No data any more. The level is high."
    assert missing.fired_at == missing.at == START + 3 * MINUTE


def test_a_group_is_missed_by_its_labels() -> None:
    """Of two regions that fire the one that stops is named, and the other fires on."""
    rule = replace(KEEPS, query=GROUPED)
    results = run(config_of(rule), minutes_of({level("eu"): "B...", level("us"): "BBBB"}), 4)
    (missing,) = [one for one in notifications(results) if one.about == "no_data"]
    assert missing.labels == (("region", "eu"),)
    assert missing.description == "No data of region=eu any more. The level is high."
    states = {(dict(one.labels)["region"], one.kind.value) for one in results[-1].states if one.is_firing}
    assert states == {("eu", "no_data"), ("us", "threshold")}


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        pytest.param(GONE_AFTER - MINUTE, [], id="a minute before"),
        pytest.param(GONE_AFTER, [Reason.GONE], id="after a day"),
    ],
)
def test_what_is_gone_for_a_day_is_missed_no_longer(after: timedelta, reason: list[Reason]) -> None:
    """24 hours after it fired a no-data alert ends by that name, and those who heard of it are told."""
    states = play(KEEPS, "B...")[-1].states
    result = tick(config_of(KEEPS), {}, states, START + 3 * MINUTE + after)
    assert [one.reason for one in result.transitions] == reason
    assert [one.kind.value for one in result.notifications if one.kind.value != "escalated"] == (
        ["resolved"] if reason else []
    )


def test_a_no_data_alert_escalates_and_cools_down_as_any_other() -> None:
    """It has a cooldown of its own: a second one within it is held, and told when it is over."""
    results = play(replace(KEEPS, cooldown_period=600, no_data_after=0), "B.gB" + "." * 12)
    missing = [(kind, at) for what, kind, at in about(results) if what == "no_data"]
    assert missing == [("firing", 1), ("resolved", 2), ("firing", 11)]
    assert ("no_data", "escalated", 33) in about(play(KEEPS, "B" + "." * 40))


def test_a_rule_that_fails_is_told_of_once_and_when_it_works() -> None:
    """The alert on a rule is high, names the rule, and is of the channels that its rule has."""
    impossible = replace(RULE, query=None, collection="nowhere")
    config = with_rules((impossible,))
    first, second = run(config, minutes_of("BB"), 2)
    (told,) = first.notifications
    assert (told.about, told.severity, told.rule_id, told.channels) == ("failure", Severity.HIGH, "level", ("inbox",))
    assert (told.unit, told.value, told.reason) == ("", None, "rule_failed")
    assert told.description.endswith('nobody hears of what it watches. ConfigError: invalid_configuration: '
                                     'unknown collection "nowhere"')  # fmt: skip
    assert [(one.rule_id, "unknown collection" in one.reason) for one in first.failures] == [("level", True)]
    assert (second.notifications, len(second.failures)) == ((), 1)
    works = tick(config_of(RULE), minutes_of("ggg"), second.states, START + 2 * MINUTE)
    assert [(one.about, one.kind.value, one.reason) for one in works.notifications] == [
        ("failure", "resolved", "rule_works")
    ]
    assert works.states == ()


def test_a_rule_that_is_not_due_says_nothing_of_itself() -> None:
    """Between its evaluations a rule's alert on itself stays as it is."""
    broken = replace(RULE, query=None, collection="nowhere", evaluation_frequency=300)
    results = run(with_rules((broken,)), {}, 6)
    assert [(minutes_after(one.at), one.reason) for result in results for one in result.transitions] == [
        (0, Reason.FAILED)
    ]
    assert [len(result.failures) for result in results] == [1, 0, 0, 0, 0, 1]
    assert all(result.states == results[0].states for result in results[:5])


def test_minutes_that_cannot_be_rolled_up_are_an_alert() -> None:
    """What fails about the minutes themselves is told as of a rule, once, and resolved when it works again."""
    states: tuple[AlertState, ...] = ()
    said: list[Notification] = []
    for number, broken in enumerate([["no room"], ["no room", "no hour"], []]):
        result = tick(config_of(RULE), minutes_of("ggg"), states, START + number * MINUTE, broken=broken)
        states = result.states
        said += result.notifications
        assert [one.rule_id for one in result.failures] == ([ROLLUP_ID] if broken else [])
    assert [(one.rule_id, one.rule_name, one.kind.value) for one in said] == [
        (ROLLUP_ID, "Rollup of minutes", "firing"), (ROLLUP_ID, "Rollup of minutes", "resolved")
    ]  # fmt: skip
    assert [one.description.partition(" meanwhile.")[2] for one in said] == [" no room", ""]
    assert [one.state for one in states] == [State.INACTIVE], "in its cooldown"


def test_a_failure_is_noted_in_few_words() -> None:
    """An error's own words may be of any length and no text at all; what is kept of them can be stored."""
    result = tick(config_of(RULE), {}, (), START, broken=["x" * 5000 + "\ud800", "\ud800"])
    (failure,) = result.failures
    assert len(failure.reason) <= MAX_REASON_CHARACTERS
    short = tick(config_of(RULE), {}, (), START, broken=["\ud800"]).failures[0]
    assert short.reason == "?"


@pytest.mark.parametrize("kind", AlertKind)
@pytest.mark.parametrize("state", [State.PENDING, State.FIRING])
def test_alerts_of_a_removed_rule_end(kind: AlertKind, state: State) -> None:
    """Whatever an alert is about, it ends with its rule; who was told hears it, and a pending one is history alone."""
    (before,) = play(RULE, "B")[-1].states
    told = before.told if state is State.FIRING else ()
    alert = replace(before, kind=kind, state=state, told=told, fired_at=START if told else None)
    result = tick(config_of(), {}, [alert], START + MINUTE)
    assert [(one.reason, one.after, one.kind) for one in result.transitions] == [(Reason.REMOVED, State.INACTIVE, kind)]
    assert [(one.kind.value, one.reason, one.channels) for one in result.notifications] == (
        [("resolved", "rule_removed", ("inbox",))] if told else []
    )
    assert [one for one in result.states if one.state is not State.INACTIVE] == []


def test_a_removed_rule_is_forgotten_after_a_while() -> None:
    """What is kept of it is the memory of a cooldown, of ten minutes; then nothing is."""
    results = run(config_of(), {}, 12, play(RULE, "B")[-1].states)
    assert [len(result.states) for result in results] == [1] * 10 + [0] * 2
    assert [len(result.transitions) for result in results] == [1] + [0] * 11
