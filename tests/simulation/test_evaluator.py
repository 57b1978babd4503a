"""The evaluator under misfortune: a crash, another evaluator or a late chunk at every single call it makes.

Each test plays the same story with the misfortune at the n-th call of the evaluator's ports, for every n, and
compares what is left with the story undisturbed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.adapters.strict_store import StrictStore
from shared.alerts import AlertState, State
from shared.bus import Message
from shared.configuration import document
from shared.conformance.run import with_rules
from shared.errors import PermanentError, TransientError
from shared.evaluator import STATE_PATH, Report
from shared.formats.compact import Chunk, Section, encode
from shared.formats.hour_columns import encode_hour
from shared.hours import hour_of, hour_path, read_hours, roll_up_hour
from shared.logs import Captured
from shared.monitoring_config import MonitoringConfig
from shared.notifications import NotificationKind
from shared.records import lines_in, packed, transitions_in
from shared.rollups import NOT_SETTLED, read_rollups, roll_up, rollup_path
from shared.rules import Aggregation, AlertRule, MetricThreshold, MetricType, Query, Selection, Severity
from shared.self_watch import without_own
from shared.series import Series
from shared.store import Delete, Fields, Put
from shared.tick import Transition
from shared.timeline import from_minute, minute_floor
from tests.exactly_once import message as message_of
from tests.fakes import START, Clock, Countdown, Crash, Hook
from tests.ticks import minutes_after
from tests.world import World, labels, point

MINUTE = timedelta(minutes=1)
SETTLE = timedelta(seconds=5)
MAX_CALLS = 200
RULE = AlertRule(
    "Users",
    "Too many users.",
    MetricType.BUSINESS,
    MetricThreshold(100.0, severity=Severity.CRITICAL),
    evaluation_window=120,
    min_occurrences=1,
    cooldown_period=0,
    notification_channels=("inbox",),
    query=Query(Selection("users_active"), Aggregation.LAST, group_by=("region",)),
)
CONFIG = MonitoringConfig(replace(document.defaults(), rules=(RULE, replace(RULE, name="Others", min_occurrences=2))))


def new_world(at: datetime = START) -> World:
    """A deployment of two rules that has been evaluated up to ``at``, a whole minute, and holds nothing else."""
    clock = Clock(at)
    world = World(SqliteStore(":memory:", clock), clock, config=CONFIG)
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(at)})])
    return world


@dataclass(frozen=True)
class Left:
    """All that evaluations leave behind, apart from when they happened."""

    states: list[AlertState]
    history: list[tuple[str, Fields]]
    rollups: list[tuple[str, bytes]]
    inbox: list[tuple[str, datetime]]


def left_by(world: World) -> Left:
    """What a world holds, after everything was delivered."""
    world.settle_deliveries()
    assert world.store.list("outbox").documents == ()
    return Left(
        world.alerts(),
        [(one.path, one.fields) for one in world.store.list("history").documents],
        [(one.path, one.fields["d"]) for one in world.store.list("rollups").documents],
        [(told.id, told.at) for told in world.inbox()],
    )


def tell(world: World, value: float, back: timedelta = timedelta(seconds=30)) -> None:
    """One value of the gauge in the running minute, published and stored."""
    world.publish(point("users_active", world.clock() - back, value, region="eu"))
    world.deliver()


def play(disturbed: int, evaluate: Callable[[World], None], behind: int = 1) -> Left:
    """Good, good, bad, bad, good, good; evaluated every ``behind`` minutes, number ``disturbed`` in another way.

    The third minute ends an hour, and a late chunk precedes every evaluation but the first, so that all that an
    evaluation does is done.
    """
    world = new_world(START - 3 * MINUTE)
    for number, value in enumerate([10.0, 20.0, 300.0, 400.0, 10.0, 20.0]):
        world.clock.time = from_minute(minute_floor(world.clock()) + 60)
        tell(world, value)
        if (number + 1) % behind:
            continue
        if number >= behind:
            tell(world, value, back=timedelta(minutes=behind, seconds=40))
        if number // behind == disturbed:
            evaluate(world)
        else:
            assert world.evaluate().ended == "caught_up"
        world.deliver()
    return left_by(world)


def undisturbed(behind: int = 1) -> Left:
    """What the story leaves when nothing happens to it."""
    left = play(-1, lambda _: None, behind)
    assert len(left.inbox) == 4, "both rules fire and resolve"
    return left


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("disturbed", [2, 4], ids=["fires", "resolves"])
def test_a_crash_at_any_call(disturbed: int, after: bool) -> None:
    """Wherever an evaluation crashes, the next one leaves the same states, history, rollups and notifications."""
    expected = undisturbed()
    for call in range(MAX_CALLS):
        countdown = Countdown(call, after=after)

        def evaluate(world: World, countdown: Countdown = countdown) -> None:
            try:
                world.crashing(countdown).evaluate()()
            except Crash:
                world.evaluate()

        assert play(disturbed, evaluate) == expected, f"after a crash at call {call}"
        if countdown.calls <= call:
            break
    assert 10 < call < MAX_CALLS, "the list, the rollup, the commit and the publish are among the calls"


@pytest.mark.parametrize(
    ("behind", "other_is_slow"),
    [
        pytest.param(1, False, id="one T"),
        pytest.param(3, False, id="three T"),
        pytest.param(3, True, id="one of three T"),
    ],
)
def test_two_evaluators_interleaved(behind: int, other_is_slow: bool) -> None:
    """Another evaluator that runs inside any call of the first changes nothing: each T is judged by exactly one.

    One whose clock is two minutes slow takes the first T alone and leaves the others.
    """
    expected = undisturbed(behind)
    endings: set[str] = set()
    for call in range(MAX_CALLS):
        reports: list[Report] = []
        hook = Hook(call, lambda: None)

        def evaluate(world: World, hook: Hook = hook, reports: list[Report] = reports) -> None:
            slow = replace(world.services, now=lambda: world.clock() - 2 * MINUTE)
            hook.run = lambda: reports.append(world.evaluate(slow if other_is_slow else None))
            reports.append(world.crashing(hook).evaluate()())
            reports.append(world.evaluate())

        assert play(1, evaluate, behind) == expected, f"another evaluator at call {call}"
        judged = sorted(at for report in reports for at in report.evaluated)
        assert judged == [START + (behind + number - 3) * MINUTE for number in range(1, behind + 1)]
        if hook.calls <= call:
            break
        endings.add(reports[1].ended)
        assert reports[0].ended == reports[2].ended == "caught_up"
    assert endings == {"lost_race", "caught_up"}


def late_message(world: World, ends: datetime, seq: int) -> Message:
    """A message of one writer with a value in the minute that ends at ``ends``, as ingest is given it."""
    at = ends - timedelta(seconds=seq)
    data = world.publish(point("users_active", at, float(seq), region="eu"), writer="w", boot="b", seq=seq)
    return message_of(data, world.clock)


def rolled_up(world: World, minute: int) -> list[bytes]:
    """The bytes of a minute's rollup and of its hour's, less what they say of the monitoring, as of a late chunk."""
    cells = without_own(read_rollups(world.store, [minute], world.clock())[minute])
    hour = hour_of(minute)
    found = read_hours(world.store, [hour], world.clock())[hour]
    merged = without_own(found.cells)
    rows = np.array([found.cells.series.index(name) for name in merged.series])
    return [
        encode(Chunk("", "", None, (Section(minute, cells),)), rollup=True),
        encode_hour(hour, merged, found.slots.take(rows)),
    ]


def stored(world: World, minute: int) -> list[Any]:
    """The bytes of a minute's rollup and of its hour's, as they are stored."""
    paths = [rollup_path(minute), hour_path(hour_of(minute))]
    found = world.store.get(paths)
    return [found[path].fields["d"] for path in paths]


def roll_up_again(world: World, minute: int) -> None:
    """Roll a minute and its hour up from scratch."""
    world.store.commit([Delete(rollup_path(minute)), Delete(hour_path(hour_of(minute)))])
    roll_up(world.store, minute, world.clock(), SETTLE)
    roll_up_hour(world.store, hour_of(minute), world.clock())


def from_scratch(ends: datetime, seqs: int) -> list[bytes]:
    """What is rolled up of a minute when its messages are all there before."""
    world = new_world()
    for seq in range(1, seqs + 1):
        world.services.ingest()(late_message(world, ends, seq))
    world.clock.time = START + MINUTE
    roll_up_again(world, minute_floor(ends))
    return rolled_up(world, minute_floor(ends))


@pytest.mark.parametrize("another", [False, True], ids=["alone", "and another evaluator"])
@pytest.mark.parametrize("late_before", [False, True], ids=["first rollup", "rebuild"])
@pytest.mark.parametrize("back_minutes", [0, 1], ids=["last minute of an hour", "minute before"])
def test_a_late_chunk_at_any_call(back_minutes: int, late_before: bool, another: bool) -> None:
    """A chunk stored at any call of an evaluation is in minute and hour after the next, byte for byte as from scratch.

    The evaluation at 12:00 rolls up minute and hour; the one after it rebuilds them. With another evaluator that runs
    right after the chunk was stored, the first one's listing is the older of two.
    """
    ends = START - back_minutes * MINUTE
    seqs = 3 if late_before else 2
    expected = from_scratch(ends, seqs)
    for call in range(MAX_CALLS):
        world = new_world(ends - MINUTE)
        world.services.ingest()(late_message(world, ends, 1))
        world.clock.time = START
        if late_before:
            world.evaluate()
            world.services.ingest()(late_message(world, ends, 2))
            world.clock.time = START + MINUTE

        def late(world: World = world) -> None:
            world.services.ingest()(late_message(world, ends, seqs))
            if another:
                world.evaluate()

        hook = Hook(call, late)
        world.crashing(hook).evaluate()()
        if hook.calls <= call:
            break
        world.clock.time += MINUTE
        world.evaluate()
        assert rolled_up(world, minute_floor(ends)) == expected, f"stored before call {call}"
        before = stored(world, minute_floor(ends))
        roll_up_again(world, minute_floor(ends))
        assert stored(world, minute_floor(ends)) == before
        world.clock.time += MINUTE
        world.evaluate()
        assert world.store.list("late").documents == (), "a marker that was raced is deleted in the end"
    assert 5 < call < MAX_CALLS


def test_a_rebuild_leaves_what_was_judged() -> None:
    """A late value above the limit is in the rollup, but its T is not judged again."""
    world = new_world()
    world.clock.time = START + MINUTE
    tell(world, 10.0)
    world.evaluate()
    world.clock.time = START + 3 * MINUTE
    world.evaluate()
    tell(world, 900.0, back=timedelta(minutes=2, seconds=10))
    assert world.totals([minute_floor(START + MINUTE)])[Series("users_active", labels(region="eu"))] == (1, 10.0)
    world.clock.time = START + 4 * MINUTE
    assert world.evaluate().rebuilt_minutes == 1
    assert world.totals([minute_floor(START + MINUTE)])[Series("users_active", labels(region="eu"))] == (2, 910.0)
    assert (world.alerts(), world.inbox()) == ([], [])


def changes(world: World) -> list[Transition]:
    """The history of states, apart from who heard of them."""
    documents = world.store.list("history").documents
    return [replace(one, held="") for document in documents for one in transitions_in(document)]


@pytest.mark.parametrize("outage_minutes", [2, 30])
def test_catching_up(outage_minutes: int) -> None:
    """After an outage one call judges each T once, oldest first, with the states and history of one that was in time.

    What fired and ended more than ten minutes ago is told in one summary, and all else as if it had been in time.
    """
    worlds = new_world(), new_world()
    for number in range(outage_minutes + 2):
        for index, world in enumerate(worlds):
            world.clock.time = START + (number + 1) * MINUTE
            tell(world, 300.0 if number % 5 > 2 else 10.0)
            if index == 0 or number == 0:
                world.evaluate()
    in_time, behind = worlds
    report = behind.evaluate()
    assert report.ended == "caught_up"
    assert list(report.evaluated) == [START + (number + 2) * MINUTE for number in range(outage_minutes + 1)]
    expected, found = left_by(in_time), left_by(behind)
    assert replace(found, inbox=[], history=[]) == replace(expected, inbox=[], history=[])
    assert changes(behind) == changes(in_time)
    told_from = report.evaluated[-1] - 10 * MINUTE
    summaries = [one for one in behind.inbox() if one.kind is NotificationKind.SUMMARY]
    assert [one for one in found.inbox if "summary" not in one[0]] == [
        one for one in expected.inbox if one[1] >= told_from
    ]
    ended = [one for one in expected.inbox if one[1] < told_from and "resolved" in one[0]]
    assert [(one.at, one.value) for one in summaries] == ([(told_from, len(ended))] if ended else [])
    assert len(ended) == (8 if outage_minutes == 30 else 0)


def test_the_first_call_ever_begins_with_the_newest_minute() -> None:
    """Without a cursor nothing before the newest minute is judged, but the last hour is rolled up."""
    clock = Clock(START - MINUTE)
    world = World(SqliteStore(":memory:", clock), clock, config=CONFIG)
    tell(world, 300.0)
    clock.time = START + timedelta(minutes=9, seconds=59)
    report = world.evaluate()
    assert (list(report.evaluated), report.transitions) == ([START + 9 * MINUTE], ())
    assert len(rolled_up(world, minute_floor(START - MINUTE))) == 2


def test_out_of_time() -> None:
    """A call that is over its budget stops between two T, says so, and the next goes on there."""
    world = new_world()
    for number in range(12):
        world.clock.time = START + (number + 1) * MINUTE
        tell(world, 300.0 if 4 <= number < 8 else 10.0)
    slow = world.crashing(Hook(None, lambda: world.clock.sleep(0.25)))
    reports: list[Report] = []
    while not reports or reports[-1].ended != "caught_up":
        reports.append(replace(slow.evaluate(), budget=timedelta(seconds=5))())
    assert len(reports) > 2
    assert {report.ended for report in reports[:-1]} == {"out_of_time"}
    judged = [at for report in reports for at in report.evaluated]
    assert judged == [START + (number + 1) * MINUTE for number in range(12)]
    assert len(left_by(world).inbox) == 4


@pytest.mark.parametrize("early_seconds", [60.0, 0.0, -4.9, -5.0, -59.9])
def test_nothing_is_rolled_up_before_it_has_settled(early_seconds: float) -> None:
    """A minute's rollup is read from the store at its end + 5 s or later, whenever the call began."""
    world = new_world()
    tell(world, 10.0, back=timedelta(seconds=-30))
    world.clock.time = START + MINUTE - timedelta(seconds=early_seconds)
    report = world.evaluate()
    path = rollup_path(minute_floor(START + MINUTE))
    found = world.store.get([path])
    if early_seconds > 0:
        assert (report.evaluated, found) == ((), {})
    else:
        assert list(report.evaluated) == [START + MINUTE]
        assert found[path].fields["read_at"] >= START + MINUTE + SETTLE


