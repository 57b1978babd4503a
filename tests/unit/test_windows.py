"""Windows against plain Python on the raw observations: every aggregation, ratio, filter, group and edge."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bins import SCALE, error_bound
from shared.cells import EMPTY, Cells, Observation, fold, merge, merge_writers, percentiles
from shared.rules import Aggregation, Query, Selection
from shared.series import Kind, Labels, Series
from shared.timeline import US_PER_SECOND
from shared.windows import Windows, evaluate, read_window
from tests.cell_cases import MINUTE, chunks_of_cells
from tests.world import labels

FIRST = 1_760_788_800
SECONDS = 240
SERIES = (
    Series("m", labels(endpoint="/a", region="eu")),
    Series("m", labels(endpoint="/b", region="eu")),
    Series("m", labels(endpoint="/a", region="us")),
    Series("m", labels(endpoint="/a")),
    Series("n", labels(region="eu")),
)
FEWER = settings(max_examples=15, deadline=None, derandomize=True, database=None)


class Raw(NamedTuple):
    """One observation of a writer in one of four minutes; whole numbers, so that sums are exact."""

    minute: int
    age_seconds: int
    writer: int
    series: Series
    value: float

    @property
    def at_us(self) -> int:
        """Unix microseconds, inside the minute that ends at ``minute``."""
        return (self.minute - self.age_seconds) * US_PER_SECOND


raws = st.builds(
    Raw,
    st.integers(1, 4).map(lambda number: FIRST + 60 * number),
    st.integers(0, 59),
    st.integers(0, 2),
    st.sampled_from(SERIES),
    st.integers(-50, 50).map(float),
)


def minutes_of(observed: list[Raw], kind: Kind) -> dict[int, Cells]:
    """What the rollups of these observations hold."""
    chunks: dict[int, dict[int, list[Observation]]] = defaultdict(lambda: defaultdict(list))
    for raw in observed:
        chunks[raw.minute][raw.writer].append(Observation(raw.series, kind, raw.at_us, raw.value))
    return {
        minute: merge_writers([fold(observed, writer) for writer, observed in by_writer.items()])
        for minute, by_writer in chunks.items()
    }


def grouped(observed: list[Raw], selection: Selection, names: tuple[str, ...]) -> dict[Labels, list[Raw]]:
    """The observations that a selection takes, by their values of the group labels."""
    found: dict[Labels, list[Raw]] = defaultdict(list)
    for raw in observed:
        pairs = dict(raw.series.labels)
        if raw.series.metric == selection.metric and all(pairs.get(name) == value for name, value in selection.labels):
            found[tuple(sorted((name, pairs[name]) for name in names if name in pairs))].append(raw)
    return found


def last_sum(observed: list[Raw]) -> float:
    """The newest value of each writer of a series in the series' newest minute, summed."""
    total = 0.0
    for series in {raw.series for raw in observed}:
        mine = [raw for raw in observed if raw.series == series]
        newest = max(mine, key=lambda raw: raw.at_us).minute
        for writer in {raw.writer for raw in mine if raw.minute == newest}:
            total += max((raw.at_us, raw.value) for raw in mine if (raw.minute, raw.writer) == (newest, writer))[1]
    return total


def plain(observed: list[Raw], aggregation: Aggregation, kind: Kind) -> float | None:
    """An aggregation by its definition; None where it has no value."""
    values = sorted(raw.value for raw in observed)
    quantile = aggregation.quantile
    if quantile is not None:
        return values[math.ceil(quantile * len(values)) - 1] if kind is Kind.DISTRIBUTION else None
    return {
        Aggregation.AVG: sum(values) / len(values),
        Aggregation.MIN: values[0],
        Aggregation.MAX: values[-1],
        Aggregation.SUM: sum(values),
        Aggregation.COUNT: float(len(values)),
        Aggregation.LAST: max((raw.at_us, raw.value) for raw in observed)[1],
        Aggregation.LAST_SUM: last_sum(observed),
        Aggregation.RATE: (sum(values) if kind is Kind.COUNTER else len(values)) / SECONDS,
    }[aggregation]


