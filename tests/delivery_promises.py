"""What notify promises in nights on call, and its check: who saw what, in which order, and what became of the rest.

Each channel saw what it was to see, again only where a sender had not recorded it; what was too much for its minute is
in a summary that it saw; what it refused is told by another. In a conversation on a channel one speaks at a time, and
its end is told last. Who answered a message has what it was about, and everybody who was told of that is told so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.acks import ack_path
from shared.alerts import ENDINGS, fingerprint
from shared.channels.slack_blocks import ACKNOWLEDGE
from shared.deliveries import HEARD, TERMINAL, UNHEARD, DeliveryState, delivery_path
from shared.notifications import Notification, NotificationKind
from shared.notify import PATIENCE
from shared.silences import silence_from_fields
from tests.alert_promises import Ledger, Pressed, Record, Sighting, Told, episodes_of
from tests.night_channels import NAMES

_DECIDED = set(NotificationKind) - {NotificationKind.ACKNOWLEDGED, NotificationKind.SILENCED}
"""What the evaluator tells, which is about no other alerts than have been told in its conversation."""
_ALONE = {NotificationKind.SUMMARY, NotificationKind.NOTICE}
TAKEN_OVER = "delivery_taken_over"
"""The reason that a sender is given which others went on without."""
FROM_A_MESSAGE = "From a message"
"""The comment of a silence that a button made."""


@dataclass(frozen=True, slots=True)
class _Channels:
    """What each channel saw, was refused, and what was recorded of its deliveries, in their order."""

    ledger: Ledger
    decided: Mapping[str, Notification]
    resolved: Mapping[Told, datetime]
    seen: Mapping[str, Sequence[Sighting]]
    records: Mapping[str, Sequence[Record]]

    def state_of(self, path: str) -> DeliveryState | None:
        """What became of a delivery; None for one that nobody began."""
        return DeliveryState(self.records[path][-1].fields["state"]) if path in self.records else None

    def detail_of(self, path: str) -> str:
        """What was recorded beside the state of a delivery."""
        return str(self.records[path][-1].fields["detail"])

    def done_at(self, path: str) -> int | None:
        """The number of the first record after which nothing more is tried; None for none."""
        return next((one.number for one in self.records.get(path, ()) if one.fields["state"] in TERMINAL), None)


def _channels(ledger: Ledger, heard: Sequence[Notification]) -> _Channels:
    seen: dict[str, list[Sighting]] = {}
    for sighting in ledger.sightings:
        seen.setdefault(delivery_path(sighting.notification.id, sighting.channel), []).append(sighting)
    records: dict[str, list[Record]] = {}
    for record in ledger.records:
        records.setdefault(record.path, []).append(record)
    decided = [one for judged in ledger.judged for one in judged.notifications()]
    ends = [one for one in decided if one.kind is NotificationKind.RESOLVED]
    resolved = {episode: one.at for one in ends for episode in episodes_of(one)}
    return _Channels(ledger, _by_id([*decided, *_reactions(heard)]), resolved, seen, records)


def _reactions(heard: Sequence[Notification]) -> list[Notification]:
    """What was told of what people did."""
    return [one for one in heard if one.kind in (NotificationKind.ACKNOWLEDGED, NotificationKind.SILENCED)]


def _by_id(told: Sequence[Notification]) -> dict[str, Notification]:
    """Each notification, for all channels that it was ever to go to: what people do may be told to more, done again."""
    found: dict[str, Notification] = {}
    for one in told:
        known = found.get(one.id, one)
        found[one.id] = replace(one, channels=tuple(dict.fromkeys([*known.channels, *one.channels])))
    return found


def check_deliveries(ledger: Ledger, heard: Sequence[Notification]) -> None:
    """What was promised of deliveries, or an AssertionError that names it.

    ``heard`` is all that notify was asked to deliver.
    """
    known = _channels(ledger, heard)
    for path, sightings in known.seen.items():
        _check_claims(sightings, known.records.get(path, ()))
        _check_repeats(sightings, known.records[path])
    for one in ledger.sightings:
        _check_order(one, known)
    for told in known.decided.values():
        for channel in told.channels:
            _check_told(told, channel, known)
        _check_elsewhere(told, known)
    _check_conversations(known)
    _check_outages(known)
    _check_pressed(ledger, heard)
    _check_late(ledger)


def _check_late(ledger: Ledger) -> None:
    """What a sender did beside a conversation is undone.

    What the conversation remembers as its own is not beside it, nor is what nothing follows. A sender that was frozen
    until others were done with its message, and then fails as it learns that it was late, leaves it: nobody comes.
    """
    own = {one.fields["handle"].get("seen") for one in ledger.inner.list("conversations").documents}
    alone = {str(one.number) for one in ledger.sightings if one.notification.kind in _ALONE or _is_cut_off(one, ledger)}
    left = ledger.late - ledger.undone - own - alone
    assert not left, f"what came too late is undone: {left}"


def _is_cut_off(one: Sighting, ledger: Ledger) -> bool:
    """Whether what the sender did next ended otherwise than by being told that others went on without it."""
    told = one.notification.to_json()
    mine = [two for two in ledger.failures if (two.sender, two.message) == (one.sender, told)]
    after = next((two for two in mine if two.number >= one.number), None)
    return after is not None and TAKEN_OVER not in after.why


def _check_told(one: Notification, channel: str, known: _Channels) -> None:
    """A channel has seen a notification, or the end or summary that tells it, or has refused it."""
    path = delivery_path(one.id, channel)
    match known.state_of(path):
        case DeliveryState.SUPERSEDED:
            _check_superseded(one, channel, known)
        case DeliveryState.SUMMED:
            _check_summed(one, channel, known)
        case DeliveryState.REFUSED | DeliveryState.DISABLED:
            assert any(refused.endswith(f"~{channel}") for refused in known.ledger.refused), (
                f"{channel} refused nothing"
            )
        case DeliveryState.SENT:
            assert path in known.seen, f"{channel} has seen {one.id}"
        case other:
            raise AssertionError(f"{channel} has seen {one.id}: {other}")


def _check_superseded(one: Notification, channel: str, known: _Channels) -> None:
    """What is superseded is over: the end of the conversation there, or of the one it stands for, tells it."""
    end = known.decided[known.detail_of(delivery_path(one.id, channel))]
    place = channel if channel in one.channels else one.channels[0]
    over = {known.state_of(delivery_path(end.id, name)) for name in (place, channel)}
    assert over & (TERMINAL - {DeliveryState.SUPERSEDED}), f"{channel} has seen {end.id}, which supersedes {one.id}"
    told = [two for two in known.decided.values() if two.kind in _DECIDED and place in two.channels]
    there = [two for two in told if two.conversation_on(place) == one.conversation_on(place)]
    about = {episode for two in there for episode in episodes_of(two)} & set(episodes_of(one))
    assert all(known.resolved[episode] <= end.at for episode in about), (
        f"only what is over is superseded: {one.id} by {end.id} on {channel}"
    )


def _check_summed(one: Notification, channel: str, known: _Channels) -> None:
    path = delivery_path(one.id, channel)
    held = str(known.records[path][-1].fields["held_in"])
    names = known.ledger.inner.get([held])[held].fields["held"]
    seen = known.seen.get(delivery_path(known.detail_of(path), channel), ())
    assert one.id in names, f"what is too much is in the summary: {one.id}"
    assert seen, f"{channel} has seen the summary of {one.id}"
    assert {told.notification.value for told in seen} == {float(len(names))}, "a summary has all that was held"


def _check_elsewhere(one: Notification, known: _Channels) -> None:
    """What no channel takes that it was to go to is told by another; one of those takes everything."""
    heard = [name for name in NAMES if known.state_of(delivery_path(one.id, name)) in HEARD]
    assert heard, f"what is refused is told elsewhere: {one.id}"
    for name in set(heard) - set(one.channels):
        _check_told(one, name, known)


def _check_outages(known: _Channels) -> None:
    """Somebody hears of a channel that is not asked any more."""
    told = {one.notification.fingerprint for one in known.ledger.sightings}
    for path in known.records:
        notification, _, channel = path.partition("/")[2].rpartition("~")
        if known.state_of(path) is DeliveryState.DISABLED and not notification.endswith(NotificationKind.NOTICE):
            assert fingerprint(f"~channel-{channel}", ()) in told, f"somebody hears that {channel} refuses everything"


def _check_claims(sightings: Sequence[Sighting], records: Sequence[Record]) -> None:
    """Whoever sends has claimed the delivery last of all that it recorded of it."""
    for one in sightings:
        mine = [record for record in records if record.number < one.number and record.sender == one.sender]
        assert mine, f"what is sent is claimed under its id: {one}"
        assert mine[-1].fields["state"] == DeliveryState.CLAIMED, f"what is sent is claimed: {one}"
        before = [record for record in records if record.number < mine[-1].number]
        wish = before[-1].fields.get("not_before") if before else None
        assert wish is None or one.at >= wish, f"who asks to be left alone is: {one}"


def _check_repeats(sightings: Sequence[Sighting], records: Sequence[Record]) -> None:
    """A delivery is seen again only when the one before was not recorded as sent, and not under the same lease."""
    for first, again in itertools.pairwise(sightings):
        between = [one for one in records if first.number < one.number < again.number]
        before = [one for one in records if one.number < again.number]
        assert all(one.fields["state"] != DeliveryState.SENT for one in before), (
            f"what is recorded as sent is not sent again: {again}"
        )
        failed = any(one.fields["state"] == DeliveryState.FAILED for one in between)
        assert failed or again.at >= _lease(first, records), f"one sends at a time: {again}"


def _lease(one: Sighting, records: Sequence[Record]) -> datetime:
    """Until when whoever sent had the turn."""
    mine = [record for record in records if record.number < one.number and record.sender == one.sender]
    until = mine[-1].fields["until"]
    assert isinstance(until, datetime)
    return until


def _check_order(one: Sighting, known: _Channels) -> None:
    """What was told before of an episode is done with before, but for an end that has waited long enough."""
    told = one.notification
    waited = told.ends_on(one.channel) and one.at >= told.at + PATIENCE
    for earlier in told.before_on(one.channel):
        done = known.done_at(delivery_path(earlier, one.channel))
        assert waited or (done is not None and done < one.number), f"{told.id} comes after {earlier}"


def _check_conversations(known: _Channels) -> None:
    """In a conversation on a channel one speaks at a time, its end is told last, and nothing is left open."""
    conversations: dict[tuple[str, str], list[Sighting]] = {}
    for one in known.ledger.sightings:
        if one.notification.kind not in _ALONE:
            conversations.setdefault((one.notification.conversation_on(one.channel), one.channel), []).append(one)
    for (conversation, channel), sightings in conversations.items():
        for first, then in itertools.pairwise(sightings):
            _check_turns(first, then, known.records[delivery_path(first.notification.id, channel)])
        talk = [one for one in known.decided.values() if one.conversation_on(channel) == conversation]
        ends = [one.id for one in talk if one.ends_on(channel)]
        last = sightings[-1].notification
        assert last.ends_on(channel) or any(known.state_of(delivery_path(one, channel)) in UNHEARD for one in ends), (
            f"the last that {channel} sees is the end: {last.id}"
        )


def _check_turns(first: Sighting, then: Sighting, records: Sequence[Record]) -> None:
    """Who speaks next waits until who spoke before has recorded it, or its lease is over; after the end is nothing."""
    between = [one for one in records if first.number < one.number < then.number]
    recorded = any(one.sender == first.sender for one in between)
    assert recorded or then.at >= _lease(first, records), f"one speaks at a time: {then}"
    is_over = first.notification.ends_on(first.channel)
    assert not is_over or then.notification.id == first.notification.id, f"nothing is told after the end: {then}"


def _check_pressed(ledger: Ledger, heard: Sequence[Notification]) -> None:
    """Who answers a message has what fires of it, and it is told wherever one of those was told."""
    places = {(one.kind, name, one.conversation_on(name)) for one in _reactions(heard) for name in one.channels}
    for press in ledger.pressed:
        kind = NotificationKind.ACKNOWLEDGED if press.action == ACKNOWLEDGE else NotificationKind.SILENCED
        before = [one for judged in ledger.judged[: press.before] for one in judged.notifications()]
        for episode in _asked_for(press, ledger):
            _check_done(press, episode, ledger)
            told = {
                (kind, name, one.conversation_on(name))
                for one in before
                if episode in episodes_of(one)
                for name in one.channels
            }
            assert told <= places, f"what people do is told where it was told: {press}, {episode}"


def _asked_for(press: Pressed, ledger: Ledger) -> set[Told]:
    """The episodes that were told in the conversation before it was answered, and had not ended after that."""
    before = [one for judged in ledger.judged[: press.before] for one in judged.notifications()]
    asked = {episode for one in before if one.id == press.conversation for episode in episodes_of(one)}
    over = {
        (one.fingerprint, one.episode)
        for judged in ledger.judged[: press.after]
        for one in judged.transitions()
        if one.reason in ENDINGS
    }
    return asked - over


def _check_done(press: Pressed, episode: Told, ledger: Ledger) -> None:
    if press.action == ACKNOWLEDGE:
        assert ack_path(*episode) in ledger.acks, f"who presses a button has the alert: {press}, {episode}"
        return
    silences = [silence_from_fields(path, fields) for path, fields in ledger.silences.items()]
    alerts = [alert for judged in ledger.judged for some in judged.alerts().values() for alert in some]
    alert = next(one for one in alerts if one.fingerprint == episode[0])
    assert any(one.comment == FROM_A_MESSAGE and one.matches(alert) for one in silences), f"it is silent: {press}"
