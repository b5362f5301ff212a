"""Least squares for closed-form laws of a mean curve, one fit for each resample in a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttscale.laws.curves import CurveFamily
from ttscale.laws.grid import Array
from ttscale.laws.optimize import Objective, Optimum, ascend

N_STARTS = 32


@dataclass(frozen=True)
class CurveTable:
    """A curve per problem at common budgets, or one point per budget.

    Attributes
    ----------
    budgets : shape (K,), increasing.
    curves : one row for each problem, shape (Q, K).
    noise : standard error that the sum of squares is measured in.
    """

    budgets: Array
    curves: Array
    noise: float

    @classmethod
    def of(cls, budgets: Array, curves: Array) -> CurveTable:
        """The table of Q curves; the noise is their mean's, floored at 1e-4."""
        error = curves.std(axis=0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else 0.01
        return cls(budgets, curves, max(float(np.sqrt(np.mean(np.square(error)))), 1e-4))

    def objective(self, family: CurveFamily, targets: Array, weights: Array) -> Objective:
        """Minus half the weighted sum of squares, (B, K) targets and weights, and a faint prior."""
        precision = 0.01 / family.spread**2

        def evaluate(free: Array, rows: NDArray[np.intp]) -> tuple[Array, Array, Array]:
            value, slopes = family.law(self.budgets, free)
            residual = (targets[rows] - value) / self.noise
            slopes = slopes / self.noise
            weighted = weights[rows]
            away = free - family.centre
            top = -0.5 * (weighted * residual**2).sum(axis=1)
            top = top - 0.5 * (away**2 * precision).sum(axis=1)
            gradient = np.einsum("dbk,bk->bd", slopes, weighted * residual) - away * precision
            curvature = np.einsum("dbk,bk,ebk->bde", slopes, weighted, slopes)
            return top, gradient, curvature + np.diag(precision)

        return evaluate

    def fit(self, family: CurveFamily, rng: np.random.Generator) -> Optimum:
        """All ends of many starts, shape (S, D), on the mean curve."""
        mean = self.curves.mean(axis=0)
        n_free = len(family.parameters)
        starts = family.centre + family.spread * rng.standard_normal((N_STARTS, n_free))
        starts[0] = family.centre
        # Laws of a budget in any unit: move what stands in units of log-budget to the data.
        for d, parameter in enumerate(family.parameters):
            if parameter.name == "m":
                reach = np.log(self.budgets[[0, -1]])
                starts[:, d] = rng.uniform(reach[0] - 1, reach[1] + 1, N_STARTS)
        targets = np.repeat(mean[None], N_STARTS, axis=0)
        return ascend(
            self.objective(family, targets, np.ones_like(targets)),
            starts,
            family.reach,
            n_steps=300,
        )

    def refit(self, family: CurveFamily, free: Array, resamples: Array) -> Optimum:
        """From `free` (D,) on the mean curve of each resample of problems, counts (B, Q)."""
        targets = resamples @ self.curves / resamples.sum(axis=1, keepdims=True)
        starts = np.repeat(free[None], len(resamples), axis=0)
        weights = np.ones_like(targets)
        return ascend(
            self.objective(family, targets, weights), starts, family.reach, tolerance=1e-5
        )

    def refit_points(self, family: CurveFamily, free: Array, resamples: Array) -> Optimum:
        """From `free` (D,) with each resample counting points, (B, K), of the single curve."""
        targets = np.repeat(self.curves.mean(axis=0)[None], len(resamples), axis=0)
        starts = np.repeat(free[None], len(resamples), axis=0)
        return ascend(
            self.objective(family, targets, resamples), starts, family.reach, tolerance=1e-5
        )
