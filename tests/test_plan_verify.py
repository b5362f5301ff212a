"""S solutions against V verdicts, and the FLOPs-matched comparison."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.errors import InputError
from ttscale.plan import accuracy_grid, best_split, flops_matched_samples, verification_cost
from ttscale.plan.verify import halves_of


def test_the_multiplier_of_snell_et_al() -> None:
    found = flops_matched_samples([2, 4, 14], np.array([[0.16], [0.79], [22]]))
    expected = [[20.75, 60.25, 257.75], [5.7975, 15.3924, 63.3671], [2.1364, 4.4091, 15.7727]]
    assert found.round(4) == pytest.approx(np.array(expected))
    assert flops_matched_samples(1, 0.5) == 1
    for wrong in ((0.5, 1.0), (2.0, 0.0), (2.0, -1.0)):
        with pytest.raises(InputError):
            flops_matched_samples(*wrong)


def test_costs_count_verdicts_by_the_solution() -> None:
    assert verification_cost(8, 4, 2.0) == 72
    assert verification_cost([[1], [2]], [1, 2], 1.0).tolist() == [[2, 3], [4, 6]]


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_a_grid_is_the_mean_over_all_subsets_of_solutions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    verdicts = rng.choice([0.0, 1.0, np.nan], (2, 5, 4), p=[0.4, 0.4, 0.2])
    correct = rng.integers(0, 2, (2, 5)).astype(float)
    grid = accuracy_grid(verdicts, correct, [1, 2, 5], [1, 2, 4])
    for p, (a, s), (b, v) in (
        (p, s, v) for p in range(2) for s in enumerate([1, 2, 5]) for v in enumerate([1, 2, 4])
    ):
        expected = []
        for start in range(0, 4 // v * v, v):
            block = verdicts[p, :, start : start + v]
            score = [np.nanmean(x) if np.isfinite(x).any() else 0.0 for x in block]
            for subset in combinations(range(5), s):
                top = max(score[i] for i in subset)
                winners = [i for i in subset if score[i] == top]
                expected.append(np.mean([correct[p, i] for i in winners]))
        assert grid[p, a, b] == pytest.approx(np.mean(expected))


def test_a_planted_optimum_and_its_exponents_are_found() -> None:
    """Accuracy rises in log S and log V with a ridge at S ~ C^0.6, V ~ C^0.4."""
    s, v = 2.0 ** np.arange(9), 2.0 ** np.arange(7)
    costs = s[:, None] * v
    ridge = np.log2(s)[:, None] - 1.5 * np.log2(v)
    accuracy = 0.1 + 0.05 * np.log2(costs) - 0.02 * ridge**2
    grid = np.broadcast_to(accuracy, (50, 9, 7))
    found = best_split((grid, grid), s, v, costs, np.random.default_rng(0),
                       budgets=2.0 ** np.arange(0, 11), tolerance=0.02)  # fmt: skip
    assert found.solutions.value == pytest.approx(0.6, abs=0.05)
    assert found.verdicts.value == pytest.approx(0.4, abs=0.05)
    assert found.solutions.low == found.solutions.high
    assert found.n_solutions * found.n_verdicts == pytest.approx(found.budgets, rel=0.5)


def test_the_score_is_not_that_of_the_samples_that_chose() -> None:
    """Cells of pure noise: the chosen one scores the mean, not the maximum."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(30):
        grids = [(rng.random((40, 6, 6)) < 0.3).astype(float) for _ in range(2)]
        found = best_split((grids[0], grids[1]), 2.0 ** np.arange(6), 2.0 ** np.arange(6),
                           np.ones((6, 6)), rng, n_bootstrap=10)  # fmt: skip
        scores.append(found.accuracy.mean())
    assert np.mean(scores) == pytest.approx(0.3, abs=0.03)
    assert np.isnan(found.solutions.value), "one budget bears no power law"


def test_halves_have_no_solution_in_common() -> None:
    first, second = halves_of(9, np.random.default_rng(0))
    assert len(first) == len(second) == 4
    assert not set(first.tolist()) & set(second.tolist())


@pytest.mark.parametrize(
    ("verdicts", "correct", "s", "v"),
    [
        (np.ones((2, 3, 4)), np.ones((2, 4)), [1], [1]),
        (np.ones((2, 3)), np.ones((2, 3)), [1], [1]),
        (np.ones((2, 3, 4)), np.ones((2, 3)), [4], [1]),
        (np.ones((2, 3, 4)), np.ones((2, 3)), [1], [5]),
        (np.ones((2, 3, 4)), np.ones((2, 3)), [0], [1]),
    ],
)
def test_shapes_and_sizes_that_do_not_fit(
    verdicts: np.ndarray, correct: np.ndarray, s: list[int], v: list[int]
) -> None:
    with pytest.raises(InputError):
        accuracy_grid(verdicts, correct, s, v)
