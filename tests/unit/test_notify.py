"""Notify: one notification, its channels, and whatever happens between claim, send and record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import Told
from shared.bus import Message
from shared.channels import Busy, Channel, Gone, Turn
from shared.channels.inbox import InboxChannel
from shared.deliveries import KEPT, LEASE, DeliveryState, delivery_path
from shared.errors import PermanentError, TransientError
from shared.logs import Captured
from shared.notifications import Notification, NotificationKind
from shared.notify import PATIENCE, Delivered, Notify
from shared.outages import read_outages
from shared.rules import Operator, Severity
from shared.store import Delete, Store
from shared.turns import Turns
from tests.fakes import START, Clock, Countdown, Crash, CrashingStore, FakeChannel, Hook
from tests.world import labels

FIRING = Notification(
    kind=NotificationKind.FIRING,
    fingerprint="0123456789abcdef",
    rule_id="users",
    rule_name="Users",
    description="Too many users.",
    severity=Severity.CRITICAL,
    labels=labels(region="eu"),
    value=300.0,
    unit="",
    operator=Operator.GREATER,
    threshold=100.0,
    fired_at=START,
    at=START,
    reason="fired",
    channels=("one", "two"),
    config_hash="abc",
)
RESOLVED = replace(
    FIRING,
    kind=NotificationKind.RESOLVED,
    at=START + timedelta(minutes=5),
    reason="resolved",
    follows=(Told(FIRING.id, FIRING.channels),),
)
OLDER = replace(FIRING, fired_at=START - timedelta(hours=1))


class Bench:
    """A store, a clock and two channels, ``one`` and ``two``."""

    def __init__(self, one: FakeChannel | None = None, two: FakeChannel | None = None) -> None:
        self.clock = Clock()
        self.store: Store = SqliteStore(":memory:", self.clock)
        self.one = one or FakeChannel()
        self.two = two or FakeChannel()
        self.channels: Mapping[str, Channel] = {"one": self.one, "two": self.two}

    def notify(self, notification: Notification = FIRING, store: Store | None = None) -> list[Delivered]:
        """Deliver a notification once."""
        message = Message(notification.to_json(), {}, "id", self.clock())
        return Notify(store or self.store, self.channels, self.clock)(message)

    def fails(self, notification: Notification = FIRING, store: Store | None = None) -> str:
        """Deliver it, and give the reason of the TransientError that must be raised."""
        with pytest.raises(TransientError) as raised:
            self.notify(notification, store)
        return raised.value.reason

    def record(self, channel: str, notification: Notification = FIRING) -> dict[str, Any]:
        """What is recorded of a delivery."""
        path = delivery_path(notification.id, channel)
        return dict(self.store.get([path])[path].fields)

    def states(self, notification: Notification = FIRING) -> list[str]:
        """The recorded states on both channels."""
        return [self.record(channel, notification)["state"] for channel in ("one", "two")]


def test_delivered_again_it_is_sent_once() -> None:
    """However often the message comes, each channel gets it once, and the answer is the same."""
    bench = Bench()
    first = bench.notify()
    assert [bench.notify() for _ in range(3)] == [first] * 3
    assert first == [Delivered(name, DeliveryState.SENT, "taken") for name in ("one", "two")]
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id], [FIRING.id])


def test_another_delivery_while_it_is_being_sent() -> None:
    """While one delivery holds the claim another sends nothing and is told to come again."""
    reasons: list[str] = []
    bench = Bench(one=FakeChannel(lambda: reasons.append(bench.fails())))
    bench.notify()
    assert reasons == ["delivery_claimed"]
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id], [FIRING.id])


@pytest.mark.parametrize("call", range(8))
def test_two_deliveries_interleaved(call: int) -> None:
    """Another delivery of the whole message inside any store call of the first: each channel is sent it once."""
    bench = Bench()

    def other() -> None:
        """Whoever holds a claim may make this one wait."""
        try:
            bench.notify()
        except TransientError as error:
            assert error.reason == "delivery_claimed"  # noqa: PT017 - either outcome is right

    hook = Hook(call, other)
    try:
        bench.notify(store=CrashingStore(bench.store, hook))
    except TransientError as error:
        assert error.reason in {"delivery_claimed", "delivery_taken_over"}  # noqa: PT017
    assert hook.calls > call
    bench.notify()
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id], [FIRING.id])
    assert bench.states() == ["sent", "sent"]


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("call", range(8))
def test_a_crash_at_any_store_call(call: int, after: bool) -> None:
    """After a crash anywhere the notification reaches both channels, under one id, by the end of the lease."""
    bench = Bench()
    with pytest.raises(Crash):
        bench.notify(store=CrashingStore(bench.store, Countdown(call, after=after)))
    bench.clock.sleep(LEASE.total_seconds())
    bench.notify()
    assert bench.states() == ["sent", "sent"]
    assert {*bench.one.sent, *bench.two.sent} == {FIRING.id}
    assert 2 <= len(bench.one.sent) + len(bench.two.sent) <= 3


def test_a_crash_after_the_send() -> None:
    """A sender that dies after sending keeps its claim to the end of the lease; then it is sent again, same id."""
    bench = Bench(one=FakeChannel(Crash()))
    with pytest.raises(Crash):
        bench.notify()
    assert bench.record("one")["state"] == "claimed"
    bench.clock.sleep(LEASE.total_seconds() - 1)
    assert bench.fails() == "delivery_claimed"
    assert bench.one.sent == [FIRING.id]
    bench.clock.sleep(1)
    bench.notify()
    assert bench.one.sent == [FIRING.id, FIRING.id]
    assert bench.states() == ["sent", "sent"]


def test_a_sender_that_outlives_its_lease() -> None:
    """Whoever took over after the lease records the outcome; the slow one learns it and records nothing."""

    def slowly() -> None:
        bench.clock.sleep(LEASE.total_seconds())
        assert bench.notify()[0].state is DeliveryState.SENT

    bench = Bench(one=FakeChannel(slowly, None))
    assert bench.fails() == "delivery_taken_over"
    recorded = bench.record("one")
    assert (recorded["state"], recorded["at"]) == ("sent", START + LEASE)
    assert bench.one.sent == [FIRING.id, FIRING.id]


def test_a_sender_whose_lease_ended_before_it_sent() -> None:
    """Who was frozen between claim and send until its lease had ended sends nothing; the next delivery does, once."""
    bench = Bench()
    hook = Hook(1, lambda: bench.clock.sleep(LEASE.total_seconds()))
    assert bench.fails(store=CrashingStore(bench.store, hook)) == "delivery_lease_over"
    assert (bench.one.sent, bench.record("one")["state"]) == ([], "claimed")
    bench.notify()
    assert bench.one.sent == [FIRING.id]
    assert bench.states() == ["sent", "sent"]


def test_a_version_without_the_channel() -> None:
    """While one instance sends, another on which the channel is not set up waits and does not record it as skipped."""
    reasons: list[str] = []

    def other() -> None:
        with pytest.raises(TransientError) as raised:
            Notify(bench.store, {"two": bench.two}, bench.clock)(Message(FIRING.to_json(), {}, "id", bench.clock()))
        reasons.append(raised.value.reason)

    bench = Bench(one=FakeChannel(other))
    bench.notify()
    assert reasons == ["delivery_claimed"]
    assert bench.states() == ["sent", "sent"]


def test_what_is_being_sent_is_not_superseded() -> None:
    """While one instance sends, another that knows of the end by then waits, and does not record it as superseded."""
    reasons: list[str] = []

    def other() -> None:
        reasons.extend([bench.fails(RESOLVED), bench.fails(FIRING)])

    bench = Bench(one=FakeChannel(other))
    bench.notify(FIRING)
    assert reasons == ["conversation_busy", "delivery_claimed"]
    assert bench.states() == ["sent", "superseded"]
    bench.notify(RESOLVED)
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id, RESOLVED.id], [RESOLVED.id])


def test_a_resolution_waits_for_its_firing() -> None:
    """A resolution that comes first is not sent until its firing has come, which is over by then; then it is, once."""
    bench = Bench()
    assert bench.fails(RESOLVED) == "waiting_for_earlier"
    assert (bench.one.sent, bench.two.sent) == ([], [])
    assert [one.state for one in bench.notify(FIRING)] == [DeliveryState.SUPERSEDED] * 2
    bench.notify(RESOLVED)
    assert bench.one.sent == bench.two.sent == [RESOLVED.id]


def test_a_resolution_does_not_wait_for_ever() -> None:
    """After ten minutes the end of a conversation is told without what it ends, which is superseded when it comes."""
    bench = Bench()
    assert bench.fails(RESOLVED) == "waiting_for_earlier"
    bench.clock.sleep(PATIENCE.total_seconds() - 1)
    assert bench.fails(RESOLVED) == "waiting_for_earlier"
    bench.clock.sleep(1)
    bench.notify(RESOLVED)
    assert [one.state for one in bench.notify(FIRING)] == [DeliveryState.SUPERSEDED] * 2
    assert bench.one.sent == bench.two.sent == [RESOLVED.id]


def test_an_acknowledgement_that_comes_after_the_end_is_superseded() -> None:
    """What is told of an alert that is over by then would only take back its end."""
    bench = Bench()
    acknowledged = replace(RESOLVED, kind=NotificationKind.ACKNOWLEDGED, author="ann")
    bench.notify(FIRING)
    bench.notify(RESOLVED)
    assert [one.state for one in bench.notify(acknowledged)] == [DeliveryState.SUPERSEDED] * 2
    assert bench.one.sent == [FIRING.id, RESOLVED.id]


def test_one_speaks_at_a_time() -> None:
    """While an acknowledgement is being sent the end of the same conversation waits, and knows its handle after."""
    bench = Bench(one=FakeChannel(None, lambda: reasons.append(bench.fails(RESOLVED))))
    reasons: list[str] = []
    acknowledged = replace(RESOLVED, kind=NotificationKind.ACKNOWLEDGED, author="ann")
    bench.notify(FIRING)
    bench.notify(acknowledged)
    assert reasons == ["conversation_busy"]
    bench.notify(RESOLVED)
    assert bench.one.sent == [FIRING.id, acknowledged.id, RESOLVED.id]
    assert bench.one.turns[-1].handle == {"began": FIRING.id}


def test_alerts_of_one_conversation_end_with_the_last() -> None:
    """The end of one of two alerts that were told together ends nothing, whichever of the ends comes first."""
    first = replace(RESOLVED, fingerprint="1" * 16, still_firing=1, open_on=("one", "two"))
    last = replace(RESOLVED, fingerprint="2" * 16, at=RESOLVED.at + timedelta(minutes=1))
    for order in ([first, last], [last, first]):
        bench = Bench()
        bench.notify(FIRING)
        states = [bench.notify(one)[0].state.value for one in order]
        assert states == (["sent", "sent"] if order[0] is first else ["sent", "superseded"])
        assert bench.one.sent[-1] == last.id


@pytest.mark.parametrize("swept", [False, True], ids=["expired", "deleted"])
def test_a_resolution_after_a_month(swept: bool) -> None:
    """An alert that fires for longer than its delivery's record is kept is resolved all the same, once."""
    bench = Bench()
    bench.notify(FIRING)
    bench.clock.time += KEPT
    if swept:
        bench.store.commit([Delete(delivery_path(FIRING.id, name)) for name in bench.channels])
    resolved = replace(RESOLVED, at=bench.clock())
    bench.notify(resolved)
    bench.notify(resolved)
    assert bench.one.sent == bench.two.sent == [FIRING.id, RESOLVED.id]


