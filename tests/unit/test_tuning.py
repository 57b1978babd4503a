"""Tuning: what rules did, what their values recommend, and that nothing is changed unseen."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.alert_tuning import AlertTuningReport, BaselineMetric
from shared.backtest.run import Recorded, Span
from shared.backtest.scores import Labelled
from shared.cells import Observation
from shared.errors import ConfigError
from shared.exports import CONFIGURATION, DASHBOARDS, RECOMMENDATIONS, Exported, imported
from shared.judged import judged_values
from shared.monitoring_config import MonitoringConfig, Severity
from shared.proposals import difference, propose
from shared.series import Kind, Series
from shared.timeline import minute_floor, to_us
from shared.tuning import Advice, f_score, floor_limit, sigma_limit
from shared.usual import learn
from shared.usual_store import Baselines, rule_key
from tests.tuned import BAD, RULE, START, recorded

CONFIG = MonitoringConfig()


@pytest.fixture(scope="module")
def report() -> AlertTuningReport:
    """The report on twelve hours of CPU, of which half an hour is bad."""
    return AlertTuningReport.generate(CONFIG, *recorded())


def test_the_specification_example_of_response_time_is_reproduced() -> None:
    """Mean 10 ms and deviation 0.5 ms give 11.5, 11 and 10.5 by sigma, and floors of 50, 30, 20 and 15."""
    baseline = BaselineMetric("response_time_us", 10.0, 0.5, p95=11.2)
    sigmas = [sigma_limit(baseline, severity, upper=True) for severity in Severity]
    floors = [floor_limit(10.0, severity, "ms", upper=True) for severity in Severity]
    assert sigmas == [11.5, 11.0, 10.5, 11.2]
    assert floors == [50.0, 30.0, 20.0, 15.0]


@pytest.mark.parametrize(
    ("mean", "severity", "unit", "upper", "expected"),
    [
        (40.0, Severity.CRITICAL, "%", True, 88.0),
        (0.02, Severity.CRITICAL, "%", True, 0.1),
        (99.0, Severity.CRITICAL, "%", False, 95.0),
        (50.0, Severity.CRITICAL, "%", False, 0.0),
        (10.0, Severity.LOW, "ms", False, 10.0 / 1.5),
        (-10.0, Severity.MEDIUM, "", True, -5.0),
        (-10.0, Severity.MEDIUM, "", False, -20.0),
        (0.0, Severity.HIGH, "", True, 0.0),
    ],
)
def test_floors_keep_off_the_mean_on_the_bad_side(
    mean: float, severity: Severity, unit: str, upper: bool, expected: float
) -> None:
    """A floor lies beyond the mean on the side that is bad, within 0 and 100 for percentages."""
    assert floor_limit(mean, severity, unit, upper) == pytest.approx(expected)


def test_the_report_says_what_the_rule_did_and_what_would_be_quiet(report: AlertTuningReport) -> None:
    """The rule on CPU fired once for about half an hour; what is recommended would have fired as often."""
    advice = report.find(RULE)
    assert (advice.did.fired, advice.did.flaps, advice.groups) == (1, 0, 2)
    assert 20 <= advice.did.firing_minutes <= 40
    assert advice.did.notifications == 2
    assert advice.baseline is not None
    assert advice.baseline.mean == pytest.approx(40, abs=0.5)
    assert advice.recommended is not None
    assert advice.fired_then == 1
    assert advice.recommended >= max(one for one in (advice.by_sigma, advice.floor, advice.by_backtest) if one) * 0.9999


def test_with_labels_the_limit_that_separates_best_is_recommended() -> None:
    """The labelled half hour is found, without a false alert, by a limit between the calm and the busy."""
    windows = {RULE: [Labelled(*(START + timedelta(minutes=minute) for minute in (BAD[0], BAD[-1] + 5)))]}
    advice = AlertTuningReport.generate(CONFIG, *recorded(), windows=windows).find(RULE)
    assert advice.fired_then == 1
    assert advice.recommended is not None
    assert 45 < advice.recommended < 97


def test_a_real_incident_does_not_loosen_what_is_recommended(report: AlertTuningReport) -> None:
    """The bad half hour is far from what is normal, so the limit by backtest stays below it and would find it."""
    advice = report.find(RULE)
    assert advice.by_backtest is not None
    assert advice.recommended is not None
    assert advice.by_backtest < 60
    assert advice.recommended < 80
    assert advice.setting == f"threshold={advice.recommended:g}"


@pytest.mark.parametrize(("level", "operator"), [(0.0, ">"), (100.0, "<")])
def test_where_nothing_ever_failed_nothing_tighter_is_recommended(level: float, operator: str) -> None:
    """Of values that are all 0, or all 100, the first other one is no reason to wake anybody."""
    advice = _advice({"value": 50.0, "operator": operator, "severity": "critical"}, [level] * 120)
    assert (advice.recommended, advice.setting) == (50.0, "")
    assert "nothing tighter" in advice.note


def test_a_rule_on_a_baseline_is_judged_by_what_is_usual_and_left_alone() -> None:
    """What it did is told with the baselines that are given; its limit moves by itself, so nothing is recommended."""
    levels = [40.0] * 60 + [90.0] * 60
    usual = learn([(minute_floor(START) + 300 * step, 40 + step % 3) for step in range(600)])
    assert usual is not None
    threshold = {"baseline": "3_sigma", "severity": "critical"}
    config = _config_with(threshold)
    known: Baselines = {rule_key(config, config.list_alert_rules()[0]): {(("region", "us-central1"),): usual}}
    told = _advice(threshold, levels, known)
    assert (told.did.fired, told.recommended, told.setting) == (1, None, "")
    assert told.note == "The limit moves with what is usual."
    assert _advice(threshold, levels).did.fired == 0


def test_a_limit_that_would_pass_a_level_is_left_to_a_person() -> None:
    """From a limit of another sign no level can move in proportion: a change that would be refused is no setting."""
    values = [40.0 + step % 5 for step in range(120)]
    for level, passes in [(5000.0, False), (35.0, True)]:
        levels = [{"value": level, "severity": "critical", "unit": ""}]
        threshold = {"value": -50.0, "severity": "low", "unit": ""}
        advice = _advice(threshold, values, levels=levels)
        assert advice.recommended is not None
        assert (advice.recommended > level) is passes
        assert (advice.setting == "") is passes
        if not passes:
            config = _config_with(threshold, levels)
            changed = propose(config, "cpu", advice.setting, *_of(values)).configuration
            assert changed.list_alert_rules()[0].threshold.value == advice.recommended


def test_levels_and_recovery_values_move_in_proportion() -> None:
    """A limit that doubles doubles its levels and its recovery value; of a percentage none passes 100."""
    values = [10.0 + step % 5 for step in range(120)]
    levels = [{"value": 16.0, "severity": "critical", "unit": "", "recovery_value": 15.0}]
    threshold = {"value": 8.0, "severity": "low", "unit": "", "recovery_value": 7.0}
    advice = _advice(threshold, values, levels=levels)
    assert advice.recommended is not None
    factor = advice.recommended / 8.0
    config = _config_with(threshold, levels)
    rule = propose(config, "cpu", advice.setting, *_of(values)).configuration.list_alert_rules()[0]
    assert rule.threshold.recovery_value == pytest.approx(7.0 * factor, rel=1e-3)
    assert (rule.levels[0].value, rule.levels[0].recovery_value) == pytest.approx((16 * factor, 15 * factor), rel=1e-3)
    level = {"value": 95.0, "severity": "critical", "unit": "%"}
    percent = _advice({**threshold, "unit": "%"}, [60.0 + step % 5 for step in range(120)], levels=[level])
    changed = propose(_config_with({**threshold, "unit": "%"}, [level]), "cpu", percent.setting, *_of(values))
    assert percent.recommended is not None
    assert percent.recommended < changed.configuration.list_alert_rules()[0].levels[0].value < 100


def test_labelled_windows_are_of_the_span_and_of_rules() -> None:
    """Windows before the span count for nothing; those of no rule, and none within, are refused by name."""
    good = Labelled(*(START + timedelta(minutes=minute) for minute in (BAD[0], BAD[-1] + 5)))
    before = Labelled(START - timedelta(days=2), START - timedelta(days=1))
    advice = AlertTuningReport.generate(CONFIG, *recorded(), windows={RULE: [before, good]}).find(RULE)
    assert "F-score 1.00 on 1 labelled window, now 1.00." in advice.note
    for windows, problem in [({"cpu": [good]}, '"cpu" is no enabled rule'), ({RULE: [before]}, "none of high-cpu")]:
        with pytest.raises(ConfigError, match=problem):
            AlertTuningReport.generate(CONFIG, *recorded(), windows=windows)


def test_too_short_a_time_recommends_nothing_and_less_than_a_day_says_so(report: AlertTuningReport) -> None:
    """Hundreds of values of five hours are no baseline; of half a day they are one with a word of warning."""
    short = _advice({"value": 500.0, "severity": "critical"}, [40.0 + step % 5 for step in range(75)])
    assert (short.recommended, short.setting) == (None, "")
    assert short.note.endswith("of values: at least 6 h say what is normal")
    assert "less than a day" in report.find(RULE).note


def _config_with(threshold: dict[str, Any], levels: list[dict[str, Any]] | None = None) -> MonitoringConfig:
    rule = {"name": "CPU", "metric_type": "cpu_utilization", "threshold": threshold, "levels": levels or []}
    return MonitoringConfig.from_dict({**CONFIG.to_dict(), "rules": [rule]})


def _of(values: list[float]) -> tuple[Recorded, Span]:
    series = Series("cpu_utilization", (("region", "us-central1"),))
    times = [START + timedelta(minutes=4 * step + 1) for step in range(len(values))]
    source = Recorded(
        Observation(series, Kind.GAUGE, to_us(at), value) for at, value in zip(times, values, strict=True)
    )
    return source, source.span()


def _advice(
    threshold: dict[str, Any],
    values: list[float],
    baselines: Baselines | None = None,
    levels: list[dict[str, Any]] | None = None,
) -> Advice:
    config = _config_with(threshold, levels)
    return AlertTuningReport.generate(config, *_of(values), baselines=baselines).find("cpu")


def test_rules_without_data_are_told_so(report: AlertTuningReport) -> None:
    """A rule of which nothing was measured has a reason in place of a recommendation."""
    advice = report.find("high-response-time-critical")
    assert (advice.recommended, advice.baseline, advice.setting) == (None, None, "")
    assert advice.note == "0 values: at least 60 say what is normal"


def test_reports_are_exported_and_imported_to_the_same(report: AlertTuningReport) -> None:
    """The three files give back the same configuration, recommendations and dashboards."""
    exported = Exported(CONFIG, report)
    files = exported.files()
    assert set(files) == {CONFIGURATION, RECOMMENDATIONS, DASHBOARDS}
    assert imported(files) == exported
    assert imported(files).configuration.hash == CONFIG.hash
    assert imported(files).files() == files
    assert json.loads(files[RECOMMENDATIONS])["config_hash"] == CONFIG.hash


def test_dashboards_are_imported_from_their_own_file() -> None:
    """A change in the dashboards' file is in the configuration that is read back."""
    files = Exported(CONFIG, AlertTuningReport(CONFIG.hash)).files()
    plain = json.loads(files[DASHBOARDS])
    plain["dashboards"][0]["title"] = "All of it"
    found = imported({**files, DASHBOARDS: json.dumps(plain)}).configuration
    assert found.list_dashboards()[0].title == "All of it"
    assert found.list_alert_rules() == CONFIG.list_alert_rules()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (CONFIGURATION, "{}"),
        (CONFIGURATION, "{"),
        (RECOMMENDATIONS, "[]"),
        (RECOMMENDATIONS, '{"version": 2}'),
        (RECOMMENDATIONS, '{"version": 1, "rules": 5}'),
        (DASHBOARDS, "[]"),
        (DASHBOARDS, '{"version": 1, "dashboards": [{}]}'),
    ],
)
def test_a_file_that_is_no_export_is_refused(name: str, text: str) -> None:
    """Each file is checked as a configuration is."""
    files = Exported(CONFIG, AlertTuningReport(CONFIG.hash)).files()
    with pytest.raises(ConfigError):
        imported({**files, name: text})
    with pytest.raises(ConfigError, match="missing"):
        imported({key: value for key, value in files.items() if key != RECOMMENDATIONS})