@pytest.mark.parametrize("aggregation", Aggregation)
@FEWER
@given(
    observed=st.lists(raws, max_size=30),
    kind=st.sampled_from(Kind),
    names=st.sampled_from([(), ("region",), ("region", "endpoint"), ("absent",)]),
    wanted=st.sampled_from([{}, {"region": "eu"}, {"endpoint": "/a"}, {"absent": "x"}]),
    scale=st.sampled_from([1.0, 100.0, -0.5]),
)
def test_every_aggregation_is_what_the_raw_observations_give(
    aggregation: Aggregation,
    observed: list[Raw],
    kind: Kind,
    names: tuple[str, ...],
    wanted: dict[str, str],
    scale: float,
) -> None:
    """An aggregation of a selection, by group and scaled, is its definition over the pooled raw observations."""
    query = Query(Selection("m", labels(**wanted)), aggregation, group_by=names, scale=scale)
    window = read_window(minutes_of(observed, kind), FIRST + SECONDS, SECONDS)
    expected = {
        key: scale * value
        for key, some in grouped(observed, query.select, names).items()
        if (value := plain(some, aggregation, kind)) is not None
    }
    tolerance = error_bound(SCALE) + 1e-9 if aggregation.quantile else 0.0
    assert evaluate(window, query, SECONDS) == pytest.approx(expected, rel=tolerance, abs=0.0)


@FEWER
@given(
    observed=st.lists(raws.map(lambda raw: raw._replace(value=abs(raw.value))), max_size=30),
    complement=st.booleans(),
    min_count=st.sampled_from([0.0, 30.0, 1000.0]),
)
def test_ratios_are_what_the_raw_observations_give(observed: list[Raw], complement: bool, min_count: float) -> None:
    """A ratio by group is sum over sum; no numerator is 0; no, a zero or a small denominator has no value."""
    part, whole = Selection("m", labels(endpoint="/b")), Selection("m")
    query = Query(part, per=whole, scale=100.0, complement=complement, group_by=("region",), min_count=min_count)
    window = read_window(minutes_of(observed, Kind.COUNTER), FIRST + SECONDS, SECONDS)
    parts = grouped(observed, part, ("region",))
    expected: dict[Labels, float] = {}
    for key, some in grouped(observed, whole, ("region",)).items():
        denominator = sum(raw.value for raw in some)
        if denominator > 0 and denominator >= min_count:
            numerator = sum(raw.value for raw in parts.get(key, []))
            exact = Fraction(denominator - numerator if complement else numerator) / Fraction(denominator)
            expected[key] = float(100 * exact)
    assert evaluate(window, query, SECONDS) == expected


