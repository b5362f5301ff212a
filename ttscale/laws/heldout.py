"""Judging a law by how it predicts what it was not fitted to: larger budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ttscale.laws.curvefit import CurveTable
from ttscale.laws.curves import CurveFamily
from ttscale.laws.grid import Array
from ttscale.laws.lawfit import best
from ttscale.laws.likelihood import Counts, CountTable
from ttscale.laws.mixing import MixingFamily

BUDGET_RATIO = 4
# Larger subsets cost memory and tell a law's shape no better.
LARGEST_SUBSET = 1000


def heldout_coverage_errors(
    families: Sequence[MixingFamily],
    frees: Sequence[Array],
    n_samples: Counts,
    n_correct: Counts,
    ks: Array,
    coverage: Array,
) -> Array:
    """Root mean square error of each law's coverage at budgets it was not fitted to, shape (F,).

    Fitted on subsets of a quarter of the largest k (1,000 at most), scored on the larger ks. NaN
    where that leaves nothing to fit.

    Parameters
    ----------
    families, frees : the laws and their best free parameters, a start for the fits.
    n_samples, n_correct : counts of each problem, shape (Q,).
    ks, coverage : increasing numbers of samples and the pool's coverage there, shape (K,).
    """
    budget = min(int(ks[-1]) // BUDGET_RATIO, LARGEST_SUBSET)
    if budget < 2:
        return np.full(len(families), np.nan)
    small, beyond = CountTable.of(n_samples, n_correct, budget), ks > budget
    errors = []
    for family, free in zip(families, frees, strict=True):
        law = best(small.fit(family, free[None]))
        predicted = 1 - family.failure(small.grid, law[None], ks[beyond])[0]
        errors.append(np.sqrt(np.mean((predicted - coverage[beyond]) ** 2)))
    return np.array(errors)


def heldout_curve_error(family: CurveFamily, table: CurveTable, rng: np.random.Generator) -> float:
    """Root mean square error of a closed-form law at the budgets it was not fitted to.

    Fitted on budgets up to a quarter of the largest, scored on the larger ones. NaN where either
    side has too few points to say.
    """
    seen = table.budgets <= table.budgets[-1] / BUDGET_RATIO
    if seen.sum() <= len(family.parameters) or seen.all():
        return float("nan")
    small = CurveTable(table.budgets[seen], table.curves[:, seen], table.noise)
    free = best(small.fit(family, rng))
    predicted = family.curve(free[None], table.budgets[~seen])[0]
    return float(np.sqrt(np.mean((predicted - table.curves[:, ~seen].mean(axis=0)) ** 2)))


def shares(scores: Array) -> Array:
    """Weights proportional to exp(scores), shape (F,), summing to one."""
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())
