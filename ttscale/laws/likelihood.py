"""The likelihood of counts under a distribution of success probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ttscale.laws.grid import Array, Grid, grid_for
from ttscale.laws.mixing import MixingFamily
from ttscale.laws.optimize import Objective, Optimum, ascend

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class CountTable:
    """Counts of problems, grouped, with the likelihood of every group at every node.

    Problems with equal (n_samples, n_correct) are one group. With `fit_up_to = K`, a problem with
    n > K samples enters as the average over all its subsets of size K: its correct ones are then
    hypergeometric, and it is spread over the cells (K, 0) … (K, K). Nothing but pass@k at k <= K
    is used then, and none of the pool is thrown away.

    Attributes
    ----------
    grid : nodes of p.
    n_problems : problems in each group, shape (G,).
    group : group of each problem, shape (Q,).
    cells : share of each group in each cell, shape (G, U).
    n_samples, n_correct : of each cell, shape (U,).
    likelihood : binomial probability of each cell at p = 0 and at the nodes, shape (1+M, U).
    """

    grid: Grid
    n_problems: Array
    group: NDArray[np.intp]
    cells: Array
    n_samples: Counts
    n_correct: Counts
    likelihood: Array

    @classmethod
    def of(cls, n_samples: Counts, n_correct: Counts, fit_up_to: int | None = None) -> CountTable:
        """The table of Q problems' counts, each array of shape (Q,)."""
        pairs = np.stack([n_samples, n_correct], axis=1)
        groups, group, n_problems = np.unique(
            pairs, axis=0, return_inverse=True, return_counts=True
        )
        rows, cells = _thinned(groups, fit_up_to)
        grid = grid_for(int(cells[:, 0].max()))
        n, c = cells[:, 0].astype(np.float64), cells[:, 1].astype(np.float64)
        ways = gammaln(n + 1) - gammaln(c + 1) - gammaln(n - c + 1)
        exponent = grid.log_p[:, None] * c + grid.log_q[:, None] * (n - c) + ways
        table = np.concatenate([(c == 0)[None].astype(np.float64), np.exp(exponent)])
        return cls(
            grid,
            n_problems.astype(np.float64),
            group.ravel(),
            rows,
            cells[:, 0],
            cells[:, 1],
            table,
        )

    def objective(
        self, family: MixingFamily, weights: Array, centres: Array | None = None
    ) -> Objective:
        """Log-likelihood plus log-prior, for rows of cell weights (B, U) and centres (B, D)."""
        precision = 1 / family.spread**2
        centres = (
            np.broadcast_to(family.centre, (len(weights), len(precision)))
            if centres is None
            else centres
        )

        def evaluate(free: Array, rows: NDArray[np.intp]) -> tuple[Array, Array, Array]:
            nodes, slopes = family.on_nodes(self.grid, free)
            probability = np.maximum(nodes @ self.likelihood, 1e-300)
            scores = np.stack([slope @ self.likelihood for slope in slopes], axis=2)
            scores /= probability[:, :, None]
            own = weights[rows]
            value = (own * np.log(probability)).sum(axis=1)
            weighted = scores * own[:, :, None]
            away = free - centres[rows]
            value = value - 0.5 * (away**2 * precision).sum(axis=1)
            gradient = weighted.sum(axis=1) - away * precision
            curvature = weighted.transpose(0, 2, 1) @ scores + np.diag(precision)
            return value, gradient, curvature

        return evaluate

    def log_likelihood(self, family: MixingFamily, free: Array) -> Array:
        """Log-likelihood of all problems at free parameters (B, D), without the prior."""
        nodes, _ = family.on_nodes(self.grid, free)
        probability = np.maximum(nodes @ self.likelihood, 1e-300)
        total: Array = np.log(probability) @ (self.n_problems @ self.cells)
        return total

    def log_evidence(self, family: MixingFamily, free: Array) -> float:
        """Log marginal likelihood at the best parameters (D,), by Laplace's method."""
        weights = (self.n_problems @ self.cells)[None]
        value, _, curvature = self.objective(family, weights)(free[None], np.array([0]))
        return float(
            value[0] - np.log(family.spread).sum() - np.linalg.slogdet(curvature[0])[1] / 2
        )

    def fit(self, family: MixingFamily, starts: Array) -> Optimum:
        """Maximise on the data from each of the starts, shape (S, D)."""
        weights = np.broadcast_to(self.n_problems @ self.cells, (len(starts), len(self.n_samples)))
        return ascend(self.objective(family, weights), starts, family.reach, n_steps=300)

    def refit(self, family: MixingFamily, free: Array, resamples: Array, centres: Array) -> Optimum:
        """Maximise on each resample from `free` (D,).

        `resamples` (B, G) counts how often each group was drawn; `centres` (B, D) is where each
        resample's prior is centred.
        """
        starts = np.repeat(free[None], len(resamples), axis=0)
        objective = self.objective(family, resamples @ self.cells, centres)
        return ascend(objective, starts, family.reach, tolerance=1e-4)


def _thinned(groups: Counts, fit_up_to: int | None) -> tuple[Array, Counts]:
    """Shares (G, U) of the groups in the cells (U, 2) that a fit up to K uses."""
    if fit_up_to is None or fit_up_to >= groups[:, 0].max():
        return np.eye(len(groups)), groups
    whole = groups[groups[:, 0] <= fit_up_to]
    wide = groups[groups[:, 0] > fit_up_to].astype(np.float64)
    subset = np.stack([np.full(fit_up_to + 1, fit_up_to), np.arange(fit_up_to + 1)], axis=1)
    drawn = subset[:, 1].astype(np.float64)
    with np.errstate(invalid="ignore"):
        log_share = (
            _log_choose(wide[:, 1:], drawn)
            + _log_choose(wide[:, :1] - wide[:, 1:], fit_up_to - drawn)
            - _log_choose(wide[:, :1], np.float64(fit_up_to))
        )
    share = np.zeros((len(groups), len(subset)))
    share[groups[:, 0] > fit_up_to] = np.exp(log_share)
    own = np.zeros((len(groups), len(whole)))
    own[groups[:, 0] <= fit_up_to] = np.eye(len(whole))
    cells = np.concatenate([subset, whole]).astype(np.int64)
    shares = np.concatenate([share, own], axis=1)
    used = shares.sum(axis=0) > 1e-12
    return shares[:, used], cells[used]


def _log_choose(n: Array, k: Array | np.float64) -> Array:
    """log of the binomial coefficient; -inf where k > n."""
    inside = k <= n
    k = np.where(inside, k, 0)
    return np.where(inside, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), -np.inf)
