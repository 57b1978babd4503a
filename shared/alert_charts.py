"""The chart that goes with a notification: what its rule asks, from an hour before it fired until now, as a picture.

It is what the dashboard draws: the groups of the rule, the limits of the rules that judge the same, and the stretch in
which the alert fires. The daily digest has the overview of its day. Nobody's alert waits for it: it is given up after
``DEADLINE_SECONDS``, and one of more than ``MAX_BYTES`` is none.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from .chart_pages import caption_of
from .errors import PermanentError
from .line_charts import chart_of, firing_spans
from .monitoring_config import MonitoringConfig
from .notifications import DIGEST_SPAN, Notification, NotificationKind
from .overview import build_overview
from .panels import LineChart, Span
from .reader import Reader
from .render.caption import Caption
from .render.overview_picture import PICTURE_HEIGHT, overview_svg
from .render.standalone import picture, render_svg
from .rules import AlertRule
from .sources import Sources, read_sources
from .timeline import from_minute, minute_floor
from .urls import MAX_RANGE_SECONDS

BEFORE = timedelta(hours=1)
DEADLINE_SECONDS = 5.0
"""Of the reads and the drawing together, of which a warm process needs a fraction of a second."""
MAX_BYTES = 1_000_000
"""A mail and an upload bear much more; a chart of eight lines has about 50 kB."""
_WITHOUT = {NotificationKind.NOTICE, NotificationKind.SUMMARY}


@dataclass(frozen=True, slots=True)
class AlertCharts:
    """Draws for notifications from what the dashboards read. ``now`` gives aware UTC."""

    config: MonitoringConfig
    reader: Reader
    now: Callable[[], datetime]
    deadline_seconds: float = DEADLINE_SECONDS

    def __call__(self, notification: Notification) -> bytes | None:
        """A PNG; None of what is about no rule that is configured, and of what has no data in the range.

        Raises TimeoutError, PermanentError ``chart_too_large``, and whatever reading raises.
        """
        rule = self.config.find_rule(notification.rule_id)
        if notification.is_digest:
            draw = partial(digest_picture, self.config, self.reader, notification.at, self.now())
        elif rule is None or notification.kind in _WITHOUT:
            return None
        else:
            draw = partial(self._draw, rule, notification)
        drawn = _within(self.deadline_seconds, draw)
        if drawn is not None and len(drawn) > MAX_BYTES:
            raise PermanentError("chart_too_large", f"{len(drawn)} bytes")
        return drawn

    def _draw(self, rule: AlertRule, notification: Notification) -> bytes | None:
        chart, caption = alert_chart(self.config, self.reader, rule, notification, self.now())
        return picture(render_svg(chart, caption, UTC, "UTC")) if chart.lines else None


def alert_chart(
    config: MonitoringConfig, reader: Reader, rule: AlertRule, notification: Notification, now: datetime
) -> tuple[LineChart, Caption]:
    """The chart of a notification's rule at ``now`` (aware UTC), and what a picture of it says beside.

    It ends with the alert where that has ended, and is at most three days long.
    """
    end = notification.at if notification.kind is NotificationKind.RESOLVED else from_minute(minute_floor(now))
    start = max(notification.fired_at - BEFORE, end - timedelta(seconds=MAX_RANGE_SECONDS))
    sources, _ = read_sources(config, reader, start, end, now)
    query = config.query_for(rule)
    same = [one for one in config.list_alert_rules(enabled_only=True) if config.query_for(one) == query]
    chart = chart_of(sources, "alert", rule.name, config.unit_for(rule), query, same)
    return replace(chart, spans=_spans(sources, rule, notification)), caption_of(sources)


def digest_picture(config: MonitoringConfig, reader: Reader, at: datetime, now: datetime) -> bytes | None:
    """The overview of the 24 hours before ``at`` (aware UTC) as a PNG; None without data in them."""
    end = from_minute(minute_floor(at))
    page = build_overview(config, reader, end - DIGEST_SPAN, end, now)
    return picture(overview_svg(page, UTC, "UTC"), PICTURE_HEIGHT) if page.data_to else None


def _spans(sources: Sources, rule: AlertRule, notification: Notification) -> tuple[Span, ...]:
    """The stretches of the alerts that the notification names, and of no other alert of the rule."""
    named = [notification.labels, *(member.labels for member in notification.also)]
    return firing_spans(sources, [rule], (), named)


def _within(seconds: float, draw: Callable[[], bytes | None]) -> bytes | None:
    """What is drawn; a drawing that takes longer goes on by itself, unheard. Raises TimeoutError."""
    pool = ThreadPoolExecutor(1, "chart")
    try:
        return pool.submit(draw).result(seconds)
    finally:
        pool.shutdown(wait=False)
