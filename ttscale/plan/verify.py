"""S solutions against V verifications of each: how to split a budget between the two.

Singhi et al., 2025 (2504.01005): a solution's score is the mean of its V yes/no verdicts, the
answer is the solution with the highest one, and the budget is S (1 + λ V) solutions' worth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats import best_of_k
from ttscale.stats.arrays import FloatArray, IntArray
from ttscale.stats.arrays import real_numbers as numbers

TOLERANCE = 0.005
N_BOOTSTRAP = 1000


class Exponent(NamedTuple):
    """The exponent of a power law, with its 95 % interval over problems; NaN where unknown."""

    value: float
    low: float
    high: float


class Split(NamedTuple):
    """How budgets are best split, chosen on one half of the solutions and scored on the other.

    Attributes
    ----------
    budgets : (C,).
    n_solutions, n_verdicts : geometric means over near-optimal cells, (C,).
    accuracy : of the chosen cell on the samples that did not choose it, (C,).
    solutions, verdicts : exponents a in S_opt ~ C^a and V_opt ~ C^a.
    """

    budgets: FloatArray
    n_solutions: FloatArray
    n_verdicts: FloatArray
    accuracy: FloatArray
    solutions: Exponent
    verdicts: Exponent


def verification_cost(
    n_solutions: npt.ArrayLike, n_verdicts: npt.ArrayLike, ratio: npt.ArrayLike
) -> FloatArray:
    """Cost in solutions: S (1 + λ V), λ the cost of one verdict over that of one solution.

    Broadcasts. In Singhi et al. λ is the ratio of generated tokens; a priced ratio is better.
    """
    s, v = numbers("n_solutions", n_solutions), numbers("n_verdicts", n_verdicts)
    return np.asarray(s * (1 + numbers("ratio", ratio) * v), dtype=np.float64)


def accuracy_grid(
    verdicts: npt.ArrayLike,
    correct: npt.ArrayLike,
    n_solutions: npt.ArrayLike,
    n_verdicts: npt.ArrayLike,
    *,
    present: npt.ArrayLike | None = None,
) -> FloatArray:
    """Expected accuracy of the solution with the best mean verdict, shape (P, A, B).

    verdicts: (P, S, V), 1 yes, 0 no (or any number), NaN unparsed: dropped from the mean, and a
    solution with no verdict scores 0. correct: (P, S). n_solutions (A,) and n_verdicts (B,): the
    grid. present: (P, S), False where a padded row holds no solution. Exact over subsets of
    solutions and ties; verdicts are taken in disjoint blocks, so that all of them count.

    Raises InputError for shapes that do not fit and sizes beyond the samples.
    """
    given, right = numbers("verdicts", verdicts), numbers("correct", correct)
    s, v = np.atleast_1d(np.asarray(n_solutions)), np.atleast_1d(np.asarray(n_verdicts))
    if given.ndim != 3 or right.shape != given.shape[:2]:
        raise InputError(
            "verdicts are (problems, solutions, verdicts) and correct (problems, solutions)",
            where="verdicts",
            got=f"shapes {given.shape} and {right.shape}",
        )
    if v.min() < 1 or v.max() > given.shape[2] or s.min() < 1 or s.max() > given.shape[1]:
        raise InputError(
            "the grid goes beyond the samples",
            where="n_solutions, n_verdicts",
            got=f"up to {s.max()} solutions and {v.max()} verdicts",
            hint=f"1 to {given.shape[1]} and 1 to {given.shape[2]}",
        )
    known = ~np.isnan(given)
    count = np.concatenate([np.zeros((*right.shape, 1)), known.cumsum(axis=2)], axis=2)
    total = np.concatenate(
        [np.zeros((*right.shape, 1)), np.where(known, given, 0.0).cumsum(axis=2)], axis=2
    )
    grid = np.zeros((len(given), len(s), len(v)))
    for column, size in enumerate(v):
        starts = np.arange(given.shape[2] // size) * size
        for start in starts:
            seen = count[:, :, start + size] - count[:, :, start]
            score = (total[:, :, start + size] - total[:, :, start]) / np.maximum(seen, 1)
            grid[:, :, column] += best_of_k(score, right, s, present=present) / len(starts)
    return grid


def best_split(
    grids: tuple[FloatArray, FloatArray],
    n_solutions: npt.ArrayLike,
    n_verdicts: npt.ArrayLike,
    costs: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    budgets: npt.ArrayLike | None = None,
    tolerance: float = TOLERANCE,
    n_bootstrap: int = N_BOOTSTRAP,
) -> Split:
    """The best cell at each budget, and power laws of S_opt and V_opt against the budget.

    Parameters
    ----------
    grids : `accuracy_grid` of two halves of the solutions, each (P, A, B).
    n_solutions, n_verdicts : (A,), (B,).
    costs : (A, B), in any unit.
    budgets : by default one for every doubling of the cheapest cell's cost.
    tolerance : cells that cost between half the budget and all of it, and err by no more than this
        from the best of them, are averaged (in log).
    n_bootstrap : resamples of problems for the exponents' intervals.
    """
    price = numbers("costs", costs)
    if budgets is None:
        n_doublings = int(np.floor(np.log2(price.max() / price.min())))
        levels = price.min() * 2.0 ** np.arange(n_doublings + 1)
    else:
        levels = np.atleast_1d(numbers("budgets", budgets))
    logs = np.stack(
        np.broadcast_arrays(
            np.log(numbers("n_solutions", n_solutions))[:, None],
            np.log(numbers("n_verdicts", n_verdicts))[None],
        )
    ).reshape(2, -1)
    spending = np.array([(price > c / 2) & (price <= c * (1 + 1e-9)) for c in levels])
    spending = spending.reshape(len(levels), -1)
    levels, spending = levels[spending.any(axis=1)], spending[spending.any(axis=1)]
    halves = [grid.reshape(len(grid), -1) for grid in grids]
    means = [half.mean(axis=0)[None] for half in halves]
    optimum = _optima(means, spending, logs, tolerance)[:, 0]
    accuracy = np.zeros(len(levels))
    for chooser, scorer in (means, means[::-1]):
        cells = np.where(spending, chooser, -np.inf).argmax(axis=1)
        accuracy += scorer[0, cells] / 2
    counts = rng.multinomial(len(halves[0]), np.full(len(halves[0]), 1 / len(halves[0])),
                             n_bootstrap) / len(halves[0])  # fmt: skip
    draws = _optima([counts @ half for half in halves], spending, logs, tolerance)
    solutions, verdicts = (
        _exponent(np.log(levels), optimum[axis], draws[axis]) for axis in range(2)
    )
    few, many = np.exp(optimum)
    return Split(levels, few, many, accuracy, solutions, verdicts)


def halves_of(n_solutions: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """A random split of solutions into two halves of n // 2."""
    order = rng.permutation(n_solutions)
    half = n_solutions // 2
    return order[:half], order[half : 2 * half]


def _optima(
    means: list[FloatArray], spending: npt.NDArray[np.bool_], logs: FloatArray, tolerance: float
) -> FloatArray:
    """Mean log S and log V of near-optimal cells, over both halves: (2, resamples, budgets)."""
    found = np.zeros((2, len(means[0]), len(spending)))
    for mean in means:
        for level, cells in enumerate(spending):
            accuracy = mean[:, cells]
            near = accuracy >= accuracy.max(axis=1, keepdims=True) - tolerance
            share = near / near.sum(axis=1, keepdims=True)
            found[:, :, level] += (share @ logs[:, cells].T).T / len(means)
    return found


def _exponent(log_budget: FloatArray, optimum: FloatArray, draws: FloatArray) -> Exponent:
    """Slope of an ordinary regression in log-log, with the percentiles of its resamples."""
    if len(log_budget) < 3:
        return Exponent(np.nan, np.nan, np.nan)
    x = log_budget - log_budget.mean()
    low, high = np.quantile(draws @ x / (x @ x), [0.025, 0.975])
    return Exponent(float(optimum @ x / (x @ x)), float(low), float(high))
