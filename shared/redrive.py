"""Redrive: what lies on a dead-letter topic goes through its function again.

A letter carries the whole message and the time at which it was first published, so it lands under the same keys
and is judged by the same clock as the first time: what had counted already counts no second time. A letter is
acknowledged only after the bus has taken its copy; a crash between the two leaves it, and repeating is harmless.

    python -m shared.redrive [--topic metrics|notifications] [--limit N] [--reason NAME] [--list]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .bus import REASON_ATTRIBUTE, Bus, Received
from .dead_letters import DETAIL_ATTRIBUTE
from .errors import MonitoringError
from .wiring import services

BATCH = 100
_OURS = (REASON_ATTRIBUTE, DETAIL_ATTRIBUTE)
_FORWARDED = "a message that its function did not take"


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive met: letters by their reason, and how many of them were published again."""

    found: Mapping[str, int] = field(default_factory=dict)
    published: int = 0


def redrive(
    bus: Bus, subscription: str, topic: str, limit: int, *, now: datetime, reason: str = "", list_only: bool = False
) -> Redriven:
    """Publish up to ``limit`` letters of a pull subscription to ``topic`` again, none of them published after ``now``.

    Such a letter may be of what was just sent, and come back for the same reason. With ``reason`` only those that were
    rejected under it; with ``list_only`` none. What is passed over is given back to the subscription at the end, so
    that no letter is met twice. An empty subscription gives an empty result.
    """
    found: Counter[str] = Counter()
    passed: list[str] = []
    published = 0
    try:
        while sum(found.values()) < limit:
            batch = bus.pull(subscription, min(BATCH, limit - sum(found.values())))
            older = [letter for letter in batch if letter.message.publish_time <= now]
            passed += [letter.ack_id for letter in batch if letter.message.publish_time > now]
            if not older:
                break
            for letter in older:
                why = letter.message.attributes.get(REASON_ATTRIBUTE, _FORWARDED)
                found[why] += 1
                if list_only or (reason and why != reason):
                    passed.append(letter.ack_id)
                else:
                    _publish(bus, subscription, topic, letter)
                    published += 1
    finally:
        bus.nack(subscription, passed)
    return Redriven(dict(found), published)


def _publish(bus: Bus, subscription: str, topic: str, letter: Received) -> None:
    attributes = {name: value for name, value in letter.message.attributes.items() if name not in _OURS}
    bus.publish(topic, letter.message.data, attributes)
    bus.ack(subscription, [letter.ack_id])


def main(arguments: Sequence[str]) -> int:
    """The command: 0 when it could look, 1 when the bus or the environment did not allow it."""
    parser = argparse.ArgumentParser(prog="python -m shared.redrive", description="Send dead letters again.")
    parser.add_argument("--topic", choices=("metrics", "notifications"), default="metrics")
    parser.add_argument("--limit", type=int, default=1000, help="letters at most (default 1000)")
    parser.add_argument("--reason", default="", help="only letters that were rejected under this name")
    parser.add_argument("--list", action="store_true", dest="list_only", help="only say what is there")
    chosen = parser.parse_args(arguments)
    try:
        running = services()
        letters = running.topic(f"{chosen.topic}-dead-letter-pull")
        result = redrive(
            running.bus, letters, running.topic(chosen.topic), chosen.limit,
            now=running.now(), reason=chosen.reason, list_only=chosen.list_only,
        )  # fmt: skip
    except MonitoringError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for why, number in sorted(result.found.items()):
        sys.stdout.write(f"{number:7}  {why}\n")
    sys.stdout.write(f"{sum(result.found.values())} found, {result.published} sent again\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
