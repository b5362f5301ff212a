"""The allocation section of a plan: budgets by difficulty, known to an oracle or predicted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ttscale.plan import pilot
from ttscale.plan.allocate import Bins, Hulls, cross_fitted, fit_bins, hull_allocation
from ttscale.plan.candidates import weighted_votes
from ttscale.plan.points import Points
from ttscale.plan.sources import Rows, Source
from ttscale.stats import Difference, Interval, curves, mean_interval, paired_difference
from ttscale.stats.arrays import FloatArray, IntArray

Difficulty = Literal["oracle", "predicted"]
N_PILOT = 4
N_ORDERS = 32
MOST_CELLS = 40_000_000
"""Of outcomes held in memory at once; fewer orders are drawn where there would be more."""


@dataclass(frozen=True)
class Allocation:
    """What budgets by difficulty would give.

    Attributes
    ----------
    difficulty : `oracle` bins by pass@1 on samples not used for scoring; `predicted` ones by a
        pilot, whose samples cost and vote.
    measure : what the bins are of.
    accuracy, uniform : cross-fitted, with bins and with one setting for all.
    cost, uniform_cost : mean of a problem, as spent.
    gain : paired difference of the two.
    bins, settings : the bins over all problems, and the points their settings index.
    n_most : the most samples a setting could take.
    """

    difficulty: Difficulty
    measure: str
    accuracy: Interval
    uniform: Interval
    cost: float
    uniform_cost: float
    gain: Difference
    bins: Bins
    settings: IntArray
    n_most: int


def oracle_bins(
    points: Points, source: Source, budget: float, rng: np.random.Generator
) -> Allocation | str:
    """Bins by pass@1 on half of each problem's samples, settings scored on the other half.

    What knowing the difficulty costs is left out, as in Snell et al.: a bound for what prediction
    can reach. Gives the reason where the pool is too small.
    """
    rows, n_problems = source.rows, points.n_problems
    n_half = int(np.bincount(rows.problem, minlength=n_problems).min()) // 2
    settings = _settings(points, source, 1, n_half)
    if n_half < 1 or not len(settings):
        return "half a pool holds no sample for each problem"
    halves = _halves(rows, n_problems, rng)
    pairs = [(halves[0], halves[1]), (halves[1], halves[0])]
    difficulty = np.stack([known.per_problem(_right(known), n_problems) for known, _ in pairs])
    values = np.stack([_exact(scored, points, settings, rng) for _, scored in pairs])
    return _allocation(
        "oracle", "pass@1", difficulty, values, points, settings, budget, n_half, rng
    )


def predicted_bins(
    points: Points,
    source: Source,
    selector: str,
    budget: float,
    rng: np.random.Generator,
    n_pilot: int = N_PILOT,
) -> Allocation | str:
    """Bins by a pilot of `n_pilot` samples, which count in every vote and in every cost.

    Read from random orders of each problem's pool: the first samples are the pilot. Bins are of the
    pilot's mean score where `selector` uses one, else of how far its answers agree. Gives the
    reason where that cannot be.
    """
    rows, n_problems = source.rows, points.n_problems
    n = int(np.bincount(rows.problem, minlength=n_problems).min())
    verifier = selector.partition(":")[2]
    if n <= n_pilot:
        return f"a pilot of {n_pilot} leaves nothing of a pool of {n} samples"
    if not verifier and rows.answer_class is None:
        return "without answers or scores nothing foretells difficulty"
    settings = _settings(points, source, n_pilot, n)
    if verifier:
        names = [points.of(at).selector for at in settings.tolist()]
        settings = settings[[name.partition(":")[2] == verifier for name in names]]
    if not len(settings) or points.cost[settings].min() > budget:
        return f"the budget does not pay for a pilot of {n_pilot} samples"
    n_orders = int(np.clip(MOST_CELLS // (n_problems * (len(settings) + n)), 4, N_ORDERS))
    difficulty = np.empty((n_orders, n_problems))
    values = np.empty((n_orders, n_problems, len(settings)))
    order = np.argsort(rows.problem, kind="stable")
    sizes = np.bincount(rows.problem, minlength=n_problems)
    for problem, place in enumerate(np.split(order, sizes.cumsum()[:-1])):
        mine = rows[place]
        orders = rng.permuted(np.tile(np.arange(len(place)), (n_orders, 1)), axis=1)
        if verifier:
            difficulty[:, problem] = pilot.mean_score(mine.scores[verifier], orders, n_pilot)
        else:
            assert mine.answer_class is not None, "checked above"
            difficulty[:, problem] = pilot.agreement(mine.answer_class, orders, n_pilot)
        values[:, problem] = _sequential(mine, orders, points, settings)
    lowest = np.nanmin(difficulty)
    measure = f"mean {verifier}" if verifier else "agreement"
    return _allocation(
        "predicted", f"{measure} of a pilot of {n_pilot}", np.nan_to_num(difficulty, nan=lowest),
        values, points, settings, budget, n, rng,
    )  # fmt: skip


def divisible(source: Source, selector: str) -> Source:
    """A source cut to the samples that the selector's verifier saw, and to scores that all have."""
    verifier = selector.partition(":")[2]
    rows = source.rows
    rows = rows[rows.seen_by(verifier)] if verifier else rows
    whole = {name: each for name, each in rows.scores.items() if rows.seen_by(name).all()}
    return replace(source, rows=replace(rows, scores=whole))


