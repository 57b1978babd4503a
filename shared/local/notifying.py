"""What notifications look like, and whether they arrive: ``python -m shared.local.notifying preview|test``.

``preview [--out build/notifications]`` renders one incident from its firing to its end as every channel would show it,
with a chart, to files and to a page beside them, from the configuration and without any secret. ``test CHANNEL`` sends
two notifications that say that they are a test, one that fires and its end, to a channel that the environment sets up,
and says what came back. Ends with 0, with 1 when a channel did not take the test, and with 2 for a mistake.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..acks import Ack
from ..alert_charts import BEFORE
from ..alerts import Told
from ..channels import Evidence, Turn, pagerduty, sentry, webhook
from ..channels import email as mails
from ..channels import slack_blocks as slack
from ..channels.setup import set_up
from ..channels.story import tell
from ..config import Config, load_config
from ..configuration.models import Email, PagerDuty, Settings, Slack
from ..errors import MonitoringError
from ..monitoring_config import MonitoringConfig
from ..notifications import Notification, NotificationKind
from ..panels import Limit, Line, LineChart, Span, Status
from ..render.caption import Caption
from ..render.plain import clean
from ..render.standalone import picture, render_svg
from ..rules import Operator, Severity
from ..timeline import from_minute, minute_floor
from ..wiring import monitoring_config, utc_now
from .backends import PROJECT

DASHBOARD = "https://dashboard.example"
SAMPLE_AT = datetime(2025, 10, 18, 14, 5, tzinfo=UTC)
NOT_TAKEN, MISTAKE = 1, 2
_PERSON = "Maria Kessler (U0123)"
USUAL = (29.0, 51.0)
_COURSE = ((0, 41.0), (20, 36.0), (40, 45.0), (56, 43.0), (58, 120.0), (60, 264.0))
"""The sample's value at minutes since an hour before it fires."""
_CHART_IN_MAIL = re.compile(r'src="cid:[^"]+"')
_MARKUP = re.compile(r"&lt;(https?://[^|&]+)\|([^&]+)&gt;|\*([^*\n]+)\*")


def sample(config: MonitoringConfig) -> list[tuple[Notification, Turn]]:
    """One incident of the first rule with what channels know of it: it fires, somebody takes it, it ends."""
    rule = config.list_alert_rules()[0]
    firing = Notification(
        kind=NotificationKind.FIRING, fingerprint="0123456789abcdef", rule_id=rule.id, rule_name=rule.name,
        description=rule.description, severity=rule.severity, labels=(("region", "europe-west1"),), value=306.0,
        unit=config.unit_for(rule), operator=rule.threshold.operator, threshold=rule.threshold.value,
        fired_at=SAMPLE_AT, at=SAMPLE_AT + timedelta(minutes=2), reason="fired",
        channels=tuple(config.settings.channels), config_hash=config.hash, runbook_url=rule.runbook_url or "https://runbook.example/response-time",
    )  # fmt: skip
    follows = (Told(firing.id, firing.channels),)
    taken_at = SAMPLE_AT + timedelta(minutes=6)
    taken = replace(
        firing, kind=NotificationKind.ACKNOWLEDGED, at=taken_at, value=456.0, follows=follows, author=_PERSON
    )
    ended = replace(firing, kind=NotificationKind.RESOLVED, at=SAMPLE_AT + timedelta(minutes=37), value=166.0,
                    reason="resolved", follows=follows)  # fmt: skip
    return [(told, Turn(told.at, evidence=_evidence(config, told, taken_at))) for told in (firing, taken, ended)]


def _evidence(config: MonitoringConfig, told: Notification, taken_at: datetime) -> Evidence:
    """What is known of the sample when it is told."""
    ack = Ack(told.fingerprint, SAMPLE_AT, _PERSON, taken_at) if told.at >= taken_at else None
    return Evidence(partial(_draw, config, told), USUAL, ("/recommend 688 ms", "/process 402 ms"), ack)


