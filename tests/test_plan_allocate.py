"""Frontiers and allocations against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ttscale.plan import allocate, hull_allocation, pareto_frontier
from ttscale.plan.allocate import bins_of, cross_fitted, fit_bins, quantile_edges

COSTS = st.integers(1, 12).map(float)
VALUES = st.integers(0, 20).map(lambda v: v / 20)


@given(st.lists(st.tuples(COSTS, VALUES), min_size=1, max_size=15))
def test_a_frontier_is_what_nothing_dominates(points: list[tuple[float, float]]) -> None:
    cost, value = map(list, zip(*points, strict=True))
    kept = pareto_frontier(cost, value)
    on = {(cost[i], value[i]) for i in kept}
    best = {
        (c, v)
        for c, v in points
        if not any((x <= c and y >= v) and (x, y) != (c, v) for x, y in points)
    }
    assert on == best
    assert len(kept) == len(on)
    assert [cost[i] for i in kept] == sorted(cost[i] for i in kept)


@st.composite
def binned(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)))
    costs = draw(hnp.arrays(float, shape, elements=COSTS))
    values = draw(hnp.arrays(float, shape, elements=VALUES))
    sizes = draw(hnp.arrays(float, shape[0], elements=st.integers(1, 9).map(float)))
    return costs, values, sizes / sizes.sum(), draw(st.floats(1, 14))


@given(binned())
def test_bins_get_the_best_settings_there_are(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray, float],
) -> None:
    costs, values, share, budget = problem
    rows = np.arange(len(costs))
    chosen = allocate(costs, values, share, budget)
    best = max(
        (
            float(share @ values[rows, list(each)])
            for each in product(range(costs.shape[1]), repeat=len(costs))
            if share @ costs[rows, list(each)] <= budget * (1 + 1e-9)
        ),
        default=None,
    )
    if best is None:
        assert (costs[rows, chosen] == costs.min(axis=1)).all()
    else:
        assert share @ values[rows, chosen] == pytest.approx(best)
        assert share @ costs[rows, chosen] <= budget * (1 + 1e-6)


@given(binned())
def test_hulls_bound_every_allocation(
    problem: tuple[np.ndarray, np.ndarray, np.ndarray, float],
) -> None:
    costs, values, _, budget = problem
    rows = np.arange(len(costs))
    found = hull_allocation(costs, values, budget)
    for each in product(range(costs.shape[1]), repeat=len(costs)):
        if costs[rows, list(each)].mean() <= budget:
            assert values[rows, list(each)].mean() <= found.accuracy + 1e-9
    assert found.cost <= max(budget, costs.min(axis=1).mean()) + 1e-9


def test_hulls_are_greedy_where_curves_are_concave() -> None:
    # Two concave problems; unit steps by falling gain: .5 (A), .3 (B), .2 (A), .1 (B).
    costs = np.array([[1.0, 2.0, 3.0]] * 2)
    values = np.array([[0.1, 0.6, 0.8], [0.2, 0.5, 0.6]])
    assert hull_allocation(costs, values, 2.0).accuracy == pytest.approx((0.6 + 0.5) / 2)
    assert hull_allocation(costs, values, 2.5).accuracy == pytest.approx((0.8 + 0.5) / 2)
    assert hull_allocation(costs, values, 1.25).accuracy == pytest.approx((0.35 + 0.2) / 2)
    assert hull_allocation(costs, values, 9.0) == pytest.approx((0.7, 3.0))


def test_tied_difficulties_share_a_bin() -> None:
    difficulty = np.array([0, 0, 0, 0, 0, 0, 0.1, 0.2, 0.5, 1.0])
    edges = quantile_edges(difficulty)
    bins = bins_of(difficulty, edges)
    assert len(set(bins[:6].tolist())) == 1
    assert len(edges) >= 1
    assert bins.max() == len(edges)
    assert quantile_edges(np.zeros(9)).size == 0


def test_no_problem_chooses_its_own_budget() -> None:
    """With noise for accuracies nothing is gained, however often one looks."""
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(40):
        values = (rng.random((1, 60, 12)) < 0.4).astype(float)
        costs = np.broadcast_to(np.arange(1, 13.0), (60, 12))
        found = cross_fitted(rng.random((1, 60)), values, costs, 6.0, rng)
        gains.append(found.accuracy.mean())
    assert np.mean(gains) == pytest.approx(0.4, abs=4 * 0.49 / np.sqrt(60 * 40))


def test_bins_learn_what_differs_by_difficulty() -> None:
    """Easy problems need one sample, hard ones four: 2.5 on average, 2.7 in an unlucky fold."""
    hard = np.tile([False, True], 50)
    costs = np.broadcast_to([1.0, 2.0, 4.0], (100, 3))
    values = np.where(hard[:, None], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0])[None]
    difficulty = np.where(hard, 0.1, 0.9)[None]
    bins = fit_bins(difficulty, values, costs, 2.7)
    assert bins.setting.tolist() == [2, 0]
    found = cross_fitted(difficulty, values, costs, 2.7, np.random.default_rng(0))
    assert found.accuracy.mean() == 1.0
    assert found.cost.mean() == 2.5
    assert found.uniform.mean() == 0.5
