"""Live history replayed by a backtest: the same where nothing interfered, and every difference has its name."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared import rolling
from shared.acks import Ack
from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import State, fingerprint
from shared.backtest.causes import Cause, Replayed
from shared.backtest.compare import Comparison, compare
from shared.backtest.stored import Stored
from shared.buckets import SETTLE
from shared.conformance.run import config_of
from shared.errors import PermanentError, TransientError
from shared.monitoring_config import MonitoringConfig
from shared.records import packed, transition_line, transitions_in
from shared.silences import Matcher, Silence
from shared.store import Absent, Put
from shared.tick import Transition
from shared.timeline import MINUTE_SECONDS, from_minute, minute_floor
from shared.usual import learn
from shared.usual_store import Learned, put_baselines, rule_key
from tests.fakes import START, Clock
from tests.stories import FIRST, MINUTES, first_known, native, story
from tests.world import World, labels, point

HOT = {
    "name": "Hot",
    "metric_type": "cpu_utilization",
    "threshold": {"value": 80, "severity": "critical"},
    "evaluation_window": 60,
    "min_occurrences": 2,
    "cooldown_period": 0,
    "notification_channels": ["inbox"],
    "query": {"select": {"metric": "cpu_utilization"}, "group_by": ["region"]},
}
GOOD, BAD = 50.0, 95.0


class Deployment:
    """A deployment with one rule, to which each minute gives some regions' values."""

    def __init__(self, **fields: object) -> None:
        self.clock = Clock(START - timedelta(minutes=1))
        self.config = config_of([HOT | fields])
        self.world = World(SqliteStore(":memory:", self.clock, synchronous="OFF"), self.clock, config=self.config)
        self.minute()

    def minute(self, **regions: float) -> datetime:
        """A minute in which regions report, and its evaluation; T."""
        at = self._publish(self._next(), regions)
        self.world.next_minute()
        return at

    def minutes(self, values: Sequence[float], region: str = "eu") -> datetime:
        """Minutes of one region; the last T."""
        return [self.minute(**{region: value}) for value in values][-1]

    def away(self, values: Sequence[float], region: str = "eu") -> None:
        """Minutes in which nobody evaluates."""
        for value in values:
            self._publish(self._next(), {region: value})
            self.clock.time = from_minute(self._next())
            self.world.deliver()

    def late(self, minutes_ago: int, **regions: float) -> None:
        """What regions measured in an earlier minute comes only now."""
        self._publish(self._next() - minutes_ago * MINUTE_SECONDS, regions)
        self.world.deliver()

    def configure(self, **fields: object) -> None:
        """Another configuration from here on."""
        self.config = config_of([HOT | fields])
        self.world.services = replace(self.world.services, config=self.config)

    def _next(self) -> int:
        return minute_floor(self.clock()) + MINUTE_SECONDS

    def _publish(self, minute: int, regions: Mapping[str, float]) -> datetime:
        at = from_minute(minute) - timedelta(seconds=30)
        for region, value in regions.items():
            self.world.publish(point("cpu_utilization", at, value, region=region))
        return from_minute(minute)

    def compared(self, hours: float = 24, earlier: Sequence[MonitoringConfig] = ()) -> Comparison:
        """The replay of the last hours beside what happened, long enough after for all to be delivered."""
        self.world.settle_deliveries()
        stored = Stored(self.world.store, self.clock() + timedelta(hours=1))
        span = stored.judged(stored.span(hours))
        history = stored.history(span, cooldown_seconds=7200)
        known, made_at = stored.baselines([self.config]), stored.made_at([self.config])
        then = Replayed(self.config, history, stored.rolled_up_at, earlier, stored.first_judged(), known, made_at)
        return compare(stored, span, then)

    def silence(self, starts_at: datetime, ends_at: datetime) -> None:
        """Somebody silences the rule."""
        matchers = (Matcher("rule", "hot"),)
        silence = Silence("s1", matchers, starts_at, ends_at, "ann", "known", self.clock())
        self.world.store.commit([silence.write(Absent())])


def causes(found: Comparison) -> dict[str, Cause]:
    """The cause of each difference, by what differs; each kind of difference has one cause."""
    told = {("told " if one.told else "") + one.what: one.cause for one in found.differences}
    assert all(one.cause is told[("told " if one.told else "") + one.what] for one in found.differences)
    return told


