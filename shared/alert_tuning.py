"""Tuning alerts: baselines, anomalies, and what the rules' own values recommend.

The public face of ``baselines``, ``detector`` and ``tuning``. A recommendation is a proposal: what it changes and what
it would have done are shown before anything is written (``Proposal``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from .backtest.run import Source, Span
from .backtest.scores import Labelled
from .baselines import METHODS, Anomaly, BaselineAnalyzer, BaselineMetric
from .configuration.document import parse_json
from .detector import OnlineDetector, Verdict
from .errors import ConfigError
from .monitoring_config import MonitoringConfig
from .render.report import Report, Section
from .rules import Severity
from .timeline import from_minute, iso, parse_iso
from .tuning import LEAST_VALUES, WANTED_PER_WEEK, Advice, Did, advise
from .usual_store import Baselines

__all__ = [
    "METHODS",
    "Advice",
    "AlertTuningReport",
    "Anomaly",
    "BaselineAnalyzer",
    "BaselineMetric",
    "Did",
    "OnlineDetector",
    "Verdict",
]
_VERSION = 1
_NONE = "-"


@dataclass(frozen=True, slots=True)
class AlertTuningReport:
    """What every rule did from ``first`` to ``last`` (aware UTC), and what its values recommend.

    Without data there is no span, and nothing is recommended. ``str`` gives the text.
    """

    config_hash: str
    wanted_per_week: float = WANTED_PER_WEEK
    first: datetime | None = None
    last: datetime | None = None
    advice: tuple[Advice, ...] = ()

    @classmethod
    def generate(
        cls,
        config: MonitoringConfig,
        source: Source,
        span: Span,
        wanted_per_week: float = WANTED_PER_WEEK,
        windows: Mapping[str, Sequence[Labelled]] | None = None,
        baselines: Baselines | None = None,
    ) -> AlertTuningReport:
        """The report over a span; see ``tuning.advise``. An empty span gives a report without data."""
        if not len(span):
            return cls(config.hash, wanted_per_week)
        advice = tuple(advise(config, source, span, wanted_per_week, windows, baselines))
        return cls(config.hash, wanted_per_week, from_minute(span.first), from_minute(span.last), advice)

    def __str__(self) -> str:
        return self.to_text()

    def find(self, rule_id: str) -> Advice:
        """The advice on a rule. Raises ``ConfigError`` for a rule that the report does not know."""
        found = next((one for one in self.advice if one.rule_id == rule_id), None)
        if found is None:
            known = ", ".join(one.rule_id for one in self.advice) or "none"
            raise ConfigError(f"no advice on {json.dumps(rule_id)}; there is on: {known}")
        return found

    def to_text(self) -> str:
        """As aligned lines."""
        return self._report().render("text")

    def to_markdown(self) -> str:
        """As Markdown with tables."""
        return self._report().render("markdown")

    def to_html(self) -> str:
        """As a document of its own."""
        return self._report().render("html")

    def to_json(self) -> str:
        """``alert_tuning_recommendations.json``, with a line feed at its end."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_dict(self) -> dict[str, object]:
        """As a JSON document; ``from_dict`` makes an equal report of it."""
        return {
            "version": _VERSION,
            "config_hash": self.config_hash,
            "wanted_per_week": self.wanted_per_week,
            "first": None if self.first is None else iso(self.first),
            "last": None if self.last is None else iso(self.last),
            "rules": [_advice_to_plain(one) for one in self.advice],
        }

    @classmethod
    def from_json(cls, text: str) -> AlertTuningReport:
        """The report in a JSON text. Raises ``ConfigError``."""
        plain = parse_json(text)
        if not isinstance(plain, dict):
            raise ConfigError("document: expected an object")
        return cls.from_dict(plain)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> AlertTuningReport:
        """The report in a parsed JSON document. Raises ``ConfigError`` for what ``to_dict`` did not make."""
        try:
            if plain["version"] != _VERSION:
                raise ConfigError(f"version: expected {_VERSION}")
            first, last = (None if plain[name] is None else parse_iso(plain[name]) for name in ("first", "last"))
            advice = tuple(_advice(one) for one in plain["rules"])
            return cls(str(plain["config_hash"]), float(plain["wanted_per_week"]), first, last, advice)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"expected exported recommendations: {error!r}") from error

    def _report(self) -> Report:
        title = "Alert tuning"
        if self.first is None or self.last is None:
            nothing = f"There is no data to learn from: at least {LEAST_VALUES} values of a rule say what is normal."
            return Report(title, f"configuration {self.config_hash}", [Section("Recommendations", [nothing])])
        span = f"{self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC, configuration {self.config_hash}"
        wanted = f"At most {self.wanted_per_week:g} {'alert' if self.wanted_per_week == 1 else 'alerts'} a week wanted."
        return Report(title, span, [self._did(), self._recommended(wanted), *self._baselines()])

    def _did(self) -> Section:
        heading = ("RULE", "FIRED", "FIRING", "NOTIFICATIONS", "FLAPS")
        rows = [
            (one.name, str(one.did.fired), f"{one.did.firing_minutes} min", str(one.did.notifications),
             str(one.did.flaps))
            for one in self.advice
        ]  # fmt: skip
        return Section("What the rules did", (), heading, rows)

    def _recommended(self, wanted: str) -> Section:
        heading = ("RULE", "NOW", "BY SIGMA", "BY BACKTEST", "FLOOR", "RECOMMENDED", "WOULD FIRE", "NOTE")
        rows = [
            (one.name, _limit(one, one.present), _limit(one, one.by_sigma), _limit(one, one.by_backtest),
             _limit(one, one.floor), _limit(one, one.recommended),
             _NONE if one.fired_then is None else str(one.fired_then), one.note)
            for one in self.advice
        ]  # fmt: skip
        changes = [f"make tune-apply RULE={one.rule_id} (sets {one.setting})" for one in self.advice if one.setting]
        return Section("Recommendations", [wanted, *changes], heading, rows)

    def _baselines(self) -> list[Section]:
        heading = ("RULE", "VALUES", "GROUPS", "MEAN", "STD DEV", "P95", "P99", "STABILITY")
        rows = [
            (one.name, str(base.count), str(one.groups), *(_number(x, one.unit) for x in _numbers(base)),
             _NONE if one.stability is None else f"{one.stability:.0f} of 100")
            for one in self.advice
            if (base := one.baseline) is not None
        ]  # fmt: skip
        return [Section("Baselines", ["Of the values without outliers."], heading, rows)] if rows else []


def _numbers(base: BaselineMetric) -> tuple[float | None, ...]:
    return base.mean, base.std_dev, base.p95, base.p99


def _limit(advice: Advice, value: float | None) -> str:
    return _NONE if value is None else f"{advice.operator} {_number(value, advice.unit)}"


def _number(value: float | None, unit: str) -> str:
    return _NONE if value is None else f"{value:.4g} {unit}".rstrip()


def _advice_to_plain(advice: Advice) -> dict[str, object]:
    plain = {one.name: getattr(advice, one.name) for one in fields(advice)}
    did = {one.name: getattr(advice.did, one.name) for one in fields(advice.did)}
    baseline = None if advice.baseline is None else advice.baseline.to_dict()
    return {**plain, "severity": advice.severity.value, "did": did, "baseline": baseline}


def _advice(plain: Mapping[str, Any]) -> Advice:
    baseline = plain["baseline"]
    found = Advice(**plain)
    return replace(
        found,
        severity=Severity(plain["severity"]),
        did=Did(**plain["did"]),
        baseline=None if baseline is None else BaselineMetric(**baseline),
    )
