"""What a person in front of a local run reads: one short line an event, times in UTC, nothing hostile."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

from ..adapters.broker import Delivery
from ..channels import Answer, Channel, Turn
from ..errors import MonitoringError
from ..monitoring_config import MonitoringConfig
from ..notifications import Notification
from ..render.plain import clean, cut
from ..series import label_text, make_labels
from .functions import described

_WORDS = {
    "started": "pending",
    "fired": "FIRING",
    "resolved": "resolved",
    "cleared": "calm",
    "no_data": "no data",
    "raised": "WORSE",
    "data_missing": "NO DATA",
    "data_back": "data",
    "rule_failed": "FAILED",
    "rule_works": "works",
    "rule_removed": "removed",
    "regrouped": "regrouped",
}
_LOUD = ("WARNING", "ERROR", "CRITICAL")
MAX_REASONS = 1000
MAX_COLUMNS = 400
_DIGITS = re.compile(r"[0-9]+")
_SAID_AT = frozenset(10**power for power in range(10))


@dataclass(frozen=True, slots=True)
class Narrator:
    """Turns log events and failures into lines. ``say`` prints one; ``quiet`` leaves the transitions out.

    A failure is said once for each reason, and again when it is the tenth, hundredth, ... for the same.
    """

    config: MonitoringConfig
    say: Callable[[str], None]
    quiet: bool = False
    _failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def event(self, line: str) -> None:
        """A log event: transitions, and whatever is wrong."""
        event = json.loads(line)
        if event["message"] == "transition":
            if not self.quiet:
                self.say(self._transition(event))
        elif event["severity"] in _LOUD:
            told = ", ".join(f"{name}={value}" for name, value in event.items() if name not in ("severity", "message"))
            self.say(clean(f"  {event['message']}: {told}"))

    def refused(self, delivery: Delivery, error: Exception) -> None:
        """A push that was not acknowledged; it comes again."""
        detail = error.detail if isinstance(error, MonitoringError) else described(error)
        self._failed(f"{delivery.subscription.name}, which comes again", detail)

    def failed(self, function: str, error: BaseException) -> None:
        """A function that was called and raised."""
        self._failed(function, described(error))

    def _failed(self, what: str, why: str) -> None:
        """Say it, unless it was said and is no round number of times; numbers in a reason make no other reason."""
        with self._lock:
            if len(self._failures) >= MAX_REASONS:
                self._failures.clear()
            key = what, _DIGITS.sub("0", why)
            self._failures[key] += 1
            times = self._failures[key]
        if times in _SAID_AT:
            again = "" if times == 1 else f" {times} times"
            self.say(cut(clean(f"  failed{again}: {what}: {why}"), MAX_COLUMNS))

    def _transition(self, event: dict[str, Any]) -> str:
        name, unit = name_and_unit(self.config, event["rule_id"])
        labels = label_text(make_labels(event["labels"]))
        at = datetime.fromisoformat(event["at"])
        return transition_line(at, event["reason"], name, labels, event["value"], unit)


def name_and_unit(config: MonitoringConfig, rule_id: str) -> tuple[str, str]:
    """A rule's name and the unit of its value; the id and none for what is no rule of the configuration."""
    found = config.find_rule(rule_id)
    return (rule_id, "") if found is None else (found.name, config.unit_for(found))


def transition_line(at: datetime, reason: str, rule: str, labels: str, value: float | None, unit: str) -> str:
    """``14:05  FIRING    High Error Rate - Critical (4.02 %)``; the minute is the evaluation's, in UTC."""
    shown = f" ({value:.4g} {unit}".rstrip() + ")" if value is not None else ""
    place = f" {labels}" if labels else ""
    return clean(f"  {at:%H:%M}  {_WORDS.get(reason, reason):<8}  {rule}{place}{shown}")


@dataclass(frozen=True, slots=True)
class AnnouncedChannel:
    """A channel whose deliveries are said as well, with the address where each can be read."""

    name: str
    inner: Channel
    say: Callable[[str], None]
    url: str

    @property
    def setup(self) -> str:
        """As the channel's."""
        return self.inner.setup

    @property
    def max_per_minute(self) -> int | None:
        """As the channel's."""
        return self.inner.max_per_minute

    def undo(self, notification: Notification, late: Mapping[str, str], turn: Turn, /) -> None:
        """As the channel's."""
        self.inner.undo(notification, late, turn)

    def send(self, notification: Notification, turn: Turn) -> Answer:
        """Send, then say so. Raises what the channel raises."""
        answer = self.inner.send(notification, turn)
        self.say(clean(f"         {self.name} told: {notification.rule_name} {notification.kind.value}  {self.url}"))
        return answer
