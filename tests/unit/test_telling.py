"""Who hears of an alert, and when: one ladder of reasons, minute by minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.acks import ack_path
from shared.alerts import AlertKind, AlertState, State
from shared.notifications import Notification, NotificationKind
from shared.rules import Aggregation, AlertRule, Query, Selection, Severity
from shared.series import Labels, Series, make_labels
from shared.silences import Matcher, Silence
from shared.telling import Hearing, escalation_due
from shared.tick import TickResult
from tests.fakes import START
from tests.ticks import (
    LEVELLED,
    MINUTE,
    RULE,
    config_of,
    level,
    minutes_after,
    minutes_of,
    notifications,
    play,
    run,
    told,
)

CALM = replace(RULE, cooldown_period=300)
OTHER = replace(RULE, name="Other", query=Query(Selection("other"), Aggregation.LAST))


def silence(first: int, last: int, *matchers: Matcher) -> Silence:
    """A silence from one minute after START until another, by default of the rule ``level``."""
    known = matchers or (Matcher("rule", "level"),)
    return Silence("s", known, START + first * MINUTE, START + last * MINUTE, "ann", "deploy", START)


def silenced(first: int, last: int, *matchers: Matcher) -> Callable[[int], Hearing]:
    """Somebody silenced the rule."""
    return lambda _: Hearing((silence(first, last, *matchers),))


def catching_up(until: int) -> Callable[[int], Hearing]:
    """The evaluations before a minute are of long ago."""
    return lambda number: Hearing(catching_up=number < until)


def severities(results: list[TickResult]) -> list[tuple[str, int, str]]:
    """Each notification's kind, minute and severity."""
    return [(one.kind.value, minutes_after(one.at), one.severity.value) for one in notifications(results)]


def held(results: list[TickResult]) -> list[str]:
    """Why the alert was not told, evaluation by evaluation; an empty word when there was nothing to wait for."""
    return [" ".join(state.held for state in result.states) for result in results]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param(
            "lhc", [("firing", 0, "low"), ("raised", 1, "high"), ("raised", 2, "critical")], id="step by step"
        ),
        pytest.param("lcc", [("firing", 0, "low"), ("raised", 1, "critical")], id="at once, and once"),
        pytest.param("chl", [("firing", 0, "critical")], id="a fall is no news"),
        pytest.param(
            "lcgg", [("firing", 0, "low"), ("raised", 1, "critical"), ("resolved", 2, "critical")], id="ended"
        ),
        pytest.param(
            "hlcg", [("firing", 0, "high"), ("raised", 2, "critical"), ("resolved", 3, "critical")], id="after a fall"
        ),
    ],
)
def test_a_rise_is_told_once(pattern: str, expected: list[tuple[str, int, str]]) -> None:
    """An alert that becomes worse is told at that evaluation, under the worse severity, and never a second time."""
    assert severities(play(LEVELLED, pattern)) == expected


def test_every_notification_of_an_episode_has_an_id_of_its_own() -> None:
    """Firing, each rise and the end are four ids, of one episode."""
    found = notifications(play(LEVELLED, "lhcg"))
    assert len({one.id for one in found}) == 4
    assert len({(one.fingerprint, one.fired_at) for one in found}) == 1


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("lghg", [("firing", 0), ("resolved", 1), ("firing", 2), ("resolved", 3)], id="worse: at once"),
        pytest.param("hglgg", [("firing", 0), ("resolved", 1)], id="milder: held, and ended before"),
        pytest.param("hglllll", [("firing", 0), ("resolved", 1), ("firing", 5)], id="milder: held to the end"),
        pytest.param("hghgggg", [("firing", 0), ("resolved", 1)], id="as bad: held"),
        pytest.param("lglhhh", [("firing", 0), ("resolved", 1), ("firing", 3)], id="a held one that becomes worse"),
        pytest.param(
            "lhglggghhh",
            [("firing", 0), ("raised", 1), ("resolved", 2), ("firing", 7)],
            id="a rise begins the cooldown anew, with its severity",
        ),
    ],
)
def test_a_cooldown_holds_nothing_worse(pattern: str, expected: list[tuple[str, int]]) -> None:
    """Within the five minutes of a cooldown an episode is told only if it is worse than what was told last."""
    results = play(replace(LEVELLED, cooldown_period=300), pattern)
    assert [(kind, at) for kind, at, _ in told(results)] == expected


