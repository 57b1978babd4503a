"""One incident, one conversation: every channel against its vendor, killed at every step and in every order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import permutations

import pytest

from shared.channels import Evidence, Turn
from shared.channels.pagerduty import dedup_key
from shared.deliveries import LEASE
from tests import vendors
from tests.conversations import (
    ACKNOWLEDGED,
    CHART,
    ESCALATED,
    FIRING,
    RESOLVED,
    RIGS,
    STORY,
    Rig,
    Talk,
    pagerduty,
    slack,
)
from tests.fakes import START, Countdown, Hook

each_channel = pytest.mark.parametrize("make", RIGS.values(), ids=RIGS)


@each_channel
def test_a_story_from_beginning_to_end(make: Callable[..., Rig]) -> None:
    """What is delivered in order, each twice, is one conversation."""
    talk = Talk(make, chart=True)
    talk.play([one for one in STORY for _ in range(2)])
    assert set(talk.states().values()) == {"sent"}
    talk.check()


@each_channel
def test_any_order(make: Callable[..., Rig]) -> None:
    """In each of the 24 orders, the end first included, there is one conversation, and it has ended."""
    for order in permutations(STORY):
        talk = Talk(make)
        talk.clock.time = RESOLVED.at
        talk.play(order)
        talk.check()


@each_channel
@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("chart", [False, True], ids=["words", "picture"])
def test_killed_at_every_step(make: Callable[..., Rig], after: bool, chart: bool) -> None:
    """The process ends at any call of the store or the vendor, before or after its effect: one conversation, ended."""
    counted = Talk(make, chart=chart)
    counted.play(STORY)
    assert counted.countdown.calls > 15
    for call in range(counted.countdown.calls):
        talk = Talk(make, Countdown(call, after=after), chart=chart)
        talk.play(STORY)
        talk.check()


@each_channel
@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_the_network_breaks_at_every_step(make: Callable[..., Rig], after: bool) -> None:
    """A connection that breaks at any call, before or after the vendor took it: one conversation, ended."""
    counted = Talk(make)
    counted.play(STORY)
    for call in range(counted.countdown.calls):
        talk = Talk(make)
        talk.store = talk.inner
        talk.countdown.crash_at, talk.countdown.after, talk.countdown.failure = call, after, ConnectionResetError
        talk.play(STORY)
        talk.check()


@each_channel
def test_two_deliveries_at_once(make: Callable[..., Rig]) -> None:
    """Inside any call of one delivery another is made, of the same notification or of another: one conversation."""
    counted = Talk(make)
    counted.play(STORY)
    for call in range(counted.countdown.calls):
        hook = Hook(call, lambda: None)
        talk = Talk(make, hook)
        hook.run = partial(talk.deliver, FIRING if call % 2 else STORY[call // 2 % len(STORY)])
        talk.play(STORY)
        talk.check()


@pytest.mark.parametrize("make", [make for name, make in RIGS.items() if name != "email"])
def test_a_gateway_says_no_to_what_was_taken(make: Callable[..., Rig]) -> None:
    """An answer of 502 to a request that the vendor took, at any of them: one conversation, ended."""
    counted = Talk(make)
    counted.play(STORY)
    vendor = counted.rig.vendor
    assert isinstance(vendor, vendors.Vendor)
    for request in range(len(vendor.requests)):
        talk = Talk(make)
        vendor = talk.rig.vendor
        assert isinstance(vendor, vendors.Vendor)
        vendor.answers = [*[vendors.TAKEN] * request, vendors.TAKEN_BUT_502]
        talk.play(STORY)
        talk.check()


@each_channel
@pytest.mark.parametrize("seed", range(12))
def test_killed_again_and_again_in_any_order(make: Callable[..., Rig], seed: int) -> None:
    """Deliveries in a random order, some twice, with the process killed at several random calls."""
    rng = random.Random(seed)
    talk = Talk(make, Countdown(rng.randrange(4, 12), after=rng.random() < 0.5))
    talk.clock.time = RESOLVED.at
    order = list(STORY)
    rng.shuffle(order)
    talk.play(order, rng)
    talk.check()


def test_without_the_scopes_to_look_for_it_a_message_may_show_twice() -> None:
    """Slack's worst case: after a kill between its yes and our record, a bot that may not read posts once more."""
    counted = Talk(slack)
    counted.play([FIRING])
    most = 0
    for call in range(counted.countdown.calls):
        talk = Talk(slack, Countdown(call, after=True))
        workspace = talk.rig.vendor
        assert isinstance(workspace, vendors.Slack)
        workspace.without_scopes = frozenset({"users.conversations"})
        talk.play(STORY)
        most = max(most, len(workspace.conversations()))
        assert "Resolved after 37 min" in str(workspace.conversations()[-1].blocks)
    assert most == 2


def test_an_escalation_calls_whoever_is_on_call_again() -> None:
    """The mention stands in the reply that is shown in the channel, because an edit of the message notifies nobody."""
    talk = Talk(slack)
    talk.play([FIRING, ACKNOWLEDGED, ESCALATED])
    workspace = talk.rig.vendor
    assert isinstance(workspace, vendors.Slack)
    (message,) = workspace.conversations()
    assert ["@oncall" in text for text in workspace.thread(message.ts)] == [False, True]