def _draw(config: MonitoringConfig, told: Notification) -> bytes:
    """The sample's chart, as the dashboard draws one: the region that is told of and two quiet ones."""
    rule, start = config.list_alert_rules()[0], SAMPLE_AT - BEFORE
    minutes = range(1, int((told.at - start).total_seconds()) // 60 + 1)
    course = [*_COURSE, (minutes[-1], told.value or 0.0)]
    lines = [Line("europe-west1", tuple(_between(course, minute) for minute in minutes), subject=True,
                  status=Status.of(told.severity), usual=(USUAL,) * len(minutes))]  # fmt: skip
    for name, level in (("us-central1", 38.0), ("asia-southeast1", 44.0)):
        lines.append(Line(name, tuple(level + 3.0 * math.sin(minute / 4.0 + level) for minute in minutes)))
    ended = told.at if told.kind is NotificationKind.RESOLVED else None
    chart = LineChart(
        "alert", rule.name, config.unit_for(rule), start, 60, tuple(lines),
        limits=(Limit(told.threshold, told.operator, told.severity),),
        spans=(Span(SAMPLE_AT, ended, told.severity, pending=False, label=rule.name),),
    )  # fmt: skip
    settings, seconds = config.settings, int((told.at - start).total_seconds())
    caption = Caption(settings.service, settings.environment, told.at, told.at, ended, seconds)
    return picture(render_svg(chart, caption, UTC, "UTC"))


def _between(course: Sequence[tuple[int, float]], minute: int) -> float:
    """The value at a minute of a course of minutes and values, on the straight line between its neighbours."""
    (before, low) = max(point for point in course if point[0] <= minute)
    (after, high) = min(point for point in course if point[0] >= minute)
    return low if before == after else low + (high - low) * (minute - before) / (after - before)


def preview(config: MonitoringConfig, folder: Path) -> Path:
    """Render the sample for every channel into a folder; the page that shows all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [_rendered(config.settings, notification, turn, folder) for notification, turn in sample(config)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
    )
    page = folder / "index.html"
    text = environment.get_template("preview.jinja").render(shown=shown, settings=config.settings, mrkdwn=mrkdwn)
    page.write_text(text, encoding="utf-8")
    return page


def mrkdwn(text: str) -> Markup:
    """Slack's markup as HTML, as far as ours goes: bold, links, lines."""
    escaped = (
        str(Markup.escape(text)).replace("&amp;lt;", "&lt;").replace("&amp;gt;", "&gt;").replace("&amp;amp;", "&amp;")
    )

    def marked(match: re.Match[str]) -> str:
        url, name, bold = match.groups()
        return f'<a href="{url}">{name}</a>' if url else f"<b>{bold}</b>"

    return Markup(_MARKUP.sub(marked, escaped).replace("\n", "<br>"))  # noqa: S704 - escaped above, tags are ours


def _rendered(settings: Settings, told: Notification, turn: Turn, folder: Path) -> dict[str, Any]:
    """One notification's files, and what the page needs of them."""
    name = told.kind.value
    known = settings.channels.get("slack")
    icons, mention = (known.icons, known.mention) if isinstance(known, Slack) else ({}, "")
    service = settings.channels.get("pagerduty")
    mail = _mail(settings, told, turn)
    bodies: dict[str, object] = {
        "slack": slack.payload(
            tell(told, turn, DASHBOARD, "slack"), told.conversation_on("slack"), icons, mention, "F0123456789"
        ),
        "pagerduty": pagerduty.payload(
            told, tell(told, turn, DASHBOARD, "pagerduty"), "***",
            service.service if isinstance(service, PagerDuty) else "service", settings.environment,
        ),
        "sentry": sentry.payload(told, tell(told, turn, DASHBOARD, "sentry")),
        "webhook": json.loads(webhook.payload(told, DASHBOARD)),
    }  # fmt: skip
    for channel, body in bodies.items():
        text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.{channel}.json").write_text(text, encoding="utf-8")
    (folder / f"{name}.email.eml").write_bytes(mail.as_bytes())
    (folder / f"{name}.chart.png").write_bytes(turn.evidence.draw() or b"")
    parts = {kind: mail.get_body((kind,)) for kind in ("plain", "html")}
    texts = {kind: part.get_content() for kind, part in parts.items() if part is not None}
    html = _CHART_IN_MAIL.sub(f'src="{name}.chart.png"', texts["html"])
    (folder / f"{name}.email.html").write_text(html, encoding="utf-8")
    (folder / f"{name}.email.txt").write_text(texts["plain"], encoding="utf-8")
    return {"name": name, "at": told.at, "mail": mail, "text": texts["plain"], **bodies}


def _mail(settings: Settings, told: Notification, turn: Turn) -> EmailMessage:
    known = settings.channels.get("email")
    to = (known.addresses if isinstance(known, Email) else ()) or ("oncall@example.com",)
    story, place = tell(told, turn, DASHBOARD, "email"), f"{settings.service} {settings.environment}"
    return mails.payload(told, story, f"ion-monitoring@{to[0].rpartition('@')[2]}", to, place, turn.evidence.draw())


def send_test(name: str, config: Config, settings: Settings, now: datetime) -> tuple[bool, list[str]]:
    """Send the test to a channel; whether it took all of it, and a line for each answer. Raises ConfigError."""
    made = set_up(config, settings, config.dashboard_url or "")
    if name not in made:
        known = ", ".join(made) or "none"
        return False, [f"{name} is not set up here; set up are: {known}. The README names each channel's variables."]
    firing, ended = _test_notifications(name, now)
    handle: dict[str, str] = {}
    lines: list[str] = []
    for told in (firing, ended):
        try:
            answer = made[name].send(told, Turn(now, handle))
        except MonitoringError as error:
            return False, [*lines, clean(f"{name} did not take {told.kind.value}: {error}")]
        handle = dict(answer.handle)
        lines.append(clean(f"{name} took {told.kind.value}: {answer.detail}"))
    return True, lines


def _test_notifications(name: str, now: datetime) -> tuple[Notification, Notification]:
    minute = from_minute(minute_floor(now))
    firing = Notification(
        kind=NotificationKind.FIRING, fingerprint="00000000000000ff", rule_id="test",
        rule_name="TEST, nothing is wrong", description="Somebody tries whether notifications arrive.",
        severity=Severity.CRITICAL if name == "pagerduty" else Severity.LOW, labels=(("channel", name),), value=1.0,
        unit="", operator=Operator.GREATER, threshold=0.0, fired_at=minute, at=minute, reason="fired", channels=(name,),
        config_hash="000000000000",
    )  # fmt: skip
    ended = replace(firing, kind=NotificationKind.RESOLVED, reason="resolved", value=0.0,
                    follows=(Told(firing.id, (name,)),))  # fmt: skip
    return firing, ended


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments ask for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared.local.notifying", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("preview").add_argument("--out", type=Path, default=Path("build/notifications"))
    commands.add_parser("test").add_argument("channel", choices=("slack", "pagerduty", "email", "sentry", "webhook"))
    options = parser.parse_args(arguments)
    try:
        config = load_config(defaults={"ION_PROJECT": PROJECT})
        monitoring = monitoring_config(config)
        if options.command == "preview":
            sys.stdout.write(f"{preview(monitoring, options.out)}\n")
            return 0
        is_taken, lines = send_test(options.channel, config, monitoring.settings, utc_now())
    except (MonitoringError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return MISTAKE
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0 if is_taken else NOT_TAKEN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
