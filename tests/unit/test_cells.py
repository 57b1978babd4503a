"""Cells merge exactly, in any order, and their percentiles keep their promise."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import bins
from shared.bins import Floats, error_bound
from shared.cells import (
    EMPTY,
    MAX_MAGNITUDE,
    Cells,
    Observation,
    equal,
    fold,
    merge,
    merge_writers,
    percentiles,
    total_count,
)
from shared.series import Kind, Series
from tests.cell_cases import END_US, FEW, SERIES, cells, chunks_of_cells, observations

writers = st.integers(0, 2) | st.integers(0, 2**64 - 1)
QUANTILES = (0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
EXACT = ("kind", "count", "min", "max", "last_at_us", "last", "last_writer", "scale", "bin_start", "bin_key",
         "bin_count")  # fmt: skip


def _same_but_for_sums(a: Cells, b: Cells) -> bool:
    return a.series == b.series and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in EXACT)


def _bins_of(part: Cells, row: int) -> dict[int, int]:
    start, end = part.bin_start[row], part.bin_start[row + 1]
    return dict(zip(part.bin_key[start:end].tolist(), part.bin_count[start:end].tolist(), strict=True))


def _distribution(values: Sequence[float]) -> Cells:
    return fold([Observation(Series("m"), Kind.DISTRIBUTION, END_US, value) for value in values])


@FEW
@given(st.lists(observations, max_size=20), st.randoms())
def test_fold_summarises_each_series(observed: list[Observation], rng: random.Random) -> None:
    """Folding gives each series its count, exact sum, extremes, newest value and bins, whatever the order."""
    shuffled = rng.sample(observed, len(observed))
    folded = fold(observed)
    assert equal(folded, fold(shuffled))
    assert list(folded.series) == sorted({one.series for one in observed})
    for row, series in enumerate(folded.series):
        mine = [one for one in observed if one.series == series]
        numbers = [one.value for one in mine]
        kind = max(one.kind for one in mine)
        assert folded.kind[row] == kind
        assert folded.count[row] == len(mine)
        assert folded.sum[row] == math.fsum(numbers)
        assert (folded.min[row], folded.max[row]) == (min(numbers), max(numbers))
        assert (folded.last_at_us[row], folded.last[row]) == max((one.at_us, one.value) for one in mine)
        assert sum(_bins_of(folded, row).values()) == (len(mine) if kind is Kind.DISTRIBUTION else 0)


TINY, HALF_ULP = 5e-324, 2.0**-53
magnitudes = st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE) | st.sampled_from((1.0, HALF_ULP, -HALF_ULP, TINY, -TINY, 1e200))


@FEW
@given(st.lists(st.tuples(st.sampled_from(SERIES), magnitudes), min_size=1, max_size=60))
@example([(SERIES[0], 1.0), (SERIES[0], HALF_ULP), (SERIES[0], TINY), (SERIES[1], 1e200)])
@example([(SERIES[0], 1e200), (SERIES[0], 1.0), (SERIES[0], -1e200), (SERIES[0], TINY)])
@example([(SERIES[0], TINY)] * 5 + [(SERIES[1], 0.0)] * 2)
def test_sums_are_correctly_rounded(observed: list[tuple[Series, float]]) -> None:
    """Whatever magnitudes lie beside one another, each series' sum is that of real numbers, rounded once."""
    folded = fold([Observation(series, Kind.GAUGE, END_US, value) for series, value in observed])
    sums = [float(sum(Fraction(value) for series, value in observed if series == name)) for name in folded.series]
    assert folded.sum.tolist() == sums


def test_folding_nothing_gives_no_cells() -> None:
    """No observations, no rows; merging nothing or nothing but empty cells gives none either."""
    for empty in (fold([]), merge([]), merge([EMPTY, EMPTY]), merge_writers([]), merge_writers([EMPTY])):
        assert equal(empty, EMPTY)
    assert total_count([]) == 0


def test_negative_zero_is_zero() -> None:
    """-0.0 is folded as 0.0, so that equal cells are equal to the bit."""
    folded = _distribution([-0.0])
    assert [math.copysign(1, float(column[0])) for column in (folded.sum, folded.min, folded.last)] == [1, 1, 1]


def test_the_greatest_kind_wins_and_keeps_every_observation_in_its_bins() -> None:
    """A gauge's value folded with a distribution's of the same series is counted in its bins."""
    folded = fold([Observation(SERIES[0], kind, END_US, 1.0) for kind in Kind])
    assert folded.kind.tolist() == [Kind.DISTRIBUTION]
    assert folded.bin_count.tolist() == [3]


