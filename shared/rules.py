"""Rules, thresholds and queries: what is asked of the cells, and when the answer is a violation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from .series import Labels


class MetricType(StrEnum):
    """The specification's eight metric types, and the persona and business metrics beside them."""

    RESPONSE_TIME = "response_time"
    ERROR_RATE = "error_rate"
    CACHE_HIT_RATE = "cache_hit_rate"
    THROUGHPUT = "throughput"
    DATABASE_LAG = "database_lag"
    CPU_UTILIZATION = "cpu_utilization"
    MEMORY_UTILIZATION = "memory_utilization"
    AVAILABILITY = "availability"
    PERSONA = "persona"
    BUSINESS = "business"


class Severity(StrEnum):
    """How urgent an alert is. The order is critical > high > medium > low, whatever the thresholds' order."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for critical to 3 for low: sorts worst first."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Operator(StrEnum):
    """How a value is compared with a threshold."""

    GREATER = ">"
    GREATER_EQUAL = ">="
    LESS = "<"
    LESS_EQUAL = "<="
    EQUAL = "=="
    NOT_EQUAL = "!="

    def holds(self, value: float, threshold: float) -> bool:
        """Whether ``value <operator> threshold``, exactly."""
        match self:
            case Operator.GREATER:
                return value > threshold
            case Operator.GREATER_EQUAL:
                return value >= threshold
            case Operator.LESS:
                return value < threshold
            case Operator.LESS_EQUAL:
                return value <= threshold
            case Operator.EQUAL:
                return value == threshold
            case Operator.NOT_EQUAL:
                return value != threshold


class Aggregation(StrEnum):
    """How the cells of a window become one value. Percentiles need a distribution."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    LAST = "last"
    """The newest value of any writer."""
    LAST_SUM = "last_sum"
    """The newest value of each writer, summed: users now over all instances."""
    RATE = "rate"
    """Per second over the window: a counter's sum, otherwise the number of observations."""
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"

    @property
    def quantile(self) -> float | None:
        """0.5 for p50 and so on; None for what is no percentile."""
        return int(self.value[1:]) / 100 if re.fullmatch(r"p\d+", self.value) else None


