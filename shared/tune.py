"""Tune: every day, what is usual is learned, thresholds are recommended, and the digest is sent.

One call:

1. learns for each query that a rule or collection asks, from windows every five minutes over 72 hours and from the
   hours of 30 days, and writes ``baselines/{query}``;
2. writes what the rules' values recommend, ``baselines/recommendations``; nothing is applied;
3. publishes the digest of the last 24 hours as a notification, once a day, to the mail that asks for one.

Everything is a pure function of what is stored, so a second call writes the same; a digest that comes twice has the
same id, which deliveries make harmless.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .alert_tuning import AlertTuningReport
from .alerts import fingerprint
from .backtest.run import Span
from .backtest.stored import Stored
from .bus import Bus
from .cells import Cells
from .configuration.models import Digest, Email, Inbox, PanelKind
from .digest import RULE_ID, digest_report
from .errors import ConfigError
from .hours import KEPT as HOURS_KEPT
from .hours import hour_of, read_hours
from .monitoring_config import MonitoringConfig
from .notifications import DIGEST_REASON, Notification, NotificationKind
from .retention import live
from .rules import Operator, Query, Severity
from .series import Labels
from .sources import REGION, WINDOW_SECONDS
from .store import Put, Store
from .timeline import HOUR_SECONDS, MINUTE_SECONDS
from .usual import Usual, learn
from .usual_store import KEPT, Learned, key_of, put_baselines
from .week import of_an_hour
from .windows import Windows

MINUTES_HOURS = 72.0
STEP_SECONDS = 300
RECOMMENDATIONS_PATH = "baselines/recommendations"
HOURS_AT_ONCE = 24
MAX_DIGEST_CHARACTERS = 8000

Points = dict[Labels, list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, over windows of one length; ``key`` is where its baselines are."""

    key: str
    query: Query
    window_seconds: int

    def of_an_hour(self, cells: Cells) -> Mapping[Labels, float]:
        """What an hour says of a window: a sum or count in proportion."""
        return of_an_hour(cells, self.query, self.window_seconds)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a call did; ``digest`` is the notification's id, empty when nobody wants one or there is no data."""

    queries: int = 0
    groups: int = 0
    recommended: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Tune:
    """The function ``tune`` on its ports. ``now`` reads the clock (aware UTC)."""

    store: Store
    bus: Bus
    config: MonitoringConfig
    notifications_topic: str
    now: Callable[[], datetime]
    minutes_hours: float = MINUTES_HOURS

    def __call__(self) -> Tuned:
        """Learn, recommend, tell; nothing before the first evaluation. Raises TransientError."""
        now = self.now()
        stored = Stored(self.store, now)
        try:
            span = stored.span(self.minutes_hours)
        except ConfigError:
            return Tuned()
        groups = 0
        queries = asked(self.config)
        learned = list(learn_all(stored, span, queries))
        for one in learned:
            self.store.commit([put_baselines(one)])
            groups += len(one.groups)
        report = AlertTuningReport.generate(self.config, stored, span, baselines=stored.baselines([self.config]))
        self.store.commit([_put_report(report, now)])
        return Tuned(len(learned), groups, sum(bool(one.setting) for one in report.advice), self._digest(report, now))

    def _digest(self, report: AlertTuningReport, now: datetime) -> str:
        channels = digest_channels(self.config)
        if not channels:
            return ""
        text = digest_report(self.config, self.store, report, now).render("text")
        notification = digest_notification(self.config, text, now, channels)
        self.bus.publish(self.notifications_topic, notification.to_json(), {"notification": notification.id})
        return notification.id


def asked(config: MonitoringConfig) -> list[Asked]:
    """What the enabled rules, the collections, and the signals and lines of the dashboards ask, each once."""
    wanted = [(config.query_for(rule), rule.evaluation_window) for rule in config.list_alert_rules(enabled_only=True)]
    wanted += [(collection.query, WINDOW_SECONDS) for collection in config.list_collections()]
    wanted += [(query, WINDOW_SECONDS) for query in _drawn(config)]
    found = {key_of(query, seconds): Asked(key_of(query, seconds), query, seconds) for query, seconds in wanted}
    return list(found.values())


def _drawn(config: MonitoringConfig) -> Iterator[Query]:
    """What the dashboards draw as it is drawn: side by side is by region."""
    for panel in (panel for dashboard in config.list_dashboards() for panel in dashboard.panels):
        queries = [config.get_collection(name).query for name in panel.collections]
        queries += [one.query for one in panel.queries]
        match panel.kind:
            case PanelKind.SIGNAL | PanelKind.LINE:
                yield from queries
            case PanelKind.MULTIPLES:
                yield from (replace(query, group_by=(REGION,)) for query in queries)


