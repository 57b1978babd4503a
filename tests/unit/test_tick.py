"""The tick: who is told and when, what is due, and what a broken rule costs the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.alerts import AlertKind, AlertState, Reason, State, Told
from shared.cells import Cells, Observation, fold
from shared.conformance.run import with_rules
from shared.errors import ConfigError
from shared.monitoring_config import MonitoringConfig
from shared.notifications import NotificationKind
from shared.room import MAX_GROUPS
from shared.rules import OnNoData, Query, Selection, Severity
from shared.series import Kind, Series, make_labels
from shared.tick import TickResult, longest_reach_seconds, tick
from shared.timeline import minute_floor
from tests.fakes import START
from tests.ticks import (
    GROUPED,
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
    told,
)

TOLD = (Told("id", ("inbox",)),)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param(
            "BgBBBBBg",
            [("firing", 0, 0), ("resolved", 1, 0), ("firing", 5, 2), ("resolved", 7, 2)],
            id="held, and sent at the cooldown's end",
        ),
        pytest.param("BgBBg..g", [("firing", 0, 0), ("resolved", 1, 0)], id="ended before: nobody hears of it"),
        pytest.param(
            "BgBgBBBg",
            [("firing", 0, 0), ("resolved", 1, 0), ("firing", 5, 4), ("resolved", 7, 4)],
            id="the second is gone, the third is held",
        ),
        pytest.param(
            "BgggggBg",
            [("firing", 0, 0), ("resolved", 1, 0), ("firing", 6, 6), ("resolved", 7, 6)],
            id="after the cooldown at once",
        ),
        pytest.param(
            "BggggBgg",
            [("firing", 0, 0), ("resolved", 1, 0), ("firing", 5, 5), ("resolved", 6, 5)],
            id="at the cooldown's very end at once",
        ),
        pytest.param("BBBBBBBB", [("firing", 0, 0)], id="while it fires nothing repeats"),
        pytest.param(
            "BgBBBB" + "gBBBBB",
            [("firing", 0, 0), ("resolved", 1, 0), ("firing", 5, 2), ("resolved", 6, 2), ("firing", 10, 7)],
            id="a held firing begins a cooldown when it is sent",
        ),
    ],
)
def test_cooldown(pattern: str, expected: list[tuple[str, int, int]]) -> None:
    """Inside five minutes of cooldown a firing is held; a resolution is sent exactly for what was sent."""
    assert told(play(replace(RULE, cooldown_period=300), pattern)) == expected


def test_history_keeps_what_nobody_is_told() -> None:
    """A firing held in its cooldown is a transition at the minute it happened."""
    results = play(replace(RULE, cooldown_period=300), "BgBg")
    assert reasons(results) == [(0, "fired"), (1, "resolved"), (2, "fired"), (3, "resolved")]
    assert [one.episode for result in results for one in result.transitions] == [
        START, START, START + 2 * MINUTE, START + 2 * MINUTE
    ]  # fmt: skip


def test_an_inactive_alert_is_remembered_through_its_cooldown_alone() -> None:
    """What is kept between ticks is the cooldown's memory, and nothing after it."""
    kept = [len(result.states) for result in play(replace(RULE, cooldown_period=300), "Bggggggg")]
    assert kept == [1, 1, 1, 1, 1, 0, 0, 0]


def test_pending_tells_nobody() -> None:
    """A pending alert and its clearing are transitions without a notification."""
    results = play(replace(RULE, min_occurrences=3), "BBg")
    assert (reasons(results), told(results)) == ([(0, "started"), (2, "cleared")], [])


def test_frequency_above_a_minute() -> None:
    """A rule is evaluated at whole multiples of its frequency; between them it keeps its state."""
    results = play(replace(RULE, evaluation_frequency=300, min_occurrences=2), "BgggBBgggBBBBBBg")
    assert reasons(results) == [(0, "started"), (5, "fired"), (15, "resolved")]
    assert [len(result.states) for result in results] == [1] * 15 + [0]


