"""What a person in front of a local run reads: one short line an event, times in UTC, nothing hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..adapters.broker import Delivery
from ..channels import Answer, Channel
from ..monitoring_config import MonitoringConfig
from ..notifications import Notification
from ..render.plain import clean
from ..series import label_text, make_labels

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
}
_LOUD = ("WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Narrator:
    """Turns log events into lines. ``say`` prints one; ``quiet`` leaves the transitions out."""

    config: MonitoringConfig
    say: Callable[[str], None]
    quiet: bool = False

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
        self.say(clean(f"  {delivery.subscription.name}, attempt {delivery.received.delivery_attempt}: {error}"))

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

    def send(self, notification: Notification) -> Answer:
        """Send, then say so. Raises what the channel raises."""
        answer = self.inner.send(notification)
        self.say(clean(f"         {self.name} told: {notification.rule_name} {notification.kind.value}  {self.url}"))
        return answer