def known_curves(points: Points, source: Source, budget: float) -> Hulls | None:
    """The greedy allocation along each problem's own curve: an upper bound; see there."""
    settings = _settings(points, source, 1, np.iinfo(np.int64).max)
    if not len(settings) or points.cost[settings].min() > budget:
        return None
    return hull_allocation(points.costs[:, settings], points.values[:, settings], budget)


def _allocation(
    difficulty: Difficulty,
    measure: str,
    readings: FloatArray,
    values: FloatArray,
    points: Points,
    settings: IntArray,
    budget: float,
    n_most: int,
    rng: np.random.Generator,
) -> Allocation:
    costs = points.costs[:, settings]
    found = cross_fitted(readings, values, costs, budget, rng)
    return Allocation(
        difficulty,
        measure,
        mean_interval(found.accuracy, rng),
        mean_interval(found.uniform, rng),
        float(found.cost.mean()),
        float(found.uniform_cost.mean()),
        paired_difference(found.accuracy, found.uniform, rng),
        fit_bins(readings, values, costs, budget),
        settings,
        n_most,
    )


def _settings(points: Points, source: Source, n_least: int, n_most: int) -> IntArray:
    """Points of one sample set that may be run, by their numbers of samples."""
    samples = source.samples
    mine = np.array(
        [
            each.selector != "strategy"
            and (each.source, each.sample_set) == (samples.source, samples.name)
            and each.selector.partition(":")[2] in {"", *source.rows.scores}
            for each in points.candidates
        ]
    )
    inside = (points.n >= n_least) & (points.n <= n_most) & ~points.extrapolated
    return np.flatnonzero(mine[points.candidate] & points.allowed & inside)


def _halves(rows: Rows, n_problems: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """A random half of each problem's samples, and the rest."""
    shuffled = rng.permutation(len(rows.problem))
    order = shuffled[np.argsort(rows.problem[shuffled], kind="stable")]
    sizes = np.bincount(rows.problem, minlength=n_problems)
    place = np.arange(len(order)) - np.repeat(sizes.cumsum() - sizes, sizes)
    first = place < np.repeat(sizes // 2, sizes)
    return rows[order[first]], rows[order[~first]]


def _right(rows: Rows) -> FloatArray:
    return np.asarray(np.nan_to_num(rows.correct), dtype=np.float64)


def _exact(rows: Rows, points: Points, settings: IntArray, rng: np.random.Generator) -> FloatArray:
    """Accuracy of each setting on these samples, (P, M)."""
    ks = np.unique(points.n[settings])
    wanted = [points.of(at).selector for at in settings.tolist()]
    column = np.searchsorted(ks, points.n[settings])
    matrices = curves(rows.problem, rows.correct, rows.answer_class, rows.scores, ks=ks).matrices
    matrices |= {"single": matrices["coverage"], **weighted_votes(rows, ks, rng)}
    return np.stack([matrices[name][:, k] for name, k in zip(wanted, column, strict=True)], axis=1)


def _sequential(rows: Rows, orders: IntArray, points: Points, settings: IntArray) -> FloatArray:
    """Outcome of each setting on the first samples of each order, (R, M)."""
    right = _right(rows)
    outcomes = np.empty((len(orders), len(settings)))
    for candidate in np.unique(points.candidate[settings]):
        mine = np.flatnonzero(points.candidate[settings] == candidate)
        selector, ks = points.candidates[candidate].selector, points.n[settings[mine]]
        kind, _, verifier = selector.partition(":")
        if kind in {"single", "coverage"}:
            outcomes[:, mine] = pilot.coverage_outcomes(right, orders, ks)
        elif kind == "best_of":
            outcomes[:, mine] = pilot.best_outcomes(rows.scores[verifier], right, orders, ks)
        else:
            assert rows.answer_class is not None, "votes come from answers"
            weights = rows.scores[verifier] if verifier else np.ones(len(right))
            outcomes[:, mine] = pilot.vote_outcomes(rows.answer_class, weights, right, orders, ks)
    return outcomes
