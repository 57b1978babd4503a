"""The scenarios that Prometheus was asked about: a rule, series, and what they show.

Series are written as they go: ``10*5 300*3 _*2`` is five values of 10, three of 300, and two missing. Unless a case
says otherwise a value comes every 60 s, the first 30 s after 12:00, so no sample lies on the edge of a window; and an
empty window is ``ok``, as it is to Prometheus, where no sample is no violation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.configuration import document
from shared.rules import AlertRule
from shared.timeline import minute_floor
from tests.fakes import START
from tests.reference import US, Point

FIRST = minute_floor(START)


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario of some minutes from 12:00. ``rule`` is as in the configuration's JSON.

    ``difference`` says how Prometheus 2, whose ranges are closed at both ends, sees it; empty where it sees the same.
    """

    name: str
    says: str
    rule: dict[str, Any]
    points: tuple[Point, ...]
    minutes: int
    difference: str = ""

    def alert_rule(self) -> AlertRule:
        """The rule as the configuration reads it."""
        (rule,) = document.checked([self.rule], "rules", document.read_rules)
        return rule


def _series(
    text: str, *, metric: str = "level", kind: str = "gauge", every: float = 60, first: float = 30, **labels: str
) -> Iterator[Point]:
    """The points of a series; ``every`` and ``first`` are seconds."""
    at_us = FIRST * US + round(first * US)
    for run in text.split():
        value, _, times = run.partition("*")
        for _ in range(int(times or 1)):
            if value != "_":
                yield Point(metric, kind, tuple(sorted(labels.items())), at_us, float(value), FIRST)
            at_us += round(every * US)


def _points(text: str, **how: Any) -> tuple[Point, ...]:
    return tuple(_series(text, **how))