def test_a_resolution_waits_on_each_channel_apart() -> None:
    """A firing that still fails on one channel holds its resolution there, and not on the other."""
    bench = Bench(one=FakeChannel(TransientError("down"), None))
    assert bench.fails(FIRING) == "down"
    assert bench.fails(RESOLVED) == "waiting_for_earlier"
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id], [FIRING.id, RESOLVED.id])
    bench.notify(FIRING)
    bench.notify(RESOLVED)
    assert bench.one.sent == [FIRING.id, RESOLVED.id]
    assert bench.two.sent == [FIRING.id, RESOLVED.id]
    assert bench.one.turns[-1].attempted_at == START


@pytest.mark.parametrize(
    "other",
    [replace(RESOLVED, fired_at=OLDER.fired_at, follows=(Told(OLDER.id, OLDER.channels),)), FIRING],
    ids=["old", "new"],
)
def test_only_its_own_firing_counts(other: Notification) -> None:
    """A resolution waits for the firing of its own episode, not for another's of the same alert; a firing for none."""
    bench = Bench()
    bench.notify(FIRING)
    if other is FIRING:
        assert bench.notify(other)[0].state is DeliveryState.SENT
    else:
        assert bench.fails(other) == "waiting_for_earlier"


def test_a_refusal_is_recorded_and_stops_no_other() -> None:
    """A channel that says no for good is not asked again, and the other is sent to; its resolution may follow."""
    bench = Bench(one=FakeChannel(PermanentError("webhook_refused", "404")))
    with Captured() as logs:
        outcomes = bench.notify()
    assert [(one["severity"], one["message"]) for one in logs.events] == [("ERROR", "delivery_refused")]
    assert [outcome.state for outcome in outcomes] == [DeliveryState.REFUSED, DeliveryState.SENT]
    assert bench.record("one")["detail"] == "webhook_refused: 404"
    assert bench.notify() == outcomes
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id], [FIRING.id])
    bench.notify(RESOLVED)
    assert bench.one.sent == [FIRING.id, RESOLVED.id]


