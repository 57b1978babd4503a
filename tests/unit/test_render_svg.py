"""The geometry of charts and sparks."""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.panels import Heat, Limit, Line, LineChart, Mark, Span, Status, Strip, Strips, Style
from shared.render import charts, grids, svg
from shared.rules import Operator, Severity
from tests import samples

END = datetime(2025, 10, 18, 14, 31, tzinfo=UTC)
finite = st.floats(0, 1e9, allow_nan=False)
gappy = st.lists(st.one_of(st.none(), finite), max_size=50)


def chart(*lines: Line) -> LineChart:
    """A chart of three hours."""
    return LineChart("c", "Chart", "ms", END - timedelta(hours=3), 60, lines)


@given(st.lists(finite, min_size=1, max_size=20), st.sampled_from(["ms", "%", ""]))
def test_ticks_are_round_and_hold_the_values(values: list[float], unit: str) -> None:
    """There are 2 to 8 ticks, evenly apart on 1-2-5 steps, from below the least value to above the greatest."""
    scale, ticks = svg.y_ticks(values, unit)
    assert 2 <= len(ticks) <= 8
    assert scale.low <= min(values) + 1e-6
    assert max(values) <= scale.high * (1 + 1e-9) + 1e-9
    step = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    assert f"{step:.0e}"[0] in "125"


def test_latency_starts_at_zero_and_high_ratios_do_not() -> None:
    """A latency scale starts at 0; percentages that all lie in the upper half are magnified, never above 100."""
    assert svg.y_ticks([20, 497], "ms")[1] == [0, 100, 200, 300, 400, 500, 600]
    scale = svg.scale_for([99.9, 99.97], "%")
    assert scale.low > 99
    assert scale.high <= 100


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9))
def test_labels_never_overlap(wanted: list[float]) -> None:
    """Labels keep their order and a line's height between them, and stay inside, while there is room."""
    places = svg.spread(wanted, 10.5, 2.0, 98.0)
    ordered = [place for _, place in sorted(zip(wanted, places, strict=True))]
    assert all(b - a >= 10.3 for a, b in itertools.pairwise(sorted(places)))
    assert ordered == sorted(ordered) or len(set(wanted)) < len(wanted)
    assert all(1.9 <= place <= 98.1 for place in places)


def test_labels_stay_where_there_is_room() -> None:
    """Labels that are apart already are not moved."""
    assert svg.spread([10.0, 90.0, 50.0], 10.5) == [10.0, 90.0, 50.0]


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=200), st.integers(2, 24))
def test_a_band_lies_between_its_edges(edges: list[tuple[float, float]], most: int) -> None:
    """A band is one closed path from the left edge to the right one, of at most so many points above and below."""
    lows, highs = [min(pair) for pair in edges], [max(pair) for pair in edges]
    path = svg.area(lows, highs, svg.Scale(0, 1e9), most)
    points = [(int(x), int(y)) for x, y in re.findall(r"(\d+) (\d+)", path)]
    above, below = points[: len(points) // 2], points[len(points) // 2 :][::-1]
    assert path == f"M{' '.join(f'{x} {y}' for x, y in points)}z"
    assert len(above) <= most
    assert [x for x, _ in above] == [x for x, _ in below] == sorted(x for x, _ in above)
    assert (above[0][0], above[-1][0]) == (0, svg.UNIT)
    assert all(high <= low for (_, high), (_, low) in zip(above, below, strict=True))


def test_a_level_band_is_a_rectangle() -> None:
    """A range that is the same at all times has four corners, however many values it is of."""
    assert svg.area([2.5] * 180, [5.0] * 180, svg.Scale(0, 10), 24) == "M0 500 1000 500 1000 750 0 750z"


@given(gappy)
def test_a_gap_is_a_gap(values: list[float | None]) -> None:
    """A path begins anew after every gap, and has as many subpaths as there are stretches."""
    drawn = svg.path(values, svg.Scale(0, 1e9))
    stretches = [key for key, _ in itertools.groupby(value is None for value in values) if not key]
    assert drawn.count("M") == len(stretches)
    assert all(0 <= int(number) <= svg.UNIT for number in re.findall(r"\d+", drawn.replace("h0", "")))


@given(st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=300))
def test_steps_lead_to_the_same_points(values: list[float | None]) -> None:
    """A path as steps from point to point has the points of the path, gaps and lone dots included."""
    path = svg.path(values, svg.Scale(0, 100))
    walked = ""
    for x, y, steps, dot in re.findall(r"M(\d+) (\d+)(?:l([-\d ]+))?(h0)?", svg.relative(path)):
        moves = [int(one) for one in re.findall(r"-?\d+", steps)]
        points = itertools.accumulate(zip(moves[::2], moves[1::2], strict=True), add, initial=(int(x), int(y)))
        walked += f"M{' '.join(f'{a} {b}' for a, b in points)}{dot}"
    assert walked == path


