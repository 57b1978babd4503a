"""The replay: a recorded series goes the way of live metrics, at its own times, on a clock that walks along.

For every minute T from the first point to the last and a tail after it, in which what fires can resolve: the points
of (T - 60 s, T] are published at T and stored by ``ingest``. ``evaluate`` is called at every minute or, which gives the
same transitions and notifications, at every fifth: then one call judges all five minutes, each on its own, as it does
after a missed call. It waits its settling time on the same clock, and its notifications are delivered. No minute is
left out. Messages carry the clock's time as their publish time, because a real bus would stamp today's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..bus import PUBLISH_TIME_ATTRIBUTE
from ..cells import Observation
from ..errors import TransientError
from ..monitoring_config import MonitoringConfig
from ..publisher import Publisher
from ..records import transitions_in
from ..series import label_text
from ..store import Store
from ..tick import Transition, longest_reach_seconds
from ..timeline import MINUTE_SECONDS, from_minute, iso, minute_floor, minute_of_us, to_us
from .clock import ManualClock
from .hosting import Hosted
from .narrator import name_and_unit, transition_line
from .series_file import Point, Target

BOOT = "replay"
DELIVERED_WITHIN_SECONDS = 60.0
SHOWN = timedelta(hours=72)
MINUTES_PER_CALL = 5
_RETRIES = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: the minute that was judged last, of ``minutes`` in all."""

    at: datetime
    done: int
    minutes: int


class Replay:
    """One replay on a hosted run whose clock is ``clock``: ``evaluate`` is called every ``step`` minutes.

    ``pause`` is called after each minute.
    """

    def __init__(
        self,
        hosted: Hosted,
        clock: ManualClock,
        target: Target,
        pause: Callable[[Progress], None],
        step: int = MINUTES_PER_CALL,
    ) -> None:
        self._hosted = hosted
        self._clock = clock
        self._target = target
        self._pause = pause
        self._step = step
        self._publisher = Publisher(f"replay-{target.series.metric}", BOOT, self._send)

    def run(self, points: Sequence[Point]) -> None:
        """Replay points in ascending order of time. Raises TransientError when a step fails for good."""
        due = _by_minute(points)
        minutes = range(min(due), max(due) + self._tail_seconds() + MINUTE_SECONDS, MINUTE_SECONDS)
        for done, minute in enumerate(minutes, start=1):
            self._clock.move_to(from_minute(minute))
            self._publish(due.get(minute, []))
            if done % self._step == 1 % self._step or done == len(minutes):
                self._evaluate(minute)
            self._pause(Progress(from_minute(minute), done, len(minutes)))

    def _tail_seconds(self) -> int:
        """After this long without points every window is empty and every alert on its values has ended."""
        config = self._hosted.services.config
        without = max((rule.no_data_after for rule in config.list_alert_rules(enabled_only=True)), default=0)
        return longest_reach_seconds(config) + without // MINUTE_SECONDS * MINUTE_SECONDS + MINUTE_SECONDS

    def _publish(self, points: Sequence[Point]) -> None:
        if not points:
            return
        for point in points:
            self._publisher.observe(Observation(self._target.series, self._target.kind, to_us(point.at), point.value))
        self._publisher.flush()
        self._deliver()

    def _evaluate(self, minute: int) -> None:
        for _ in range(_RETRIES):
            if 200 <= self._hosted.evaluate() < 300:
                self._deliver()
                return
            self._clock.sleep(1.0)
        raise TransientError("evaluate_failed", f"{iso(from_minute(minute))} after {_RETRIES} calls")

    def _deliver(self) -> None:
        """Have all that was published acknowledged; what comes again only later gets the time it asks for."""
        for _ in range(_RETRIES):
            if self._hosted.backend.deliver(DELIVERED_WITHIN_SECONDS):
                return
            self._clock.sleep(1.0)
        raise TransientError("not_delivered", iso(self._clock.now()))

    def _send(self, data: bytes, attributes: Mapping[str, str]) -> object:
        stamped = {**attributes, PUBLISH_TIME_ATTRIBUTE: iso(self._clock.now())}
        return self._hosted.services.bus.publish("metrics", data, stamped)


def _by_minute(points: Sequence[Point]) -> dict[int, list[Point]]:
    found: dict[int, list[Point]] = {}
    for point in points:
        found.setdefault(minute_of_us(to_us(point.at)), []).append(point)
    return found


def shown_range(first: datetime, last: datetime, fired: Sequence[datetime]) -> tuple[datetime, datetime]:
    """What of a replay to look at, both ends on the minute: all of it, or 72 hours of a longer one.

    Those begin two hours before the first firing; when nothing fired they are the last.
    """
    start, end = from_minute(minute_floor(first)), from_minute(minute_floor(last))
    if fired:
        start = max(start, min(fired[0] - timedelta(hours=2), end - SHOWN))
        return start, min(end, start + SHOWN)
    return max(start, end - SHOWN), end


def transitions_of(store: Store) -> list[Transition]:
    """Everything that the rules did, oldest first, as ``history`` keeps it."""
    documents = store.list("history").documents
    found = [transition for document in documents for transition in transitions_in(document)]
    return sorted(found, key=lambda change: (change.at, change.rule_id, change.labels))


def table(config: MonitoringConfig, transitions: Sequence[Transition]) -> list[str]:
    """Aligned lines of what each rule did and when, in UTC; one line that says so when none did anything."""
    if not transitions:
        return ["No rule did anything."]
    return ["UTC               EVENT     RULE", *(_row(config, change) for change in transitions)]


def _row(config: MonitoringConfig, change: Transition) -> str:
    name, unit = name_and_unit(config, change.rule_id)
    said = transition_line(change.at, change.reason.value, name, label_text(change.labels), change.value, unit)
    return f"{change.at:%Y-%m-%d} {said.strip()}"