def _raise(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TransientError("webhook_failed", "503"), "webhook_failed"),
        (ValueError("a bug"), "channel_broken"),
        (KeyError("a bug"), "channel_broken"),
        (RuntimeError("a bug"), "channel_broken"),
    ],
    ids=["transient", "value", "key", "runtime"],
)
def test_a_failure_is_recorded_and_tried_again(error: Exception, reason: str) -> None:
    """A failing or broken channel is recorded as failed, stops no other, and the next delivery asks it alone."""
    bench = Bench(one=FakeChannel(_raise(error), None))
    assert bench.fails() == reason
    assert bench.states() == ["failed", "sent"]
    assert reason in bench.record("one")["detail"]
    bench.notify()
    assert bench.states() == ["sent", "sent"]
    assert (bench.one.sent, bench.two.sent) == ([FIRING.id, FIRING.id], [FIRING.id])


def test_two_failing_channels_are_told_at_once() -> None:
    """When both channels fail, both were asked, and the error names both."""
    bench = Bench(FakeChannel(TransientError("down", "first")), FakeChannel(TransientError("down", "second")))
    with pytest.raises(TransientError, match=r"first.*second"):
        bench.notify()
    assert bench.states() == ["failed", "failed"]


def test_an_unknown_channel_is_skipped() -> None:
    """A channel that is not set up is recorded as skipped, and the others are sent to."""
    bench = Bench()
    bench.channels = {"two": bench.two}
    assert [outcome.state for outcome in bench.notify()] == [DeliveryState.SKIPPED, DeliveryState.SENT]
    assert bench.record("one")["detail"] == "not set up"
    assert [outcome.state for outcome in bench.notify(RESOLVED)] == [DeliveryState.SKIPPED, DeliveryState.SENT]