@pytest.mark.parametrize(
    ("pattern", "quiet", "expected"),
    [
        pytest.param("gBBBBBBg", silenced(0, 4), [("firing", 4, 1), ("resolved", 7, 1)], id="silence"),
        pytest.param("gBBgg", silenced(0, 4), [], id="silence, ended before"),
        pytest.param("gBBBg", silenced(0, 4), [], id="silence, ended with it"),
        pytest.param("gBBBBg", silenced(1, 2), [("firing", 2, 1), ("resolved", 5, 1)], id="silence that ends is over"),
        pytest.param("gBBBBg", silenced(2, 9), [("firing", 1, 1), ("resolved", 5, 1)], id="silence after it was told"),
        pytest.param("gBBBBBBg", catching_up(4), [("firing", 4, 1), ("resolved", 7, 1)], id="catch-up"),
        pytest.param("gBBgg", catching_up(4), [], id="catch-up, ended before"),
        pytest.param("BBBBg", catching_up(0), [("firing", 0, 0), ("resolved", 4, 0)], id="no catch-up"),
    ],
)
def test_what_is_held_is_told_when_it_is_over(
    pattern: str, quiet: Callable[[int], Hearing], expected: list[tuple[str, int, int]]
) -> None:
    """A firing that nobody may hear of is told at the first evaluation after that if it fires then, and else never."""
    assert told(play(RULE, pattern, quiet)) == expected


@pytest.mark.parametrize(
    "hearing",
    [silenced(2, 9), lambda number: Hearing(catching_up=number > 1)],
    ids=["silence", "catch-up"],
)
def test_the_end_of_what_was_told_is_told_whatever_holds(hearing: Callable[[int], Hearing]) -> None:
    """Under a silence, and in a catch-up, an episode that had been told is resolved for those who heard of it."""
    assert told(play(RULE, "gBBg", hearing)) == [("firing", 1, 1), ("resolved", 3, 1)]


def test_the_state_says_why_it_is_held() -> None:
    """An alert that waits names the reason; one that was told, ended, or has no news names none."""
    assert held(play(RULE, "gBBBB", silenced(2, 3))) == ["", "", "", "", ""]
    assert held(play(RULE, "gBBBB", silenced(1, 3))) == ["", "silenced", "silenced", "", ""]
    assert held(play(CALM, "BgBBBB")) == ["", "", "cooldown", "cooldown", "cooldown", ""]
    assert held(play(RULE, "BBB", catching_up(2))) == ["catch_up", "catch_up", ""]


def test_the_first_reason_on_the_ladder_counts() -> None:
    """Inhibition comes before a silence, that before catch-up, that before the cooldown; each holds by itself."""
    config = config_of(replace(CALM, inhibited_by=("other",)), OTHER)
    minutes = minutes_of({level(): "BgBBBBBB", level(metric="other"): "ggBBBggg"})

    def hearing(number: int) -> Hearing:
        return Hearing((silence(3, 6),), catching_up=number in (2, 3, 4, 5, 6))

    results = run(config, minutes, 8, (), hearing)
    mine = [[state.held for state in result.states if state.rule_id == "level"] for result in results]
    assert mine == [[""], [""], ["inhibited"], ["inhibited"], ["inhibited"], ["silenced"], ["catch_up"], [""]]
    assert held(play(CALM, "BgBBBB", silenced(1, 3))) == ["", "", "silenced", "cooldown", "cooldown", ""]


def test_a_silence_holds_in_a_catch_up() -> None:
    """What was silenced while the evaluator was away is not in the summary of what was missed."""
    for first, missed in [(0, 0), (7, 1)]:
        hearing = Hearing((silence(first, 9),), catching_up=True)
        results = play(RULE, "gBBg", dict.fromkeys(range(4), hearing).__getitem__)
        assert sum(len(one.unseen) for one in results) == missed


