"""What one evaluation makes of an alert, as tables of values and the states and reasons they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.alerts import AlertState, AlertStateManager, Decision, Reason, State, Told, decide, fingerprint
from shared.rules import AlertRule, MetricThreshold, MetricType, OnNoData, Operator, Severity

_START = datetime(2025, 10, 18, 12, 0, tzinfo=UTC)
_MINUTE = timedelta(seconds=60)
_RULE = AlertRule(
    "Slow", "", MetricType.RESPONSE_TIME, MetricThreshold(200, severity=Severity.CRITICAL), min_occurrences=1
)
_ALERT = AlertState("slow", (("region", "us-central1"),), Severity.CRITICAL)
_GOOD, _BAD, _NONE = 100.0, 300.0, None
_SHORT = {
    Reason.NONE: "-",
    Reason.STARTED: "started",
    Reason.CLEARED: "cleared",
    Reason.FIRED: "FIRED",
    Reason.STILL: "still",
    Reason.KEPT: "kept",
    Reason.RESOLVED: "RESOLVED",
    Reason.NO_DATA: "NO_DATA",
    Reason.FROZEN: "frozen",
    Reason.RAISED: "RAISED",
    Reason.GONE: "GONE",
}
_LEVELS = {"g": 10.0, "l": 150.0, "h": 300.0, "c": 500.0, ".": None}
_LEVELLED = replace(
    _RULE,
    threshold=MetricThreshold(100, severity=Severity.LOW),
    levels=(MetricThreshold(400, severity=Severity.CRITICAL), MetricThreshold(200, severity=Severity.HIGH)),
)
"""Low above 100, high above 200, critical above 400."""


def _run(rule: AlertRule, values: Iterable[float | None], alert: AlertState = _ALERT) -> list[Decision]:
    """The decisions on values that come a minute apart, the first at 12:00."""
    decisions: list[Decision] = []
    for i, value in enumerate(values):
        decisions.append(decide(rule, alert, value, _START + i * _MINUTE))
        alert = decisions[-1].alert
    return decisions


def _values(pattern: str) -> list[float | None]:
    """``B`` bad, ``g`` good, ``.`` no data."""
    return [{"B": _BAD, "g": _GOOD, ".": _NONE}[letter] for letter in pattern]


def _reasons(decisions: Sequence[Decision]) -> str:
    return " ".join(_SHORT[decision.reason] for decision in decisions)


@pytest.mark.parametrize(
    ("n", "pattern", "reasons"),
    [
        pytest.param(1, "gBBg", "- FIRED still RESOLVED", id="one is never pending"),
        pytest.param(2, "BBg", "started FIRED RESOLVED", id="two fires at the second"),
        pytest.param(3, "BBBBg", "started still FIRED still RESOLVED", id="three fires at the third"),
        pytest.param(2, "BgBB", "started cleared started FIRED", id="good ends pending at once"),
        pytest.param(3, "BBgBBB", "started still cleared started still FIRED", id="refiring needs the whole N"),
        pytest.param(2, "BBgBB", "started FIRED RESOLVED started FIRED", id="so it does after resolving"),
        pytest.param(3, "gg", "- -", id="inactive stays"),
    ],
)
def test_min_occurrences(n: int, pattern: str, reasons: str) -> None:
    """An alert fires at the N-th violating evaluation in a row, and a good one starts the count anew."""
    assert _reasons(_run(replace(_RULE, min_occurrences=n), _values(pattern))) == reasons


def test_an_episode_keeps_its_times() -> None:
    """A firing alert says when it became pending, when it fired, and how often in a row it violated."""
    alert = _run(replace(_RULE, min_occurrences=3), _values("BBBB"))[-1].alert
    assert (alert.state, alert.count, alert.value) == (State.FIRING, 4, _BAD)
    assert alert.pending_since == _START
    assert alert.fired_at == alert.since == _START + 2 * _MINUTE
    assert alert.evaluated_at == _START + 3 * _MINUTE


def test_a_resolved_alert_remembers_only_who_was_told() -> None:
    """Resolving leaves nothing of the episode but the last value and the time of the last notification."""
    firing = replace(_run(_RULE, [_BAD])[-1].alert, told=(Told("id", ("slack",)),), told_at=_START)
    resolved = decide(_RULE, firing, _GOOD, _START + _MINUTE).alert
    assert resolved == replace(
        _ALERT, value=_GOOD, since=_START + _MINUTE, evaluated_at=_START + _MINUTE, told_at=_START
    )


@pytest.mark.parametrize(
    ("pattern", "reasons"),
    [
        pytest.param("Bgggggg", "FIRED kept kept kept kept kept RESOLVED", id="five more, resolved at the sixth"),
        pytest.param(
            "BgggBgggggg", "FIRED kept kept kept still kept kept kept kept kept RESOLVED", id="a bad one restarts it"
        ),
    ],
)
def test_keep_firing_for(pattern: str, reasons: str) -> None:
    """300 s at 60 s are five more firing evaluations from the first good one, six minutes after the last bad one."""
    assert _reasons(_run(replace(_RULE, keep_firing_for=300), _values(pattern))) == reasons


def test_keep_firing_for_never_holds_pending() -> None:
    """A pending alert ends with its first good evaluation whatever ``keep_firing_for`` says."""
    rule = replace(_RULE, min_occurrences=2, keep_firing_for=300)
    assert _reasons(_run(rule, _values("Bg"))) == "started cleared"


def test_keep_firing_for_covers_empty_windows_that_are_ok() -> None:
    """With ``on_no_data: ok`` an empty window counts as good, and is held as long as a good one."""
    rule = replace(_RULE, keep_firing_for=120, on_no_data=OnNoData.OK)
    assert _reasons(_run(rule, _values("B..."))) == "FIRED kept kept RESOLVED"


def test_a_held_alert_counts_violations_anew() -> None:
    """After a good evaluation that was held, a violation is the first in a row again, and the alert still fires."""
    alert = _run(replace(_RULE, keep_firing_for=300), _values("BBgB"))[-1].alert
    assert (alert.state, alert.count, alert.good_since) == (State.FIRING, 1, None)


@pytest.mark.parametrize(
    ("operator", "recovery", "values", "reasons"),
    [
        pytest.param(">", 150, [250, 180, 151, 150], "FIRED kept kept RESOLVED", id="greater: until it is reached"),
        pytest.param(">=", 150, [200, 180, 150, 149], "FIRED kept kept RESOLVED", id="greater or equal: until below"),
        pytest.param("<", 210, [100, 205, 209, 210], "FIRED kept kept RESOLVED", id="less: until it is reached"),
        pytest.param("<=", 210, [200, 205, 210, 211], "FIRED kept kept RESOLVED", id="less or equal: until above"),
        pytest.param(">", None, [250, 199], "FIRED RESOLVED", id="without one the threshold decides"),
        pytest.param(">", 150, [180], "-", id="between them nothing fires"),
        pytest.param(">", 150, [250, 180, 250, 180], "FIRED kept still kept", id="between them nothing flaps"),
    ],
)
def test_recovery_value(operator: str, recovery: float | None, values: list[float], reasons: str) -> None:
    """Between threshold and recovery value an alert keeps firing, and one that does not fire stays quiet."""
    limit = MetricThreshold(200, Operator(operator), recovery_value=recovery)
    assert _reasons(_run(replace(_RULE, threshold=limit), values)) == reasons


def test_recovery_holds_no_pending_alert() -> None:
    """A pending alert ends with a value between recovery value and threshold."""
    rule = replace(_RULE, min_occurrences=2, threshold=MetricThreshold(200, recovery_value=150))
    assert _reasons(_run(rule, [250, 180])) == "started cleared"


def test_keep_firing_for_begins_when_recovered() -> None:
    """With both, ``keep_firing_for`` counts from the first evaluation that reached the recovery value."""
    rule = replace(_RULE, keep_firing_for=120, threshold=MetricThreshold(200, recovery_value=150))
    assert _reasons(_run(rule, [250, 180, 180, 100, 100, 100])) == "FIRED kept kept kept kept RESOLVED"


@pytest.mark.parametrize(
    ("mode", "n", "pattern", "reasons"),
    [
        pytest.param("keep", 2, "..", "- -", id="keep: inactive stays"),
        pytest.param("keep", 2, "B.B", "started frozen FIRED", id="keep: pending goes on counting"),
        pytest.param("keep", 1, "B..g", "FIRED frozen frozen RESOLVED", id="keep: firing is frozen, then resolves"),
        pytest.param("keep", 1, "B...", "FIRED frozen frozen NO_DATA", id="keep: ends after no_data_after"),
        pytest.param("keep", 2, "B...", "started frozen frozen NO_DATA", id="keep: so does pending"),
        pytest.param("keep", 1, "B..B..B", "FIRED frozen frozen still frozen frozen still", id="keep: data restarts"),
        pytest.param("ok", 2, "B.", "started cleared", id="ok: ends pending"),
        pytest.param("ok", 1, "B.", "FIRED RESOLVED", id="ok: resolves"),
        pytest.param("ok", 1, "..", "- -", id="ok: never fires"),
        pytest.param("alert", 2, "...", "started FIRED still", id="alert: fires"),
        pytest.param("alert", 2, "B.g", "started FIRED RESOLVED", id="alert: counts with violations"),
    ],
)
def test_no_data(mode: str, n: int, pattern: str, reasons: str) -> None:
    """What an empty window means is the rule's: frozen for ``no_data_after`` (120 s here), good, or violating."""
    rule = replace(_RULE, min_occurrences=n, on_no_data=OnNoData(mode), no_data_after=120)
    assert _reasons(_run(rule, _values(pattern))) == reasons


