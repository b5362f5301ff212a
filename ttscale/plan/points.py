"""All candidates at all their budgets as one table, and resamples of problems that all share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttscale.plan.candidates import Candidate, Far
from ttscale.stats import problem_weights, replicates
from ttscale.stats.arrays import BoolArray, FloatArray, IntArray

N_RESAMPLES = 2000
LEVEL = 0.95
CLOSE = 1e-9
"""Accuracies that differ by less are equal, and then the cheaper one is better."""


@dataclass(frozen=True)
class Points:
    """M points: a candidate at a number of samples.

    Attributes
    ----------
    candidates : those the points are of.
    candidate : index of each point's candidate, (M,).
    n : samples, (M,); 0 for a strategy run at one budget.
    cost, accuracy, low, high : mean over problems, with the interval for new problems, (M,).
    extrapolated : whether a law says so, (M,).
    allowed : whether it may be recommended, (M,).
    values, costs : of each problem, (P, M); NaN where extrapolated.
    draws : accuracy in each resample of problems, the same ones for all points, (R, M).
    """

    candidates: tuple[Candidate, ...]
    candidate: IntArray
    n: IntArray
    cost: FloatArray
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    extrapolated: BoolArray
    allowed: BoolArray
    values: FloatArray
    costs: FloatArray
    draws: FloatArray

    def __len__(self) -> int:
        return len(self.n)

    @property
    def n_problems(self) -> int:
        """How many problems the accuracies are means over."""
        return len(self.values)

    def of(self, point: int) -> Candidate:
        """The candidate of a point."""
        return self.candidates[int(self.candidate[point])]

    def within(self, budget: float) -> BoolArray:
        """The points that may be recommended at a budget, (M,)."""
        return self.allowed & (self.cost <= budget * (1 + CLOSE))

    def best(self, where: BoolArray) -> int:
        """Index of the most accurate point of a mask, the cheapest of equal ones."""
        return most_accurate(self.accuracy, self.cost, where)

    def best_of_each(self, where: BoolArray) -> IntArray:
        """Index of each candidate's best point of a mask, for the candidates that have one."""
        chosen = [
            self.best(mine)
            for index in range(len(self.candidates))
            if (mine := where & (self.candidate == index)).any()
        ]
        return np.array(chosen, dtype=np.int64)


def most_accurate(accuracy: FloatArray, cost: FloatArray, where: BoolArray) -> int:
    """Index of the highest accuracy of a mask, the cheapest of equal ones."""
    top = np.flatnonzero(where & (accuracy >= accuracy[where].max() - CLOSE))
    return int(top[np.argmin(cost[top])])


def make_points(
    candidates: Sequence[Candidate], rng: np.random.Generator, *, n_resamples: int = N_RESAMPLES
) -> Points:
    """The table of all candidates.

    Resamples are of problems (`ttscale.stats.problem_weights`, method "bayes"), one set of them for
    all points, so every comparison is paired. A law's curves come from resamples of their own; they
    are matched to these by their rank at the pool's end.
    """
    n_problems = len(candidates[0].values)
    weights = problem_weights(n_problems, n_resamples, rng)
    columns = [_columns(each, index, weights) for index, each in enumerate(candidates)]
    joined = {name: np.concatenate([c[name] for c in columns], axis=-1) for name in columns[0]}
    inside = ~joined["extrapolated"]
    ends = np.quantile(joined["draws"], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    low = np.where(inside, np.minimum(ends[0], joined["accuracy"]), joined.pop("low"))
    high = np.where(inside, np.maximum(ends[1], joined["accuracy"]), joined.pop("high"))
    return Points(tuple(candidates), low=low, high=high, **joined)


def _columns(each: Candidate, index: int, weights: FloatArray) -> dict[str, Any]:
    """What one candidate adds to the table."""
    n_problems, n_points = each.values.shape
    near = replicates(each.values, weights)
    columns: dict[str, Any] = {
        "n": each.ns,
        "cost": each.costs.mean(axis=0),
        "accuracy": each.values.mean(axis=0),
        "low": np.full(n_points, np.nan),
        "high": np.full(n_points, np.nan),
        "extrapolated": np.zeros(n_points, dtype=np.bool_),
        "values": each.values,
        "costs": each.costs,
        "draws": near,
    }
    if each.far is not None:
        far, blank = each.far, np.full((n_problems, len(each.far.ns)), np.nan)
        beyond = {
            "n": far.ns,
            "cost": far.costs,
            "accuracy": far.value,
            "low": far.low,
            "high": far.high,
            "extrapolated": np.ones(len(far.ns), dtype=np.bool_),
            "values": blank,
            "costs": blank,
            "draws": _coupled(far, near[:, -1]),
        }
        columns = {name: np.concatenate([columns[name], beyond[name]], axis=-1) for name in columns}
    columns["candidate"] = np.full(len(columns["n"]), index)
    columns["allowed"] = np.full(len(columns["n"]), each.bound is None)
    return columns


def _coupled(far: Far, end: FloatArray) -> FloatArray:
    """The law's draws in the order of the pool's own replicates at its end, (R, J)."""
    order = np.argsort(far.draws[:, 0], kind="stable")
    rank = np.argsort(np.argsort(end, kind="stable"), kind="stable")
    place = (rank * len(order)) // len(rank)
    coupled: FloatArray = far.draws[order[place], 1:]
    return coupled