def learn_all(stored: Stored, span: Span, queries: list[Asked]) -> Iterator[Learned]:
    """What is usual of each query and group of which there is enough; a query without any is left out."""
    values = {one.key: Points() for one in queries}
    for at, minutes, windows in _steps(stored, span, max((one.window_seconds for one in queries), default=0)):
        for one in queries:
            window = windows.read(minutes, at, one.window_seconds)
            _add(values[one.key], at, window.values(one.query, one.window_seconds))
    hours = {one.key: Points() for one in queries}
    for hour, cells in _hours(stored, span):
        for one in queries:
            _add(hours[one.key], hour, one.of_an_hour(cells))
    for one in queries:
        learned = {labels: learn(points, hours[one.key].get(labels, ())) for labels, points in values[one.key].items()}
        groups: dict[Labels, Usual] = {labels: usual for labels, usual in learned.items() if usual is not None}
        if groups:
            yield Learned(one.key, stored.now, groups)


def _add(points: Points, at: int, values: Mapping[Labels, float]) -> None:
    for labels, value in values.items():
        points.setdefault(labels, []).append((at, value))


def _steps(stored: Stored, span: Span, reach: int) -> Iterator[tuple[int, Mapping[int, Cells], Windows]]:
    """The ends of steps in a span with the minutes of the longest window before each, an hour read at a time."""
    held: dict[int, Cells] = {}
    windows = Windows()
    first = -(-span.first // STEP_SECONDS) * STEP_SECONDS
    read_until = first - reach
    for at in range(first, span.last + 1, STEP_SECONDS):
        while read_until < at:
            wanted = range(read_until + MINUTE_SECONDS, read_until + HOUR_SECONDS + 1, MINUTE_SECONDS)
            held.update(stored.read([one for one in wanted if one <= span.last]))
            read_until = wanted[-1]
        for old in [one for one in held if one <= at - reach]:
            del held[old]
        yield at, held, windows
        windows.forget(at + 1, held.values())


def _hours(stored: Stored, span: Span) -> Iterator[tuple[int, Cells]]:
    """The hours of 30 days before the end of a span, oldest first."""
    last = hour_of(span.last)
    ends = range(last - int(HOURS_KEPT.total_seconds()) + HOUR_SECONDS, last + 1, HOUR_SECONDS)
    for start in range(0, len(ends), HOURS_AT_ONCE):
        found = read_hours(stored.store, ends[start : start + HOURS_AT_ONCE], stored.now)
        yield from ((hour, found[hour].cells) for hour in sorted(found))


def _put_report(report: AlertTuningReport, now: datetime) -> Put:
    text = json.dumps(report.to_dict(), separators=(",", ":"), allow_nan=False)
    return Put(RECOMMENDATIONS_PATH, {"d": zlib.compress(text.encode()), "made_at": now, "expires_at": now + KEPT})


def read_report(store: Store, now: datetime) -> AlertTuningReport | None:
    """The newest recommendations; None before there are any, and after eight days. Raises ``ConfigError``."""
    found = live(store.get([RECOMMENDATIONS_PATH]).values(), now)
    return AlertTuningReport.from_json(zlib.decompress(found[0].fields["d"]).decode()) if found else None


def digest_channels(config: MonitoringConfig) -> tuple[str, ...]:
    """Who wants the digest: the mails that say so, and the inbox of a local run beside them."""
    channels = config.settings.channels
    mails = [name for name, one in channels.items() if isinstance(one, Email) and one.digest is Digest.DAILY]
    inboxes = [name for name, one in channels.items() if isinstance(one, Inbox)]
    return (*mails, *inboxes) if mails else ()


def digest_notification(config: MonitoringConfig, text: str, now: datetime, channels: tuple[str, ...]) -> Notification:
    """The digest as it is sent: one a day, whoever makes it and however often."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Notification(
        kind=NotificationKind.SUMMARY,
        fingerprint=fingerprint(RULE_ID, ()),
        rule_id=RULE_ID,
        rule_name=f"Daily digest of {day - timedelta(days=1):%Y-%m-%d}",
        description=text[:MAX_DIGEST_CHARACTERS],
        severity=Severity.LOW,
        labels=(),
        value=None,
        unit="",
        operator=Operator.GREATER,
        threshold=0.0,
        fired_at=day,
        at=now,
        reason=DIGEST_REASON,
        channels=channels,
        config_hash=config.hash,
    )