@dataclass(frozen=True, slots=True)
class Selection:
    """The series of one metric that carry all the given labels."""

    metric: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask of a window: an aggregation of a selection, or its ratio to another, one value a group.

    Every value is multiplied by ``scale``: ``scale * aggregation(select)``, or with ``per``, which needs no
    aggregation, ``scale * sum(select) / sum(per)`` (``scale * (1 - ...)`` with ``complement``), where a
    missing numerator counts as 0, a denominator that is missing or 0 gives no value. A group whose observations
    (the denominator's sum for a ratio, otherwise the count) are fewer than ``min_count`` has no value.
    ``group_by`` names the labels that make one group each; none makes one group of all.
    """

    select: Selection
    aggregation: Aggregation = Aggregation.AVG
    per: Selection | None = None
    scale: float = 1.0
    complement: bool = False
    group_by: tuple[str, ...] = ()
    min_count: float = 0.0


@dataclass(frozen=True, slots=True)
class MetricThreshold:
    """A limit: a value that satisfies ``<value> <operator> <this value>`` is a violation of ``severity``.

    ``recovery_value`` keeps an alert that fires from resolving until the value has come back to it. With a
    ``baseline`` the limit is what is usual at the time, and ``value`` means nothing: ``3_sigma`` is that many spreads
    from it, ``anomaly`` beyond anything that is known (see ``moving``). While nothing is known, nothing violates it.
    """

    value: float
    operator: Operator = Operator.GREATER
    severity: Severity = Severity.HIGH
    unit: str = ""
    recovery_value: float | None = None
    baseline: str | None = None

    @property
    def baseline_sigmas(self) -> float | None:
        """The spreads of ``3_sigma``; None for an anomaly, and for a limit that does not move."""
        number, found, _ = (self.baseline or "").partition("_sigma")
        return float(number) if found else None

    def violated_by(self, value: float) -> bool:
        """Whether a value is a violation."""
        return self.baseline is None and self.operator.holds(value, self.value)

    def recovered_by(self, value: float) -> bool:
        """Whether a value is good enough to end an alert that fires; any is, where nothing is known to judge it by."""
        if self.baseline is not None:
            return True
        limit = self.value if self.recovery_value is None else self.recovery_value
        return not self.operator.holds(value, limit) and not self.violated_by(value)


@lru_cache(maxsize=1024)
def rule_id_of(name: str) -> str:
    """The id of a rule of that name: lower-case letters, digits and single hyphens; maybe empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


ANOMALY = "anomaly"
"""The baseline of a rule that fires on what was never so."""


class OnNoData(StrEnum):
    """What an evaluation of an empty window means."""

    KEEP = "keep"
    """The state is frozen; after ``no_data_after`` seconds without data an alert ends with the reason no_data."""
    OK = "ok"
    """Not violating."""
    ALERT = "alert"
    """Violating."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule. Windows, frequencies and periods are seconds; window and frequency are multiples of 60.

    Constructed as in the specification's template. It asks its ``query``, or that of the ``collection`` it names, or
    its metric type's own (`MonitoringConfig.query_for`). ``levels`` are further thresholds of other severities, of
    which the more severe lies beyond the less severe: one alert has the worst that held for ``min_occurrences``.
    ``inhibited_by`` names rules (by id) whose firing on the same labels keeps this one quiet. ``message`` is the
    description that an alert gets, with ``{value}``, ``{threshold}``, ``{unit}``, ``{severity}``, ``{rule}`` and the
    names of group labels filled in.
    """

    name: str
    description: str
    metric_type: MetricType
    threshold: MetricThreshold
    enabled: bool = True
    evaluation_window: int = 300
    evaluation_frequency: int = 60
    min_occurrences: int = 3
    cooldown_period: int = 600
    notification_channels: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    query: Query | None = None
    evaluation_delay_seconds: int = 0
    keep_firing_for: int = 0
    on_no_data: OnNoData = OnNoData.KEEP
    no_data_after: int = 900
    runbook_url: str = ""
    levels: tuple[MetricThreshold, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    message: str = ""
    collection: str = ""

    @property
    def id(self) -> str:
        """The name as a document id and URL part: ``high-response-time-critical``."""
        return rule_id_of(self.name)

    @property
    def is_source(self) -> bool:
        """Whether this stands for a source: it misses only what had data before, and nothing for ever."""
        return False

    @property
    def thresholds(self) -> tuple[MetricThreshold, ...]:
        """All thresholds, the worst severity first."""
        return tuple(sorted((self.threshold, *self.levels), key=lambda one: one.severity.rank))

    @property
    def severity(self) -> Severity:
        """The worst severity that an alert of this rule can have."""
        return self.thresholds[0].severity

    def violated_by(self, value: float) -> MetricThreshold | None:
        """The worst threshold that a value violates; None for a good value."""
        return next((one for one in self.thresholds if one.violated_by(value)), None)

    def recovered_by(self, value: float) -> bool:
        """Whether a value is good enough to end an alert that fires."""
        return all(one.recovered_by(value) for one in self.thresholds)

    def threshold_of(self, severity: Severity) -> MetricThreshold:
        """The threshold of a severity; the rule's own when it has none of it."""
        return next((one for one in self.thresholds if one.severity is severity), self.threshold)


@dataclass(frozen=True, slots=True)
class SourceRule(AlertRule):
    """The rule that a source of the configuration is evaluated as; nobody writes one.

    What has not come back ``gone_after_seconds`` after it was missed is given up.
    """

    gone_after_seconds: int = 7 * 24 * 3600

    @property
    def is_source(self) -> bool:
        """See ``AlertRule``."""
        return True
