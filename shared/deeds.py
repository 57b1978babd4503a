"""What a person can send: take an alert, silence it for some hours, end a silence. Each is one call of ``actions``.

Where the alert was told, those who were told hear of it: one incident that is taken is taken for everybody, so that
taking an alert takes all that fire in its conversation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .actions import acknowledge, end_silence, silence
from .alerts import AlertState
from .errors import PermanentError
from .monitoring_config import MonitoringConfig
from .notifications import Notification
from .reactions import acknowledge_conversation, silenced
from .silences import RULE, Matcher, Silence
from .store import Store
from .timeline import iso, parse_iso

ACKNOWLEDGE, SILENCE = "acknowledge", "silence"
HOURS = (1, 4, 24, 72)
_PATH = re.compile(rf"/alerts/(?P<fingerprint>[0-9a-f]{{16}})/(?P<deed>{ACKNOWLEDGE}|{SILENCE})")
END_SILENCE = "/silences/end"
_SILENCE_ID = re.compile(r"[a-z0-9-]{1,64}")
_INVALID = "invalid_request"


@dataclass(frozen=True, slots=True)
class Done:
    """``href`` is the page to go back to, ``told`` what those hear who were told of the alert; empty: nobody was."""

    href: str
    told: tuple[Notification, ...] = ()


def is_deed(path: str) -> bool:
    """Whether a path is one that something can be sent to."""
    return path == END_SILENCE or deed_of(path) is not None


def deed_of(path: str) -> tuple[str, str] | None:
    """The fingerprint and the deed that a path asks for; None for any other path."""
    match = _PATH.fullmatch(path)
    return (match["fingerprint"], match["deed"]) if match else None


def carry_out(
    store: Store, config: MonitoringConfig, alerts: list[AlertState], path: str, form: Mapping[str, str], now: datetime
) -> Done:
    """Do what was sent.

    Asking again, as after an answer that was lost, changes nothing and tells the same. Raises PermanentError:
    ``not_found``, ``invalid_request``, and those of ``actions``.
    """
    if path == END_SILENCE:
        return _end(store, form, now)
    asked = deed_of(path)
    if asked is None:
        raise PermanentError("not_found", "there is no such page")
    fingerprint, deed = asked
    author, comment = form.get("author", "").strip(), form.get("comment", "").strip()
    alert = next((one for one in alerts if one.fingerprint == fingerprint), None)
    if deed == ACKNOWLEDGE:
        fired_at = _instant(form.get("fired_at", ""))
        taken = acknowledge(store, fingerprint, fired_at, author, comment, now)
        if not taken.is_new and taken.ack.author != author:
            sentence = f"Somebody acknowledged this first: {taken.ack.author}, {iso(taken.ack.at)}."
            raise PermanentError("taken", sentence)
        is_it = alert is not None and alert.fired_at == fired_at
        told = _taken_together(store, config, alert, author, now) if alert and is_it else ()
    else:
        if alert is None:
            raise PermanentError("not_found", "There is no such alert any more.")
        made = _silence(store, alert, form, author, comment, now)
        told = (silenced(config, alert, made),) if alert.is_firing and alert.told else ()
    return Done(f"/alerts/{fingerprint}", told)


def _taken_together(
    store: Store, config: MonitoringConfig, alert: AlertState, author: str, now: datetime
) -> tuple[Notification, ...]:
    """Take what fires in an alert's conversation; nothing where nobody was told, or all of it has ended by now."""
    if not alert.is_firing or not alert.told:
        return ()
    try:
        return acknowledge_conversation(store, config, alert.told[0].notification_id, author, now).notifications
    except PermanentError as error:
        if error.reason != "not_firing":
            raise
        return ()


def _end(store: Store, form: Mapping[str, str], now: datetime) -> Done:
    silence_id = form.get("silence", "")
    if not _SILENCE_ID.fullmatch(silence_id):
        raise PermanentError(_INVALID, "silence must be the id of a silence")
    end_silence(store, silence_id, form.get("author", "").strip(), form.get("comment", "").strip(), now)
    return Done("/silences")


def _silence(
    store: Store, alert: AlertState, form: Mapping[str, str], author: str, comment: str, now: datetime
) -> Silence:
    matchers = [Matcher(RULE, alert.rule_id), *(Matcher(name, value) for name, value in alert.labels)]
    ends_at = now + timedelta(hours=_hours(form.get("hours", "")))
    own_id = hashlib.sha256(f"{alert.fingerprint}\n{form.get('token')}\n{form.get('asked_at')}".encode()).hexdigest()[
        :32
    ]
    return silence(store, own_id, matchers, now, ends_at, author, comment, now)


def _hours(text: str) -> int:
    if text not in {str(hours) for hours in HOURS}:
        raise PermanentError(_INVALID, f"hours must be one of {', '.join(map(str, HOURS))}")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        return parse_iso(text)
    except ValueError as error:
        raise PermanentError(_INVALID, "fired_at must be a time such as 2025-10-18T14:05:00Z") from error
