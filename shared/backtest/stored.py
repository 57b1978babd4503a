"""What a deployment keeps, as a backtest reads it: minutes, hours where the minutes are gone, and what was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..acks import Ack, read_each
from ..alerts import AlertState
from ..buckets import EXPIRY_AFTER, expired
from ..cells import Cells
from ..deliveries import DeliveryState
from ..errors import ConfigError
from ..evaluator import STATE_PATH
from ..hours import KEPT, hour_of, minutes_in, read_hours
from ..monitoring_config import MonitoringConfig
from ..records import Announcement, alerts_in, announcements_in, transitions_in
from ..retention import live
from ..rolling import PAST_SECONDS
from ..rollups import read_rollups, rolled_up_at
from ..silences import Silence, readable
from ..store import Store
from ..tick import Transition
from ..timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute, minute_id, parse_minute_id
from ..usual_store import Baselines, moving_keys, read_baselines, read_made_at
from .episodes import Key, Telling
from .run import Span


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notification on a channel, and when (aware UTC)."""

    notification: str
    channel: str
    state: DeliveryState
    at: datetime

    @property
    def episode(self) -> Key:
        """The episode that it is about."""
        minute, fingerprint, _ = self.notification.split("-", 2)
        return fingerprint, from_minute(parse_minute_id(minute))


@dataclass(frozen=True, slots=True)
class History:
    """What really happened: transitions, oldest first; when each minute that had any was judged; what was told.

    ``announced`` is what was decided to be told, alert by alert. ``silences`` and ``acks`` are all that are kept;
    ``alerts`` is what the evaluator remembers now.
    """

    transitions: tuple[Transition, ...] = ()
    decided_at: Mapping[int, datetime] | None = None
    deliveries: tuple[Delivery, ...] = ()
    silences: tuple[Silence, ...] = ()
    acks: tuple[Ack, ...] = ()
    alerts: tuple[AlertState, ...] = ()
    announced: tuple[Announcement, ...] = ()

    def sent(self) -> dict[str, list[Delivery]]:
        """The deliveries that reached their channel, by notification."""
        found: dict[str, list[Delivery]] = {}
        for one in self.deliveries:
            if one.state is DeliveryState.SENT:
                found.setdefault(one.notification, []).append(one)
        return found

    def tellings(self) -> dict[Key, list[Telling]]:
        """What was sent, by episode: a channel that is not set up, or refused, heard of nothing."""
        by_id = self.sent()
        found: dict[Key, list[Telling]] = {}
        for told in self.announced:
            if sent := by_id.get(told.id):
                telling = Telling(told.kind.value, min(one.at for one in sent), tuple(one.channel for one in sent))
                found.setdefault((told.fingerprint, told.fired_at), []).append(telling)
        return {key: sorted(told, key=lambda one: one.at) for key, told in found.items()}


@dataclass(frozen=True, slots=True)
class Stored:
    """The minutes of a store as of ``now`` (aware UTC): a ``Source``.

    Minutes older than 76 hours are those of their hours (``hours.minutes_in``), which are kept for 30 days.
    """

    store: Store
    now: datetime

    def read(self, minutes: Sequence[int]) -> Mapping[int, Cells]:
        """See ``run.Source``."""
        old = {minute for minute in minutes if self.is_old(minute)}
        hours = read_hours(self.store, sorted({*map(hour_of, old)}), self.now) if old else {}
        held = {minute: cells for hour, one in hours.items() for minute, cells in minutes_in(hour, one).items()}
        kept = [minute for minute in minutes if minute not in old]
        recent = read_rollups(self.store, kept, self.now) if kept else {}
        return {minute: cells for minute, cells in held.items() if minute in old} | recent

    def is_old(self, minute: int) -> bool:
        """Whether only its hour is kept."""
        return expired(minute, self.now)

    def span(self, hours: float) -> Span:
        """The last ``hours`` that were judged, and not before the hour that the first evaluation ever found there.

        Raises ``ConfigError`` when nothing was judged, or for more than 30 days.
        """
        if not 0 < hours <= KEPT / timedelta(hours=1):
            raise ConfigError(f"hours: expected more than 0 and at most {KEPT // timedelta(hours=1)}, got {hours:g}")
        state = self.store.get([STATE_PATH]).get(STATE_PATH)
        if state is None:
            raise ConfigError("nothing has been evaluated yet, so there is nothing to look back on")
        last, judged = int(state.fields["minute"]), state.fields.get("first_minute")
        first = last + MINUTE_SECONDS - max(1, round(hours * HOUR_SECONDS / MINUTE_SECONDS)) * MINUTE_SECONDS
        return Span(first if judged is None else max(first, int(judged) - PAST_SECONDS), last)

    def first_judged(self) -> int | None:
        """The first minute that was ever judged (Unix seconds); None where that is not known."""
        state = self.store.get([STATE_PATH]).get(STATE_PATH)
        first = None if state is None else state.fields.get("first_minute")
        return None if first is None else int(first)

    def judged(self, span: Span) -> Span:
        """What of a span the evaluator has judged: nothing before its first evaluation ever, or without minutes.

        Raises ``ConfigError`` when no minute of it is kept any more.
        """
        minutes = range(span.first, span.last + 1, MINUTE_SECONDS)
        kept = next((one for one in minutes if not self.is_old(one)), None)
        if kept is None:
            raise ConfigError(
                f"minutes are kept for {EXPIRY_AFTER // timedelta(hours=1)} hours, and the last was judged before that"
            )
        return Span(max(kept, self.first_judged() or kept), span.last)

    def baselines(self, configs: Iterable[MonitoringConfig]) -> Baselines:
        """What is usual now, for the rules that ask."""
        return read_baselines(self.store, {key for one in configs for key in moving_keys(one)}, self.now)

    def made_at(self, configs: Iterable[MonitoringConfig]) -> dict[str, datetime]:
        """Since when it is usual, by key."""
        return read_made_at(self.store, {key for one in configs for key in moving_keys(one)}, self.now)

    def history(self, span: Span, cooldown_seconds: int = 0) -> History:
        """What the evaluator did over a span, and what was told of it and for ``cooldown_seconds`` before."""
        first, last = minute_id(span.first), minute_id(span.last) + "~~"
        documents = live(self.store.list("history", first, last).documents, self.now)
        earlier = minute_id(span.first - cooldown_seconds // MINUTE_SECONDS * MINUTE_SECONDS)
        delivered = live(self.store.list("deliveries", earlier, last).documents, self.now)
        alerts = self.store.list("alerts").documents
        return History(
            tuple(change for one in documents for change in transitions_in(one)),
            {parse_minute_id(one.id.partition("~")[0]): one.update_time for one in documents},
            tuple(
                Delivery(
                    one.fields["notification"],
                    one.fields["channel"],
                    DeliveryState(one.fields["state"]),
                    one.fields["at"],
                )
                for one in delivered
            ),
            tuple(readable(self.store.list("silences").documents)),
            tuple(read_each(self.store.list("acks").documents).values()),
            tuple(alert for one in alerts for alert in alerts_in(one)),
            tuple(told for one in documents for told in announcements_in(one)),
        )

    def rolled_up_at(self, minutes: Sequence[int]) -> Mapping[int, datetime]:
        """When the chunks of some minutes were listed for their rollups."""
        return rolled_up_at(self.store, minutes)
