"""Cardinality: what a rollup leaves out when there is too much, and that it is nobody else's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared import cardinality
from shared.cardinality import MAX_NAMED, OTHERS, Kept, named, within_limits
from shared.cells import Cells, Observation, equal, fold, merge_writers
from shared.series import Kind, Series

AT_US = 60_000_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 100 series, of which one writer alone may have 20."""
    monkeypatch.setattr(cardinality, "MAX_SERIES", 100)


def chunk(writer: int, *names: Series) -> Cells:
    """One gauge value of each series, by one writer."""
    return fold([Observation(name, Kind.GAUGE, AT_US, 1.0) for name in names]).written_by(writer)


def many(metric: str, count: int, first: int = 0) -> list[Series]:
    """Series of one metric."""
    return [Series(metric, (("n", f"{number:04}"),)) for number in range(first, first + count)]


def limited(*parts: Cells) -> Kept:
    """What is kept of a minute's chunks."""
    return within_limits(merge_writers(parts), parts)


def kept_by_metric(kept: Kept) -> dict[str, int]:
    """How many series of each metric are kept."""
    metrics = [name.metric for name in kept.cells.series]
    return {metric: metrics.count(metric) for metric in sorted(set(metrics))}


class TestOneWriter:
    """What one writer may have."""

    def test_at_its_limit_nothing_changes(self) -> None:
        """A writer's 20 series are the same, to the bit, and nothing is counted."""
        cells = chunk(1, *many("m", 20))
        kept = limited(cells)
        assert equal(kept.cells, merge_writers([cells]))
        assert (kept.by_metric, kept.by_writer) == ({}, {})

    def test_one_series_beyond(self) -> None:
        """Of 21 series the first 20 are kept, and the excess is counted for its metric and its writer."""
        kept = limited(chunk(1, *many("m", 21)))
        assert kept.cells.series == tuple(many("m", 20))
        assert (kept.by_metric, kept.by_writer) == ({"m": 1}, {1: 1})

    def test_in_any_number_of_chunks(self) -> None:
        """A writer that spreads its series over many chunks has no more of them."""
        parts = [chunk(1, name) for name in many("m", 60)]
        assert limited(*parts).by_writer == {1: 40}
        assert equal(limited(*parts).cells, limited(chunk(1, *many("m", 60))).cells)

    def test_its_small_metrics_are_whole(self) -> None:
        """A label that explodes costs its own metric, and none of the writer's others."""
        kept = limited(chunk(1, *many("noisy", 500), *many("calm", 6), Series("single")))
        assert kept_by_metric(kept) == {"calm": 6, "noisy": 13, "single": 1}

    def test_what_others_report_too_is_whole(self) -> None:
        """A series that a small writer reports is kept with every writer's numbers, also those of a crowded one."""
        shared = many("requests", 5)
        kept = limited(chunk(1, *many("a_flood", 300), *shared), chunk(2, *shared))
        rows = [kept.cells.series.index(name) for name in shared]
        assert kept.cells.writers[rows].tolist() == [2] * 5
        assert set(kept.by_metric) == {"a_flood"}

    def test_a_fleet_with_one_set_of_series_is_no_crowd(self) -> None:
        """Ten writers of the same 90 series have nine each: a series costs each of its writers its part."""
        fleet = [chunk(writer, *many("m", 90)) for writer in range(10)]
        assert limited(*fleet).by_metric == {}