@FEW
@given(chunks_of_cells(), st.randoms())
def test_one_merge_is_the_same_in_any_order(parts: list[Cells], rng: random.Random) -> None:
    """The same parts merged in any order are equal to the bit, sums included."""
    shuffled = rng.sample(parts, len(parts))
    assert equal(merge(parts), merge(shuffled))
    assert equal(merge_writers(parts), merge_writers(shuffled))


@FEW
@given(cells(), cells(), cells())
def test_merging_is_associative(a: Cells, b: Cells, c: Cells) -> None:
    """Nested merges equal one merge in all but the sum, which is within 1 ulp of the greatest partial sum."""
    left, right, flat = merge([merge([a, b]), c]), merge([a, merge([b, c])]), merge([a, b, c])
    assert _same_but_for_sums(left, flat)
    assert _same_but_for_sums(right, flat)
    for row, series in enumerate(flat.series):
        partial = [abs(float(part.sum[part.series.index(series)])) for part in (a, b, c) if series in part.series]
        allowed = math.ulp(sum(partial))
        assert abs(left.sum[row] - flat.sum[row]) <= allowed
        assert abs(right.sum[row] - flat.sum[row]) <= allowed


@FEW
@given(cells())
def test_merging_with_nothing_changes_nothing(part: Cells) -> None:
    """Empty cells are the neutral element."""
    assert equal(merge([part, EMPTY]), part)
    assert equal(merge([part]), part)


def _reference_writers(
    parts: list[tuple[int, list[Observation]]],
) -> dict[Series, dict[int, tuple[int, float]]]:
    """Each series' newest (time, value) of each writer, by loops."""
    newest: dict[Series, dict[int, tuple[int, float]]] = defaultdict(dict)
    for writer, observed in parts:
        for one in observed:
            known = newest[one.series].get(writer)
            mine = (one.at_us, one.value)
            newest[one.series][writer] = mine if known is None else max(known, mine)
    return newest


@FEW
@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 2), st.lists(observations, max_size=8)), max_size=6)
)
def test_merge_writers_adds_each_writers_newest_value(parts: list[tuple[int, list[Observation]]]) -> None:
    """last_sum and writers are what loops over writers give, and the rest is what a merge gives."""
    chunks = [fold(observed, writer) for writer, observed in parts]
    merged = merge_writers(chunks)
    reference = _reference_writers(parts)
    assert list(merged.series) == sorted(reference)
    assert _same_but_for_sums(merged, merge(chunks))
    for row, series in enumerate(merged.series):
        by_writer = reference[series]
        assert merged.writers[row] == len(by_writer)
        assert merged.last_sum[row] == math.fsum(value for _, value in by_writer.values())
        newest = max((at_us, value, writer) for writer, (at_us, value) in by_writer.items())
        assert (merged.last_at_us[row], merged.last[row], int(merged.last_writer[row])) == newest


def test_along_time_the_newest_row_tells_how_many_writers_there_are() -> None:
    """Merging minutes keeps last_sum and writers of the newest, whatever the order of the minutes."""
    early = merge_writers([fold([Observation(SERIES[3], Kind.GAUGE, END_US, 5.0)], writer) for writer in (1, 2, 3)])
    late = merge_writers([fold([Observation(SERIES[3], Kind.GAUGE, END_US + 1, 7.0)], writer) for writer in (1, 2)])
    for merged in (merge([early, late]), merge([late, early])):
        assert (merged.last_sum.tolist(), merged.writers.tolist(), merged.count.tolist()) == ([14.0], [2], [5])


def test_rows_that_tie_in_all_but_their_writers_merge_the_same_in_any_order() -> None:
    """Where time, value and writer tie, the greater last_sum and writers win: the order of the parts tells nothing."""
    alone = merge_writers([fold([Observation(SERIES[3], Kind.GAUGE, END_US, 5.0)], 9)])
    both = merge_writers([alone, fold([Observation(SERIES[3], Kind.GAUGE, END_US, 4.0)], 8)])
    assert equal(merge([alone, both]), merge([both, alone]))
    assert merge([both, alone]).writers.tolist() == [2]


@FEW
@given(cells(), st.data())
def test_take_keeps_the_rows_it_is_given(part: Cells, data: st.DataObject) -> None:
    """Chosen rows keep every column and their bins, none of the others'."""
    chosen = sorted(data.draw(st.sets(st.integers(0, len(part) - 1)))) if len(part) else []
    taken = part.take(np.array(chosen, np.int64))
    assert taken.series == tuple(part.series[row] for row in chosen)
    assert taken.last_sum.tolist() == part.last_sum[chosen].tolist()
    assert [_bins_of(taken, at) for at in range(len(taken))] == [_bins_of(part, row) for row in chosen]
    rest = np.array([row for row in range(len(part)) if row not in chosen], np.int64)
    assert equal(merge([taken, part.take(rest)]), part)


