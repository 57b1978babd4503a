"""Whatever ingest accepts, the evaluator's cursor moves; and what a minute breaks by stops no rule.

``make soak`` plays more and longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from shared import rolling
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import AlertKind
from shared.buckets import SETTLE
from shared.configuration import document
from shared.evaluator import STATE_PATH
from shared.hours import read_hours
from shared.monitoring_config import MonitoringConfig
from shared.notifications import Notification
from shared.rolling import MAX_FAILED, Rolling
from shared.rollups import rollup_path
from shared.rule_health import ROLLUP_ID
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection, Severity
from shared.store import Put
from shared.timeline import minute_floor
from tests.fakes import START, Clock, RefusingStore
from tests.hostile_minutes import MINUTE, check_marked_minutes, check_minutes, strict_world
from tests.world import World, labels, point

RULE = AlertRule(
    "Users",
    "Too many users.",
    MetricType.BUSINESS,
    MetricThreshold(100.0, severity=Severity.CRITICAL),
    evaluation_window=180,
    min_occurrences=1,
    cooldown_period=0,
    notification_channels=("inbox",),
    query=Query(Selection("users_active"), Aggregation.MAX, group_by=("region",)),
)
CONFIG = MonitoringConfig(replace(document.defaults(), rules=(RULE,)))


def test_the_cursor_moves() -> None:
    """Through thousands of series, labels of any length and text, storms and silences, each T is judged in time."""
    happened = sum((check_minutes(seed, 4) for seed in range(4)), Counter[str]())
    assert min(happened[one] for one in ("fired", "raised", "no_data", "data_missing", "data_back")) > 20, happened
    assert happened["too_many_alerts"] > 0


def test_a_message_that_marks_many_minutes_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """While 600 late minutes are rolled up, some at a time, rules are judged in time, and at last all of them are."""
    monkeypatch.setattr(rolling, "LATE_AT_ONCE", 50)
    assert 5 < check_marked_minutes(600, seconds_per_call=0.1) < 25


def refusing(verb: str, prefix: str) -> Callable[[str, str], bool]:
    """Refuses one verb on the paths of a prefix."""
    return lambda asked, path: asked == verb and path.startswith(prefix)


def play(refuses: Callable[[str, str], bool], minutes: int, first: int, last: int) -> World:
    """Good, then bad from minute 3 to 5, good again; the store refuses something from minute ``first`` to ``last``.

    The evaluation at minute 0 ends an hour.
    """
    world = strict_world(CONFIG, RefusingStore)
    assert isinstance(world.store, RefusingStore)
    for number in range(1, minutes + 1):
        world.clock.time = START + number * MINUTE
        value = 300.0 if 3 <= number <= 5 else 10.0
        world.publish(point("users_active", world.clock(), value, region="eu"))
        world.deliver()
        world.store.refuses = refuses if first <= number <= last else lambda *_: False
        report = world.evaluate()
        assert (report.ended, report.evaluated) == ("caught_up", (START + number * MINUTE,))
        world.settle_deliveries()
    return world


def heard(world: World, about: AlertKind) -> list[tuple[str, int]]:
    """What was told of an alert of a kind: which, and the minute after START."""
    found: list[Notification] = [one for one in world.inbox() if one.about == about]
    return [(one.kind.value, int((one.at - START) / MINUTE)) for one in sorted(found, key=lambda one: one.at)]


@pytest.mark.parametrize(
    ("refuses", "first", "last"),
    [
        pytest.param(refusing("commit", "rollups/minute"), 2, 6, id="no minute can be written"),
        pytest.param(refusing("get", "rollups/minute"), 2, 6, id="no minute can be read"),
        pytest.param(refusing("commit", "rollups/"), 4, 4, id="one minute cannot be written"),
    ],
)
def test_minutes_that_fail_for_good(refuses: Callable[[str, str], bool], first: int, last: int) -> None:
    """Every T is judged on whole windows, the failure is told once and resolved, and what failed is rolled up then."""
    world, undisturbed = play(refuses, 12, first, last), play(refuses, 12, 99, 99)
    expected = [("firing", 3), ("resolved", 8)]
    assert heard(world, AlertKind.THRESHOLD) == heard(undisturbed, AlertKind.THRESHOLD) == expected
    assert heard(world, AlertKind.FAILURE) == [("firing", first), ("resolved", last + 1)]
    minutes = [minute_floor(START) + 60 * number for number in range(1, 13)]
    assert world.totals(minutes) == undisturbed.totals(minutes)


def test_an_hour_that_fails_for_good() -> None:
    """It is told as long as it fails, whatever else is well by then, and built as soon as it can be."""
    world = play(refusing("commit", "rollups/hour"), 66, 60, 63)
    assert heard(world, AlertKind.THRESHOLD) == [("firing", 3), ("resolved", 8)]
    assert heard(world, AlertKind.FAILURE) == [("firing", 60), ("resolved", 64)]
    (hour,) = read_hours(world.store, [minute_floor(START) + 3600], world.clock()).values()
    assert hour.cells.count.sum() > 0


def test_the_alert_says_what_failed() -> None:
    """It names the reason and the path, goes where high alerts go, and the report and the cursor say so too."""
    world = play(refusing("commit", "rollups/minute"), 3, 2, 3)
    (told,) = [one for one in world.inbox() if one.about == AlertKind.FAILURE]
    first = rollup_path(minute_floor(START) + 120)
    assert (told.rule_id, told.severity) == (ROLLUP_ID, Severity.HIGH)
    assert told.description == (
        f"Minutes cannot be rolled up; rules are judged from their chunks meanwhile. document_too_large: {first}"
    )
    assert set(told.channels) == {"slack", "email", "sentry", "webhook", "inbox"}
    state = world.store.get([STATE_PATH])[STATE_PATH].fields
    path = rollup_path(minute_floor(START) + 180)
    assert state["failures"] == [f"{ROLLUP_ID}: document_too_large: {path}"]
    assert state["failed_minutes"] == [minute_floor(START) + 120, minute_floor(START) + 180]


def test_a_rollup_of_another_version_is_read_from_its_chunks() -> None:
    """What a newer version rolled up, and this one cannot read, stops no rule and is told."""
    world = play(lambda *_: False, 4, 99, 99)
    path = rollup_path(minute_floor(START) + 180)
    fields = world.store.get([path])[path].fields
    world.store.commit([Put(path, {**fields, "d": b"\x07newer"})])
    world.clock.time = START + 5 * MINUTE
    report = world.evaluate()
    assert [failure.reason.partition(":")[0] for failure in report.failures] == ["unknown_version"]
    assert [(one.labels, one.value) for one in world.alerts() if one.kind is AlertKind.THRESHOLD] == [
        (labels(region="eu"), 300.0)
    ]


def failing(clock: Clock, refuses: Callable[[str, str], bool]) -> Rolling:
    """Minutes on a store that refuses something, which holds one point of 11:58."""
    store = SqliteStore(":memory:", clock)
    world = World(store, clock)
    world.publish(point("x", START - 2 * MINUTE, 1.0))
    world.deliver()
    clock.time += SETTLE
    return Rolling(RefusingStore(store, refuses), clock, clock.sleep, SETTLE)


def test_a_rebuild_that_fails_stops_no_other() -> None:
    """Of a day of minutes to roll up again the hour of the one that fails is left, and the others are done."""
    rolling = failing(Clock(START), refusing("commit", "rollups/"))
    newest = minute_floor(START)
    rolling.failed.update(range(newest - 60 * (MAX_FAILED - 1), newest + 60, 60))
    assert rolling.rebuild(newest, START + 10 * MINUTE) == MAX_FAILED - 60
    assert rolling.failed == set(range(newest - 3540, newest + 60, 60))


def test_a_day_of_failed_minutes_is_remembered() -> None:
    """Of more, the newest are, so that the cursor's document is bounded."""
    rolling = failing(Clock(START), refusing("get", "rollups/"))
    newest = minute_floor(START)
    rolling.failed.update(range(newest - 60 * MAX_FAILED, newest, 60))
    assert len(rolling.read(newest, 60)) == 1
    assert len(rolling.failed) == MAX_FAILED
    assert (min(rolling.failed), max(rolling.failed)) == (newest - 60 * (MAX_FAILED - 1), newest)
