"""What a person can do about alerts: take one, silence some, end a silence.

Each is one commit with its entry in ``audit``, and idempotent, because the place of what it makes follows from what was
asked for, an episode or the request's own id, and is written on the condition that nothing is there: asking again, as
after an answer that was lost, changes nothing. None of them changes a state or touches what the evaluator writes, which
sees them at its next T (``telling``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from .acks import Ack, ack_from_fields, ack_path, check_ack
from .alerts import AlertState
from .audit import Deed, Entry
from .errors import PermanentError, PreconditionFailed, TransientError
from .people import check_author, check_comment
from .records import alerts_in
from .retention import live
from .series import label_text
from .silences import INVALID, Matcher, Silence, check_silence, matcher_text, silence_from_fields, silence_path
from .store import Absent, Precondition, Store, Unchanged
from .timeline import iso

ATTEMPTS = 5
TAKEN_AT_ONCE = 200
"""Alerts in one commit, two writes each."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Who has an episode. ``is_new``: since this very call; otherwise the acknowledgement was there before."""

    ack: Ack
    is_new: bool


def acknowledge(store: Store, fingerprint: str, fired_at: datetime, author: str, comment: str, now: datetime) -> Taken:
    """Take the episode of an alert that fired at ``fired_at``; of two people the first has it.

    Raises PermanentError: ``not_firing`` when that episode does not fire (any more) and nobody had it,
    ``invalid_acknowledgement``.
    """
    ack = check_ack(Ack(fingerprint, fired_at, author, now, comment))
    known = _acknowledged(store, ack)
    return known or _take(store, _firing(store, fingerprint, fired_at), ack)


def firing_in(store: Store, conversation: str) -> list[AlertState]:
    """The alerts that were told in a conversation and fire, by labels; it is the id of what it began with.

    Raises PermanentError ``not_firing`` when there is none.
    """
    found = [
        alert
        for document in store.list("alerts").documents
        for alert in alerts_in(document)
        if alert.is_firing and any(told.notification_id == conversation for told in alert.told)
    ]
    if not found:
        raise PermanentError("not_firing", f"nothing of {conversation[:80]} fires")
    return sorted(found, key=lambda alert: alert.labels)


def take(store: Store, alerts: Sequence[AlertState], author: str, comment: str, now: datetime) -> list[Taken]:
    """Take the episodes of alerts that fire, in their order: many in a commit, and one by one where some are taken.

    Raises PermanentError ``invalid_acknowledgement``, and TransientError ``contended``.
    """
    taken: list[Taken] = []
    for start in range(0, len(alerts), TAKEN_AT_ONCE):
        some = [(alert, _ack(alert, author, comment, now)) for alert in alerts[start : start + TAKEN_AT_ONCE]]
        try:
            store.commit([write for alert, ack in some for write in (ack.write(), _taking(alert, ack).write())])
        except PreconditionFailed:
            taken += [_take(store, alert, ack) for alert, ack in some]
        else:
            taken += [Taken(ack, is_new=True) for _, ack in some]
    return taken


def _ack(alert: AlertState, author: str, comment: str, now: datetime) -> Ack:
    return check_ack(Ack(alert.fingerprint, alert.fired_at or now, author, now, comment))


def _taking(alert: AlertState, ack: Ack) -> Entry:
    path = ack_path(ack.fingerprint, ack.fired_at)
    return Entry(ack.at, ack.author, Deed.ACKNOWLEDGED, path, _about(alert), ack.comment)


def _take(store: Store, alert: AlertState, ack: Ack) -> Taken:
    try:
        store.commit([ack.write(), _taking(alert, ack).write()])
    except PreconditionFailed as error:
        known = _acknowledged(store, ack)
        if known is None:
            raise TransientError("contended", ack_path(ack.fingerprint, ack.fired_at)) from error
        return known
    return Taken(ack, is_new=True)


def _acknowledged(store: Store, asked: Ack) -> Taken | None:
    """Who has the episode already."""
    path = ack_path(asked.fingerprint, asked.fired_at)
    document = store.get([path]).get(path)
    ack = None if document is None else ack_from_fields(document.fields)
    return Taken(ack, is_new=False) if ack is not None and ack.fired_at == asked.fired_at else None


def silence(
    store: Store,
    silence_id: str,
    matchers: Sequence[Matcher],
    starts_at: datetime,
    ends_at: datetime,
    author: str,
    comment: str,
    now: datetime,
) -> Silence:
    """Silence what matches. ``silence_id`` is the request's own: the same again gives the silence as it is by then.

    Raises PermanentError ``invalid_silence``.
    """
    made = check_silence(Silence(silence_id, tuple(matchers), starts_at, ends_at, author, comment, now))
    if ends_at <= now:
        raise PermanentError(INVALID, "ends_at: expected a time that is not over")
    entry = Entry(now, author, Deed.SILENCED, silence_path(silence_id), _reach(made), comment)
    try:
        store.commit([made.write(Absent()), entry.write()])
    except PreconditionFailed:
        return _known(store, silence_id, now)[0]
    return made


def end_silence(store: Store, silence_id: str, author: str, comment: str, now: datetime) -> Silence:
    """End a silence now, or before it begins; one that is over stays as it is.

    Raises PermanentError: ``unknown_silence``, ``invalid_silence`` for a person or comment that is none, and
    TransientError ``contended``.
    """
    check_author(INVALID, author)
    check_comment(INVALID, comment, 0)
    for _ in range(ATTEMPTS):
        known, read = _known(store, silence_id, now)
        ended = replace(known, ends_at=max(now, known.starts_at))
        if ended.ends_at >= known.ends_at:
            return known
        entry = Entry(now, author, Deed.UNSILENCED, silence_path(silence_id), _reach(known), comment)
        try:
            store.commit([ended.write(read), entry.write()])
        except PreconditionFailed:
            continue
        return ended
    raise TransientError("contended", silence_path(silence_id))


def _firing(store: Store, fingerprint: str, fired_at: datetime) -> AlertState:
    for document in store.list("alerts").documents:
        for alert in alerts_in(document):
            if alert.fingerprint == fingerprint and alert.is_firing and alert.fired_at == fired_at:
                return alert
    raise PermanentError("not_firing", f"{fingerprint} has no episode of {iso(fired_at)} that fires")


def _known(store: Store, silence_id: str, now: datetime) -> tuple[Silence, Precondition]:
    path = silence_path(silence_id)
    document = store.get([path]).get(path)
    if document is None or not live([document], now):
        raise PermanentError("unknown_silence", path)
    return silence_from_fields(silence_id, document.fields), Unchanged(document.update_time)


def _about(alert: AlertState) -> str:
    """``high-cpu: region=eu``."""
    where = f": {label_text(alert.labels)}" if alert.labels else ""
    return f"{alert.rule_id}{where}"


def _reach(one: Silence) -> str:
    """``rule=high-cpu, region=eu from 2025-10-18T12:00:00Z until 2025-10-18T13:00:00Z``."""
    matchers = ", ".join(map(matcher_text, one.matchers))
    return f"{matchers} from {iso(one.starts_at)} until {iso(one.ends_at)}"