@pytest.mark.parametrize("is_set_up", [True, False], ids=["refuses", "is not set up"])
def test_what_is_told_elsewhere_is_one_conversation_there(is_set_up: bool) -> None:
    """Where no channel of an alert is to be had another tells it, from its beginning to its end in one conversation."""
    bench, slack = Bench(), FakeChannel()
    email = {"email": FakeChannel(*[PermanentError("email_refused")] * 2)} if is_set_up else {}
    bench.channels = {"slack": slack, **email}
    firing = replace(FIRING, channels=("email",))
    resolved = replace(RESOLVED, channels=("email",), follows=(Told(FIRING.id, ("email",)),))
    for told in (firing, resolved):
        assert bench.notify(told)[-1] == Delivered("slack", DeliveryState.SENT, "taken")
    assert [one.id for one in bench.store.list("conversations").documents if one.id.endswith("~slack")] == [
        f"{FIRING.id}~slack"
    ]


def test_a_digest_for_which_nothing_is_set_up_is_told_nowhere() -> None:
    """What is about no alert is skipped with its channel."""
    bench, slack = Bench(), FakeChannel()
    bench.channels = {"slack": slack}
    digest = replace(FIRING, kind=NotificationKind.SUMMARY, channels=("email",))
    assert [one.state for one in bench.notify(digest)] == [DeliveryState.SKIPPED]
    assert slack.sent == []


