"""The plain power-law fit of the literature, kept as the yardstick the other laws must beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ttscale.laws.grid import Array


class PowerLaw(NamedTuple):
    """coverage(k) = exp(-A k^-B), and how many points it was fitted to.

    Attributes
    ----------
    A, B : the law's constant and exponent.
    n_points, n_dropped : points used, and points left out because coverage was 0 or 1 there.
    """

    A: float
    B: float
    n_points: int
    n_dropped: int

    def coverage(self, ks: Array) -> Array:
        """Coverage at k samples, shape as `ks`."""
        return np.exp(-self.A * np.asarray(ks, dtype=np.float64) ** -self.B)


def loglog_fit(ks: Array, coverage: Array) -> PowerLaw:
    """Least squares of log(-log coverage) on log k, every point with equal weight.

    Source: Brown et al., 2024; Schaeffer et al., 2025 (their code minimises the same sum). With
    fewer than two usable points A and B are NaN.

    Parameters
    ----------
    ks, coverage : numbers of samples and mean pass@k there, each of shape (K,).
    """
    ks, coverage = np.asarray(ks, dtype=np.float64), np.asarray(coverage, dtype=np.float64)
    usable = (coverage > 0) & (coverage < 1)
    n_dropped = int((~usable).sum())
    if usable.sum() < 2:
        return PowerLaw(np.nan, np.nan, int(usable.sum()), n_dropped)
    slope, intercept = np.polyfit(np.log(ks[usable]), np.log(-np.log(coverage[usable])), 1)
    return PowerLaw(float(np.exp(intercept)), float(-slope), int(usable.sum()), n_dropped)