def test_a_recommendation_shows_its_difference_and_its_backtest(report: AlertTuningReport) -> None:
    """A proposal holds both, and the configuration that it makes differs in the recommended threshold alone."""
    advice = report.find(RULE)
    proposal = propose(CONFIG, RULE, advice.setting, *recorded())
    text = "\n".join(proposal.lines())
    removed = [line for line in proposal.diff if line.startswith("-") and not line.startswith("---")]
    assert len(removed) == 1
    assert '"value": 80.0' in removed[0]
    assert "Backtest:" in text
    assert "CHANGED" in text.upper()
    assert "AS IT IS" in text.upper()
    changed = proposal.configuration.get_rule(RULE)
    assert changed.threshold.value == advice.recommended
    assert replace(changed, threshold=CONFIG.get_rule(RULE).threshold) == CONFIG.get_rule(RULE)


def test_what_changes_nothing_or_is_no_rule_is_no_proposal() -> None:
    """There is nothing to show, so there is nothing to apply."""
    with pytest.raises(ConfigError, match="changes nothing"):
        propose(CONFIG, RULE, "threshold=80", *recorded())
    with pytest.raises(ConfigError, match="unknown rule"):
        propose(CONFIG, "high-cpu", "threshold=90", *recorded())
    assert difference(CONFIG, CONFIG) == []