def add(place: tuple[int, int], step: tuple[int, int]) -> tuple[int, int]:
    """Where a step leads."""
    return place[0] + step[0], place[1] + step[1]


def test_a_crosshair_has_the_numbers_of_the_table() -> None:
    """Each point of a line has its value as the table shows it, the last as the line's end does, a gap a dash."""
    drawn = charts.draw_chart(samples.overview().charts[0], UTC)
    rows = {name: [values[column] for _, values in drawn.table] for column, name in enumerate(drawn.names)}
    for line in drawn.lines:
        points = line.points.split("|")
        assert len(points) == drawn.steps == 180
        assert points[-1] == line.value
        assert points[::-15] == rows[line.name]
    gap = charts.draw_chart(chart(Line("a", (1.0, None, 3.0))), UTC).lines[0]
    assert gap.points == "1.00|–|3.00"


def test_counts_of_things_have_no_decimals() -> None:
    """Sixteen instances are 16, a mean of some 15.5, and what has a unit keeps its three digits."""
    counted = charts.draw_chart(replace(chart(Line("a", (15.5, 16.0))), unit=""), UTC).lines[0]
    assert counted.points == "15.5|16"
    measured = charts.draw_chart(replace(chart(Line("a", (15.5, 16.0))), unit="ms"), UTC).lines[0]
    assert measured.points == "15.5|16.0"


def test_a_lone_value_is_a_dot() -> None:
    """A value between two gaps is drawn as a line of no length, which round caps make a dot."""
    assert svg.path([None, 5.0, None], svg.Scale(0, 10)) == "M500 500h0"


@given(st.lists(st.one_of(st.none(), finite), min_size=1, max_size=400), st.integers(1, 60))
def test_thinning_keeps_the_worst(values: list[float | None], most: int) -> None:
    """Thinned by the greatest, no more than asked are left and the greatest of all is among them."""
    thinned = svg.thin(values, most, max)
    assert len(thinned) <= max(most, 0) or len(values) <= most
    assert max(svg.known(thinned), default=None) == max(svg.known(values), default=None)


@pytest.mark.parametrize(
    ("hours", "zone", "first", "count"),
    [(1, "UTC", "13:40", 6), (3, "UTC", "12:00", 6), (24, "UTC", "15:00", 8), (72, "UTC", "Thu 16", 6)],
)
def test_time_ticks(hours: int, zone: str, first: str, count: int) -> None:
    """Ticks stand on round times of day; midnight shows the date on long ranges."""
    ticks = svg.x_ticks(END - timedelta(hours=hours), END, ZoneInfo(zone))
    assert (ticks[0][1], len(ticks)) == (first, count)


def test_time_ticks_are_round_where_the_reader_is() -> None:
    """In a zone of UTC+5:45 the ticks are full and half hours there."""
    labels = [label for _, label in svg.x_ticks(END - timedelta(hours=3), END, ZoneInfo("Asia/Kathmandu"))]
    assert labels == ["17:30", "18:00", "18:30", "19:00", "19:30", "20:00"]