@pytest.mark.parametrize(("before_settled_seconds", "marked"), [(1.2, False), (0.1, True)], ids=["before", "within"])
def test_a_chunk_stored_while_the_minute_settles_is_judged(before_settled_seconds: float, marked: bool) -> None:
    """What comes until 5 s after the minute's end is in the value.

    Within the last second it is marked as late, too, because a listing could have lacked it; the next evaluation takes
    the marker away.
    """
    world = new_world()
    world.clock.time = START + MINUTE

    def sleep(seconds: float) -> None:
        world.clock.sleep(seconds - before_settled_seconds)
        world.services.ingest()(message_of(world.publish(point("users_active", START + MINUTE, 500.0)), world.clock))
        world.clock.sleep(before_settled_seconds)

    report = replace(world.services, sleep=sleep).evaluate()()
    assert [one.value for one in report.transitions if one.rule_id == "users"] == [500.0]
    assert len(world.store.list("late").documents) == marked
    world.next_minute()
    assert world.store.list("late").documents == ()


@pytest.mark.parametrize(("settle_seconds", "found"), [(2.0, False), (5.0, True), (9.0, True)])
def test_an_evaluator_of_another_version(settle_seconds: float, found: bool) -> None:
    """Beside today's ingest, an evaluator that settles as late or later misses nothing; one that settles sooner does.

    So whoever raises the settling time deploys the evaluator first, and whoever lowers it, ingest.
    """
    world = new_world()
    world.clock.time = START + MINUTE
    replace(world.services.evaluate(), settle=timedelta(seconds=settle_seconds))()
    world.services.ingest()(late_message(world, START + MINUTE, 1))
    world.clock.time += MINUTE
    world.evaluate()
    assert world.totals([minute_floor(START + MINUTE)]) == (
        {Series("users_active", labels(region="eu")): (1, 1.0)} if found else {}
    )