def _lognormal(rng: random.Random) -> list[float]:
    return [rng.lognormvariate(3, 1) for _ in range(4000)]


def _bimodal(rng: random.Random) -> list[float]:
    return [abs(rng.gauss(5, 0.5)) if rng.random() < 0.7 else abs(rng.gauss(900, 60)) for _ in range(4000)]


def _constant(rng: random.Random) -> list[float]:
    return [rng.uniform(1, 1000)] * 500


def _heavy_tailed(rng: random.Random) -> list[float]:
    return [min(rng.paretovariate(0.6), 1e12) for _ in range(4000)]


def _negative(rng: random.Random) -> list[float]:
    return [-value for value in _lognormal(rng)]


def _mixed_sign(rng: random.Random) -> list[float]:
    return [*_lognormal(rng)[:1500], *_negative(rng)[:1500], *[0.0] * 200]


def _exact(values: Sequence[float], quantile: float) -> float:
    return sorted(values)[math.ceil(len(values) * round(quantile * 1000) / 1000) - 1]


@pytest.mark.parametrize("draw", [_lognormal, _bimodal, _constant, _heavy_tailed, _negative, _mixed_sign])
def test_percentiles_are_within_the_promised_error(draw: Callable[[random.Random], list[float]]) -> None:
    """At scale 5 every percentile is within 1.1 % of the exact nearest-rank one, merged from pieces or not."""
    rng = random.Random(20251018)
    for _ in range(3):
        values = draw(rng)
        pieces = [_distribution(values[at : at + 300]) for at in range(0, len(values), 300)]
        merged = merge(pieces)
        assert merged.scale.tolist() == [bins.SCALE]
        for quantile in QUANTILES:
            exact = _exact(values, quantile)
            assert abs(percentiles(merged, quantile)[0] - exact) <= 0.011 * abs(exact)


def test_a_constant_has_itself_as_every_percentile() -> None:
    """Percentiles never leave min and max, so a single value is exact."""
    folded = _distribution([123.456] * 7)
    assert [percentiles(folded, quantile)[0] for quantile in QUANTILES] == [123.456] * len(QUANTILES)


@pytest.mark.parametrize("exponent", [60, 150])
def test_wide_data_are_kept_coarser_within_the_bound_of_their_scale(exponent: int) -> None:
    """Above MAX_BINS populated bins the scale falls, no further than needed, and the error keeps its new bound."""
    rng = random.Random(7)
    values = [rng.choice((-1, 1)) * 10 ** rng.uniform(-exponent, exponent) for _ in range(15_000)]
    wide = _distribution(values)
    scale = int(wide.scale[0])
    assert scale < bins.SCALE
    assert len(wide.bin_key) <= bins.MAX_BINS < len(set(bins.keys_of(np.array(values), scale + 1).tolist()))
    assert int(wide.bin_count.sum()) == len(values)
    for quantile in QUANTILES:
        exact = _exact(values, quantile)
        assert abs(percentiles(wide, quantile)[0] - exact) <= abs(exact) * (error_bound(scale) + 1e-9)


def test_coarsening_is_the_same_in_pieces_and_at_once() -> None:
    """A merge of merges that overflow ends at the scale and with the bins of one merge of all."""
    rng = random.Random(11)
    pieces = [_distribution([10 ** rng.uniform(-90, 90) for _ in range(2000)]) for _ in range(4)]
    nested = merge([merge(pieces[:2]), merge(pieces[2:])])
    assert int(merge(pieces).scale[0]) < bins.SCALE
    assert _same_but_for_sums(nested, merge(pieces))


def test_a_coarser_part_lowers_only_its_own_series() -> None:
    """Merging a coarse cell lowers the scale of its series and leaves its neighbours' bins alone."""
    rng = random.Random(3)
    coarse = fold([Observation(SERIES[0], Kind.DISTRIBUTION, END_US, 10 ** rng.uniform(-99, 99)) for _ in range(9000)])
    fine = fold([Observation(series, Kind.DISTRIBUTION, END_US, 42.0) for series in SERIES[:2]])
    merged = merge([coarse, fine])
    assert merged.scale.tolist() == [coarse.scale[0], bins.SCALE]
    assert _bins_of(merged, 1) == _bins_of(fine, 1)


def test_only_distributions_have_percentiles() -> None:
    """A gauge or a counter has no bins, and its percentile is NaN; no rows have none."""
    mixed = fold([Observation(series, kind, END_US, 4.0) for series, kind in zip(SERIES, Kind, strict=False)])
    result: Floats = percentiles(mixed, 0.5)
    assert np.isnan(result).tolist() == [True, True, False]
    assert result[2] == 4.0
    assert len(percentiles(EMPTY, 0.5)) == 0