def test_all_that_heard_hear_the_end() -> None:
    """The end of an episode goes to every channel that any notification of it went to, each once, first come first."""
    results = play(replace(LEVELLED, notification_channels=()), "lcg")
    low = ("slack", "sentry", "webhook", "inbox")
    assert [one.channels for one in notifications(results)] == [
        low, (*low, "pagerduty", "email"), (*low, "pagerduty", "email")
    ]  # fmt: skip


def test_who_heard_before_the_routing_changed_hears_the_end() -> None:
    """After a rule's channels were changed while it fires, those that heard of it are told of its end, and no other."""
    (first,) = run(config_of(RULE), minutes_of("B"), 1)
    rule = replace(RULE, notification_channels=("slack",))
    (second,) = run(config_of(rule), minutes_of("g"), 1, first.states)
    assert [one.channels for one in second.notifications] == [("inbox",)]


def test_a_notification_names_those_before_it() -> None:
    """Each notification of an episode lists the ones before it with their channels, so that none overtakes another."""
    found = notifications(play(LEVELLED, "lhcg"))
    assert [[one.notification_id for one in each.follows] for each in found] == [
        [], *[[one.id for one in found[:number]] for number in (1, 2, 3)]
    ]  # fmt: skip
    assert all(one.channels == ("inbox",) for each in found for one in each.follows)


@pytest.mark.parametrize(
    ("rule", "pattern", "expected"),
    [
        pytest.param(RULE, "B" * 31, [("firing", 0), ("escalated", 30)], id="after thirty minutes"),
        pytest.param(RULE, "B" * 30, [("firing", 0)], id="not a minute before"),
        pytest.param(RULE, "B" * 99, [("firing", 0), ("escalated", 30)], id="once"),
        pytest.param(RULE, "B" * 30 + "g", [("firing", 0), ("resolved", 30)], id="not when it has ended"),
        pytest.param(
            CALM, "Bg" + "B" * 34, [("firing", 0), ("resolved", 1), ("firing", 5), ("escalated", 35)],
            id="from when it was told, not from when it fired",
        ),
        pytest.param(
            LEVELLED, "l" * 10 + "c" * 31, [("firing", 0), ("raised", 10), ("escalated", 40)], id="from its rise"
        ),
        pytest.param(LEVELLED, "h" * 60, [("firing", 0)], id="only what is urgent"),
        pytest.param(
            RULE, "B" * 31 + "g" + "B" * 31,
            [("firing", 0), ("escalated", 30), ("resolved", 31), ("firing", 32), ("escalated", 62)],
            id="once in each episode",
        ),
    ],
)  # fmt: skip
def test_escalation(rule: AlertRule, pattern: str, expected: list[tuple[str, int]]) -> None:
    """A critical alert is told again once in an episode, thirty minutes after it was told, if it fires then."""
    assert [(kind, at) for kind, at, _ in told(play(rule, pattern))] == expected


def acknowledged(minute: int, fired: int = 0) -> Callable[[int], Hearing]:
    """Somebody acknowledges the episode that fired at a minute, seen by the evaluations from another on."""
    path = ack_path(AlertState("level", (), Severity.CRITICAL).fingerprint, START + fired * MINUTE)
    return lambda number: Hearing(acknowledged=frozenset({path} if number >= minute else ()))


@pytest.mark.parametrize(
    ("hearing", "expected"),
    [
        pytest.param(acknowledged(5), [0], id="acknowledged"),
        pytest.param(acknowledged(30), [0], id="at the very evaluation"),
        pytest.param(acknowledged(31), [0, 30], id="an evaluation too late"),
        pytest.param(acknowledged(0, fired=-9), [0, 30], id="another episode's acknowledgement"),
        pytest.param(silenced(20, 45), [0, 45], id="silenced until later"),
        pytest.param(silenced(20, 99), [0], id="silenced until the end"),
        pytest.param(silenced(20, 30), [0, 30], id="silenced until then"),
    ],
)
def test_escalation_is_for_what_nobody_has(hearing: Callable[[int], Hearing], expected: list[int]) -> None:
    """An acknowledged episode never escalates; a silenced one waits until the silence is over."""
    results = play(RULE, "B" * 60 + "g", hearing)
    assert [at for kind, at, _ in told(results) if kind != "resolved"] == expected
    assert told(results)[-1] == ("resolved", 60, 0)


