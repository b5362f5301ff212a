"""Points, choices and sequential samples against enumeration and known truth."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from ttscale.plan import pilot
from ttscale.plan.candidates import Candidate, Far, averaged, grid, largest_affordable
from ttscale.plan.frontier import (
    chance_best,
    choose,
    cross_fitted_accuracy,
    enough,
    optimism,
    run_interval,
)
from ttscale.plan.points import make_points
from ttscale.stats import best_of_k, majority_at_k, pass_at_k, weighted_majority_at_k

ORDERS = np.array(list(permutations(range(6))))
CLASSES = np.array([0, 0, 1, 1, 2, -1])
CORRECT = (CLASSES == 0).astype(float)
SCORES = np.array([0.9, 0.2, 0.5, 0.5, np.nan, 0.7])
KS = np.arange(1, 7)


def candidate(selector: str, values: np.ndarray, costs: list[float], **more: object) -> Candidate:
    ns = np.array([round(cost) for cost in costs])
    spent = np.broadcast_to(np.array(costs), values.shape)
    return Candidate("pool", "", "m", selector, ns, values, spent, **more)  # type: ignore[arg-type]


def test_sequential_votes_average_to_the_exact_ones() -> None:
    ones = np.ones(6)
    votes = pilot.vote_outcomes(CLASSES, ones, CORRECT, ORDERS, KS).mean(axis=0)
    assert votes == pytest.approx(majority_at_k([2, 2, 1], 0, KS, 1))
    weighted = pilot.vote_outcomes(CLASSES, SCORES, CORRECT, ORDERS, KS).mean(axis=0)
    exact = weighted_majority_at_k(CLASSES, SCORES, CORRECT, KS, np.random.default_rng(0))
    assert weighted == pytest.approx(exact.value)


def test_sequential_ranks_and_coverage_average_to_the_exact_ones() -> None:
    best = pilot.best_outcomes(SCORES, CORRECT, ORDERS, KS).mean(axis=0)
    assert best == pytest.approx(best_of_k(SCORES, CORRECT, KS))
    solved = pilot.coverage_outcomes(CORRECT, ORDERS, KS).mean(axis=0)
    assert solved == pytest.approx(pass_at_k(6, 2, KS))


def test_what_a_pilot_foretells() -> None:
    orders = np.array([[0, 1, 2, 5, 3, 4], [5, 4, 3, 2, 1, 0], [4, 5, 0, 1, 2, 3]])
    assert pilot.agreement(CLASSES, orders, 3).tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert pilot.agreement(np.full(6, -1), orders, 3).tolist() == [0, 0, 0]
    found = pilot.mean_score(SCORES, orders, 2)
    assert found.tolist() == pytest.approx([0.55, 0.7, 0.7])
    assert np.isnan(pilot.mean_score(SCORES, orders[:, 4:5][2:] * 0 + 4, 1)).all()


def test_the_choice_is_the_best_affordable_and_the_cheapest_of_equals() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((50, 1)) * 0.5
    curve = candidate("majority", base + np.array([0.0, 0.2, 0.2, 0.4]), [1, 2, 3, 9])
    points = make_points([curve], rng)
    choice = choose(points, 5.0, rng)
    assert points.n[choice.point] == 2
    assert choice.chance_best == 1.0
    assert choice.runner_up is None
    assert choice.optimism == pytest.approx(0.0, abs=1e-12)
    assert points.n[enough(points, 5.0, choice.point, 0.25)] == 1
    assert points.n[choose(points, 9.0, rng).point] == 9


def test_bounds_are_never_chosen() -> None:
    rng = np.random.default_rng(0)
    one = candidate("single", rng.random((20, 1)) * 0.5, [1])
    bound = candidate("coverage", np.ones((20, 1)), [1], bound="takes a check")
    points = make_points([one, bound], rng)
    assert points.of(choose(points, 5.0, rng).point) is one


def test_paired_candidates_are_told_apart_by_their_differences() -> None:
    """Problems differ wildly, the candidates by a constant: no resample reverses them."""
    rng = np.random.default_rng(0)
    hard = rng.random((60, 1)) * 0.9
    better, worse = candidate("majority", hard + 0.02, [2]), candidate("best_of:v", hard, [2])
    points = make_points([worse, better], rng)
    choice = choose(points, 5.0, rng)
    assert points.of(choice.point) is better
    assert choice.chance_best == 1.0
    assert choice.difference is not None
    assert choice.difference.low == pytest.approx(0.02)
    assert choice.optimism == pytest.approx(0.0, abs=1e-3)


def test_equal_candidates_share_the_chance() -> None:
    draws = np.array([[0.5, 0.5, 0.1], [0.2, 0.4, 0.1]])
    assert chance_best(draws, 0) == 0.25
    assert chance_best(draws, 1) == 0.75


def test_optimism_is_the_excess_of_the_highest_of_noise() -> None:
    """The highest of four equal normal estimates exceeds the truth by 1.0294 standard errors."""
    rng = np.random.default_rng(0)
    draws = 0.3 + 0.05 * rng.standard_normal((40_000, 4))
    assert optimism(draws, np.full(4, 0.3)) == pytest.approx(1.0294 * 0.05, rel=0.02)
    assert optimism(draws, np.array([0.3, 0.9, 0.3, 0.3])) == pytest.approx(0.0, abs=1e-3)


def test_a_run_interval_is_binomial_where_the_mean_is_known() -> None:
    rng = np.random.default_rng(0)
    low, high = run_interval(np.full(100_000, 0.2), 100, 0.0, rng)
    assert (low, high) == (0.12, 0.28)
    assert run_interval(np.full(100_000, 0.2), 100, 0.1, rng)[0] < 0.06


def test_cross_fitting_is_not_fooled_by_noise() -> None:
    """Twenty coins and a budget for all: the best looks good, a new one is a coin."""
    rng = np.random.default_rng(1)
    found, chosen = [], []
    for _ in range(40):
        coins = [
            candidate(f"best_of:{i}", (rng.random((40, 1)) < 0.5).astype(float), [1])
            for i in range(20)
        ]
        points = make_points(coins, rng, n_resamples=50)
        honest = cross_fitted_accuracy(points, 1.0, rng)
        assert honest is not None
        found.append(honest.estimate)
        chosen.append(points.accuracy.max())
    assert np.mean(chosen) > 0.6
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_a_law_is_drawn_in_the_order_of_its_pool() -> None:
    """Resamples in which the pool's end is high are those in which the law is high."""
    rng = np.random.default_rng(0)
    values = rng.random((50, 2))
    ends = np.linspace(0.2, 0.8, 100)
    far = Far(
        np.array([4, 8]), np.array([4.0, 8.0]), np.array([0.6, 0.7]), np.array([0.4, 0.5]),
        np.array([0.8, 0.9]), np.stack([ends, ends + 0.05, ends + 0.1], axis=1), "law",
    )  # fmt: skip
    points = make_points([candidate("majority", values, [1, 2], far=far)], rng)
    assert points.extrapolated.tolist() == [False, False, True, True]
    assert points.low[2:].tolist() == [0.4, 0.5]
    rank = [np.argsort(np.argsort(points.draws[:, column])) for column in (1, 2)]
    assert np.corrcoef(rank[0], rank[1])[0, 1] > 0.99
    assert np.isnan(points.values[:, 2:]).all()
    assert cross_fitted_accuracy(points, 9.0, rng) is not None