def test_what_is_no_notification_is_refused() -> None:
    """A message of anything else is a permanent error, and nothing is stored."""
    bench = Bench()
    with pytest.raises(PermanentError) as raised:
        Notify(bench.store, bench.channels, bench.clock)(Message(b"{}", {}, "id", START))
    assert raised.value.reason == "malformed_notification"
    assert bench.store.list("deliveries").documents == ()


def test_the_inbox_keeps_one_document_a_notification() -> None:
    """Sending to the inbox again changes nothing."""
    bench = Bench()
    for _ in range(3):
        InboxChannel(bench.store).send(FIRING, Turn(START))
    (document,) = bench.store.list("inbox").documents
    assert document.fields["notification"] == FIRING.to_json()
    assert document.update_time == bench.store.list("inbox").documents[0].update_time


def test_a_wish_to_be_left_alone_is_kept_across_calls() -> None:
    """What a receiver asked to come again later is not sent before, by whichever call; then it is."""
    later = START + timedelta(minutes=3)
    bench = Bench(one=FakeChannel(Busy("slack_failed", "429", later, is_certain=True), None))
    assert bench.fails() == "slack_failed"
    bench.clock.time = later - timedelta(seconds=1)
    assert bench.fails() == "told_to_wait"
    assert bench.one.sent == [FIRING.id]
    bench.clock.time = later
    bench.notify()
    assert bench.one.sent == [FIRING.id, FIRING.id]
    assert bench.one.turns[-1].attempted_at is None


@pytest.mark.parametrize(
    ("failure", "unknown"),
    [
        (Busy("failed", "429", None, is_certain=True), False),
        (Busy("failed", "502", None), True),
        (TransientError("unreachable"), True),
        (RuntimeError("a bug"), True),
    ],
    ids=["not taken", "a gateway's word", "unanswered", "broken"],
)
def test_the_next_attempt_knows_whether_the_last_may_have_arrived(failure: Exception, unknown: bool) -> None:
    """What a receiver did not begin has not arrived; of an answer of a gateway, or none, nobody knows."""
    bench = Bench(one=FakeChannel(failure, None))
    with pytest.raises(TransientError):
        bench.notify()
    bench.notify()
    assert [turn.attempted_at for turn in bench.one.turns] == [None, START if unknown else None]


class Outage:
    """A bench whose channel ``email`` refuses everything, with ``slack`` to fall back on."""

    def __init__(self) -> None:
        self.email = FakeChannel(*[Gone("email_gone", "535")] * 9)
        self.slack = FakeChannel()
        self.bench = Bench()
        self.bench.channels = {"email": self.email, "slack": self.slack}

    def notify(self, *channels: str) -> list[str]:
        """Deliver another alert's firing; the states."""
        started = self.bench.clock()
        firing = replace(FIRING, fired_at=started, at=started, channels=channels)
        self.bench.clock.sleep(60)
        return [f"{one.channel} {one.state.value}" for one in self.bench.notify(firing)]


def test_a_channel_that_refuses_everything_is_told_through_another() -> None:
    """It is asked once; slack hears of it, and of every alert that would be told nowhere else."""
    outage = Outage()
    assert outage.notify("email", "slack") == ["email refused", "slack sent"]
    assert outage.notify("email", "slack") == ["email disabled", "slack sent"]
    assert outage.notify("email") == ["email disabled", "slack sent"]
    assert len(outage.email.sent) == 1
    assert [one.rpartition("-")[2] for one in outage.slack.sent] == ["notice", "firing", "firing", "firing"]
    (known,) = read_outages(outage.bench.store, outage.bench.clock())
    assert (known.channel, known.why, known.told) == ("email", "email_gone: 535", True)


@pytest.mark.parametrize("hours", [None, 6], ids=["new key", "six hours"])
def test_a_channel_is_asked_again(hours: int | None) -> None:
    """After a new key, or six hours, it is asked again."""
    outage = Outage()
    outage.notify("email", "slack")
    if hours:
        outage.bench.clock.sleep(hours * 3600)
    else:
        outage.email.setup = "another key"
    outage.notify("email", "slack")
    assert len(outage.email.sent) == 2