def test_a_frequency_counts_from_the_epoch_and_not_from_the_first_tick() -> None:
    """At 12:00 a rule of 7 minutes is not due, whatever tick came first; it is at the next multiple of 420 s."""
    results = play(replace(RULE, evaluation_frequency=420), "B" * 7)
    due = [number for number in range(7) if (minute_floor(START) + 60 * number) % 420 == 0]
    assert reasons(results) == [(due[0], "fired")]


def test_evaluation_delay() -> None:
    """A rule with a delay of two minutes judges at T the window that ended at T - 2 min."""
    assert reasons(play(replace(RULE, evaluation_delay_seconds=120), "gBggg")) == [(3, "fired"), (4, "resolved")]


def test_longest_reach() -> None:
    """The reach is the greatest window and delay of the enabled rules, and 0 without any."""
    wide = replace(RULE, name="wide", evaluation_window=600, evaluation_delay_seconds=120)
    off = replace(RULE, name="off", enabled=False, evaluation_window=6000)
    assert longest_reach_seconds(config_of(RULE, wide, off)) == 720
    missing = replace(wide, query=GROUPED, on_no_data=OnNoData.ALERT, evaluation_frequency=300)
    assert longest_reach_seconds(config_of(missing)) == 1020, "and an evaluation back, for the groups that were there"
    assert longest_reach_seconds(config_of(off)) == 0
    nowhere = replace(RULE, name="nowhere", query=None, collection="nowhere")
    assert longest_reach_seconds(with_rules((nowhere, wide))) == 720, "one that cannot be judged looks nowhere"