@pytest.mark.parametrize(
    ("alert", "reasons"),
    [
        pytest.param(_ALERT, "- FIRED still still GONE - FIRED", id="a group is missed for a day, and again later"),
        pytest.param(replace(_ALERT, labels=()), "- FIRED still still still still still", id="the whole stays missed"),
    ],
)
def test_a_group_that_is_gone_is_missed_for_a_day(alert: AlertState, reasons: str) -> None:
    """With ``on_no_data: alert`` a group fires until data come, or until it has been silent for 24 hours."""
    rule = replace(_RULE, on_no_data=OnNoData.ALERT)
    seen: list[Decision] = []
    for minute, value in [(0, _GOOD), (1, None), (2, None), (1440, None), (1441, None), (1442, None), (1443, _BAD)]:
        seen.append(decide(rule, alert, value, _START + minute * _MINUTE))
        alert = seen[-1].alert
    assert _reasons(seen) == reasons


def test_an_alert_that_ends_without_data_keeps_its_last_value() -> None:
    """The last value judged is kept through empty windows, so that the ending can say what it was."""
    decisions = _run(replace(_RULE, no_data_after=60), _values("B.."))
    assert decisions[-1].reason is Reason.NO_DATA
    assert (decisions[-1].alert.state, decisions[-1].alert.value) == (State.INACTIVE, _BAD)