def test_an_acknowledged_alert_that_becomes_worse_is_told() -> None:
    """Whoever has an alert hears that it rose, and it does not escalate all the same."""
    results = play(LEVELLED, "l" * 5 + "c" * 60, acknowledged(1))
    assert severities(results) == [("firing", 0, "low"), ("raised", 5, "critical")]


def test_an_escalation_goes_to_those_who_heard() -> None:
    """It follows the firing, and goes where that went."""
    first, second = notifications(play(replace(RULE, notification_channels=()), "B" * 31))
    assert (second.kind, second.channels) == (NotificationKind.ESCALATED, first.channels)
    assert [one.notification_id for one in second.follows] == [first.id]


@pytest.mark.parametrize(
    ("alert", "due"),
    [
        pytest.param(AlertState("level", (), Severity.CRITICAL, State.PENDING), False, id="pending"),
        pytest.param(AlertState("level", (), Severity.CRITICAL, State.FIRING, told_at=START), False, id="not told yet"),
    ],
)
def test_only_what_was_told_is_due(alert: AlertState, due: bool) -> None:
    """What does not fire, and what waits for its first notification, does not escalate."""
    assert escalation_due(config_of(RULE), alert, START + timedelta(days=1)) is due


QUIET = replace(RULE, name="Quiet", inhibited_by=("other",))


@pytest.mark.parametrize(
    ("quiet_by", "other_by", "loud", "told_of"),
    [
        pytest.param((), (), {"": "BBB"}, [], id="neither has groups"),
        pytest.param((), (), {"": "ggg"}, ["", "eu a", "eu b", "us a"], id="the other does not fire"),
        pytest.param(("region",), ("region",), {"eu": "BBB"}, ["us"], id="the same region"),
        pytest.param(("region",), (), {"": "BBB"}, [], id="an ungrouped one, every region"),
        pytest.param((), ("region",), {"eu": "BBB"}, [], id="any region, the ungrouped one"),
        pytest.param(("region", "zone"), ("region",), {"eu": "BBB"}, ["us a"], id="a region, its zones"),
        pytest.param(("region",), ("region", "zone"), {"eu a": "BBB"}, ["us"], id="a zone, its region"),
        pytest.param(("zone",), ("region",), {"eu": "BBB"}, [], id="nothing in common: all"),
    ],
)
def test_inhibition_is_by_the_labels_that_both_have(
    quiet_by: tuple[str, ...], other_by: tuple[str, ...], loud: dict[str, str], told_of: list[str]
) -> None:
    """An alert is quiet while a named rule fires on labels that contradict none of its own."""
    quiet = replace(QUIET, query=Query(Selection("level"), Aggregation.MAX, group_by=quiet_by))
    other = replace(OTHER, query=Query(Selection("other"), Aggregation.MAX, group_by=other_by))
    places = {"eu a": "BBB", "eu b": "BBB", "us a": "BBB"}
    minutes = minutes_of(
        {Series("level", place(name)): letters for name, letters in places.items()}
        | {Series("other", place(name)): letters for name, letters in loud.items()}
    )
    found = {
        " ".join(value for _, value in one.labels)
        for one in notifications(run(config_of(quiet, other), minutes, 3))
        if one.rule_id == "quiet"
    }
    expected = {name for name in told_of if len(name.split()) == len(quiet_by)}
    assert found == expected


