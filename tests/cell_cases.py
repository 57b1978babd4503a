"""Cells for property tests: any kind, any scale, hostile values, few series so that they meet."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from shared import bins
from shared.cells import MAX_MAGNITUDE, Cells, Observation, fold, merge
from shared.formats.exponential import Histogram, cells_of
from shared.series import Kind, Series
from shared.timeline import US_PER_SECOND

FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)
"""The same few examples at every run."""
MINUTE = 1_760_790_900
END_US = MINUTE * US_PER_SECOND
SERIES = (
    Series("requests", (("endpoint", "/a"), ("region", "eu"))),
    Series("requests", (("endpoint", "/b"), ("region", "eu"))),
    Series("requests", (("endpoint", "/b"), ("region", "us"))),
    Series("users"),
)

values = st.one_of(
    st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, width=64),
    st.integers(-3, 3).map(float),
    st.floats(0.001, 1000.0),
)
instants = st.integers(0, 59).map(lambda seconds: END_US - seconds * US_PER_SECOND)
observations = st.builds(Observation, st.sampled_from(SERIES), st.sampled_from(Kind), instants, values)


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    """A histogram of two or more observations at any scale a cell may have."""
    observed = np.array(draw(st.lists(values, min_size=2, max_size=12))) + 0.0
    scale = draw(st.integers(bins.MIN_SCALE, bins.SCALE))
    return Histogram(
        series=draw(st.sampled_from(SERIES)),
        at_us=draw(instants),
        count=len(observed),
        sum=float(observed.sum()),
        min=float(observed.min()),
        max=float(observed.max()),
        scale=scale,
        keys=bins.keys_of(observed, scale),
        counts=np.ones(len(observed), np.int64),
    )


@st.composite
def cells(draw: st.DrawFn) -> Cells:
    """One chunk's cells: observations and histograms of one writer; possibly none."""
    observed = fold(draw(st.lists(observations, max_size=12)))
    counted = cells_of(draw(st.lists(histograms(), max_size=2)))
    return merge([observed, counted]).written_by(draw(st.integers(0, 3)))


def chunks_of_cells(max_size: int = 5) -> SearchStrategy[list[Cells]]:
    """Several chunks' cells."""
    return st.lists(cells(), max_size=max_size)