def test_recovery_does_not_hold_an_empty_window_that_is_ok() -> None:
    """An empty window has no value to compare with the recovery value, so ``ok`` resolves."""
    rule = replace(_RULE, on_no_data=OnNoData.OK, threshold=MetricThreshold(200, recovery_value=150))
    assert _reasons(_run(rule, [250, None])) == "FIRED RESOLVED"


@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_exactly_at_the_threshold(operator: str, below: bool, at: bool, above: bool) -> None:
    """Each operator fires on its own side of 200 and only the inclusive ones at it, to the last bit."""
    rule = replace(_RULE, threshold=MetricThreshold(200.0, Operator(operator)))
    values = (199.99999999999997, 200.0, 200.00000000000003)
    fired = tuple(_run(rule, [value])[0].reason is Reason.FIRED for value in values)
    assert fired == (below, at, above)


def test_a_running_alert_takes_the_severity_of_its_rule() -> None:
    """A severity that was changed in the configuration holds from the next evaluation on."""
    firing = _run(_RULE, [_BAD])[-1].alert
    rule = replace(_RULE, threshold=MetricThreshold(200, severity=Severity.LOW))
    assert decide(rule, firing, _BAD, _START + _MINUTE).alert.severity is Severity.LOW


def test_min_occurrences_that_was_lowered_fires_at_the_next_violation() -> None:
    """A pending alert fires as soon as its count reaches the configured N, and one that fires needs no more."""
    pending = _run(replace(_RULE, min_occurrences=5), _values("BBB"))[-1].alert
    assert decide(replace(_RULE, min_occurrences=2), pending, _BAD, _START + 3 * _MINUTE).reason is Reason.FIRED
    firing = _run(_RULE, [_BAD])[-1].alert
    assert decide(replace(_RULE, min_occurrences=5), firing, _BAD, _START + _MINUTE).reason is Reason.STILL


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((("a", "b\x00c\x00d"),), (("a", "b"), ("c", "d"))),
        ((("a", ""),), ()),
        ((("a", 'b", "c'),), (("a", "b"), ("c", ""))),
        ((("a", "\ud800"),), (("a", "\\ud800"),)),
    ],
    ids=["zero byte", "empty value", "quote", "lone surrogate"],
)
def test_fingerprints_differ(one: tuple[tuple[str, str], ...], other: tuple[tuple[str, str], ...]) -> None:
    """No labels can be made to look like others to the fingerprint."""
    assert fingerprint("rule", one) != fingerprint("rule", other)


