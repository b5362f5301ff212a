"""Widths: REBASE's check values, and that they always sum to the width."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.search.allocation import even_widths, rebase_widths


@pytest.mark.parametrize(
    ("scores", "width", "widths"),
    [
        ([0.9, 0.8, 0.5, 0.1], 16, [10, 5, 1, 0]),
        ([0.9, 0.8, 0.5, 0.1], 4, [3, 1, 0, 0]),
        ([0.5, 0.5, 0.5, 0.5], 6, [2, 2, 1, 1]),
        ([0.95, 0.9, 0.2], 8, [5, 3, 0]),
        ([0.1, 0.9, 0.5, 0.8], 16, [0, 10, 1, 5]),
        ([0.3], 7, [7]),
        ([0.3, 0.2], 0, [0, 0]),
    ],
)
def test_rebase_widths_are_those_of_the_paper(scores, width, widths) -> None:
    assert rebase_widths(scores, width, temperature=0.2) == widths


@given(
    st.lists(st.floats(-50, 50) | st.just(math.nan), min_size=1, max_size=12),
    st.integers(0, 300),
    st.floats(0.01, 100),
)
def test_rebase_widths_always_sum_to_the_width(scores, width, temperature) -> None:
    widths = rebase_widths(scores, width, temperature)
    assert sum(widths) == width
    assert min(widths) >= 0
    known = [(s, w) for s, w in zip(scores, widths, strict=True) if not math.isnan(s)]
    if known:
        assert sum(w for _, w in known) == width, "a node without a score gets nothing"
        assert all(w >= v for s, w in known for r, v in known if s > r)


def test_a_hot_softmax_is_even_and_a_cold_one_takes_the_best() -> None:
    assert rebase_widths([0.1, 0.9, 0.5], 9, 1e12) == [3, 3, 3]
    assert rebase_widths([0.1, 0.9, 0.5], 9, 1e-3) == [0, 9, 0]


def test_whole_shares_are_not_rounded_up_by_noise() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 5, 6, 7, 10, 11):
        scores = np.full(n, rng.random())
        assert rebase_widths(scores, 3 * n, 0.2) == [3] * n


def test_nodes_without_scores_share_when_no_node_has_one() -> None:
    assert rebase_widths([math.nan, math.nan], 4, 0.2) == [2, 2]


@given(st.integers(1, 20), st.integers(0, 100))
def test_even_widths_differ_by_one_at_most(n_nodes: int, width: int) -> None:
    widths = even_widths(n_nodes, width)
    assert sum(widths) == width
    assert widths == sorted(widths, reverse=True)
    assert widths[0] - widths[-1] <= 1