def place(name: str) -> Labels:
    """``eu a`` as region and zone, ``eu`` as region alone."""
    return make_labels(dict(zip(("region", "zone"), name.split(), strict=False)))


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        pytest.param("BBBg", "BBBB", [], id="from the same evaluation to the end"),
        pytest.param("BBBBBg", "gBBgg.", [("firing", 0, 0), ("resolved", 5, 0)], id="told before it began"),
        pytest.param("gBBBBg", "gBBggg", [("firing", 3, 1), ("resolved", 5, 1)], id="told at the evaluation it ends"),
        pytest.param("gBBggg", "gBBBgg", [], id="ended with it"),
    ],
)
def test_inhibition_by_the_minute(mine: str, others: str, expected: list[tuple[str, int, int]]) -> None:
    """What one evaluation finds of both rules decides: from the one at which the other fires to the one it resolves."""
    minutes = minutes_of({level(): mine, level(metric="other"): others})
    results = run(config_of(QUIET, OTHER), minutes, len(mine))
    assert [one for one, of in zip(told(results), notifications(results), strict=True) if of.rule_id == "quiet"] == (
        expected
    )


def test_a_pending_rule_keeps_nobody_quiet() -> None:
    """Only firing inhibits, however long the other has been pending."""
    minutes = minutes_of({level(): "BBBBB", level(metric="other"): "BBBBB"})
    results = run(config_of(QUIET, replace(OTHER, min_occurrences=9)), minutes, 5)
    assert [one.rule_id for one in notifications(results)] == ["quiet"]


def test_a_rule_between_its_evaluations_keeps_others_quiet() -> None:
    """A rule that is due every five minutes and fires does so at the minutes between, too."""
    minutes = minutes_of({level(): "gBBgg", level(metric="other"): "Bgggg"})
    results = run(config_of(QUIET, replace(OTHER, evaluation_frequency=300)), minutes, 5)
    assert [one.rule_id for one in notifications(results)] == ["other"]


def test_only_the_value_of_a_rule_inhibits_and_is_inhibited() -> None:
    """That another rule's data are missing keeps nobody quiet, and nobody keeps quiet that a rule's data are."""
    missing = AlertState("other", (), Severity.CRITICAL, State.FIRING, fired_at=START, kind=AlertKind.NO_DATA)
    (result,) = run(config_of(QUIET, OTHER), minutes_of("B"), 1, [missing])
    assert [one.rule_id for one in result.notifications] == ["quiet", "other"]
    quiet = replace(QUIET, no_data_after=60)
    results = run(config_of(quiet, OTHER), minutes_of({level(): "B...", level(metric="other"): "gBBB"}), 4)
    assert [(one.rule_id, one.about, minutes_after(one.at)) for one in notifications(results)] == [
        ("quiet", "threshold", 0), ("other", "threshold", 1), ("quiet", "threshold", 2), ("quiet", "no_data", 2)
    ]  # fmt: skip


def test_a_chain_of_inhibition_is_by_what_fires_not_by_what_is_told() -> None:
    """A rule that is kept quiet itself still keeps those quiet that name it."""
    last = replace(RULE, name="Last", inhibited_by=("quiet",))
    minutes = minutes_of({level(): "BB", level(metric="other"): "BB"})
    results = run(config_of(last, QUIET, OTHER), minutes, 2)
    assert [one.rule_id for one in notifications(results)] == ["other"]


def test_a_silence_on_a_severity_covers_no_worse_one() -> None:
    """What is silenced as high is told when it becomes critical."""
    high = silenced(0, 9, Matcher("severity", "high"))
    assert severities(play(LEVELLED, "hhcc", high)) == [("firing", 2, "critical")]
    assert severities(play(LEVELLED, "lhhg", high)) == [("firing", 0, "low"), ("resolved", 3, "high")]


def test_a_held_rise_is_told_with_the_severity_it_has_then() -> None:
    """A rise under a silence is told once when the silence is over, of the worst severity by then."""
    assert severities(play(LEVELLED, "lhccc", silenced(1, 4))) == [("firing", 0, "low"), ("raised", 4, "critical")]


def test_telling_again_is_the_same() -> None:
    """The same evaluation decided again makes the same notifications, to the byte, whatever came in between."""

    def once() -> list[Notification]:
        return notifications(play(replace(LEVELLED, cooldown_period=120), "lhcgchlg" * 3, silenced(3, 7)))

    assert [one.to_json() for one in once()] == [one.to_json() for one in once()]
