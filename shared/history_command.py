"""What happened to alerts in the last hours, who was told, and what people did; a line an event, oldest first.

    python -m shared.history_command [--hours 24] [--rule ID] [--fingerprint HEX] [--label NAME=VALUE] [--json]

It reads the deployment that the environment names (ION_PROJECT ...), or else the newest database of a local run.
Nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from .audit import Entry
from .errors import ConfigError, MonitoringError
from .history import LONGEST, Event, Outcome, Told, Wanted, read_history
from .render.plain import clean
from .series import label_text, make_labels
from .setup_system import find_system
from .tick import Transition
from .timeline import iso
from .wiring import utc_now

MOST_HOURS = LONGEST // timedelta(hours=1)


def event_line(event: Event) -> str:
    """``2025-10-18T12:03:00Z  high-cpu (region=eu)  fired  pending > firing  93.2  5 in a row  by 0123456789ab``."""
    return clean("  ".join([iso(event.at), *_words(event)]))


def _words(event: Event) -> list[str]:
    if isinstance(event, Entry):
        why = f": {event.comment}" if event.comment else ""
        return [f"{event.author} {event.deed.value} {event.about}{why}"]
    if isinstance(event, Told):
        told = event.announcement
        outcomes = ", ".join(map(_outcome_text, event.outcomes)) or "nobody"
        return [
            _alert_text(told.rule_id, label_text(told.labels)),
            f"told {told.kind.value} ({told.severity})",
            outcomes,
        ]
    changed = f"{event.before.value} > {event.after.value}"
    held = [f"not told: {event.held}"] if event.held else []
    value = "no value" if event.value is None else f"{event.value:.6g}"
    judged = [value, f"{event.count} in a row", f"by {event.config_hash}"]
    return [_alert_text(event.rule_id, label_text(event.labels)), event.reason.value, changed, *judged, *held]


def _alert_text(rule_id: str, labels: str) -> str:
    return f"{rule_id} ({labels})" if labels else rule_id


def _outcome_text(outcome: Outcome) -> str:
    state = "?" if outcome.state is None else outcome.state.value
    return f"{outcome.channel} {state}"


def event_dict(event: Event) -> dict[str, Any]:
    """An event as JSON has it; ``event`` says which of the three it is."""
    if isinstance(event, Entry):
        deed = {"deed": event.deed.value, "target": event.target, "about": event.about, "comment": event.comment}
        return {"event": "deed", "at": iso(event.at), "author": event.author, **deed}
    if isinstance(event, Transition):
        judged = {"severity": event.severity, "value": event.value, "count": event.count, "held": event.held}
        changed = {"reason": event.reason.value, "from": event.before.value, "to": event.after.value}
        episode = None if event.episode is None else iso(event.episode)
        return {
            "event": "transition",
            **_common(event),
            **changed,
            **judged,
            "about": event.kind.value,
            "fired_at": episode,
        }
    told = event.announcement
    judged = {"severity": told.severity.value, "value": told.value, "reason": told.reason, "about": told.about.value}
    channels = {
        one.channel: {"state": one.state and one.state.value, "detail": one.detail, "at": one.at and iso(one.at)}
        for one in event.outcomes
    }
    whole = {"id": told.id, "kind": told.kind.value, "fired_at": iso(told.fired_at), "channels": channels}
    return {"event": "notification", **_common(told), **judged, **whole}


def _common(one: Any) -> dict[str, Any]:
    return {
        "at": iso(one.at),
        "rule": one.rule_id,
        "labels": dict(one.labels),
        "fingerprint": one.fingerprint,
        "config_hash": one.config_hash,
    }


def main(arguments: Sequence[str]) -> int:
    """The command: 0 when it could look, 1 when the store or the environment did not allow it, 2 for a mistake."""
    chosen = _parser().parse_args(arguments)
    try:
        store = find_system(chosen.folder).store
        now = utc_now()
        wanted = Wanted(chosen.rule, chosen.fingerprint, make_labels(dict(chosen.label)))
        events = read_history(store, now - timedelta(hours=chosen.hours), now, now, wanted)
    except MonitoringError as error:
        sys.stderr.write(f"{error.detail if isinstance(error, ConfigError) else error}\n")
        return 1
    for event in events:
        sys.stdout.write(f"{json.dumps(event_dict(event)) if chosen.json else event_line(event)}\n")
    return 0


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= MOST_HOURS:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most {MOST_HOURS} hours, got {text[:40]!r}")
    return hours


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text[:40]!r}")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.history_command", description="The history of alerts.")
    parser.add_argument("--hours", type=_hours, default=24.0, help="how far back (default 24)")
    parser.add_argument("--rule", default="", help="only alerts of the rule with this id")
    parser.add_argument("--fingerprint", default="", help="only the alert with this fingerprint")
    parser.add_argument("--label", type=_label, action="append", default=[], help="only alerts with this label")
    parser.add_argument("--folder", type=Path, default=Path(".local"), help="where local runs have databases")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