def test_story_chart() -> None:
    """The subject is drawn last and heavy, the worst crossed limit alone has a status, the span reaches the end."""
    drawn = charts.draw_chart(samples.overview().charts[0], UTC)
    assert drawn.lines[-1].name == "europe-west1"
    assert drawn.lines[-1].subject
    assert [(limit.label.replace("\u202f", " "), limit.status) for limit in drawn.limits] == [
        ("Critical 200 ms", "critical"),
        ("Warning 100 ms", ""),
    ]
    assert drawn.spans[0].x + drawn.spans[0].width == pytest.approx(100)
    assert "europe-west1: now 456, lowest" in drawn.sentence
    assert "highest 497 at 14:21" in drawn.sentence
    assert drawn.table[0] == ("14:31", ("456", "58.9", "23.6"))


def test_quiet_limits_have_no_status() -> None:
    """A limit that is not crossed has no status: it is drawn grey."""
    drawn = charts.draw_chart(samples.all_ok().charts[0], UTC)
    assert {limit.status for limit in drawn.limits} == {""}


def test_lines_keep_their_ink() -> None:
    """A region has the same ink whatever the order of the lines."""
    whole = samples.overview().charts[0]
    turned = replace(whole, lines=whole.lines[::-1])
    inks = {line.name: line.ink for line in charts.draw_chart(whole, UTC).lines}
    assert inks == {line.name: line.ink for line in charts.draw_chart(turned, UTC).lines}
    assert len(set(inks.values())) == 3


def test_a_line_that_stopped_ends_hollow() -> None:
    """A line without a newest value ends at its last known one, hollow, and its label says that there is none."""
    drawn = charts.draw_chart(chart(Line("a", (1.0, 2.0, None, None))), UTC).lines[0]
    assert (drawn.hollow, drawn.value, drawn.end_x) == (True, "–", 50.0)


def test_lines_without_values_are_left_out() -> None:
    """A chart of no value has axes and no line, and says so in words."""
    drawn = charts.draw_chart(chart(Line("a", (None, None))), UTC)
    assert drawn.lines == ()
    assert "a: no data" in drawn.sentence
    assert charts.draw_chart(chart(), UTC).lines == ()


def test_spans_are_drawn_once() -> None:
    """A warning's span inside a critical one is not drawn over it."""
    whole = samples.overview().charts[0]
    inner = Span(samples.FIRED, None, Severity.HIGH, False, "warning")
    drawn = charts.draw_chart(replace(whole, spans=(inner, *whole.spans)), UTC)
    assert [span.status for span in drawn.spans] == ["critical"]


@pytest.mark.parametrize(
    ("operator", "expected"), [(Operator.GREATER, 9.0), (Operator.LESS, 1.0)], ids=["high is bad", "low is bad"]
)
def test_a_spark_shows_the_worst(operator: Operator, expected: float) -> None:
    """A stretch of a spark is shown by its worst value as its limit sees it."""
    signal = replace(samples.overview().signals[0], limit=Limit(5, operator, Severity.LOW))
    assert svg.worst_for(signal)([1.0, 9.0]) == expected


def test_no_spark_without_values() -> None:
    """A signal that never had a value has no spark; one that stopped ends hollow at its last value."""
    signal = samples.overview().signals[0]
    assert charts.draw_spark(replace(signal, spark=(None, None))) is None
    drawn = charts.draw_spark(replace(signal, spark=(99.9, 99.9, None, None, None)))
    assert drawn is not None
    assert (drawn.hollow, drawn.end_x) == (True, 250)


@pytest.mark.parametrize("value", [1e6, 1e17, 1e200])
def test_an_immense_percentage_has_a_scale(value: float) -> None:
    """Equal percentages that no margin can part are drawn on a scale from 0."""
    scale = svg.scale_for([value, value], "%")
    assert scale.low == 0
    assert scale.share(value) < 1


