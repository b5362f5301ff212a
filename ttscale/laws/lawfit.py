"""One law fitted to one pool: parameters, their draws, and the curve they give."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ttscale.laws.curves import CurveFamily
from ttscale.laws.draws import Estimate, finite, weighted_quantiles
from ttscale.laws.grid import Array, Grid
from ttscale.laws.mixing import MixingFamily
from ttscale.laws.optimize import Optimum

BEST_WITHIN = 0.01


@dataclass(frozen=True)
class Search:
    """How the optimiser got there.

    Attributes
    ----------
    n_starts, n_reached : starts, and those that ended within 0.01 of the best objective.
    spread : range of the objective over the ends of all starts.
    n_refits, refits_converged : bootstrap refits, and the share of them that converged.
    """

    n_starts: int
    n_reached: int
    spread: float
    n_refits: int
    refits_converged: float

    @classmethod
    def of(cls, ends: Optimum, refits: Optimum) -> Search:
        values = ends.value
        return cls(
            len(values),
            int((values > values.max() - BEST_WITHIN).sum()),
            float(values.max() - values.min()),
            len(refits.value),
            float(refits.converged.mean()) if len(refits.value) else 1.0,
        )


@dataclass(frozen=True)
class LawFit:
    """A fitted law.

    Attributes
    ----------
    family : the law.
    free : best parameters on the free scale, shape (D,).
    draws : parameters of the bootstrap refits, shape (B, D).
    search : how the optimiser got there.
    level : of the intervals.
    heldout_error : root mean square error of accuracy at budgets up to four times those the law
        was fitted to; NaN where the pool is too small to hold budgets out.
    weight : share of the law in the pooled one; NaN for a law outside every pool.
    log_evidence : log marginal likelihood by Laplace's method; NaN likewise.
    grid : the quadrature of a mixing law.
    """

    family: MixingFamily | CurveFamily
    free: Array
    draws: Array
    search: Search
    level: float
    heldout_error: float = np.nan
    weight: float = np.nan
    log_evidence: float = np.nan
    grid: Grid | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.family.name

    @property
    def stride(self) -> int:
        return 1 if isinstance(self.family, MixingFamily) else self.family.stride

    def curves(self, free: Array, ks: Array) -> Array:
        """Accuracy of each parameter vector (B, D) at ks of shape (K,), or (B, 1) for its own."""
        if isinstance(self.family, CurveFamily):
            return self.family.curve(free, ks)
        assert self.grid is not None, "a mixing law carries its grid"
        if ks.ndim == 1:
            return 1 - self.family.failure(self.grid, free, ks)
        log_q, weights, unsolvable = self.family.places(self.grid, free)
        missed: Array = (weights * np.exp(ks * log_q)).sum(axis=1)
        return (1 - unsolvable - missed)[:, None]

    def limits(self, free: Array) -> Array:
        """The asymptote of each parameter vector, shape (B,)."""
        if isinstance(self.family, CurveFamily):
            return self.family.limit(free)
        if self.family.has_unsolvable:
            return 1 - self.family.values(free)[:, -1]
        return np.ones(len(free))

    def parameters(self) -> dict[str, Estimate]:
        """Every parameter by name, in its own units, with its percentile interval."""
        values = self.family.values(self.free)
        names = [p.name for p in self.family.parameters]
        if not len(self.draws):
            return {
                n: Estimate(float(v), np.nan, np.nan) for n, v in zip(names, values, strict=True)
            }
        tail = (1 - self.level) / 2
        ends = weighted_quantiles(
            self.family.values(self.draws), np.ones(len(self.draws)), (tail, 1 - tail)
        )
        return {
            name: Estimate(float(value), float(low), float(high))
            for name, value, low, high in zip(names, values, *ends, strict=True)
        }

    def to_json(self, selected: bool) -> dict[str, object]:
        """The `laws` entry of `ttscale fit --json`."""
        return {
            "family": self.name,
            "form": self.family.form,
            "parameters": {name: e.to_json() for name, e in self.parameters().items()},
            "heldout_error": finite(self.heldout_error),
            "weight": finite(self.weight),
            "selected": selected,
        }


def best(ends: Optimum) -> NDArray[np.float64]:
    """The best end of many starts, shape (D,)."""
    top: NDArray[np.float64] = ends.free[int(np.argmax(ends.value))]
    return top
