"""The best of what a budget buys: recommendation, runner-up, Pareto frontier, honest accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.plan.points import CLOSE, LEVEL, Points, most_accurate
from ttscale.stats import Difference, Interval, mean_interval, paired_difference
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

N_FOLDS = 10
N_PARTITIONS = 10


class Choice(NamedTuple):
    """What to run, and how sure that is.

    Attributes
    ----------
    point : index into the points.
    low, high : 95 % interval of its accuracy on new problems of the same kind; the lower end of the
        point's own interval is lowered by the optimism.
    run_low, run_high : where one fresh run over as many such problems lands in 95 % of cases.
    optimism : how much of its accuracy is luck of having been chosen, see `optimism`.
    chance_best : share of resamples in which it beats every other candidate at its own best n.
    runner_up : the point of the best other candidate; None where there is none.
    difference : of the two, paired over problems.
    """

    point: int
    low: float
    high: float
    run_low: float
    run_high: float
    optimism: float
    chance_best: float
    runner_up: int | None
    difference: Difference | None


def choose(points: Points, budget: float, rng: np.random.Generator) -> Choice:
    """The most accurate point within a budget, per problem."""
    within = points.within(budget)
    assert within.any(), "the budget was checked against the cheapest candidate"
    point = points.best(within)
    rivals = points.best_of_each(within)
    luck = optimism(points.draws[:, rivals], points.accuracy[rivals])
    ends = max(float(points.low[point]) - luck, 0.0), float(points.high[point])
    run = run_interval(points.draws[:, point], points.n_problems, luck, rng)
    others = rivals[points.candidate[rivals] != points.candidate[point]]
    if not len(others):
        return Choice(point, *ends, *run, luck, 1.0, None, None)
    accuracy, cost = points.accuracy[others], points.cost[others]
    second = int(others[most_accurate(accuracy, cost, np.ones(len(others), dtype=np.bool_))])
    chance = chance_best(points.draws[:, rivals], int(np.flatnonzero(rivals == point)[0]))
    gap = difference(points, point, second, rng)
    return Choice(point, *ends, *run, luck, chance, second, gap)


def run_interval(
    draws: FloatArray, n_problems: int, luck: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Where one run over `n_problems` new problems lands: a binomial around each draw of the mean.

    A new problem is right with the mean accuracy whatever its own is, so the run's count is
    binomial given the mean, and the draws (R,) say how well that is known; below they are lowered
    by the optimism of the choice. Runs over the very problems of the pool vary less.
    """
    lower, upper = (rng.binomial(n_problems, np.clip(d, 0, 1)) for d in (draws - luck, draws))
    low = np.quantile(lower / n_problems, (1 - LEVEL) / 2, method="inverted_cdf")
    high = np.quantile(upper / n_problems, (1 + LEVEL) / 2, method="higher")
    return float(low), float(high)


def chance_best(draws: FloatArray, column: int) -> float:
    """Share of the rows of (R, C) in which a column is the highest; equal ones share a row."""
    top = draws >= draws.max(axis=1, keepdims=True) - CLOSE
    return float((top[:, column] / top.sum(axis=1)).mean())


def optimism(draws: FloatArray, accuracy: FloatArray) -> float:
    """By how much the highest of several estimates is expected to be too high.

    draws: (R, C) resampled estimates of C candidates, accuracy: (C,) the estimates. In every
    resample the highest is chosen again; the mean excess of the chosen one over its own estimate is
    the bootstrap's answer to how far the choice on the data itself exceeds the truth.
    """
    error = draws - draws.mean(axis=0)
    picked = (accuracy + error).argmax(axis=1)
    return max(float(np.take_along_axis(error, picked[:, None], axis=1).mean()), 0.0)


def difference(points: Points, first: int, second: int, rng: np.random.Generator) -> Difference:
    """Accuracy of one point minus another's, paired over problems."""
    if not (points.extrapolated[first] or points.extrapolated[second]):
        return paired_difference(points.values[:, first], points.values[:, second], rng)
    gap = points.draws[:, first] - points.draws[:, second]
    low, high = np.quantile(gap, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    estimate = points.accuracy[first] - points.accuracy[second]
    positive = (gap > 0).mean() + 0.5 * (gap == 0).mean()
    ends = np.minimum(low, estimate), np.maximum(high, estimate)
    return Difference(estimate, *ends, positive)


def enough(points: Points, budget: float, best: int, epsilon: float) -> int:
    """The cheapest point whose accuracy is less than `epsilon` below the best one's."""
    close = points.within(budget) & (points.accuracy > points.accuracy[best] - epsilon)
    close[best] = True
    cheapest = np.flatnonzero(close & (points.cost <= points.cost[close].min() * (1 + CLOSE)))
    return int(cheapest[np.argmax(points.accuracy[cheapest])])


def pareto_frontier(cost: npt.ArrayLike, accuracy: npt.ArrayLike) -> IntArray:
    """Indices of the points that no cheaper or equally dear point matches, by rising cost.

    cost, accuracy: (M,). Of equal points the first stays.
    """
    costs, values = np.asarray(cost, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    order = np.lexsort((-values, costs))
    ahead = np.maximum.accumulate(np.concatenate([[-np.inf], values[order][:-1]]))
    return np.asarray(order[values[order] > ahead], dtype=np.int64)


def frontier(points: Points) -> IntArray:
    """The Pareto frontier over everything that may be recommended."""
    allowed = np.flatnonzero(points.allowed)
    return allowed[pareto_frontier(points.cost[allowed], points.accuracy[allowed].round(9))]


def cross_fitted_accuracy(
    points: Points, budget: float, rng: np.random.Generator
) -> Interval | None:
    """Accuracy of choosing by this budget on problems that had no say in the choice.

    Chosen on all folds but one, scored on that one, averaged over several partitions. None where
    there is nothing to choose from inside the pools.
    """
    open_to_choice = points.within(budget) & ~points.extrapolated
    if not open_to_choice.any():
        return None
    inside = np.flatnonzero(open_to_choice)
    values, cost = points.values[:, inside], points.cost[inside]
    scored = np.zeros(points.n_problems)
    everything: BoolArray = np.ones(len(inside), dtype=np.bool_)
    for _ in range(N_PARTITIONS):
        for held in folds(points.n_problems, rng):
            train = np.delete(values, held, axis=0).mean(axis=0)
            scored[held] += values[held, most_accurate(train, cost, everything)]
    return mean_interval(scored / N_PARTITIONS, rng)


def folds(n_problems: int, rng: np.random.Generator, n_folds: int = N_FOLDS) -> list[IntArray]:
    """A random partition of problems into folds of about equal size."""
    return np.array_split(rng.permutation(n_problems), min(n_folds, n_problems))