def test_where_nothing_interferes_nothing_differs() -> None:
    """Episodes of two regions, a gap and a short one are replayed to the same transitions and notifications."""
    live = Deployment()
    for eu, us in [(GOOD, GOOD), (BAD, GOOD), (BAD, BAD), (GOOD, BAD), (BAD, BAD), (GOOD, GOOD)]:
        live.minute(eu=eu, us=us)
    live.minute()
    live.minutes([GOOD, BAD, BAD])
    found = live.compared()
    assert found.differences == ()
    assert found.live_transitions == found.replayed_transitions == 10
    assert found.live_told == found.replayed_told == 5


def test_alerts_that_were_told_together_are_compared_one_by_one() -> None:
    """Two regions that fire at once are one message live and two alerts in history, as in the replay."""
    live = Deployment()
    for value in (GOOD, BAD, BAD, GOOD):
        live.minute(eu=value, us=value)
    found = live.compared()
    assert found.differences == ()
    assert found.live_told == found.replayed_told == 4
    assert len(live.world.inbox()) == 2
    stored = Stored(live.world.store, live.clock())
    told = stored.history(stored.span(1)).tellings()
    assert [[one.kind for one in tellings] for tellings in told.values()] == [["firing", "resolved"]] * 2


def test_late_data_is_named() -> None:
    """What a minute holds only after it was judged makes the replay fire, from there to the end of the episode."""
    live = Deployment()
    live.minutes([GOOD, GOOD])
    live.minute()
    live.minute()
    live.late(1, eu=BAD)
    live.late(2, eu=BAD)
    live.minutes([GOOD, GOOD])
    assert set(causes(live.compared()).items()) == {
        (what, Cause.LATE_DATA) for what in ("started", "fired", "resolved", "told firing", "told resolved")
    }


def test_late_data_explain_what_follows_from_them_and_nothing_else() -> None:
    """Until an alert is inactive on both sides what follows has the same cause; another region's alert agrees."""
    live = Deployment(min_occurrences=3)
    live.minute(eu=GOOD, us=GOOD)
    live.minute(us=BAD)
    live.late(1, eu=BAD)  # the replay begins to count here
    for eu, us in [(BAD, BAD), (BAD, BAD), (BAD, BAD), (BAD, GOOD), (GOOD, GOOD)]:
        live.minute(eu=eu, us=us)
    live.minutes([BAD, BAD, BAD, GOOD])
    found = live.compared()
    assert {one.labels for one in found.differences} == {labels(region="eu")}
    assert {one.cause for one in found.differences} == {Cause.LATE_DATA}
    assert max(one.at for one in found.differences) < live.clock() - timedelta(minutes=3), "the second episode agrees"


def test_data_that_were_late_but_seen_explain_nothing() -> None:
    """A minute that was complete when it was judged, however late that was, is no cause."""
    live = Deployment()
    live.minutes([GOOD, GOOD])
    live.away([BAD, BAD])
    live.late(2, eu=BAD)
    live.minutes([BAD, GOOD])
    found = live.compared()
    assert found.differences == ()
    assert found.live_transitions == 3


def test_a_changed_configuration_is_named() -> None:
    """What an earlier configuration judged otherwise is its doing; where that one is given, nothing differs."""
    live = Deployment()
    before = live.config
    live.minutes([GOOD, BAD, BAD, GOOD, 70.0, 70.0, 70.0, BAD, BAD, GOOD, GOOD])
    live.configure(threshold={"value": 60, "severity": "critical"})
    live.minutes([GOOD, 70.0, 70.0, GOOD])
    found = live.compared()
    assert set(found.causes()) == {Cause.CONFIGURATION}
    assert live.compared(earlier=[before]).differences == ()


def test_what_began_before_the_replay_is_named() -> None:
    """The end of an episode that had begun before the replay differs, because the replay knows another beginning."""
    live = Deployment()
    live.minutes([GOOD, *[BAD] * 20, GOOD, GOOD, BAD, BAD, GOOD])
    found = live.compared(hours=10 / 60)
    assert set(found.causes()) == {Cause.BEGAN_BEFORE}
    assert max(one.at for one in found.differences) < live.clock() - timedelta(minutes=3), "the next episode agrees"