class Broken(dict[int, Cells]):
    """Minutes of which those before 12:00 raise when they are read."""

    def __init__(self, minutes: Mapping[int, Cells], error: Exception) -> None:
        super().__init__(minutes)
        self.error = error

    def __contains__(self, minute: object) -> bool:
        if isinstance(minute, int) and minute < minute_floor(START):
            raise self.error
        return super().__contains__(minute)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("no query"), ZeroDivisionError("x"), FloatingPointError("x"), ValueError("x"), KeyError("x"),
        IndexError("x"), TypeError("x"), AttributeError("x"), RuntimeError("x"), MemoryError("x"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_rule_that_raises_costs_no_other(error: Exception) -> None:
    """A rule that cannot be evaluated is a named failure; its alert keeps its state and the others go on."""
    wide = replace(RULE, name="Wide", evaluation_window=600)
    config = config_of(wide, RULE)
    before = AlertState("wide", (), Severity.CRITICAL, State.FIRING, fired_at=START, told=TOLD, told_at=START)
    (result,) = run(config, Broken(minutes_of("B"), error), 1, [before])
    assert [(failure.rule_id, type(error).__name__ in failure.reason) for failure in result.failures] == [
        ("wide", True)
    ]
    mine = {state.kind: state for state in result.states if state.rule_id == "wide"}
    assert mine[AlertKind.THRESHOLD] == before
    assert mine[AlertKind.FAILURE].is_firing
    assert {(one.rule_id, one.reason) for one in result.transitions} == {
        ("level", Reason.FIRED), ("wide", Reason.FAILED)
    }  # fmt: skip


def test_a_rule_that_nobody_can_be_told_of_costs_no_other() -> None:
    """What breaks when it is decided who hears is contained as well: states stay, the rule alerts, the others are told.

    When it works again the violation is judged and told as ever, and the alert on the rule ends.
    """
    other = replace(RULE, name="Other")
    unaskable: tuple[str, ...] = (["other"],)  # type: ignore[assignment]  # no id, so that asking for it raises
    broken = config_of(replace(RULE, inhibited_by=unaskable), other)
    minutes = minutes_of("BBB")
    first = tick(broken, minutes, (), START)
    second = tick(broken, minutes, first.states, START + MINUTE)
    third = tick(config_of(RULE, other), minutes, second.states, START + 2 * MINUTE)
    assert [[(one.rule_id, one.reason) for one in result.failures] for result in (first, second, third)] == [
        [("level", "TypeError: unhashable type: 'list'")], [("level", "TypeError: unhashable type: 'list'")], []
    ]  # fmt: skip
    assert {(one.rule_id, one.kind) for one in second.states} == {
        ("level", AlertKind.FAILURE), ("other", AlertKind.THRESHOLD)
    }  # fmt: skip
    said = [(one.rule_id, one.kind.value, one.about, minutes_after(one.at))
            for result in (first, second, third) for one in result.notifications]  # fmt: skip
    assert said == [
        ("level", "firing", "failure", 0),
        ("other", "firing", "threshold", 0),
        ("level", "firing", "threshold", 2),
        ("level", "resolved", "failure", 2),
    ]


def test_a_rule_that_works_again_ends_the_alert_on_itself() -> None:
    """What failed is told once, whatever the number of failures, and once more when the rule is judged again."""
    config = config_of(replace(RULE, evaluation_window=600, notification_channels=("inbox",)))
    states: tuple[AlertState, ...] = ()
    said: list[tuple[int, str, str]] = []
    for number, minutes in enumerate([Broken(minutes_of("gggg"), ValueError("x"))] * 3 + [minutes_of("gggg")]):
        result = tick(config, minutes, states, START + number * MINUTE)
        states = result.states
        said += [(number, one.kind.value, one.about) for one in result.notifications]
    assert said == [(0, "firing", "failure"), (3, "resolved", "failure")]


def test_alerts_of_disabled_and_removed_rules_end() -> None:
    """The alerts of a rule that is disabled or gone end under that name, and who was told of them hears it."""
    firing = [
        AlertState(rule_id, (), Severity.CRITICAL, State.FIRING, fired_at=START, told=TOLD, told_at=START)
        for rule_id in ("level", "gone")
    ]
    pending = AlertState("gone", make_labels({"region": "eu"}), Severity.CRITICAL, State.PENDING)
    (result,) = run(config_of(replace(RULE, enabled=False)), minutes_of("B"), 1, [*firing, pending])
    assert {state for state in result.states if state.state is not State.INACTIVE} == set()
    assert [one.reason for one in result.transitions] == [Reason.REMOVED] * 3
    assert [(one.rule_id, one.kind.value, one.channels) for one in result.notifications] == [
        ("level", "resolved", ("inbox",)), ("gone", "resolved", ("inbox",))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("region",), (), id="fewer"),
        pytest.param((), ("region",), id="more"),
        pytest.param(("region",), ("zone",), id="others"),
        pytest.param(("region",), ("region", "zone"), id="one more, which separates the group"),
    ],
)
@pytest.mark.parametrize("second", ["B", "."], ids=["bad", "silent"])
def test_alerts_by_labels_that_are_grouped_by_no_more_end(
    before: tuple[str, ...], after: tuple[str, ...], second: str
) -> None:
    """When ``group_by`` changes, what fires under the old one ends by that name at once, and no data are missed."""
    series = Series("level", make_labels({"region": "eu", "zone": "a"}))
    minutes = minutes_of({series: f"BB{second}gg"})
    rule = replace(RULE, no_data_after=60, query=replace(GROUPED, group_by=before))
    (firing,) = run(config_of(rule), minutes, 2)[-1].states
    states: tuple[AlertState, ...] = (firing, replace(firing, kind=AlertKind.NO_DATA))
    changed = config_of(replace(rule, query=replace(GROUPED, group_by=after)))
    results: list[TickResult] = []
    for number in (2, 3, 4):
        results.append(tick(changed, minutes, states, START + number * MINUTE))
        states = results[-1].states
    old = [one for result in results for one in result.transitions if one.labels == firing.labels]
    assert [(minutes_after(one.at), one.reason) for one in old] == [(2, Reason.REGROUPED)] * 2
    ended = [one for one in notifications(results) if one.labels == firing.labels]
    assert [(one.kind.value, one.reason) for one in ended] == [("resolved", "regrouped")] * 2
    assert states == ()