@pytest.mark.parametrize(("behind_seconds", "evaluated"), [(3, True), (3600, False)], ids=["a little", "an hour"])
def test_a_store_whose_clock_is_behind(behind_seconds: int, evaluated: bool) -> None:
    """The store's clock decides: the evaluator waits for it for some seconds, and otherwise rolls nothing up."""
    clock = Clock(START - MINUTE)
    world = World(SqliteStore(":memory:", lambda: clock() - timedelta(seconds=behind_seconds)), clock, config=CONFIG)
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(clock())})])
    path = rollup_path(minute_floor(START))
    clock.time = START
    tell(world, 10.0)
    if evaluated:
        assert list(world.evaluate().evaluated) == [START]
        assert world.store.get([path])[path].fields["read_at"] >= START + SETTLE
        return
    with pytest.raises(TransientError) as raised:
        world.evaluate()
    assert raised.value.reason == NOT_SETTLED
    assert world.store.get([path]) == {}


@pytest.mark.parametrize("error", [TransientError("unavailable"), PermanentError("unknown_topic")], ids=str)
def test_a_bus_that_takes_nothing_stops_no_evaluation(error: Exception) -> None:
    """While the bus is away every T is judged and committed, every call fails by name, and nothing is lost."""
    world = new_world()

    def refuse() -> None:
        raise error

    away = replace(world.services, bus=world.crashing(Hook(None, refuse)).bus)
    for number, value in enumerate([300.0, 300.0, 10.0]):
        world.clock.time = START + (number + 1) * MINUTE
        tell(world, value)
        with pytest.raises(TransientError) as raised:
            world.evaluate(away)
        assert raised.value.reason == "outbox_unpublished"
    assert [one.path for one in world.store.list("history").documents] == [
        f"history/20251018T120{number}~{part}" for number in (1, 2, 3) for part in ("000", "n000")
    ]
    world.clock.time = START + 4 * MINUTE
    assert world.evaluate().published == 4
    assert len(left_by(world).inbox) == 4


