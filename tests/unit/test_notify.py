"""Notify: one notification, its channels, and whatever happens between claim, send and record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.sqlite_store import SqliteStore
from shared.alerts import Told
from shared.bus import Message
from shared.channels import Channel
from shared.channels.inbox import InboxChannel
from shared.errors import PermanentError, TransientError
from shared.notifications import Notification, NotificationKind
from shared.notify import KEPT, LEASE, Delivered, DeliveryState, Notify, delivery_path
from shared.rules import Operator, Severity
from shared.store import Delete, Store
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


@pytest.mark.parametrize("call", range(6))
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
@pytest.mark.parametrize("call", range(6))
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


def test_a_resolution_waits_for_its_firing() -> None:
    """A resolution that comes first is not sent until the firing is; then it is, once."""
    bench = Bench()
    assert bench.fails(RESOLVED) == "waiting_for_earlier"
    assert (bench.one.sent, bench.two.sent) == ([], [])
    bench.notify(FIRING)
    bench.notify(RESOLVED)
    assert bench.one.sent == bench.two.sent == [FIRING.id, RESOLVED.id]


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
    assert bench.one.sent == [FIRING.id, FIRING.id, RESOLVED.id]
    assert bench.two.sent == [FIRING.id, RESOLVED.id]


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
    outcomes = bench.notify()
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
        InboxChannel(bench.store).send(FIRING)
    (document,) = bench.store.list("inbox").documents
    assert document.fields["notification"] == FIRING.to_json()
    assert document.update_time == bench.store.list("inbox").documents[0].update_time
