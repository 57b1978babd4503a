"""Time as the buckets see it: minutes named by their end.

Bucket M holds the instants (M - 60 s, M]. A point stamped exactly on the minute, as cron jobs and scrapes
stamp them, therefore belongs to the evaluation at that minute, and a window (T - w, T] is a whole number of
buckets. Instants are Unix microseconds (``*_us``, int) in columns and aware UTC ``datetime`` in decisions; a
minute is the Unix time of its end in whole seconds, a multiple of 60.
"""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
US_PER_SECOND = 1_000_000
_US_PER_MINUTE = MINUTE_SECONDS * US_PER_SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(instant: datetime) -> int:
    """Unix microseconds of an aware ``datetime``, exact. Raises ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError("expected an aware datetime, got a naive one")
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * US_PER_SECOND + delta.microseconds


def from_us(instant_us: int) -> datetime:
    """The aware UTC ``datetime`` of Unix microseconds."""
    seconds, micros = divmod(instant_us, US_PER_SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def minute_of_us(instant_us: int) -> int:
    """The bucket that holds an instant: its end, Unix seconds. 12:00:00.000000 -> 12:00, one us later -> 12:01."""
    return -(-instant_us // _US_PER_MINUTE) * MINUTE_SECONDS


def minute_floor(instant: datetime) -> int:
    """The newest minute that has ended at ``instant``: Unix seconds, a multiple of 60."""
    return to_us(instant) // _US_PER_MINUTE * MINUTE_SECONDS


def from_minute(minute: int) -> datetime:
    """The aware UTC ``datetime`` at which a minute ends."""
    return datetime.fromtimestamp(minute, UTC)


def minute_id(minute: int) -> str:
    """A minute in a document id: ``20251018T1235``, UTC, sorts by time."""
    return from_minute(minute).strftime("%Y%m%dT%H%M")


def parse_minute_id(text: str) -> int:
    """The inverse of ``minute_id``. Raises ValueError for any other text."""
    instant = datetime.strptime(text, "%Y%m%dT%H%M").replace(tzinfo=UTC)
    if minute_id(int(instant.timestamp())) != text:
        raise ValueError(f"expected a minute like 20251018T1235, got {text!r}")
    return int(instant.timestamp())


def iso(instant: datetime) -> str:
    """RFC 3339 in UTC with ``Z``; a fraction only where there is one: ``2025-10-18T12:34:56Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """An RFC 3339 instant with an offset, as aware UTC.

    Raises ValueError for a naive or malformed one, and for one that lies outside the years 1 to 9999 in UTC.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"expected an RFC 3339 time with an offset, got {text!r}")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"expected a time of the years 1 to 9999, got {text!r}") from error