@pytest.mark.parametrize("kind", ["public_channel", "private_channel"])
def test_a_message_that_somebody_replied_to_is_found_again(kind: str) -> None:
    """What was posted and not recorded is gone on with, in a channel of either kind, though it has a reply by then."""
    talk = Talk(slack)
    workspace = talk.rig.vendor
    assert isinstance(workspace, vendors.Slack)
    workspace.kind, workspace.listed = kind, frozenset({kind})
    workspace.answers = [vendors.LOST]
    assert not talk.deliver(FIRING)
    (message,) = workspace.messages
    workspace.messages.append(vendors.SlackMessage("1760788900.000100", "C0123", "Looking", [], {}, message.ts))
    talk.play(STORY)
    (message,) = workspace.conversations()
    assert "Resolved after 37 min" in str(message.blocks)


def test_a_message_that_somebody_deleted_is_posted_anew() -> None:
    """What follows a message that is gone begins another, and goes on there."""
    talk = Talk(slack)
    talk.play([FIRING])
    workspace = talk.rig.vendor
    assert isinstance(workspace, vendors.Slack)
    workspace.messages.clear()
    talk.play([ACKNOWLEDGED, ESCALATED, RESOLVED])
    (message,) = workspace.conversations()
    assert "Resolved after 37 min" in str(message.blocks)


def frozen(talk: Talk, meanwhile: Callable[[], None]) -> None:
    """A sender that stands still in the midst of its first request to the vendor, while something happens."""
    vendor = talk.rig.vendor
    assert isinstance(vendor, vendors.Vendor)

    def wake() -> None:
        talk.clock.sleep(LEASE.total_seconds())
        meanwhile()

    vendor.answers.append(wake)


def test_a_post_that_was_frozen_past_the_end() -> None:
    """A message that arrives beside the conversation's own is deleted by whoever sent it."""
    talk = Talk(slack)
    frozen(talk, lambda: talk.play(STORY))
    assert not talk.deliver(FIRING)
    talk.check()


def test_a_trigger_that_was_frozen_past_the_end() -> None:
    """A trigger that arrives after the end of its own conversation opens an incident, which its sender resolves."""
    talk = Talk(pagerduty)
    frozen(talk, lambda: talk.play(STORY))
    assert not talk.deliver(FIRING)
    service = talk.rig.vendor
    assert isinstance(service, vendors.PagerDuty)
    assert [one.status for one in service.incidents] == ["resolved", "resolved"]


def test_the_worst_case_of_pagerduty() -> None:
    """An incident stays open only if the frozen sender dies between PagerDuty's answer and undoing it, and then once.

    Nothing else that is delivered in this conversation can close it; the dedup_key names it for a person.
    """
    open_after = []
    for call in range(40):
        talk = Talk(pagerduty)
        service = talk.rig.vendor
        assert isinstance(service, vendors.PagerDuty)

        def all_goes_on_and_this_will_die(talk: Talk = talk, call: int = call) -> None:
            talk.play(STORY)
            talk.countdown.crash_at = talk.countdown.calls + call

        frozen(talk, all_goes_on_and_this_will_die)
        talk.deliver(FIRING)
        for one in STORY:
            talk.deliver(one)
        if service.open():
            open_after.append(call)
            assert service.open()[0].key == dedup_key(FIRING)
    assert open_after == [0, 1, 2, 3], "the record, the look at the conversation, the note of it, before the undoing"


def test_pagerduty_is_told_what_was_acknowledged_elsewhere() -> None:
    """An acknowledgement goes to the incident, and a second incident of the rule is another conversation."""
    talk = Talk(pagerduty)
    talk.play([FIRING, ACKNOWLEDGED])
    service = talk.rig.vendor
    assert isinstance(service, vendors.PagerDuty)
    assert [one.status for one in service.incidents] == ["acknowledged"]
    later = replace(FIRING, fired_at=START + timedelta(hours=1), at=START + timedelta(hours=1))
    talk.play([RESOLVED, ESCALATED, later])
    assert [one.status for one in service.incidents] == ["resolved", "triggered"]


def test_a_resolve_goes_out_whatever_became_of_the_trigger() -> None:
    """Of a trigger whose answer was lost the end waits ten minutes, and is sent: the trigger may have arrived."""
    talk = Talk(pagerduty)
    service = talk.rig.vendor
    assert isinstance(service, vendors.PagerDuty)
    service.answers = [vendors.LOST]
    assert not talk.deliver(FIRING)
    assert len(service.open()) == 1
    talk.clock.time = RESOLVED.at
    end = replace(RESOLVED, follows=RESOLVED.follows[:1])
    assert not talk.deliver(end)
    talk.clock.sleep(600)
    assert talk.deliver(end)
    assert service.open() == []


def test_what_slack_refuses_with_its_picture_goes_out_in_words() -> None:
    """A file that Slack cannot show costs the picture, blocks that it does not take the blocks, never the alert."""
    for refusals in (1, 2):
        rig = slack()
        workspace = rig.vendor
        assert isinstance(workspace, vendors.Slack)
        refused = vendors.said(ok=False, error="invalid_blocks")
        workspace.answers = [lambda: None, lambda: None, lambda: None, *[refused] * refusals]
        rig.channel.send(FIRING, Turn(START, evidence=Evidence(lambda: CHART)))
        (message,) = workspace.conversations()
        assert "image" not in {block["type"] for block in message.blocks}
        assert bool(message.blocks) is (refusals == 1)