def test_what_was_told_in_place_of_another_ends_there_too() -> None:
    """The end goes to whoever told the beginning instead, in one conversation, though its own channel works again."""
    outage = Outage()
    firing = replace(FIRING, channels=("email",))
    ended = replace(RESOLVED, channels=("email",), follows=(Told(firing.id, firing.channels),))
    outage.bench.notify(firing)
    outage.bench.channels = {"email": FakeChannel(), "slack": outage.slack}
    outage.bench.clock.sleep(6 * 3600)
    assert [f"{one.channel} {one.state.value}" for one in outage.bench.notify(ended)] == ["email sent", "slack sent"]
    assert outage.slack.sent[1:] == [firing.id, ended.id]
    assert outage.slack.turns[-1].handle == {"began": firing.id}


def test_what_is_over_is_told_nowhere_instead() -> None:
    """A firing that was refused, and that another channel could not take at once, is over with its episode's end."""
    slack = FakeChannel(TransientError("receiver_away"))
    bench = Bench()
    bench.channels = {"email": FakeChannel(PermanentError("refused")), "slack": slack}
    firing = replace(FIRING, channels=("email",))
    assert bench.fails(firing) == "receiver_away"
    ended = replace(RESOLVED, channels=("email",), follows=(Told(firing.id, firing.channels),))
    assert [one.state for one in bench.notify(ended)] == [DeliveryState.SENT] * 2
    assert bench.notify(firing)[-1] == Delivered("slack", DeliveryState.SUPERSEDED, ended.id)
    assert slack.sent == [firing.id, ended.id]


def test_a_notice_survives_a_crash() -> None:
    """Whoever finds a channel given up that nobody was told of tells it."""
    outage = Outage()
    firing = replace(FIRING, channels=("email", "slack"))
    for call in range(40):
        outage = Outage()
        try:
            outage.bench.notify(firing, CrashingStore(outage.bench.store, Countdown(call)))
        except Crash:
            outage.bench.clock.sleep(LEASE.total_seconds())
            outage.bench.notify(firing)
            outage.bench.clock.sleep(LEASE.total_seconds())
            outage.notify("email", "slack")
        else:
            break
        told = {one.rpartition("-")[2] for one in outage.slack.sent}
        assert told == {"notice", "firing"}, call
    assert call > 10


def test_a_channel_that_is_the_only_one_refuses() -> None:
    """Without another channel the refusal is recorded, and nothing else happens."""
    outage = Outage()
    outage.bench.channels = {"email": outage.email}
    assert outage.notify("email") == ["email refused"]
    assert outage.notify("email") == ["email disabled"]


def storm(bench: Bench, number: int) -> Notification:
    """One alert of many that fire at once, to channel one."""
    return replace(
        FIRING, fingerprint=f"{number:016x}", rule_name=f"Rule {number}", channels=("one",), at=bench.clock()
    )


def test_what_is_too_much_for_a_minute_is_told_in_one_message() -> None:
    """Of ten alerts in a minute three are sent; the others come again and are one message once the minute is over."""
    bench = Bench(one=FakeChannel(max_per_minute=3))
    alerts = [storm(bench, number) for number in range(10)]
    for alert in alerts[:3]:
        bench.notify(alert)
    assert {bench.fails(alert) for alert in alerts[3:]} == {"over_the_cap"}
    assert {bench.fails(alert) for alert in alerts[3:]} == {"over_the_cap"}
    bench.clock.sleep(60)
    outcomes = [bench.notify(alert)[0].state for alert in alerts]
    assert outcomes == [DeliveryState.SENT] * 3 + [DeliveryState.SUMMED] * 7
    assert len(bench.one.sent) == 4
    assert len({bench.record("one", alert)["detail"] for alert in alerts[3:]}) == 1