STORM = tuple(replace(RULE, name=f"Storm {number}", threshold=MetricThreshold(100.0)) for number in range(3))
REGIONS = 900


def test_thousands_fire_resolve_and_are_removed_at_once() -> None:
    """2,700 alerts of three rules change at one T, whatever they do, in one commit that production takes; all are told.

    They fire, resolve, fire again, and end by the name ``rule_removed`` when the rules are gone.
    """
    clock = Clock(START)
    world = World(StrictStore(SqliteStore(":memory:", clock), clock), clock, config=with_rules(STORM))
    world.store.commit([Put(STATE_PATH, {"minute": minute_floor(START)})])
    gone = replace(world.services, config=with_rules(()))
    said: list[Counter[str]] = []
    for number, value in enumerate([500.0, 1.0, 500.0, 500.0]):
        clock.time = START + (number + 1) * MINUTE
        at = clock() - timedelta(seconds=30)
        points = [point("users_active", at, value, region=f"r{region}") for region in range(REGIONS)]
        world.services.ingest()(message_of(json.dumps({"version": 1, "points": points}).encode(), clock))
        report = world.evaluate(gone if number == 3 else None)
        assert (report.ended, len(report.evaluated), report.failures) == ("caught_up", 1, ())
        said.append(Counter(one.reason.value for one in report.transitions))
        assert report.published == len(report.transitions) == len(STORM) * REGIONS
    assert [dict(one) for one in said] == [
        {reason: len(STORM) * REGIONS} for reason in ("fired", "resolved", "fired", "rule_removed")
    ]
    assert {alert.state for alert in world.alerts()} == {State.INACTIVE}, "what is left is the cooldown's memory"
    assert world.bus.undelivered()["notifications-notify"] == 4 * len(STORM) * REGIONS