@given(st.floats(1e-300, 1e200), st.floats(1, 1e6))
def test_a_logarithmic_scale_holds_both_ends(low: float, times: float) -> None:
    """Whatever the range, both ends lie on the scale, ticks ascend, and there are at most a dozen."""
    scale, ticks = svg.log_ticks(low, low * times)
    assert 0 <= scale.share(low) <= scale.share(low * times) <= 1
    assert scale.share(low * 1e-3) == 0
    assert ticks == sorted(ticks)
    assert 1 <= len(ticks) <= 12


def test_logarithmic_ticks_are_1_2_5() -> None:
    """Two decades have ticks on 1-2-5 steps, equally far apart by ratio."""
    scale, ticks = svg.log_ticks(12.0, 650.0)
    assert ticks == [10, 20, 50, 100, 200, 500, 1000]
    assert scale.share(100) == pytest.approx(0.5)


def test_a_flag_that_would_meet_another_has_no_label() -> None:
    """Of two deploys that are close the newer one is labelled; of two far apart both are."""
    marks = [Mark(END - timedelta(minutes=minutes), f"Deploy {minutes}") for minutes in (170, 12, 5)]
    drawn = charts.draw_chart(replace(chart(Line("a", (1.0,) * 180)), marks=tuple(marks)), UTC)
    assert [mark.label for mark in drawn.marks] == ["Deploy 170", "", "Deploy 5"]


def test_a_single_line_is_solid() -> None:
    """A line that is alone has no dashes: there is none to tell it from."""
    alone, *_ = charts.draw_chart(chart(Line("a", (1.0, 2.0))), UTC).lines
    assert alone.dash == "none"
    dashes = {line.dash for line in charts.draw_chart(chart(*(Line(n, (1.0, 2.0)) for n in "abc")), UTC).lines}
    assert len(dashes) == 3


def test_percentiles_differ_without_colour() -> None:
    """Lines of one thing share an ink and differ by width, dash or strength."""
    styles = (Style.BELOW, Style.MAIN, Style.ABOVE)
    lines = charts.draw_chart(chart(*(Line(one.value, (1.0, 2.0), style=one) for one in styles)), UTC).lines
    assert len({line.ink for line in lines}) == 1
    assert len({(line.width, line.dash, line.faint) for line in lines}) == 3


def test_a_distribution_is_few_paths() -> None:
    """However many cells a distribution has, it is at most six paths, and each cell is in one of them."""
    rng = random.Random(7)
    shares = tuple(tuple(rng.random() / 10 for _ in range(30)) for _ in range(60))
    drawn = grids.draw_heat(Heat(END, 180, 10.0, 1.26, shares), "x", "ms")
    assert drawn is not None
    assert len(drawn.paths) <= 6
    lengths = [int(length) for _, path in drawn.paths for length in re.findall(r"h(\d+)", path)]
    assert sum(lengths) == 1800 - sum(share < 0.002 for step in shares for share in step)


def test_a_distribution_of_nothing_is_none() -> None:
    """Without observations there is nothing to draw."""
    assert grids.draw_heat(Heat(END, 180, 1.0, 1.26, ()), "x", "ms") is None
    assert grids.draw_heat(Heat(END, 180, 1.0, 1.26, ((), ())), "x", "ms") is None


def test_a_strip_tells_states_apart_by_shape() -> None:
    """Good steps are low, bad ones full, unknown ones a line, and what was before any data is not drawn."""
    states = (Status.EMPTY, Status.OK, Status.OK, Status.UNKNOWN, Status.CRITICAL, Status.CRITICAL)
    panel = Strips("s", "S", END, END + timedelta(hours=1), 600, (Strip("a", 1.0, "%", Status.OK, states),), ())
    paths = dict(grids.draw_strips(panel, UTC).strips[0].paths)
    assert set(paths) == {"ok", "unknown", "critical"}
    assert (paths["ok"].count("M"), paths["unknown"].count("M"), paths["critical"].count("M")) == (2, 1, 1)
    assert len({re.findall(r"v([.\d]+)", path)[0] for path in paths.values()}) == 3