def test_the_most_samples_a_budget_pays_for() -> None:
    def cost(ns: np.ndarray) -> np.ndarray:
        return np.array([[10.0], [20.0]]) + 3.0 * ns

    assert largest_affordable(cost, 15 + 3 * 7.5, 10) == 7
    assert largest_affordable(cost, 17.0, 10) == 0
    assert largest_affordable(cost, 1e9, 10) == 1000
    ns = grid(500, 333, 700)
    assert {1, 2, 3, 31, 32, 333, 500} <= set(ns.tolist())
    assert 700 not in ns
    assert (np.diff(ns) > 0).all()


def test_laws_that_predict_alike_are_averaged() -> None:
    from ttscale.laws import fit_curve

    rng = np.random.default_rng(0)
    ks = np.arange(1, 33)
    p = rng.beta(4, 3, 100)[:, None]
    curve = p * (1 - 0.5 / ks) + 0.2 * p
    fit = fit_curve(np.clip(curve, 0, 1), ks, n_bootstrap=20, rng=rng)
    mean = averaged(fit)
    errors = [law.heldout_error for law in mean.laws]
    assert max(errors) <= np.nanmin([law.heldout_error for law in fit.laws]) + 0.01
    assert sum(weight for _, weight in mean.members()) == pytest.approx(1.0)
    assert float(mean.predict([100]).value[0]) == pytest.approx(
        float(np.clip(p * 0.995 + 0.2 * p, 0, 1).mean()), abs=0.03
    )
