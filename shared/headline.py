"""The headline: the answer in words, before any number. Of a past range it says what was so at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from .alerts import AlertState, Reason
from .monitoring_config import MonitoringConfig
from .panels import STALE_AFTER, Headline, Limit, Status
from .render.numbers import age, moment, number, span, stretch, times
from .render.plain import value_text
from .rules import AlertRule, MetricType
from .series import Labels
from .sources import scope_text
from .tick import Transition
from .wording import how_it_ended

RECENT = timedelta(minutes=15)
_ENDS = frozenset({Reason.RESOLVED, Reason.NO_DATA, Reason.BACK, Reason.GONE})
"""How what was watched may have ended."""
_SUBJECTS = {
    MetricType.RESPONSE_TIME: "P95 response time",
    MetricType.ERROR_RATE: "Error rate",
    MetricType.CACHE_HIT_RATE: "Cache hit rate",
    MetricType.DATABASE_LAG: "Database replication lag",
    MetricType.CPU_UTILIZATION: "CPU utilization",
    MetricType.MEMORY_UTILIZATION: "Memory utilization",
    MetricType.AVAILABILITY: "Availability",
}


@dataclass(frozen=True, slots=True)
class Story:
    """What there is to say of a page about the instant ``at``, which is before ``now`` for a past range.

    ``alerts`` are those of ``region`` (empty: of all), worst first; ``elsewhere`` more fire in other regions or in
    none. ``checks`` are rules on groups. ``unreadable`` minutes are there and could not be read. Times are in ``zone``.
    """

    config: MonitoringConfig
    alerts: Sequence[AlertState]
    transitions: Sequence[Transition]
    checks: int
    data_to: datetime | None
    at: datetime
    now: datetime
    zone: tzinfo = UTC
    region: str = ""
    elsewhere: int = 0
    unreadable: int = 0
    range_seconds: int = 0

    @property
    def past(self) -> bool:
        """Whether it is told in the past tense."""
        return self.at < self.now

    def clock(self, instant: datetime) -> str:
        """A time of day, with its date when that is another than that of the instant that is told of."""
        return moment(instant, self.zone, self.at)

    def since(self, instant: datetime) -> str:
        """``since 14:05 (26 min)``, the age at the instant that is told of."""
        return f"since {self.clock(instant)} ({age((self.at - instant).total_seconds())})"

    def then(self) -> str:
        """`` at 14:31``, said of a past instant only, with its date when that is not today's."""
        return f" at {moment(self.at, self.zone, self.now)}" if self.past else ""


def headline(story: Story) -> Headline:
    """What to say; missing or old data comes first."""
    if story.data_to is None:
        return _empty(story)
    if story.at - story.data_to > STALE_AFTER:
        return _stale(story, story.data_to)
    if not story.alerts:
        return _quiet(story)
    worst = story.alerts[0]
    if not worst.is_firing:
        nobody = "Nobody was told yet." if story.past else "Nobody is told yet."
        return Headline(Status.PENDING, _pending_sentence(story, worst), _joined(nobody, _elsewhere(story)))
    others = sum(1 for alert in story.alerts[1:] if alert.is_firing)
    detail = _joined(_others(story, others), _elsewhere(story))
    return Headline(Status.of(worst.severity), _firing_sentence(story, worst), detail)


def _empty(story: Story) -> Headline:
    where = f" from {value_text(story.region)}" if story.region else ""
    if story.unreadable:
        return Headline(Status.UNKNOWN, "This version cannot read what is stored", "A newer version of it can.")
    if story.past:
        kept = "Nothing was received, or it is past the 76 hours for which minutes are kept."
        return Headline(Status.EMPTY, f"Nothing is stored{where} of this range", kept)
    received = f"Nothing has been received{where} in {span(story.range_seconds)}"
    return Headline(Status.EMPTY, received, "Publish a metric and it appears here.")


def _stale(story: Story, data_to: datetime) -> Headline:
    where = f" from {value_text(story.region)}" if story.region else ""
    if story.past:
        sentence = f"No data{where} from {stretch(data_to, story.at, story.zone, story.now)}"
        return Headline(Status.STALE, sentence, _joined("The last values before that are shown.", _elsewhere(story)))
    sentence = f"No data{where} {story.since(data_to)}: this page may be wrong"
    return Headline(Status.STALE, sentence, _joined("The last known values are shown.", _elsewhere(story)))