def test_a_group_that_stays_through_another_grouping_fires_on() -> None:
    """A group that the new ``group_by`` has too, of series that lack the other label, goes on where it was."""
    minutes = minutes_of("BBBg", "eu")
    states = run(config_of(replace(RULE, query=GROUPED)), minutes, 2)[-1].states
    changed = config_of(replace(RULE, query=replace(GROUPED, group_by=("zone", "region"))))
    later = [tick(changed, minutes, states, START + 2 * MINUTE)]
    later.append(tick(changed, minutes, later[0].states, START + 3 * MINUTE))
    assert reasons(later) == [(3, "resolved")]


def test_an_alert_that_another_version_stored_keeps_its_group() -> None:
    """Where it is not on record how a rule grouped, the names of the labels tell what can be a group of it."""
    (firing,) = run(config_of(replace(RULE, query=GROUPED)), minutes_of("B", "eu"), 1)[-1].states
    older = replace(firing, grouped_by=None)
    same, other = (
        tick(config_of(replace(RULE, query=replace(GROUPED, group_by=names))), {}, [older], START + MINUTE)
        for names in (("region",), ("zone",))
    )
    assert (reasons([same]), reasons([other])) == ([], [(1, "regrouped")])


def test_empty_windows_that_alert() -> None:
    """An ungrouped rule with ``on_no_data: alert`` fires although its metric was never seen, and resolves on data."""
    results = play(replace(RULE, on_no_data=OnNoData.ALERT, min_occurrences=2), "...g")
    assert reasons(results) == [(0, "started"), (1, "fired"), (3, "resolved")]
    assert results[1].notifications[0].value is None
    assert told(results) == [("firing", 1, 1), ("resolved", 3, 1)]


def test_an_alert_ends_without_data() -> None:
    """After ``no_data_after`` of empty windows a firing ends by that name, and a no-data alert takes its place."""
    results = play(replace(RULE, no_data_after=180), "B.....")
    assert reasons(results) == [(0, "fired"), (4, "no_data"), (4, "data_missing")]
    assert told(results) == [("firing", 0, 0), ("resolved", 4, 0), ("firing", 4, 4)]
    ending = results[4].notifications[0]
    assert (ending.kind, ending.reason, ending.value) == (NotificationKind.RESOLVED, "no_data", None)
    assert results[4].transitions[0].value is None


def test_a_held_firing_that_ends_without_data_tells_nobody() -> None:
    """The end of an episode that was never told is not told either, whatever ended it."""
    results = play(replace(RULE, cooldown_period=900, no_data_after=60), "BgB....")
    assert told(results) == [("firing", 0, 0), ("resolved", 1, 0), ("firing", 4, 4)]
    assert reasons(results)[-2:] == [(4, "no_data"), (4, "data_missing")]


def test_each_group_is_an_alert_of_its_own() -> None:
    """Groups fire and resolve apart, under fingerprints and ids of their own."""
    minutes = minutes_of({level("eu"): "BBg", level("us"): "gBB"})
    query = replace(RULE.query or Query(Selection("level")), group_by=("region",))
    results = run(config_of(replace(RULE, query=query)), minutes, 3)
    seen = [(minutes_after(one.at), dict(one.labels)["region"], one.reason) for r in results for one in r.transitions]
    assert seen == [(0, "eu", Reason.FIRED), (1, "us", Reason.FIRED), (2, "eu", Reason.RESOLVED)]
    assert len({one.id for result in results for one in result.notifications}) == 3


def test_a_group_that_was_never_seen_has_no_alert() -> None:
    """A grouped rule without data has nothing to judge, even with ``on_no_data: alert``."""
    query = replace(RULE.query or Query(Selection("level")), group_by=("region",))
    (result,) = run(config_of(replace(RULE, query=query, on_no_data=OnNoData.ALERT)), {}, 1)
    assert (result.states, result.transitions) == ((), ())