MENDED = replace(RULE, name="Broken", threshold=MetricThreshold(1e9))
BROKEN = {
    "asks a view that is not there": replace(MENDED, query=None, collection="nowhere"),
    "is never due": replace(MENDED, evaluation_frequency=0),
    "selects nothing": replace(MENDED, query=Query(None)),  # type: ignore[arg-type]  # as a program may that makes rules
}  # fmt: skip
"""Rules that raise when they are judged; the configuration's reader lets none of them in."""


@pytest.mark.parametrize(("broken", "error"), [
    pytest.param(broken, error, id=name) for (name, broken), error in zip(
        BROKEN.items(), ["unknown collection", "ZeroDivisionError", "AttributeError"], strict=True)
])  # fmt: skip
def test_a_rule_that_raises_stops_no_other_and_alerts_on_itself(broken: AlertRule, error: str) -> None:
    """The others fire and resolve as ever; the rule fires an alert on itself that names the error, until it is mended.

    The failure is in the report, and beside the cursor for as long as it lasts; it is told once.
    """
    world = new_world()
    reports: list[Report] = []
    failures: list[list[str]] = []
    for number, (value, rule) in enumerate([(10.0, broken), (300.0, broken), (10.0, broken), (10.0, MENDED)]):
        world.clock.time = START + (number + 1) * MINUTE
        tell(world, value)
        config = with_rules((rule, *CONFIG.settings.rules))
        reports.append(world.evaluate(replace(world.services, config=config)))
        failures.append(world.store.get([STATE_PATH])[STATE_PATH].fields["failures"])
    world.settle_deliveries()
    assert [len(report.evaluated) for report in reports] == [1, 1, 1, 1]
    assert [[one.rule_id for one in report.failures] for report in reports] == [["broken"]] * 3 + [[]]
    assert [[error in line for line in lines] for lines in failures] == [[True]] * 3 + [[]]
    said = {(one.rule_id, one.kind.value): one for one in world.inbox()}
    assert {key: (minutes_after(one.at), minutes_after(one.fired_at)) for key, one in said.items()} == {
        ("broken", "firing"): (1, 1), ("broken", "resolved"): (4, 1), ("users", "firing"): (2, 2),
        ("users", "resolved"): (3, 2),
    }  # fmt: skip
    firing, resolved = said["broken", "firing"], said["broken", "resolved"]
    assert (firing.about, firing.reason, resolved.reason) == ("failure", "rule_failed", "rule_works")
    assert error in firing.description
    assert error not in resolved.description
    assert len(world.inbox()) == 4