def window_of(**sums: float) -> Cells:
    """Counters without labels, by metric."""
    return fold([Observation(Series(metric), Kind.COUNTER, FIRST * US_PER_SECOND, sums[metric]) for metric in sums])


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        pytest.param({"errors": 3.0, "requests": 60.0}, 5.0, id="both"),
        pytest.param({"requests": 60.0}, 0.0, id="no numerator"),
        pytest.param({"errors": 3.0}, None, id="no denominator"),
        pytest.param({"errors": 3.0, "requests": 0.0}, None, id="zero denominator"),
        pytest.param({"errors": 3.0, "requests": -60.0}, None, id="negative denominator"),
        pytest.param({"errors": 3.0, "requests": 49.0}, None, id="below min_count"),
        pytest.param({"errors": 5.0, "requests": 50.0}, 10.0, id="exactly min_count"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_ratio_edges(sums: dict[str, float], expected: float | None) -> None:
    """The edges of a ratio that needs 50 requests."""
    query = Query(Selection("errors"), per=Selection("requests"), scale=100.0, min_count=50.0)
    assert evaluate(window_of(**sums), query, 60).get(()) == expected


@pytest.mark.parametrize("complement", [False, True])
def test_a_percentage_is_the_decimal_that_a_person_writes(complement: bool) -> None:
    """Of 10,000 requests every number of errors gives the very percentage that a threshold would be written with."""
    counts = {
        labels(errors=f"{errors:05}"): {"requests": 10_000.0, "errors": float(errors)} for errors in range(10_001)
    }
    window = fold(
        [
            Observation(Series(metric, key), Kind.COUNTER, FIRST * US_PER_SECOND, number)
            for key, numbers in counts.items()
            for metric, number in numbers.items()
        ]
    )
    query = Query(
        Selection("errors"), per=Selection("requests"), scale=100.0, complement=complement, group_by=("errors",)
    )
    hundredths = {key: int(10_000 - n["errors"] if complement else n["errors"]) for key, n in counts.items()}
    written = {key: float(f"{number // 100}.{number % 100:02}") for key, number in hundredths.items()}
    assert evaluate(window, query, 60) == written


@pytest.mark.parametrize("times", [1, 3, 5, 7])
def test_the_mean_of_equal_values_is_that_value(times: int) -> None:
    """A series that stays at 0.1, or at any other number of two decimals, does not exceed it by a rounding."""
    values = {labels(value=f"{number / 100}"): number / 100 for number in range(1, 500)}
    observed = [
        Observation(Series("m", key), Kind.GAUGE, FIRST * US_PER_SECOND, value) for key, value in values.items()
    ]
    minutes = {FIRST + 60 * minute: fold(observed * times) for minute in range(3)}
    window = read_window(minutes, FIRST + 120, 180)
    assert evaluate(window, Query(Selection("m"), group_by=("value",)), 180) == values


@pytest.mark.parametrize("scale", [1.0, 1e308])
def test_a_quotient_that_no_double_holds_is_no_value(scale: float) -> None:
    """A value that overflows is left out: an infinity could neither be judged nor sent."""
    window = window_of(errors=1e200, requests=5e-324)
    assert evaluate(window, Query(Selection("errors"), per=Selection("requests"), scale=scale), 60) == {}
    assert evaluate(window, Query(Selection("errors"), Aggregation.SUM, scale=1e200), 60) == {}


def test_min_count_counts_observations() -> None:
    """A group of two observations has a value where two are asked for, and none where three are."""
    window = fold([Observation(Series("m"), Kind.GAUGE, FIRST * US_PER_SECOND, value) for value in (1.0, 3.0)])
    assert evaluate(window, Query(Selection("m"), min_count=2.0), 60) == {(): 2.0}
    assert evaluate(window, Query(Selection("m"), min_count=3.0), 60) == {}


@pytest.mark.parametrize("aggregation", Aggregation)
def test_an_empty_window_has_no_value(aggregation: Aggregation) -> None:
    """No cells, no value: not 0, and no division by 0."""
    assert evaluate(EMPTY, Query(Selection("m"), aggregation), 60) == {}


def test_a_window_is_open_on_the_left_and_closed_on_the_right() -> None:
    """(T - w, T]: an observation at T counts, one at T - w does not, one a microsecond later does."""
    end, seconds = FIRST + 300, 120
    instants = {
        "at the end": end * 10**6,
        "at the start": (end - seconds) * 10**6,
        "after": (end - seconds) * 10**6 + 1,
    }
    minutes: dict[int, list[Observation]] = defaultdict(list)
    for name, at_us in instants.items():
        minutes[-(-at_us // (60 * 10**6)) * 60].append(Observation(Series(name), Kind.GAUGE, at_us, 1.0))
    window = read_window({minute: fold(some) for minute, some in minutes.items()}, end, seconds)
    found = {name for name in instants if evaluate(window, Query(Selection(name)), seconds)}
    assert found == {"at the end", "after"}


def test_missing_minutes_are_empty() -> None:
    """A window with gaps is judged on what there is, and one without any minute is empty."""
    cells = window_of(requests=7.0)
    window = read_window({FIRST: cells, FIRST + 240: cells}, FIRST + 300, 360)
    assert evaluate(window, Query(Selection("requests"), Aggregation.SUM), 360) == {(): 14.0}
    assert list(read_window({FIRST: cells}, FIRST + 300, 300).minutes) == []
    assert evaluate(read_window({}, FIRST, 60), Query(Selection("requests"), Aggregation.SUM), 60) == {}


def test_a_series_without_the_group_label_is_a_group_of_its_own() -> None:
    """Series that lack the label are judged together, under no label, beside those that have it."""
    window = fold([Observation(series, Kind.GAUGE, FIRST * US_PER_SECOND, 1.0) for series in SERIES])
    query = Query(Selection("m"), Aggregation.COUNT, group_by=("region",))
    assert evaluate(window, query, 60) == {(): 1.0, labels(region="eu"): 2.0, labels(region="us"): 1.0}


def merged(window: list[Cells], selection: Selection, names: tuple[str, ...]) -> Cells:
    """The selected series merged over the minutes, and then by group, adding last values: one row a group."""
    over_time = merge(window)
    rows = [row for row, name in enumerate(over_time.series) if name.metric == selection.metric]
    rows = [row for row in rows if over_time.series[row].matches(selection.labels)]
    parts: list[Cells] = []
    for writer, row in enumerate(rows):
        series = Series(selection.metric, over_time.series[row].group(names))
        parts.append(replace(over_time.take(np.array([row])), series=(series,)).written_by(writer))
    return merge_writers(parts)


def by_merging(window: list[Cells], query: Query, seconds: int) -> dict[Labels, float]:
    """A query's values the long way: whole cells are merged, all columns of them."""
    cells = merged(window, query.select, query.group_by)
    aggregation = query.aggregation
    columns = {
        Aggregation.AVG: np.clip(cells.sum / cells.count, cells.min, cells.max),
        Aggregation.RATE: np.where(cells.kind == Kind.COUNTER, cells.sum, cells.count) / seconds,
        Aggregation.COUNT: cells.count.astype(float),
        **{
            one: getattr(cells, one.value)
            for one in Aggregation
            if one.value in ("min", "max", "sum", "last", "last_sum")
        },
    }
    column = percentiles(cells, aggregation.quantile) if aggregation.quantile else columns[aggregation]
    values = dict(zip([name.labels for name in cells.series], column.tolist(), strict=True))
    if query.per is None:
        return {key: value for key, value in values.items() if not math.isnan(value)}
    per = merged(window, query.per, query.group_by)
    sums = dict(zip([name.labels for name in per.series], per.sum.tolist(), strict=True))
    return {key: values.get(key, 0.0) / total for key, total in sums.items() if total > 0}


QUERIES = [
    *(
        Query(Selection("requests", filtered), aggregation, group_by=names)
        for aggregation in Aggregation
        for filtered in ((), labels(endpoint="/b"))
        for names in ((), ("region",), ("endpoint", "region"))
    ),
    Query(
        Selection("requests", labels(region="eu")), Aggregation.SUM, per=Selection("requests"), group_by=("endpoint",)
    ),
]


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    chunks=chunks_of_cells(6),
    gaps=st.sets(st.integers(0, 5), max_size=3),
    queries=st.lists(st.sampled_from(QUERIES), min_size=1, max_size=3),
)
def test_what_is_selected_is_what_merging_everything_gives_to_the_bit(
    chunks: list[Cells], gaps: set[int], queries: list[Query]
) -> None:
    """Reading only a query's rows and columns gives the value, bit for bit, that merging whole cells gives.

    Minutes are shared by windows that follow one another, as in a backtest, and each asks what was asked before.
    """
    minutes = {MINUTE + 60 * number: cells for number, cells in enumerate(chunks) if number not in gaps}
    shared, end = Windows(), MINUTE
    for end in range(MINUTE, MINUTE + 60 * (len(chunks) + 1), 60):
        window = [minutes[minute] for minute in range(end - 240, end + 60, 60) if minute in minutes]
        for query in queries:
            expected = by_merging(window, query, 300)
            assert evaluate(read_window(minutes, end, 300), query, 300) == expected
            assert evaluate(shared.read(minutes, end, 300), query, 300) == expected
        shared.forget(end, [cells for minute, cells in minutes.items() if minute > end - 240])
    assert list(shared) == [(end, 300)]


def test_bins_beyond_their_limit_become_coarser_as_merging_makes_them() -> None:
    """Percentiles over so wide a spread that series and groups lower their scale are those of merging, to the bit."""
    rng = np.random.default_rng(1)
    names = [
        Series("requests", labels(endpoint=endpoint, region=region)) for endpoint in "abc" for region in ("eu", "us")
    ]
    minutes = {
        MINUTE + 60 * number: fold(
            [
                Observation(name, Kind.DISTRIBUTION, MINUTE * US_PER_SECOND, float(value))
                for row, name in enumerate(names)
                for value in 2.0 ** rng.uniform(-40.0, 40.0 + 10 * row, 900)
            ]
        )
        for number in range(4)
    }
    whole = merged(list(minutes.values()), Selection("requests"), ("region",))
    assert whole.scale.min() < SCALE
    for aggregation in (Aggregation.P50, Aggregation.P99):
        query = Query(Selection("requests"), aggregation, group_by=("region",))
        assert evaluate(read_window(minutes, MINUTE + 180, 240), query, 240) == by_merging(
            list(minutes.values()), query, 240
        )