@pytest.mark.parametrize(
    ("pattern", "frequency", "expected"),
    [
        pytest.param("gg...g", 60, [(2, "started"), (3, "fired"), (5, "resolved")], id="was good"),
        pytest.param("Bg...g", 60, [(0, "started"), (1, "cleared"), (2, "started"), (3, "fired"), (5, "resolved")],
                     id="was pending and cleared"),
        pytest.param("g.....g....", 120, [(2, "started"), (4, "fired"), (6, "resolved"), (8, "started"),
                                          (10, "fired")], id="every other minute"),
    ],
)  # fmt: skip
def test_a_group_that_stops_is_missed(pattern: str, frequency: int, expected: list[tuple[int, str]]) -> None:
    """With ``on_no_data: alert`` a group that was there an evaluation ago violates, though nothing was wrong."""
    rule = replace(RULE, query=GROUPED, on_no_data=OnNoData.ALERT, min_occurrences=2, evaluation_frequency=frequency)
    assert reasons(run(config_of(rule), minutes_of(pattern, "eu"), len(pattern))) == expected


@pytest.mark.parametrize("mode", [OnNoData.OK, OnNoData.KEEP])
def test_no_other_rule_misses_a_group(mode: OnNoData) -> None:
    """With ``ok`` and ``keep`` a group that was good and stops leaves nothing."""
    results = run(config_of(replace(RULE, query=GROUPED, on_no_data=mode)), minutes_of("g....", "eu"), 5)
    assert [(result.states, result.transitions) for result in results] == [((), ())] * 5


def test_a_tick_is_a_pure_function() -> None:
    """Deciding again gives the same states, transitions and notification ids, whatever the order of the states."""
    rules = [replace(RULE, name=f"rule {number}", cooldown_period=300) for number in range(3)]
    config, minutes = config_of(*rules), minutes_of("BgBBBBBg")
    once = run(config, minutes, 8)
    again: list[TickResult] = []
    for number in range(8):
        states = reversed(again[-1].states) if again else ()
        again.append(tick(config, dict(reversed(minutes.items())), states, START + number * MINUTE))
    assert once == again


def test_a_notification_says_what_was_judged() -> None:
    """Value, limit, unit, channels, tags, runbook and configuration are those of the evaluation that decided it."""
    rule = replace(RULE, tags={"team": "x", "a": "1"}, runbook_url="https://example.com/level")
    config = config_of(rule)
    (result,) = run(config, minutes_of("B"), 1)
    (notification,) = result.notifications
    assert (notification.value, notification.threshold, notification.operator.value) == (300.0, 100.0, ">")
    assert (notification.channels, notification.config_hash) == (("inbox",), config.hash)
    assert (notification.tags, notification.runbook_url) == ((("a", "1"), ("team", "x")), "https://example.com/level")
    assert notification.id == f"20251018T1200-{result.transitions[0].fingerprint}-firing"


def test_alerts_of_a_rule_are_bounded() -> None:
    """Of 1,300 groups that violate, a rule remembers 1,000, names the rest a failure, and keeps those."""
    at = START + timedelta(minutes=5)
    observations = [
        Observation(
            Series("cpu_utilization", (("region", f"r{number:04}"),)), Kind.GAUGE, int(at.timestamp()) * 1_000_000, 99.0
        )
        for number in range(1300)
    ]
    minutes = {int(at.timestamp()): fold(observations)}
    first = tick(MonitoringConfig(), minutes, (), at)
    remembered = [state for state in first.states if state.kind is AlertKind.THRESHOLD]
    assert len(remembered) == MAX_GROUPS
    assert [state.kind for state in first.states if state.is_firing] == [AlertKind.FAILURE]
    assert [(one.rule_id, one.reason.split(":")[0]) for one in first.failures] == [
        ("high-cpu-utilization", "too_many_alerts")
    ]
    second = tick(MonitoringConfig(), minutes, first.states, at + MINUTE)
    assert {state.fingerprint for state in second.states} == {state.fingerprint for state in first.states}