def test_what_still_fires_and_began_before_is_named() -> None:
    """An alert that fired before the replay and fires still has no transition in it: its state says so."""
    live = Deployment()
    live.minutes([GOOD, *[BAD] * 20])
    assert causes(live.compared(hours=10 / 60)) == dict.fromkeys(
        ("started", "fired", "told firing"), Cause.BEGAN_BEFORE
    )


def test_a_silence_is_named() -> None:
    """What fires and ends under a silence was told to nobody, and its transitions agree."""
    live = Deployment()
    at = live.minutes([GOOD, GOOD])
    live.silence(at, at + timedelta(hours=1))
    live.minutes([BAD, BAD, GOOD])
    assert causes(live.compared()) == dict.fromkeys(("told firing", "told resolved"), Cause.SILENCE)


def test_a_silence_that_ends_in_time_changes_nothing_but_the_cooldown() -> None:
    """What still fires when a silence ends is told then, so the next episode falls into its cooldown."""
    live = Deployment(cooldown_period=600)
    at = live.minutes([GOOD, GOOD])
    live.silence(at, at + timedelta(minutes=8))
    live.minutes([*[BAD] * 9, GOOD, GOOD, BAD, BAD, BAD, GOOD])
    assert causes(live.compared()) == dict.fromkeys(("told firing", "told resolved"), Cause.COOLDOWN)


def test_an_episode_that_was_told_because_the_one_before_was_not() -> None:
    """A silence leaves no cooldown: the next episode was told, which the rules alone would have held."""
    live = Deployment(cooldown_period=600)
    at = live.minutes([GOOD, GOOD])
    live.silence(at, at + timedelta(minutes=5))
    live.minutes([BAD, BAD, GOOD, GOOD, GOOD, BAD, BAD, GOOD])
    found = live.compared()
    assert {(one.what, one.live, one.cause) for one in found.differences} == {
        (what, is_live, Cause.SILENCE) for what in ("firing", "resolved") for is_live in (True, False)
    }


def test_an_acknowledgement_is_named() -> None:
    """An alert that somebody acknowledged was not escalated."""
    live = Deployment()
    fired_at = live.minutes([GOOD, BAD, BAD])
    ack = Ack(fingerprint("hot", labels(region="eu")), fired_at, "ann", live.clock())
    live.world.store.commit([ack.write()])
    live.minutes([BAD] * 35)
    assert causes(live.compared()) == {"told escalated": Cause.ACKNOWLEDGEMENT}


def test_a_catch_up_is_named() -> None:
    """What fired and ended while nobody evaluated was told in one summary."""
    live = Deployment()
    live.minutes([GOOD, GOOD])
    live.away([BAD, BAD, BAD, GOOD, *[GOOD] * 14])
    live.minute(eu=GOOD)
    assert causes(live.compared()) == dict.fromkeys(("told firing", "told resolved", "told summary"), Cause.CATCH_UP)


def test_a_rollup_that_failed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """While minutes cannot be rolled up, the rules judge chunks that the replay has no rollup of; then it has them."""
    live = Deployment()
    live.minutes([GOOD, GOOD])

    def fails(*_: object) -> None:
        raise PermanentError("document_too_large")

    with monkeypatch.context() as patch:
        patch.setattr(rolling, "roll_up", fails)
        live.minutes([BAD, BAD, BAD, GOOD, GOOD])
        found = live.compared()
        assert {one.rule_id for one in found.differences} == {"~rollup", "hot"}
        assert set(found.causes()) == {Cause.ROLLUP_FAILED}
    live.minutes([GOOD, GOOD])
    found = live.compared()
    assert {one.rule_id for one in found.differences} == {"~rollup"}
    assert set(found.causes()) == {Cause.ROLLUP_FAILED}


def test_what_another_channel_took_is_no_difference() -> None:
    """A notification whose channel is not set up was told through another, so nothing was kept from anybody."""
    live = Deployment(notification_channels=["webhook"])
    live.minutes([GOOD, BAD, BAD, GOOD])
    assert len(live.world.inbox()) == 2
    assert causes(live.compared()) == {}


def test_what_the_bus_did_not_take_is_named() -> None:
    """A notification that was decided and is still in the outbox, however long since, was not delivered."""
    live = Deployment()
    live.minutes([GOOD, GOOD])
    live.world.services = replace(live.world.services, topic=lambda _: "gone")
    for value in (BAD, BAD):
        with contextlib.suppress(TransientError):
            live.minute(eu=value)
    found = live.compared()
    assert causes(found) == {"told firing": Cause.NOT_DELIVERED}


