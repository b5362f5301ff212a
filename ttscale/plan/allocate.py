"""One mean budget over problems of unequal difficulty: bins, each with a setting of its own.

Snell et al., 2024 (2408.03314): the best setting depends on how hard a problem is. Here settings
are chosen on other problems than those they are scored on, so no problem chooses its own budget.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.plan.frontier import N_FOLDS, folds, pareto_frontier
from ttscale.plan.points import CLOSE, most_accurate
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

N_BINS = 5
MOST_STATES = 1000


class Bins(NamedTuple):
    """Difficulty bins and what each was given, easiest last.

    Attributes
    ----------
    edges : inner edges of the bins, (B − 1,).
    share : of the problems, (B,).
    setting : index of each bin's setting, (B,).
    """

    edges: FloatArray
    share: FloatArray
    setting: IntArray


class Allocated(NamedTuple):
    """Cross-fitted outcomes of each problem, (P,), under bins and under one setting for all."""

    accuracy: FloatArray
    cost: FloatArray
    uniform: FloatArray
    uniform_cost: FloatArray


class Hulls(NamedTuple):
    """Mean accuracy and cost of the allocation along every problem's concave hull."""

    accuracy: float
    cost: float


def allocate(
    costs: npt.ArrayLike, values: npt.ArrayLike, weights: npt.ArrayLike, budget: float
) -> IntArray:
    """The setting of each bin that maximises the mean value within a mean budget.

    costs, values: (B, M) of each setting in each bin. weights: (B,) shares of the problems. Bins
    are joined one after another, keeping the Pareto frontier of their sums; exact while a frontier
    has at most 1,000 points, thinned evenly above. Where not even the cheapest settings fit, these.
    """
    cost, value = np.asarray(costs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    share = np.asarray(weights, dtype=np.float64)
    weighted = cost * share[:, None]
    rest = weighted.min(axis=1)[::-1].cumsum()[::-1]
    limit = budget * (1 + CLOSE)
    if rest[0] > limit:
        return np.asarray(cost.argmin(axis=1), dtype=np.int64)
    spent, gained, chosen = np.zeros(1), np.zeros(1), np.zeros((1, 0), np.int64)
    for b in range(len(cost)):
        offered = pareto_frontier(weighted[b], value[b])
        total = (spent[:, None] + weighted[b, offered]).ravel()
        worth = (gained[:, None] + share[b] * value[b, offered]).ravel()
        to_come = rest[b + 1] if b + 1 < len(cost) else 0.0
        fits = np.flatnonzero(total + to_come <= limit)
        kept = fits[pareto_frontier(total[fits], worth[fits])]
        if len(kept) > MOST_STATES:
            kept = kept[np.unique(np.linspace(0, len(kept) - 1, MOST_STATES).astype(np.int64))]
        before, setting = np.divmod(kept, len(offered))
        chosen = np.column_stack([chosen[before], offered[setting]])
        spent, gained = total[kept], worth[kept]
    return np.asarray(chosen[np.argmax(gained)], dtype=np.int64)


def hull_allocation(costs: npt.ArrayLike, values: npt.ArrayLike, budget: float) -> Hulls:
    """Greedy steps along every problem's concave hull, the largest gain per cost first.

    costs, values: (P, M). Every problem begins at its cheapest setting; the last step may be taken
    in part. Optimal for concave curves, and on known curves an upper bound of every allocation: no
    real one knows them.
    """
    cost, value = np.asarray(costs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    steps: list[FloatArray] = []
    spent, gained = 0.0, 0.0
    for x, y in zip(cost, value, strict=True):
        corners = _hull(x, y)
        spent, gained = spent + x[corners[0]], gained + y[corners[0]]
        steps.append(np.column_stack([np.diff(x[corners]), np.diff(y[corners])]))
    rises = np.concatenate(steps)
    rises = rises[np.argsort(-rises[:, 1] / rises[:, 0], kind="stable")]
    left = max(budget * len(cost) - spent, 0.0)
    part = np.clip((left - (rises[:, 0].cumsum() - rises[:, 0])) / rises[:, 0], 0.0, 1.0)
    spent, gained = spent + float(part @ rises[:, 0]), gained + float(part @ rises[:, 1])
    return Hulls(gained / len(cost), spent / len(cost))


def bins_of(difficulty: FloatArray, edges: FloatArray) -> IntArray:
    """The bin of each difficulty."""
    return np.asarray(np.searchsorted(edges, difficulty, side="right"), dtype=np.int64)


def quantile_edges(difficulty: FloatArray, n_bins: int = N_BINS) -> FloatArray:
    """Inner edges of bins of about equal size; fewer where difficulties are tied."""
    inner = np.quantile(difficulty, np.arange(1, n_bins) / n_bins)
    return np.unique(inner[inner > difficulty.min()])


def fit_bins(difficulty: FloatArray, values: FloatArray, costs: FloatArray, budget: float) -> Bins:
    """Bins of all given problems, and the allocation over them.

    difficulty: (R, P), R readings of each problem. values: (R, P, M), the accuracy of each setting
    that goes with the reading. costs: (P, M).
    """
    edges = quantile_edges(difficulty)
    n_bins, n_settings = len(edges) + 1, costs.shape[1]
    member = np.eye(n_bins)[bins_of(difficulty, edges)]
    count = member.sum(axis=(0, 1))
    seen = count > 0
    per_bin = np.maximum(count, 1)[:, None]
    accuracy = member.reshape(-1, n_bins).T @ values.reshape(-1, n_settings) / per_bin
    cost = member.sum(axis=0).T @ costs / per_bin
    setting = np.zeros(n_bins, np.int64)
    setting[seen] = allocate(cost[seen], accuracy[seen], count[seen] / count.sum(), budget)
    return Bins(edges, count / count.sum(), setting)


def cross_fitted(
    difficulty: FloatArray,
    values: FloatArray,
    costs: FloatArray,
    budget: float,
    rng: np.random.Generator,
) -> Allocated:
    """Bins and their settings from all folds but one, outcomes on that one.

    Shapes as in `fit_bins`. Beside it the one best setting for all, chosen the same way.
    """
    n_problems = costs.shape[0]
    found = Allocated(*(np.zeros(n_problems) for _ in range(4)))
    mean = values.mean(axis=0)
    cost = costs.mean(axis=0)
    affordable: BoolArray = cost <= max(budget, cost.min()) * (1 + CLOSE)
    for held in folds(n_problems, rng, N_FOLDS):
        train = np.setdiff1d(np.arange(n_problems), held)
        bins = fit_bins(difficulty[:, train], values[:, train], costs[train], budget)
        setting = bins.setting[bins_of(difficulty[:, held], bins.edges)]
        taken = np.take_along_axis(values[:, held], setting[:, :, None], axis=2)[:, :, 0]
        found.accuracy[held] = taken.mean(axis=0)
        found.cost[held] = np.take_along_axis(costs[held].T, setting, axis=0).mean(axis=0)
        one = most_accurate(mean[train].mean(axis=0), cost, affordable)
        found.uniform[held], found.uniform_cost[held] = mean[held, one], costs[held, one]
    return found


def _hull(x: FloatArray, y: FloatArray) -> list[int]:
    """Indices of the upper concave hull of points, from the cheapest one on, by rising cost."""
    corners: list[int] = []
    for index in pareto_frontier(x, y).tolist():
        while len(corners) > 1:
            a, b = corners[-2], corners[-1]
            if (y[b] - y[a]) * (x[index] - x[a]) > (y[index] - y[a]) * (x[b] - x[a]):
                break
            corners.pop()
        corners.append(index)
    return corners