def _quiet(story: Story) -> Headline:
    ended = [t for t in story.transitions if t.reason in _ENDS and t.episode]
    if not ended:
        nothing = "Nothing fired in this range." if story.past else "Nothing has fired in the range shown."
        status = Status.OK if story.checks else Status.UNKNOWN
        return Headline(status, f"{_all_ok(story)}{story.then()}", _joined(nothing, _elsewhere(story)))
    last = max(ended, key=lambda t: t.at)
    lasted = age((last.at - (last.episode or last.at)).total_seconds())
    what = f"{subject_of(story.config, last.rule_id)}{where_of(story.config, last.rule_id, last.labels)}"
    if story.at - last.at <= RECENT and last.reason is Reason.RESOLVED:
        back = "was back" if story.past else "is back"
        ok = f"{_all_ok(story)} since {story.clock(last.at)}."
        sentence = f"Resolved after {lasted}: {what} {back} within its limit"
        return Headline(Status.RESOLVED, sentence, _joined(ok, _elsewhere(story)))
    quiet = age((story.at - last.at).total_seconds())
    sentence = f"{_all_ok(story)}{story.then()}, quiet for {quiet}"
    return Headline(Status.OK, sentence, _joined(f"Last alert: {what}, {_ending(last, lasted)}.", _elsewhere(story)))


def _ending(last: Transition, lasted: str) -> str:
    """How long it lasted, and how it ended unless its value came back."""
    if last.reason is Reason.RESOLVED:
        return lasted
    words = how_it_ended(last.reason, last.kind)
    return f"{words[:1].lower()}{words[1:]} after {lasted}"


def _all_ok(story: Story) -> str:
    if not story.checks:
        return f"No rule judges {value_text(story.region)} by itself" if story.region else "There is no rule"
    where = f" of {value_text(story.region)}" if story.region else ""
    if story.checks == 1:
        return f"The one check{where} {'was' if story.past else 'is'} ok"
    return f"All {story.checks} checks{where} {'were' if story.past else 'are'} ok"


def _firing_sentence(story: Story, alert: AlertState) -> str:
    rule = story.config.find_rule(alert.rule_id)
    what = f"{subject_of(story.config, alert.rule_id)}{where_of(story.config, alert.rule_id, alert.labels)}"
    when = story.since(alert.pending_since or alert.since or story.at)
    if rule is None:
        fires = "fired" if story.past else "fires"
        return f"{what} {fires}, {when}; its rule is no longer configured"
    if rule.is_source:
        return f"{what}{story.then()}, {when}"
    limit = Limit(rule.threshold.value, rule.threshold.operator, rule.severity)
    value = number(alert.value, story.config.unit_for(rule), limit)
    verb = "was" if story.past else "is"
    compared = _compared(alert.value, limit) if rule.threshold.baseline is None else "which is not usual at this time"
    return f"{what} {verb} {value}{story.then()}, {compared}, {when}"


def _pending_sentence(story: Story, alert: AlertState) -> str:
    rule = story.config.find_rule(alert.rule_id)
    what = f"{subject_of(story.config, alert.rule_id)}{where_of(story.config, alert.rule_id, alert.labels)}"
    verb = "was" if story.past else "is"
    if rule is None:
        return f"{what} {verb} pending{story.then()}; its rule is no longer configured"
    side = "below its limit" if rule.threshold.operator.value.startswith("<") else "over its limit"
    if rule.threshold.baseline is not None:
        side = "not as usual"
    counted = f"{alert.count} of {rule.min_occurrences} evaluations {'by then' if story.past else 'so far'}"
    return f"{what} {verb} {side}{story.then()}, {counted}"


def _others(story: Story, others: int) -> str:
    if not others:
        here = " here" if story.elsewhere else ""
        return f"Nothing else {'fired' if story.past else 'fires'}{here}."
    verb = "fired" if story.past else "fires" if others == 1 else "fire"
    return f"{others} more {'alert' if others == 1 else 'alerts'} {verb}."


def _elsewhere(story: Story) -> str:
    """What a page about one region leaves out."""
    if not story.elsewhere:
        return ""
    verb = "fired" if story.past else "fires" if story.elsewhere == 1 else "fire"
    return f"{story.elsewhere} {'alert' if story.elsewhere == 1 else 'alerts'} {verb} elsewhere."


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _compared(value: float | None, limit: Limit) -> str:
    """``2.3 times its limit`` where that says something, else ``over its limit of 80``."""
    if value is None:
        return "without data"
    if limit.operator.value.startswith("<"):
        return f"below its limit of {limit.value:g}"
    factor = value / limit.value if limit.value > 0 else 0.0
    return f"{times(factor)} times its limit" if factor >= 1.2 else f"over its limit of {limit.value:g}"


def subject_of(config: MonitoringConfig, rule_id: str) -> str:
    """What a rule is about, in words."""
    rule = config.find_rule(rule_id)
    if rule is None:
        return rule_id
    return _SUBJECTS.get(rule.metric_type, rule.name)


def where_of(config: MonitoringConfig, rule_id: str, labels: Labels) -> str:
    """`` in europe-west1``; empty for a rule without groups."""
    rule: AlertRule | None = config.find_rule(rule_id)
    grouped = config.query_for(rule).group_by if rule else ()
    if labels:
        return f" in {scope_text(labels)}"
    return f" in {scope_text(labels, grouped)}" if grouped else ""