def test_an_alert_that_another_kept_quiet_is_explained_by_that_one() -> None:
    """What fired live alone kept another rule quiet there: both differ for the same reason."""
    live = Deployment()
    full = HOT | {"name": "Full", "min_occurrences": 3, "inhibited_by": ["hot"]}
    live.config = config_of([HOT, full | {"query": {"select": {"metric": "memory_utilization"}}}])
    live.world.services = replace(live.world.services, config=live.config)
    for value in (GOOD, BAD, BAD, BAD, BAD):
        live.world.publish(point("memory_utilization", live.clock() + timedelta(seconds=30), value, region="eu"))
        live.minute(eu=value)
    for minutes_ago in (1, 2, 3, 4):
        live.late(minutes_ago, eu=-1000.0)
    live.minute(eu=BAD)
    found = live.compared()
    assert {one.cause for one in found.differences} == {Cause.LATE_DATA}
    assert [(one.what, one.live) for one in found.differences if one.rule_id == "full"] == [("firing", False)]


def test_a_history_that_nothing_explains_is_said_to_be_so() -> None:
    """A transition that the engine did not make, and one that it made and that is gone, have no cause."""
    live = Deployment()
    live.minutes([GOOD, BAD, BAD, GOOD, GOOD])
    document = live.world.store.list("history").documents[1]
    (fired,) = transitions_in(document)
    assert fired.after is State.FIRING
    invented: Transition = replace(fired, labels=labels(region="us"), fingerprint="f" * 16)
    fields = {**document.fields, "d": packed([transition_line(invented)])}
    live.world.store.commit([Put(document.path, fields)])
    found = live.compared()
    assert {one.what: one.cause for one in found.differences if not one.told} == {"fired": Cause.UNEXPLAINED}
    assert [one.labels for one in found.differences if not one.told] == [labels(region="eu"), labels(region="us")]


def lived(seed: int) -> World:
    """A deployment that went through a story of drawn rules, points and late points."""
    told = story(seed)
    clock = Clock(START - timedelta(seconds=MINUTE_SECONDS))
    world = World(SqliteStore(":memory:", clock, synchronous="OFF"), clock, seed=seed, config=told.config)
    for minute in range(FIRST, FIRST + MINUTE_SECONDS * MINUTES, MINUTE_SECONDS):
        points = [native(point) for point in told.points if first_known(point) == minute]
        if points:
            world.publish(*points)
        world.next_minute()
    world.settle_deliveries()
    return world


@pytest.mark.parametrize("seed", range(12))
def test_every_difference_of_a_story_is_explained(seed: int) -> None:
    """Drawn rules over drawn series, some of whose points are late: no difference is without a cause."""
    world = lived(seed)
    stored = Stored(world.store, world.clock() + SETTLE)
    span = stored.judged(stored.span(24))
    assert span.first == FIRST
    found = compare(stored, span, Replayed(world.services.config, stored.history(span), stored.rolled_up_at))
    assert set(found.causes()) <= {Cause.LATE_DATA, Cause.NOT_DELIVERED}
    assert found.live_transitions > 0


def test_a_baseline_that_was_made_again_is_a_cause() -> None:
    """With the baseline that judged there is no difference; with one that was made later, that is the cause."""
    deployment = Deployment(threshold={"baseline": "3_sigma", "severity": "critical"})
    rule = deployment.config.list_alert_rules()[0]

    def learned(level: float, made_at: datetime) -> None:
        times = [minute_floor(START) - 300 * step for step in range(600, 0, -1)]
        usual = learn([(at, level + at // 300 % 3) for at in times])
        assert usual is not None
        key = rule_key(deployment.config, rule)
        deployment.world.store.commit([put_baselines(Learned(key, made_at, {labels(region="eu"): usual}))])

    learned(GOOD, START - timedelta(hours=1))
    deployment.minutes([GOOD] * 3 + [BAD] * 5 + [GOOD] * 3)
    same = deployment.compared()
    assert (same.live_transitions, same.differences) == (3, ())
    learned(BAD, deployment.clock())
    found = deployment.compared()
    assert found.replayed_transitions == 0
    assert set(found.causes()) == {Cause.BASELINE}