def test_what_cannot_be_read_stops_nothing() -> None:
    """Records of another version, in every collection that an evaluation reads, are logged and passed over.

    What is beside them is read: the alert that fires resolves, and what the outbox holds is published.
    """
    world = new_world()
    world.clock.time = START + MINUTE
    tell(world, 300.0)
    world.evaluate()
    world.deliver()
    (told,) = world.inbox()
    strange = b'{"rule": "users", "severity": "worst", "state": "firing"}'
    (users,) = [one for one in world.store.list("alerts").documents if one.path == "alerts/users"]
    ended = START + timedelta(days=30)
    world.store.commit([
        Put("alerts/users", {"d": packed([strange, *lines_in(users)])}),
        Put("alerts/odd", {"d": packed([b"[]", b"{"])}),
        Put("alerts/torn", {"d": b"torn"}),
        Put("alerts/new", {"lines": []}),
        Put("silences/odd", {"who": "ops", "expires_at": ended}),
        Put("outbox/20251018T1200~000", {"d": b"torn"}),
        Put("outbox/20251018T1200~001", {"d": packed([b'{"about": "nothing"}', told.to_json()])}),
    ])  # fmt: skip
    world.clock.time = START + 2 * MINUTE
    tell(world, 10.0)
    with Captured() as logs:
        assert world.evaluate().ended == "caught_up"
    assert Counter(event["path"] for event in logs.events if event["severity"] == "ERROR") == Counter({
        "alerts/users": 1, "alerts/odd": 2, "alerts/torn": 1, "alerts/new": 1, "silences/odd": 1,
        "outbox/20251018T1200~000": 2, "outbox/20251018T1200~001": 1,
    })  # fmt: skip
    assert [one.path for one in world.store.list("alerts").documents] == [
        "alerts/new", "alerts/odd", "alerts/torn"
    ]  # fmt: skip
    assert [one.path for one in world.store.list("outbox").documents] == ["outbox/20251018T1200~000"]
    world.settle_deliveries()
    assert [(one.rule_id, one.kind.value) for one in world.inbox()] == [("users", "firing"), ("users", "resolved")]
