"""What a person can send to an alert's page: take it, or silence it for some hours. Each is one call of ``actions``.

Where the alert was told, those who were told hear of it: one incident that is taken is taken for everybody, so that
taking an alert takes all that fire in its conversation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from .actions import acknowledge, silence
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
_INVALID = "invalid_request"


@dataclass(frozen=True, slots=True)
class Done:
    """``href`` is the page to go back to, ``told`` what those hear who were told of the alert; None: nobody was."""

    href: str
    told: Notification | None


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
        told = _taken_together(store, config, alert, author, now) if alert and is_it else None
    else:
        if alert is None:
            raise PermanentError("not_found", "There is no such alert any more.")
        made = _silence(store, alert, form, author, comment, now)
        told = silenced(config, alert, made) if alert.is_firing and alert.told else None
    return Done(f"/alerts/{fingerprint}", told)


def _taken_together(
    store: Store, config: MonitoringConfig, alert: AlertState, author: str, now: datetime
) -> Notification | None:
    """Take what fires in an alert's conversation; None where nobody was told, or all of it has ended by now."""
    if not alert.is_firing or not alert.told:
        return None
    try:
        return acknowledge_conversation(store, config, alert.told[0].notification_id, author, now).notification
    except PermanentError as error:
        if error.reason != "not_firing":
            raise
        return None


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
