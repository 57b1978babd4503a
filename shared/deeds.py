"""What a person can send: take an alert, silence it for some hours, end a silence. Each is one call of ``actions``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from .actions import acknowledge, end_silence, silence
from .alerts import AlertState
from .errors import PermanentError
from .silences import RULE, Matcher
from .store import Store
from .timeline import iso, parse_iso

ACKNOWLEDGE, SILENCE = "acknowledge", "silence"
HOURS = (1, 4, 24, 72)
_PATH = re.compile(rf"/alerts/(?P<fingerprint>[0-9a-f]{{16}})/(?P<deed>{ACKNOWLEDGE}|{SILENCE})")
END_SILENCE = "/silences/end"
_SILENCE_ID = re.compile(r"[a-z0-9-]{1,64}")
_INVALID = "invalid_request"


def is_deed(path: str) -> bool:
    """Whether a path is one that something can be sent to."""
    return path == END_SILENCE or deed_of(path) is not None


def deed_of(path: str) -> tuple[str, str] | None:
    """The fingerprint and the deed that a path asks for; None for any other path."""
    match = _PATH.fullmatch(path)
    return (match["fingerprint"], match["deed"]) if match else None


def carry_out(store: Store, alerts: list[AlertState], path: str, form: Mapping[str, str], now: datetime) -> str:
    """Do what was sent; the address of the page to go back to.

    Asking again, as after an answer that was lost, changes nothing. Raises PermanentError: ``not_found``,
    ``invalid_request``, and those of ``actions``.
    """
    if path == END_SILENCE:
        return _end(store, form, now)
    asked = deed_of(path)
    if asked is None:
        raise PermanentError("not_found", "there is no such page")
    fingerprint, deed = asked
    author, comment = form.get("author", "").strip(), form.get("comment", "").strip()
    if deed == ACKNOWLEDGE:
        taken = acknowledge(store, fingerprint, _instant(form.get("fired_at", "")), author, comment, now)
        if not taken.is_new and taken.ack.author != author:
            sentence = f"Somebody acknowledged this first: {taken.ack.author}, {iso(taken.ack.at)}."
            raise PermanentError("taken", sentence)
    else:
        _silence(store, alerts, fingerprint, form, author, comment, now)
    return f"/alerts/{fingerprint}"


def _end(store: Store, form: Mapping[str, str], now: datetime) -> str:
    silence_id = form.get("silence", "")
    if not _SILENCE_ID.fullmatch(silence_id):
        raise PermanentError(_INVALID, "silence must be the id of a silence")
    end_silence(store, silence_id, form.get("author", "").strip(), form.get("comment", "").strip(), now)
    return "/silences"


def _silence(
    store: Store,
    alerts: list[AlertState],
    fingerprint: str,
    form: Mapping[str, str],
    author: str,
    comment: str,
    now: datetime,
) -> None:
    alert = next((one for one in alerts if one.fingerprint == fingerprint), None)
    if alert is None:
        raise PermanentError("not_found", "There is no such alert any more.")
    matchers = [Matcher(RULE, alert.rule_id), *(Matcher(name, value) for name, value in alert.labels)]
    ends_at = now + timedelta(hours=_hours(form.get("hours", "")))
    own_id = hashlib.sha256(f"{fingerprint}\n{form.get('token')}\n{form.get('asked_at')}".encode()).hexdigest()[:32]
    silence(store, own_id, matchers, now, ends_at, author, comment, now)


def _hours(text: str) -> int:
    if text not in {str(hours) for hours in HOURS}:
        raise PermanentError(_INVALID, f"hours must be one of {', '.join(map(str, HOURS))}")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        return parse_iso(text)
    except ValueError as error:
        raise PermanentError(_INVALID, "fired_at must be a time such as 2025-10-18T14:05:00Z") from error
