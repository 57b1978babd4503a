"""The digest: what a day was like. Incidents, the worst series, uptime, noisy rules, recommendations and the cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from .alert_tuning import AlertTuningReport
from .alerts import ENDINGS
from .backtest.episodes import Episode, Key, episodes_of
from .backtest.run import Span
from .backtest.stored import History, Stored
from .cells import merge
from .cost import cost_report, count_operations
from .hours import hour_of, read_hours
from .monitoring_config import MonitoringConfig
from .notifications import DIGEST_SPAN
from .overview import build_overview
from .reader import Reader
from .render.report import Report, Section
from .rules import MetricType, Severity
from .series import label_text
from .store import Store
from .timeline import HOUR_SECONDS, MINUTE_SECONDS, from_minute, minute_floor
from .windows import evaluate

RULE_ID = "~digest"
"""What stands for a rule's id in the digest; no rule has such a one."""
DAY = DIGEST_SPAN
SHOWN = 10
NOISY = 5
"""A rule that fired as often in a day is noisy."""


def digest_report(config: MonitoringConfig, store: Store, tuning: AlertTuningReport | None, now: datetime) -> Report:
    """The digest of the 24 hours before ``now`` (aware UTC). Reads the store."""
    last = minute_floor(now)
    span = Span(last - int(DAY.total_seconds()) + MINUTE_SECONDS, last)
    history = Stored(store, now).history(span)
    began = episodes_of(history.transitions, history.tellings())
    episodes = [*began_before(history, from_minute(span.first)), *began]
    settings = config.settings
    sections = [
        _now(config, store, now),
        _incidents(config, episodes, now),
        _worst(episodes, now),
        _uptime(config, store, span, now),
        _noisy(config, began),
        _recommendations(tuning),
        *cost_report(count_operations(config, store, now), now).sections[:1],
    ]
    since = now - DAY
    subtitle = f"{settings.environment}, {since:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC"
    return Report(f"{settings.service}: daily digest", subtitle, sections)


def began_before(history: History, first: datetime) -> list[Episode]:
    """The episodes that fired before ``first`` and ended after it, or fire still, oldest first."""
    found: dict[Key, Episode] = {}
    for alert in history.alerts:
        if alert.is_firing and alert.fired_at is not None and alert.fired_at < first:
            found[alert.fingerprint, alert.fired_at] = Episode(
                alert.fingerprint, alert.rule_id, alert.labels, alert.kind, alert.severity, alert.fired_at, alert.value
            )
    for one in history.transitions:
        if one.reason in ENDINGS and one.episode is not None and one.episode < first:
            severity, value = Severity(one.severity), None
            found[one.fingerprint, one.episode] = Episode(
                one.fingerprint, one.rule_id, one.labels, one.kind, severity, one.episode, value, one.at, one.reason
            )
    return sorted(found.values(), key=lambda one: (one.fired_at, one.rule_id, one.labels))


def _name(config: MonitoringConfig, one: Episode) -> str:
    rule = config.find_rule(one.rule_id)
    return f"{one.rule_id if rule is None else rule.name} {label_text(one.labels)}".strip()


def _minutes(one: Episode, now: datetime) -> int:
    return round(one.duration(now) / timedelta(minutes=1))


def _now(config: MonitoringConfig, store: Store, now: datetime) -> Section:
    """What the overview answers at the day's end."""
    answer = build_overview(config, Reader(store), from_minute(minute_floor(now)) - DAY, now, now).headline
    return Section("Now", [f"{answer.sentence}.", *filter(None, [answer.detail])])


def _incidents(config: MonitoringConfig, episodes: Sequence[Episode], now: datetime) -> Section:
    if not episodes:
        return Section("Incidents", ["None."])
    worst = sorted(episodes, key=lambda one: (one.severity.rank, -_minutes(one, now), one.fired_at))[:SHOWN]
    rows = [
        (f"{one.fired_at:%m-%d %H:%M}", f"{_minutes(one, now)} min{'' if one.ended_at else ' +'}",
         one.severity.value, _name(config, one))
        for one in worst
    ]  # fmt: skip
    counts = Counter(one.severity.value for one in episodes)
    total = f"{len(episodes)}: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    return Section("Incidents", [total], ("FIRED", "FOR", "SEVERITY", "ALERT"), rows)


def _worst(episodes: Sequence[Episode], now: datetime) -> Section:
    """The groups that fired longest, all rules together."""
    firing: Counter[str] = Counter()
    for one in episodes:
        firing[label_text(one.labels) or "everything"] += _minutes(one, now)
    rows = [(name, f"{minutes} min") for name, minutes in firing.most_common(SHOWN)]
    return Section("Worst series", [] if rows else ["None fired."], ("SERIES", "FIRING"), rows)


def _uptime(config: MonitoringConfig, store: Store, span: Span, now: datetime) -> Section:
    default = config.settings.metric_types.get(MetricType.AVAILABILITY)
    if default is None:
        return Section("Uptime", ["The configuration has no availability."])
    hours = range(hour_of(span.first), hour_of(span.last) + 1, HOUR_SECONDS)
    found = read_hours(store, list(hours), now)
    cells = merge([one.cells for one in found.values()])
    values = evaluate(cells, default.query, len(found) * HOUR_SECONDS) if found else {}
    if not values:
        return Section("Uptime", ["No data of whole hours."])
    lines = [f"{label_text(labels) or 'Availability'}: {value:.3f} {default.unit}" for labels, value in values.items()]
    over = "1 hour" if len(found) == 1 else f"{len(found)} hours"
    return Section("Uptime", [f"{line} over {over}" for line in lines])


def _noisy(config: MonitoringConfig, episodes: Sequence[Episode]) -> Section:
    fired = Counter(one.rule_id for one in episodes)
    told = Counter[str]()
    for one in episodes:
        told[one.rule_id] += len(one.told)
    rows = []
    for rule_id, count in fired.most_common(SHOWN):
        rule = config.find_rule(rule_id)
        if count >= NOISY:
            rows.append((rule.name if rule else rule_id, str(count), str(told[rule_id])))
    return Section("Noisy rules", [] if rows else ["None."], ("RULE", "FIRED", "NOTIFICATIONS"), rows)


def _recommendations(tuning: AlertTuningReport | None) -> Section:
    changes = [one for one in tuning.advice if one.setting] if tuning else []
    if not changes:
        return Section("Recommendations", ["None."])
    rows = [(one.name, f"{one.operator} {one.present:g}", one.setting, one.note) for one in changes]
    how = "make tune-apply RULE=... shows the difference and the backtest before it changes anything."
    return Section("Recommendations", [how], ("RULE", "NOW", "SETTING", "WHY"), rows)