def _rule(
    limit: float, operator: str = ">", n: int = 1, window: int = 60, *, query: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A rule on ``level``; ``query`` and ``more`` add to it or replace."""
    threshold = {"value": limit, "operator": operator, **more.pop("threshold", {})}
    asked = {"select": {"metric": "level"}, "aggregation": "avg", **(query or {})}
    return {
        "name": "rule", "metric_type": "business", "threshold": threshold, "evaluation_window": window,
        "min_occurrences": n, "on_no_data": "ok", "query": asked, **more,
    }  # fmt: skip


def _by(*names: str, **query: Any) -> dict[str, Any]:
    return {"group_by": list(names), **query}


def _of(aggregation: str, metric: str = "level", **query: Any) -> dict[str, Any]:
    return {"aggregation": aggregation, "select": {"metric": metric}, **query}


def _ratio(part: str, whole: str, **query: Any) -> dict[str, Any]:
    """A query without aggregation; ``ratio_rule`` takes it."""
    return {"select": {"metric": part}, "per": {"metric": whole}, "scale": 100, **query}


def _ratio_rule(limit: float, operator: str, n: int, window: int, query: dict[str, Any]) -> dict[str, Any]:
    return {**_rule(limit, operator, n, window), "query": query}


_CLOSED_TWO = "A closed range holds the sample at T - w too, so a bad sample counts for one evaluation more."
_FLAPPING = "10*3 300 10 300 10 300 300 10 300 300 300 10*4"

CASES = (
    # What a level does
    Case("spike", "One minute is so bad that the mean of five exceeds the limit until it leaves the window.",
         _rule(200, n=3, window=300), _points("10*6 2000 10*12"), 20),
    Case("spike_below", "One bad minute does not lift the mean of five over the limit.",
         _rule(200, n=1, window=300), _points("10*6 900 10*12"), 20),
    Case("spike_short", "Two bad minutes of the three that the rule wants: pending, and never firing.",
         _rule(200, n=3), _points("10*5 300*2 10*8"), 16),
    Case("spike_exactly_n", "As many bad evaluations as the rule wants: firing for one of them.",
         _rule(200, n=3), _points("10*5 300*3 10*8"), 17),
    Case("sustained", "A level that rises and stays: pending, firing, and no end.",
         _rule(200, n=3, window=300), _points("10*6 300*18"), 25),
    Case("sustained_and_back", "A window drains as slowly as it filled.",
         _rule(200, n=3, window=300), _points("10*6 300*8 10*12"), 27),
    Case("flapping_one", "With one occurrence every bad minute fires and every good one resolves.",
         _rule(200), _points(_FLAPPING), 18),
    Case("flapping_two", "With two a single bad minute only begins to pend, again and again.",
         _rule(200, n=2), _points(_FLAPPING), 18),
    Case("flapping_three", "With three only the last of the runs is long enough.",
         _rule(200, n=3), _points(_FLAPPING), 18),
    Case("flapping_smoothed", "The mean of five minutes does not flap.",
         _rule(120, n=2, window=300), _points(_FLAPPING), 20),
    Case("refire", "After it resolved, an alert needs all its occurrences again.",
         _rule(200, n=3), _points("300*5 10 300*2 10 300*4 10*2"), 17),
    # The limit itself
    Case("at_threshold_greater", "Exactly at the limit is not above it.",
         _rule(200, n=2), _points("100*2 200*5 201*3 200*3"), 15),
    Case("at_threshold_greater_equal", "Exactly at the limit violates >=.",
         _rule(200, ">=", 2), _points("100*2 200*5 199*3 200*3"), 15),
    Case("at_threshold_less", "Exactly at the limit is not below it.",
         _rule(200, "<", 2), _points("300*2 200*5 199*3 200*3"), 15),
    Case("at_threshold_less_equal", "Exactly at the limit violates <=.",
         _rule(200, "<=", 2), _points("300*2 200*5 201*3 200*3"), 15),
    Case("at_threshold_mean", "The mean of a window passes through the limit, exactly.",
         _rule(200, n=1, window=300), _points("100*5 300*5 100*6"), 18),
    Case("at_threshold_decimal", "A level that stays at 0.1 is at 0.1, however it is added up.",
         _rule(0.1, n=1, window=180), _points("0.1*12 0.2*2 0.1*5"), 20),
    Case("at_threshold_last_bit", "The next double above the limit is above it.",
         _rule(200, n=1), _points("200*3 200.00000000000003*3 200*3 199.99999999999997*3"), 13),
    Case("equal", "== holds at the limit alone.", _rule(50, "==", 2), _points("49*3 50*4 51*3 50*2"), 14),
    Case("not_equal", "!= holds everywhere else.", _rule(1, "!=", 2), _points("1*3 0*4 1*2 2*3 1*2"), 16),
    Case("zero_is_not_above_zero", "Zero is a value, and not above zero.",
         _rule(0, ">", 1), _points("0*4 1*2 0*4 -1*2"), 14),
    Case("zero_equals_zero", "Zero fires a rule that asks for it; silence does not.",
         _rule(0, "==", 2), _points("5*2 0*4 _*3 0*3 5*2"), 16),
    Case("negative", "A level below zero under a limit below zero.",
         _rule(-5, "<", 2), _points("0*2 -5*2 -6*4 -4*3 -50*3"), 16),
    Case("negative_mean", "Values of both signs cancel in a mean.",
         _rule(-10, "<=", 1, 180), _points("30*3 -30*3 30*3 -30*6"), 17),
    Case("low_is_bad", "A hit rate that falls below its limit.",
         _rule(70, "<", 3, 300), _points("95*6 40*8 95*10"), 26),
    Case("low_is_bad_at_limit", "A hit rate that falls to its limit and no further.",
         _rule(70, "<", 1, 300), _points("95*4 70*10 69.9 70*6"), 22),
    # Occurrences
    *(
        Case(f"occurrences_{n}", f"A rule with {n} meets runs of 1, 2, 3, 5 and 6 bad minutes.",
             _rule(200, n=n), _points("10 300 10 300*2 10 300*3 10 300*5 10 300*6 10*2"), 26)
        for n in (1, 2, 3, 5)
    ),
    Case("occurrences_broken", "One good evaluation at the fourth of five begins the count anew.",
         _rule(200, n=5), _points("10*2 300*4 10 300*6 10*2"), 17),
    # keep_firing_for
    Case("keep_firing", "Five minutes from the first good evaluation: it resolves six minutes after the last bad one.",
         _rule(200, n=2, keep_firing_for=300), _points("10*2 300*4 10*12"), 19),
    Case("keep_firing_cancelled", "A bad evaluation while it is held begins the five minutes anew.",
         _rule(200, n=2, keep_firing_for=300), _points("10*2 300*3 10*4 300 10*9"), 20),
    Case("keep_firing_flapping", "What flaps fires through.",
         _rule(200, n=1, keep_firing_for=120), _points(_FLAPPING), 20),
    Case("keep_firing_pending", "It never holds a pending alert.",
         _rule(200, n=3, keep_firing_for=600), _points("10*2 300*2 10*3 300*2 10*3"), 14),
    Case("keep_firing_short", "Less than a minute holds the first good evaluation.",
         _rule(200, n=1, keep_firing_for=30), _points("10*2 300*2 10*5"), 10),
    Case("keep_firing_odd", "90 seconds hold two evaluations.",
         _rule(200, n=1, keep_firing_for=90), _points("10*2 300*2 10*5"), 10),
    Case("keep_firing_silence", "It holds through silence as through good values.",
         _rule(200, n=2, keep_firing_for=180), _points("10*2 300*4 _*20"), 14),
    Case("keep_firing_gap", "Silence within it counts as good, and a bad value after it begins it anew.",
         _rule(200, n=1, keep_firing_for=180), _points("10*2 300*2 _*2 300 _ 10 _*4 10*2"), 16),
    Case("not_equal_gap", "!= does not hold of what is not there, and a zero below zero is zero.",
         _rule(0, "!=", 2), _points("0*2 -0.0*2 5*2 _*2 5*3 _ 5*2 0*2"), 17),
    Case("delayed_gap", "A gap ends what is pending as late as the window is.",
         _rule(200, n=3, evaluation_delay_seconds=120), _points("10*2 300*2 _ 300*3 10*3"), 15),
    # Time: edges of windows
    Case("on_the_minute_1m", "Samples exactly on the minute belong to the evaluation at that minute, and no other.",
         _rule(200, n=1, query=_of("max")), _points("10*4 300 10*6", first=0), 11, _CLOSED_TWO),
    Case("on_the_minute_5m", "Five samples on the minute are in a window of five minutes, not six.",
         _rule(120, n=2, window=300), _points("10*6 300*2 10*10", first=0), 18,
         "A closed range of five minutes holds six samples: two bad ones lift the mean of five to 126, of six to 107."),
    Case("on_the_minute_spike", "A spike on the minute is in five evaluations of a window of five minutes.",
         _rule(200, n=3, window=300, query=_of("max")), _points("10*4 900 10*10", first=0), 15, _CLOSED_TWO),
    Case("on_the_minute_count", "A sample every minute on the minute: five in five minutes.",
         _rule(5, ">", 1, 300, query=_of("count")), _points("1*12", first=0), 14,
         "A closed range of five minutes counts six."),
    Case("on_the_minute_silence", "The last sample, on the minute, leaves the window when it is as old as the window.",
         _rule(200, n=1, window=120), _points("300*5", first=0), 9,
         "In a closed range it stays for one evaluation more."),
    Case("second_after", "Samples a second after the minute are judged at the next one.",
         _rule(200, n=1, query=_of("max")), _points("10*4 300 10*6", first=1), 11),
    Case("second_before", "Samples a second before the minute are judged at once.",
         _rule(200, n=1, query=_of("max")), _points("10*4 300 10*6", first=59), 11),
    Case("millisecond_after", "Samples a millisecond after the minute are judged at the next one.",
         _rule(200, n=1, query=_of("max")), _points("10*2 300 10*3", first=0.001), 6),
    # Time: gaps and ends
    Case("gap_short", "A gap shorter than the window changes nothing.",
         _rule(200, n=2, window=300), _points("300*4 _*4 300*5"), 14),
    Case("gap_long", "A longer one resolves when the last sample leaves the window, not when samples stop.",
         _rule(200, n=2, window=300), _points("300*4 _*9 300*5"), 19),
    Case("gap_pending", "A gap ends a pending alert.", _rule(200, n=3), _points("10 300*2 _*2 300*4 10"), 11),
    Case("series_ends", "A series ends while its alert fires.",
         _rule(200, n=2, window=180, query=_by("region")), _points("300*5", region="eu"), 12),
    Case("series_ends_pending", "A series ends while its alert is pending.",
         _rule(200, n=5, window=180, query=_by("region")), _points("300*2", region="eu"), 9),
    Case("new_series", "A series begins, and is bad from its first sample on.",
         _rule(200, n=2, window=300, query=_by("region")),
         (*_points("10*14", region="eu"), *_points("_*6 300*8", region="us")), 15),
    Case("new_series_in_group", "A new bad instance joins a good one in its region.",
         _rule(200, n=2, window=300, query=_by("region")),
         (*_points("10*16", region="eu", instance="a"), *_points("_*6 900*10", region="eu", instance="b")), 18),
    Case("nothing_at_all", "A rule that never sees a sample says nothing.",
         _rule(200, "<", 1, query=_of("avg", "another")), _points("1*3"), 6),
    Case("half_a_window", "A window that is filled only in part is judged as it is.",
         _rule(10, "<", 1, 300, query=_of("sum")), _points("3*12"), 18),
    Case("half_a_window_count", "Few samples violate at the start and at the end; none at all do not.",
         _rule(4, "<", 1, 300, query=_of("count")), _points("1*10"), 18),
    # Groups
    Case("two_regions", "Of two regions one violates.",
         _rule(200, n=3, window=300, query=_by("region")),
         (*_points("10*6 300*9 10*7", region="eu"), *_points("10*22", region="us")), 24),
    Case("two_regions_apart", "Two regions violate at times of their own.",
         _rule(200, n=2, query=_by("region")),
         (*_points("10*2 300*5 10*7", region="eu"), *_points("10*5 300*5 10*4", region="us")), 15),
    Case("two_regions_joined", "Without groups the good region dilutes the bad one.",
         _rule(150, n=2), (*_points("10*2 300*5 10*5", region="eu"), *_points("10*4 300*5 10*3", region="us")), 13),
    Case("rates_apart", "A mean is over samples: a series that is sampled six times as often weighs six times as much.",
         _rule(200, n=2, window=120, query=_by("region")),
         (*_points("500*60", every=10, first=5, region="eu", instance="a"),
          *_points("0*10", region="eu", instance="b")), 12),
    Case("renamed_instance", "A rule by instance begins anew with a new name.",
         _rule(200, n=3, query=_by("instance")),
         (*_points("300*2", instance="a"), *_points("_*2 300*4", instance="b")), 9),
    Case("renamed_instance_by_region", "A rule by region does not see the rename.",
         _rule(200, n=3, query=_by("region")),
         (*_points("300*2", instance="a", region="eu"), *_points("_*2 300*4", instance="b", region="eu")), 9),
    Case("filtered", "A rule on one endpoint does not see another.",
         _rule(200, n=2, query={"select": {"metric": "level", "labels": {"endpoint": "/a"}}}),
         (*_points("10*4 300*4 10*4", endpoint="/a"), *_points("900*12", endpoint="/b")), 13),
    Case("two_labels", "Groups of two labels, one of which a series lacks.",
         _rule(200, n=2, query=_by("region", "zone")),
         (*_points("10*2 300*4 10*2", region="eu", zone="a"), *_points("300*8", region="eu")), 10),
    Case("two_labels_apart", "Series that lack one of two labels, the other or both are groups of their own.",
         _rule(200, n=2, query=_by("region", "zone")),
         (*_points("300*3 10*7", region="eu", zone="a"), *_points("10*2 300*3 10*5", region="eu"),
          *_points("10*4 300*3 10*3", zone="a"), *_points("10*6 300*4")), 11),
    # Density
    Case("sparse", "A sample every three minutes, in a window of five.",
         _rule(200, n=3, window=300), _points("10*2 300*3 10*3", every=180), 26),
    Case("sparser_than_the_window", "A sample every seven minutes leaves the window empty between them.",
         _rule(200, n=2, window=300), _points("300*4", every=420), 28),
    Case("dense", "A sample every five seconds.",
         _rule(200, n=3, window=300), _points("10*60 300*60 10*72", every=5, first=2), 17),
    Case("dense_burst", "Twenty bad seconds among many samples do not lift a mean, but do a maximum.",
         _rule(200, n=1, window=120, query=_of("max")), _points("10*40 900*4 10*60", every=5, first=2), 10),
    Case("uneven", "Many samples in one minute and one in the next weigh as samples.",
         _rule(200, n=1, window=120),
         (*_points("300*12 _*48", every=5, first=2), *_points("10*6", instance="b")), 8),
    # Aggregations
    Case("minimum", "The least of a window: above the limit only when all of it is.",
         _rule(200, n=2, window=180, query=_of("min")), _points("300*3 10 300*6 10*3"), 15),
    Case("maximum", "The greatest of a window: one sample is enough.",
         _rule(200, n=2, window=180, query=_of("max")), _points("10*3 300 10*6"), 12),
    Case("sum_of_deltas", "What was added in a window.",
         _rule(100, n=2, window=300, query=_of("sum", "requests")),
         _points("10*5 40*4 10*8", metric="requests", kind="counter"), 18),
    Case("rate_of_deltas", "What was added per second.",
         _rule(0.5, ">=", 2, 120, query=_of("rate", "requests")),
         _points("12*4 30*5 12*4", metric="requests", kind="counter"), 15),
    Case("last", "The newest sample of a window, also when it is minutes old.",
         _rule(200, n=2, window=300, query=_of("last")), _points("10*2 300 _*3 10 300*2 _*9"), 19),
    Case("last_sum", "The newest of each instance, added up.",
         _rule(100, n=1, window=180, query=_of("last_sum")),
         (*_points("30*5 60*3 _*6", instance="a"), *_points("50*12", instance="b")), 15),
    Case("p95", "The 95th percentile of windows in which each minute's values are equal.",
         _rule(200, n=2, window=300, query=_of("p95", "duration")),
         _points("20*24 450*12 20*28", metric="duration", kind="distribution", every=15, first=5), 17),
    Case("p50", "The median of an odd number of values.",
         _rule(200, n=2, window=180, query=_of("p50", "duration")),
         _points("20*4 450 20 450*2 20 450*3 20*4", metric="duration", kind="distribution"), 17),
    Case("ratio", "Errors of requests, in per cent.",
         _ratio_rule(1, ">", 2, 120, _ratio("errors", "requests")),
         (*_points("0*3 5*4 0*6", metric="errors", kind="counter"),
          *_points("200*13", metric="requests", kind="counter", first=40)), 15),
    Case("ratio_exactly_at", "Seven of a hundred are seven per cent and no more; eight are more.",
         _ratio_rule(7, ">", 1, 60, _ratio("errors", "requests")),
         (*_points("7*5 8*2 7*4", metric="errors", kind="counter"),
          *_points("100*11", metric="requests", kind="counter", first=40)), 13),
    Case("ratio_without_errors", "Without a counted error the ratio is zero; without a counted request there is none.",
         _ratio_rule(1, "<", 2, 60, _ratio("errors", "requests")),
         (*_points("_*4 5*3 _*9", metric="errors", kind="counter"),
          *_points("100*10 _*3 100*3", metric="requests", kind="counter", first=40)), 18),
    Case("availability", "The share that did not fail, exactly at its limit and below it.",
         _ratio_rule(99.95, "<", 2, 60, _ratio("errors", "requests", complement=True)),
         (*_points("1*4 2*3 1*4", metric="errors", kind="counter"),
          *_points("2000*11", metric="requests", kind="counter", first=40)), 13),
    Case("ratio_by_region", "A ratio of each region; one has no errors.",
         _ratio_rule(1, ">=", 2, 120, _ratio("errors", "requests", group_by=["region"])),
         (*_points("0*3 2*4 0*5", metric="errors", kind="counter", region="eu"),
          *_points("100*12", metric="requests", kind="counter", first=40, region="eu"),
          *_points("100*12", metric="requests", kind="counter", first=40, region="us")), 14),
    Case("min_count", "Fewer samples than the rule asks for are none.",
         _rule(200, n=2, window=180, query={"min_count": 3}), _points("300*8 _*2 300*4"), 18),
    Case("ratio_min_count", "A night with few requests is not judged.",
         _ratio_rule(1, ">", 2, 60, _ratio("errors", "requests", min_count=50)),
         (*_points("5*12", metric="errors", kind="counter"),
          *_points("100*4 49*3 50*5", metric="requests", kind="counter", first=40)), 14),
    # Evaluation
    Case("every_two_minutes", "Evaluated every other minute, the third violation is four minutes after the first.",
         _rule(200, n=3, window=120, evaluation_frequency=120), _points("10*4 300*10 10*6"), 22),
    Case("every_five_minutes", "A bad minute between two evaluations is seen by the next one's window.",
         _rule(200, n=1, window=300, evaluation_frequency=300, query=_of("max")), _points("10*7 300 10*14"), 25),
    Case("every_five_minutes_short", "With a window of one minute it is not.",
         _rule(200, n=1, evaluation_frequency=300, query=_of("max")), _points("10*7 300 10*6 300 10*7"), 25),
    Case("delayed", "The window ends two minutes before the evaluation.",
         _rule(200, n=2, evaluation_delay_seconds=120), _points("10*3 300*4 10*5"), 15),
    Case("delayed_on_the_minute", "The same, with samples on the minute.",
         _rule(200, n=2, evaluation_delay_seconds=120, query=_of("max")), _points("10*3 300*4 10*5", first=0), 15,
         _CLOSED_TWO),
    Case("long_window", "A quarter of an hour's mean moves slowly.",
         _rule(100, n=3, window=900), _points("10*10 300*10 10*20"), 42),
    # What Prometheus has no field for, in PromQL
    Case("recovery_value", "Between limit and recovery value an alert goes on firing, and none begins.",
         _rule(200, n=2, threshold={"recovery_value": 150}), _points("180*3 250*3 180*3 150*2 180*3 250*2 140*2"), 19),
    Case("recovery_value_low_is_bad", "The same where low is bad.",
         _rule(70, "<", 1, threshold={"recovery_value": 80}), _points("75*2 60*2 75*2 80*2 79*2 60 85"), 13),
    Case("recovery_and_keep", "keep_firing_for begins at the first evaluation that has recovered.",
         _rule(200, n=1, keep_firing_for=120, threshold={"recovery_value": 150}),
         _points("250*2 180*2 140*2 180 140*5"), 14),
    Case("silence_violates", "With on_no_data: alert an empty window counts as a violation.",
         _rule(200, n=3, on_no_data="alert"), _points("_*4 10*3 _*2 10 300 _*3 10*2"), 18),
)  # fmt: skip
"""All scenarios, by name."""