class TestAll:
    """What all writers may have together."""

    def fleet(self) -> list[Cells]:
        """Six writers with 15 series each: 30 that all report, and two metrics of their own each."""
        return [chunk(writer, *many("fleet", 13, 5), *many(f"own_{writer}", 2)) for writer in range(6)]

    def test_writers_that_explode_push_nobody_out(self) -> None:
        """Nine writers with 180 metrics of one series each take none of a fleet's series, and share what is left."""
        hostile = [
            chunk(100 + writer, *(Series(f"aa_{writer}_{number:03}") for number in range(20))) for writer in range(9)
        ]
        kept = limited(*self.fleet(), *hostile)
        metrics = kept_by_metric(kept)
        assert {name: metrics[name] for name in ("fleet", "own_0", "own_5")} == {"fleet": 13, "own_0": 2, "own_5": 2}
        assert len(kept.cells) == 100
        assert sum(kept.by_metric.values()) == 13 + 12 + 180 - 100

    def test_one_writer_with_metrics_of_one_series(self) -> None:
        """A thousand metrics of a single series, all of one writer, are cut to a fifth and named as that writer's."""
        kept = limited(*self.fleet(), chunk(7, *(Series(f"aa_{number:04}") for number in range(1000))))
        assert kept_by_metric(kept)["fleet"] == 13
        assert len(kept.cells) == 25 + 20
        assert kept.by_writer == {7: 980}

    def test_a_label_that_explodes_everywhere(self) -> None:
        """When all writers of a fleet send new labels of one metric, that metric alone is cut."""
        fleet = [chunk(writer, *many("noisy", 18, 18 * writer), *many("calm", 2)) for writer in range(10)]
        kept = limited(*fleet)
        assert kept_by_metric(kept) == {"calm": 2, "noisy": 98}
        assert (kept.by_metric, kept.by_writer) == ({"noisy": 82}, {})

    def test_the_order_of_chunks_changes_nothing(self) -> None:
        """The same chunks in any order keep the same series, so that a rollup from scratch is equal."""
        parts = [*self.fleet(), chunk(8, *many("x", 40)), *(chunk(20 + n, *many(f"y{n}", 20)) for n in range(6))]
        one, other = limited(*parts), limited(*reversed(parts))
        assert equal(one.cells, other.cells)
        assert (one.by_metric, one.by_writer) == (other.by_metric, other.by_writer)

    @pytest.mark.parametrize("limit", ["MAX_BINS", "MAX_NAME_BYTES"])
    def test_bins_and_names_count_too(self, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
        """Whoever has few series of many bins, or of long labels, is bounded likewise, and the small ones are kept."""
        monkeypatch.setattr(cardinality, limit, 1000)
        wide = [
            Observation(Series(f"wide_{n}", (("text", "x" * 50),)), Kind.DISTRIBUTION, AT_US, 1.5**power)
            for n in range(10)
            for power in range(60)
        ]
        kept = limited(fold(wide).written_by(1), chunk(2, *many("m", 5)))
        assert kept_by_metric(kept)["m"] == 5
        assert len(kept.cells) == 5 + 3
        assert kept.by_writer == {1: 7}

    def test_nothing_at_all(self) -> None:
        """An empty minute stays empty."""
        assert len(limited().cells) == 0


class TestNamed:
    """What says what was left out is bounded itself."""

    @pytest.mark.parametrize("count", [0, 1, MAX_NAMED])
    def test_all_by_name(self, count: int) -> None:
        """Up to twenty are named, greatest first."""
        counts = {f"m{number:02}": number + 1 for number in range(count)}
        assert list(named(counts).items()) == sorted(counts.items(), key=lambda one: -one[1])

    def test_the_rest_together(self) -> None:
        """Of thirty the twenty greatest are named, and the others are one sum."""
        counts = {f"m{number:02}": number + 1 for number in range(30)}
        found = named(counts)
        assert found.pop(OTHERS) == sum(range(1, 11))
        assert set(found) == {f"m{number:02}" for number in range(10, 30)}


def test_the_limits_hold_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is sent, no more series, bins or bytes of names are kept than are allowed."""
    monkeypatch.setattr(cardinality, "MAX_BINS", 700)
    parts: Sequence[Cells] = [
        fold(
            [
                Observation(Series(f"m{(n * writer) % 37}", (("n", "y" * n),)), Kind(n % 3), AT_US, 1.5 ** (n * power))
                for n in range(30)
                for power in range(1, 1 + n % 7)
            ]
        ).written_by(writer)
        for writer in range(12)
    ]
    kept = limited(*parts)
    assert 0 < len(kept.cells) <= 100
    assert len(kept.cells.bin_key) <= 700
    assert len(kept.cells) + sum(kept.by_metric.values()) == len(merge_writers(parts))