def test_the_fingerprint_is_for_ever() -> None:
    """The fingerprint of a rule and labels is these 16 digits; stored alerts and acknowledgements hang on it."""
    assert _ALERT.fingerprint == fingerprint("slow", (("region", "us-central1"),)) == "d8c608728c001aa3"


def test_the_manager_orders_worst_first_and_forgets_the_inactive() -> None:
    """Firing comes before pending, then severity, then age; an alert that became inactive is gone."""
    since = _START
    firing_low = AlertState("a", (), Severity.LOW, State.FIRING, since=since)
    firing_new = AlertState("b", (), Severity.CRITICAL, State.FIRING, since=since + _MINUTE)
    firing_old = AlertState("c", (), Severity.CRITICAL, State.FIRING, since=since)
    pending = AlertState("d", (), Severity.CRITICAL, State.PENDING, since=since)
    manager = AlertStateManager([pending, firing_low, firing_new, firing_old])
    assert manager.get_active_alerts() == [firing_old, firing_new, firing_low, pending]
    assert manager.get_critical_alerts() == [firing_old, firing_new]
    manager.add_alert(replace(firing_old, state=State.INACTIVE))
    assert manager.get_critical_alerts() == [firing_new]


def test_the_manager_keeps_the_newest_of_each_alert() -> None:
    """An alert with the same rule and labels takes the place of the one before."""
    manager = AlertStateManager([_run(_RULE, [_BAD])[0].alert])
    newer = _run(_RULE, [_BAD, 400.0])[1].alert
    manager.add_alert(newer)
    assert manager.get_active_alerts() == [newer]


def _levels(rule: AlertRule, pattern: str) -> list[Decision]:
    """The decisions on values of some levels: good, low, high, critical, none."""
    return _run(rule, [_LEVELS[letter] for letter in pattern])


def _letters(decisions: Sequence[Decision]) -> str:
    """Each evaluation's severity, by its first letter, large where it fires, and ``.`` where it is inactive."""
    alerts = [decision.alert for decision in decisions]
    return "".join(
        "."
        if one.state is State.INACTIVE
        else one.severity.value[0].upper()
        if one.is_firing
        else one.severity.value[0]
        for one in alerts
    )


@pytest.mark.parametrize(
    ("n", "pattern", "severities"),
    [
        pytest.param(1, "glhcg", ".LHC.", id="the first violation"),
        pytest.param(1, "chl", "CCC", id="never falls"),
        pytest.param(2, "lhhc", "lLHH", id="each level wants N of its own"),
        pytest.param(2, "lhlhc", "lLLLH", id="the worst that held N times, milder ones count for it no more"),
        pytest.param(3, "chl", "chL", id="fires as the worst that all of them violate"),
        pytest.param(3, "cclccc", "ccLLLC", id="a milder one begins the count of the worse anew"),
        pytest.param(3, "hch", "hcH", id="a worse one counts for the milder"),
        pytest.param(2, "ccgll", "cC.lL", id="a new episode begins anew"),
        pytest.param(2, "cc.l", "cCCC", id="missing data freeze the severity"),
        pytest.param(3, "h.h", "hhh", id="also of a pending one"),
        pytest.param(2, "lc.c", "lLLC", id="missing data say nothing against a level"),
    ],
)
def test_levels(n: int, pattern: str, severities: str) -> None:
    """A rule of several levels fires at the worst that held N times in a row, rises with each, and never falls."""
    assert _letters(_levels(replace(_LEVELLED, min_occurrences=n), pattern)) == severities