def test_what_was_held_and_is_over_needs_no_summary() -> None:
    """An alert that ended while it was held is told by its end."""
    bench = Bench(one=FakeChannel(max_per_minute=1))
    alert = storm(bench, 2)
    bench.notify(storm(bench, 1))
    assert bench.fails(alert) == "over_the_cap"
    bench.clock.sleep(60)
    end = replace(alert, kind=NotificationKind.RESOLVED, follows=(Told(alert.id, ("one",)),))
    assert bench.fails(end) == "waiting_for_earlier"
    assert bench.notify(alert)[0].state is DeliveryState.SUPERSEDED
    assert bench.notify(end)[0].state is DeliveryState.SENT


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_crash_while_summing_up(after: bool) -> None:
    """After a crash at any store call what was held is told, in messages of one id."""
    for call in range(30):
        bench = Bench(one=FakeChannel(max_per_minute=1))
        alerts = [storm(bench, number) for number in range(3)]
        bench.notify(alerts[0])
        crashed = False
        for minute in range(2):
            for alert in alerts[1:]:
                store = CrashingStore(bench.store, Countdown(call - 3 * minute, after=after))
                try:
                    bench.notify(alert, store)
                except Crash:
                    crashed = True
                except TransientError:
                    pass
            bench.clock.sleep(60)
        for _ in range(3):
            for alert in alerts:
                with suppress(TransientError):
                    bench.notify(alert)
            bench.clock.sleep(LEASE.total_seconds())
        assert {bench.record("one", alert)["state"] for alert in alerts} <= {"sent", "summed"}
        assert len(set(bench.one.sent)) <= 3
        if not crashed:
            return
    pytest.fail("the last call was never reached")


def test_a_sender_that_outlives_the_conversation_undoes_what_it_did() -> None:
    """A trigger that arrives after its conversation has ended is undone at once, and noted until it is."""

    def slowly() -> None:
        bench.clock.sleep(LEASE.total_seconds())
        bench.notify(FIRING)
        bench.notify(RESOLVED)

    bench = Bench(one=FakeChannel(slowly))
    assert bench.fails() == "delivery_taken_over"
    assert bench.one.undone == [{"began": FIRING.id, "notification": FIRING.id}]
    assert bench.store.get([f"conversations/{FIRING.id}~one"])[f"conversations/{FIRING.id}~one"].fields["late"] == []


def test_an_undoing_that_fails_is_tried_again() -> None:
    """Whoever comes next to the conversation undoes what the late sender could not."""

    def slowly() -> None:
        bench.clock.sleep(LEASE.total_seconds())
        bench.notify(FIRING)
        bench.notify(RESOLVED)

    class Failing(FakeChannel):
        """Cannot be undone at first."""

        def undo(self, notification: Notification, late: Mapping[str, str], turn: Turn, /) -> None:
            super().undo(notification, late, turn)
            if len(self.undone) == 1:
                raise TransientError("down")

    bench = Bench(one=Failing(slowly))
    assert bench.fails() == "down"
    bench.notify()
    bench.notify()
    assert len(bench.one.undone) == 2


@pytest.mark.parametrize("error", [PermanentError("refused"), Gone("gone", "a revoked key")])
def test_an_undoing_that_is_refused_stops_nobody(error: Exception) -> None:
    """A receiver that will not have it put right is asked once, and every other channel is told as ever."""

    class Refusing(FakeChannel):
        """Can never be undone."""

        def undo(self, notification: Notification, late: Mapping[str, str], turn: Turn, /) -> None:
            super().undo(notification, late, turn)
            raise error

    bench = Bench(one=Refusing())
    Turns(bench.store, bench.clock).mark_late(FIRING.id, "one", {"ts": "1"})
    assert [one.state for one in bench.notify()] == [DeliveryState.SENT] * 2
    bench.notify()
    assert bench.one.undone == [{"ts": "1"}]


def test_what_came_too_late_is_undone_by_who_is_refused() -> None:
    """Of two senders the late one leaves its mark to the other, who undoes it though its own send was refused."""

    def refused() -> None:
        Turns(bench.store, bench.clock).mark_late(FIRING.id, "one", {"ts": "1"})
        raise PermanentError("refused")

    bench = Bench(one=FakeChannel(refused))
    assert bench.notify()[0].state is DeliveryState.REFUSED
    assert bench.one.undone == [{"ts": "1"}]


def test_two_that_came_too_late_are_both_undone() -> None:
    """What is noted of one late sender is not lost to the next, nor to whoever undoes the first meanwhile."""
    bench = Bench()
    turns = Turns(bench.store, bench.clock)
    first = turns.mark_late("talk", "one", {"ts": "1"})
    both = turns.mark_late("talk", "one", {"ts": "2"})
    turns.mark_undone(first)
    assert both.late == ({"ts": "1"}, {"ts": "2"})
    assert turns.conversation("talk", "one").late == ({"ts": "2"},)