@pytest.mark.parametrize("wanted", [-1.0, math.nan, math.inf])
def test_an_impossible_wish_is_refused(wanted: float) -> None:
    """Wanted alerts a week are a number from 0 on."""
    with pytest.raises(ValueError, match="alerts a week"):
        AlertTuningReport.generate(CONFIG, *recorded(), wanted_per_week=wanted)


def test_every_format_has_every_rule(report: AlertTuningReport) -> None:
    """Text, Markdown, HTML and JSON name all nine rules, and escape what is hostile in a name."""
    hostile = replace(report, advice=(replace(report.advice[0], name="<b>|x\x1b[31m"), *report.advice[1:]))
    for text in (hostile.to_text(), hostile.to_markdown(), hostile.to_html()):
        assert all(one.name in text for one in CONFIG.list_alert_rules()[3:])
        assert "\x1b" not in text
    assert "<b>" not in hostile.to_html()
    assert "\\<b\\>\\|x" in hostile.to_markdown()
    assert str(report) == report.to_text()
    assert f"make tune-apply RULE={RULE}" in report.to_text()


def test_a_report_without_data_says_so_and_recommends_nothing() -> None:
    """It names what is missing, and is exported like any."""
    empty = AlertTuningReport(CONFIG.hash)
    assert "There is no data to learn from" in str(empty)
    assert AlertTuningReport.from_json(empty.to_json()) == empty
    with pytest.raises(ConfigError, match="no advice"):
        empty.find(RULE)


def test_f_score_is_of_alerts_and_windows() -> None:
    """Half of the alerts true and every window found is two thirds; nothing found is 0."""
    window = Labelled(START, START + timedelta(minutes=5))
    assert f_score([START, START + timedelta(hours=1)], [window]) == pytest.approx(2 / 3)
    assert f_score([], [window]) == 0
    assert f_score([START + timedelta(hours=1)], [window]) == 0


def test_judged_values_fire_as_the_rule_did() -> None:
    """The state machine on the recorded values fires at the present limit when the rule itself fired."""
    source, span = recorded()
    judged = next(one for one in judged_values(CONFIG, source, span) if one.rule.id == RULE)
    assert len(judged.fired_at(80.0)) == 1
    assert judged.fired_at(1000.0) == []
    assert len(judged.values) > 1400


def test_advice_has_fields_that_json_holds(report: AlertTuningReport) -> None:
    """Every number of the report is finite, so that its JSON is JSON."""
    assert all(isinstance(one, Advice) for one in report.advice)
    json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(name))