def test_a_rise_is_a_transition_and_a_fall_is_none() -> None:
    """Each rise is decided once, under its own name."""
    assert _reasons(_levels(_LEVELLED, "lhhclg")) == "FIRED RAISED still RAISED still RESOLVED"


def test_a_held_level_counts_anew() -> None:
    """A value that does not violate breaks the row of every level, though the alert is held."""
    rule = replace(_LEVELLED, min_occurrences=2, keep_firing_for=600)
    assert _letters(_levels(rule, "llcgcc")) == "lLLLLC"


def test_every_level_has_to_recover() -> None:
    """Between a milder level and its recovery value an alert that fired as critical is held."""
    low = replace(_LEVELLED.threshold, recovery_value=50.0)
    assert _reasons(_run(replace(_LEVELLED, threshold=low), [500.0, 60.0, 50.0])) == "FIRED kept RESOLVED"


@pytest.mark.parametrize(
    ("own", "pattern", "severities"),
    [
        pytest.param(Severity.LOW, "..", "lL", id="the mildest"),
        pytest.param(Severity.CRITICAL, "..", "cC", id="the worst"),
        pytest.param(Severity.HIGH, "l.", "lL", id="and what is milder"),
        pytest.param(Severity.HIGH, "c.", "cH", id="not what is worse"),
        pytest.param(Severity.HIGH, "..cc", "hHHC", id="data may be worse"),
    ],
)
def test_missing_data_violate_the_rules_own_threshold(own: Severity, pattern: str, severities: str) -> None:
    """With ``on_no_data: alert`` an empty window violates the rule's own threshold, and so the milder levels."""
    limits = {one.severity: one for one in _LEVELLED.thresholds}
    others = tuple(limit for severity, limit in limits.items() if severity is not own)
    rule = replace(_LEVELLED, threshold=limits[own], levels=others, on_no_data=OnNoData.ALERT, min_occurrences=2)
    assert _letters(_levels(rule, pattern)) == severities


@pytest.mark.parametrize(
    ("rule", "severity", "reason"),
    [
        pytest.param(replace(_LEVELLED, levels=_LEVELLED.levels[1:]), Severity.LOW, Reason.STILL, id="level removed"),
        pytest.param(replace(_LEVELLED, levels=()), Severity.LOW, Reason.STILL, id="all levels removed"),
        pytest.param(
            replace(_LEVELLED, levels=(MetricThreshold(120, severity=Severity.MEDIUM), *_LEVELLED.levels)),
            Severity.CRITICAL, Reason.STILL, id="level added",
        ),
        pytest.param(
            replace(_LEVELLED, threshold=MetricThreshold(100, severity=Severity.MEDIUM)), Severity.CRITICAL,
            Reason.STILL, id="another level's severity",
        ),
        pytest.param(replace(_LEVELLED, min_occurrences=9), Severity.CRITICAL, Reason.STILL, id="more occurrences"),
    ],
)  # fmt: skip
def test_levels_that_change_under_a_firing_alert(rule: AlertRule, severity: Severity, reason: Reason) -> None:
    """An alert keeps its severity while its rule has it; of one that is gone it takes the rule's own, and fires on."""
    firing = _levels(_LEVELLED, "cc")[-1].alert
    decision = decide(rule, firing, 150.0, _START + 2 * _MINUTE)
    assert (decision.alert.severity, decision.reason, decision.alert.is_firing) == (severity, reason, True)


def test_a_level_that_is_added_wants_its_own_violations() -> None:
    """What was counted before a level was configured does not count for it."""
    plain = replace(_RULE, threshold=MetricThreshold(200, severity=Severity.HIGH), min_occurrences=3)
    pending = _run(plain, [500.0, 500.0])[-1].alert
    fired = decide(replace(plain, levels=_LEVELLED.levels[:1]), pending, 500.0, _START + 2 * _MINUTE)
    assert (fired.reason, fired.alert.severity) == (Reason.FIRED, Severity.HIGH)
    raised = _run(replace(plain, levels=_LEVELLED.levels[:1]), [500.0, 500.0], fired.alert)[-1]
    assert (raised.reason, raised.alert.severity) == (Reason.RAISED, Severity.CRITICAL)
