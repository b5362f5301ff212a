"""Distributions of the success probability over problems, from which coverage laws follow.

A problem solved with probability p by one sample is solved by k with probability 1 - (1-p)^k, so
coverage is one minus a mixture of exponentials, and a law of coverage *is* a distribution of p
(Schaeffer et al., 2025; Levi, 2024). Each family below gives that distribution as weights at the
nodes of a `Grid`; counts, coverage and gradients follow from the weights alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ttscale.laws.grid import Array, Grid, softplus
from ttscale.laws.parameters import Family, Parameter

ALPHA = Parameter("alpha", "log", np.log(0.5), 1.2)
BETA = Parameter("beta", "log", np.log(3.0), 1.5)
SCALE = Parameter("scale", "logit", 1.0, 2.0)
UNSOLVABLE = Parameter("unsolvable", "logit", -4.0, 1.5)


class Mixture(NamedTuple):
    """Distributions of p over problems, one for each of B parameter vectors.

    Attributes
    ----------
    log_odds : places of the weights, shape (B, J); None means the grid's own nodes.
    weights : probability at each place, shape (B, J); a row sums to one.
    slopes : derivatives of the weights by the free parameters of the shape, (D, B, J).
    shifts : derivative of the places by the last free parameter of the shape; None if they stay.
    """

    log_odds: Array | None
    weights: Array
    slopes: Array
    shifts: Array | None = None


Shape = Callable[[Grid, Array], Mixture]


def _density(grid: Grid, log_density: Array, slopes: Array, left: Array, right: Array) -> Mixture:
    """Weights from a density in log-odds with tails exp(left t) and exp(-right t).

    The tails beyond the grid are geometric series of the same trapezoid rule, put on its end
    nodes, so that small exponents lose no mass. `slopes[0]` and `slopes[1]` are by log(left) and
    log(right).
    """
    log_weights = log_density + np.log(grid.step)
    slopes = slopes.copy()
    for exponent, end, slope in ((left, 0, slopes[0]), (right, -1, slopes[1])):
        decay = exponent[:, 0] * grid.step[end]
        log_weights[:, end] -= np.log(-np.expm1(-decay))
        slope[:, end] += decay * np.exp(-decay) / np.expm1(-decay)
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    slopes = weights * (slopes - (weights * slopes).sum(axis=2, keepdims=True))
    return Mixture(None, weights, slopes)


def _beta_shape(grid: Grid, alpha: Array, beta: Array) -> Mixture:
    """Beta(alpha, beta), slopes by log alpha and log beta; alpha, beta of shape (B, 1)."""
    left, right = alpha * grid.log_p, beta * grid.log_q
    return _density(grid, left + right, np.stack([left, right]), alpha, beta)


def beta(grid: Grid, free: Array) -> Mixture:
    """p ~ Beta(alpha, beta): density p^(alpha-1) (1-p)^(beta-1) / B(alpha, beta)."""
    return _beta_shape(grid, np.exp(free[:, 0:1]), np.exp(free[:, 1:2]))


def kumaraswamy(grid: Grid, free: Array) -> Mixture:
    """p ~ Kumaraswamy: density alpha beta p^(alpha-1) (1 - p^alpha)^(beta-1)."""
    alpha, beta = np.exp(free[:, 0:1]), np.exp(free[:, 1:2])
    left = alpha * grid.log_p
    rest = -np.expm1(left)
    log_rest = np.log(rest)
    by_alpha = left - (beta - 1) * left * np.exp(left) / rest
    log_density = left + (beta - 1) * log_rest + grid.log_q
    return _density(grid, log_density, np.stack([by_alpha, beta * log_rest]), alpha, beta)


def logit_normal(grid: Grid, free: Array) -> Mixture:
    """log(p / (1-p)) ~ Normal(mu, sigma): item response theory's law of difficulty."""
    sigma = np.exp(free[:, 1:2])
    z = (grid.log_odds - free[:, 0:1]) / sigma
    log_weights = np.log(grid.step) - z * z / 2
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    slopes = np.stack([z / sigma, z * z])
    return Mixture(None, weights, weights * (slopes - (weights * slopes).sum(2, keepdims=True)))


def two_cluster(grid: Grid, free: Array) -> Mixture:
    """An easy and a hard cluster of problems, each a Beta with a mean and a concentration."""
    parts, slopes = [], []
    for mean, concentration in ((free[:, 0:1], free[:, 1:2]), (free[:, 2:3], free[:, 3:4])):
        p, q = np.exp(-softplus(-mean)), np.exp(-softplus(mean))
        # No narrower than a node: the counts could not tell.
        narrowest = 3.0 * grid.n_draws
        size = np.minimum(np.exp(concentration), narrowest)
        part = _beta_shape(grid, np.maximum(size * p, 1e-3), np.maximum(size * q, 1e-3))
        by_alpha, by_beta = part.slopes
        by_size = np.where(size < narrowest, by_alpha + by_beta, 0.0)
        parts.append(part.weights)
        slopes.append([q * by_alpha - p * by_beta, by_size])
    share = np.exp(-softplus(-free[:, 4:5]))
    weights = share * parts[0] + (1 - share) * parts[1]
    by_share = share * (1 - share) * (parts[0] - parts[1])
    by_parts = [s * x for s, own in zip((share, 1 - share), slopes, strict=True) for x in own]
    return Mixture(None, weights, np.stack([*by_parts, by_share]))


def point(_grid: Grid, free: Array) -> Mixture:
    """Every solvable problem has the same p: with a share f_max of them, the saturating law."""
    one = np.ones((len(free), 1))
    return Mixture(free[:, 0:1], one, np.zeros((1, len(free), 1)), one)


def scaled(shape: Shape) -> Shape:
    """The law of `scale` times p: no problem is solved more often than `scale` (s in papers)."""

    def law(grid: Grid, free: Array) -> Mixture:
        inner = shape(grid, free[:, :-1])
        assert inner.log_odds is None, "only laws on the grid's own nodes are scaled"
        last = free[:, -1:]
        log_scale, rest = -softplus(-last), np.exp(-softplus(last))
        log_p = log_scale + grid.log_p
        q = np.exp(grid.log_q) + rest * grid.p
        slopes = np.concatenate([inner.slopes, np.zeros_like(inner.weights)[None]])
        return Mixture(log_p - np.log(q), inner.weights, slopes, rest / q)

    return law


@dataclass(frozen=True)
class MixingFamily(Family):
    """A family of coverage laws: a distribution of p, perhaps with a share that p = 0.

    Parameters
    ----------
    parameters : those of the shape, then `unsolvable` if the family has it.
    shape : weights of the shape at given free parameters.
    source : paper.
    """

    shape: Shape
    source: str

    @property
    def has_unsolvable(self) -> bool:
        """Whether a share of the problems has p = 0, so that coverage ends below one."""
        return self.parameters[-1].name == UNSOLVABLE.name

    def tidy(self, free: Array) -> Array:
        """The same law with its parameters in a fixed order: the easy cluster first."""
        if self.shape is not two_cluster:
            return free
        swap = free[:, 0] < free[:, 2]
        other = np.concatenate([free[:, 2:4], free[:, 0:2], -free[:, 4:5]], axis=1)
        return np.where(swap[:, None], other, free)

    def on_nodes(self, grid: Grid, free: Array) -> tuple[Array, Array]:
        """Weights at p = 0 and the nodes, (B, 1+M), and slopes by all parameters, (D, B, 1+M)."""
        n_shape = len(self.parameters) - self.has_unsolvable
        mixture = self.shape(grid, free[:, :n_shape])
        weights, slopes = mixture.weights, mixture.slopes
        if mixture.log_odds is not None:
            assert mixture.shifts is not None, "places that move have a derivative"
            place = grid.place(mixture.log_odds)
            carried = grid.gather(place.value, np.concatenate([weights[None], slopes[:-1]]))
            moved = grid.gather(place.slope, (mixture.shifts * weights)[None])
            weights, slopes = carried[0], np.concatenate([carried[1:], moved])
        weights = np.pad(weights, ((0, 0), (1, 0)))
        slopes = np.pad(slopes, ((0, 0), (0, 0), (1, 0)))
        if self.has_unsolvable:
            share = np.exp(-softplus(-free[:, -1:]))
            zero = np.zeros_like(weights)
            zero[:, 0] = 1.0
            slopes = np.concatenate(
                [(1 - share) * slopes, (share * (1 - share) * (zero - weights))[None]]
            )
            weights = share * zero + (1 - share) * weights
        return weights, slopes

    def places(self, grid: Grid, free: Array) -> tuple[Array, Array, Array]:
        """The law itself: log(1-p) and weight at each place, (B, J), and the share at p = 0, (B,).

        Not interpolated: the exact quadrature, for coverage at any k.
        """
        n_shape = len(self.parameters) - self.has_unsolvable
        mixture = self.shape(grid, free[:, :n_shape])
        log_q = grid.log_q[None] if mixture.log_odds is None else -softplus(mixture.log_odds)
        unsolvable = np.zeros(len(free))
        if self.has_unsolvable:
            unsolvable = np.exp(-softplus(-free[:, -1]))
        return log_q, mixture.weights * (1 - unsolvable[:, None]), unsolvable

    def failure(self, grid: Grid, free: Array, ks: Array) -> Array:
        """1 - coverage at `ks`, shape (B, K): the chance that k samples all miss."""
        log_q, weights, unsolvable = self.places(grid, free)
        if len(log_q) == 1:
            missed: Array = weights @ np.exp(log_q[0][:, None] * ks)
            return unsolvable[:, None] + missed
        columns = [(weights * np.exp(k * log_q)).sum(axis=1) for k in ks]
        return np.asarray(unsolvable[:, None] + np.stack(columns, axis=1))

    def log_likelihood(self, free: Array, n_samples: int, n_correct: int) -> float:
        """log P(n_correct of n_samples solved) for one problem, by the exact quadrature."""
        from scipy.special import gammaln, logsumexp

        grid = Grid(n_samples)
        free = np.asarray(free, dtype=np.float64)[None]
        log_q, weights, unsolvable = self.places(grid, free)
        log_p = np.log(-np.expm1(log_q))
        constant = gammaln(n_samples + 1) - gammaln(n_correct + 1)
        constant -= gammaln(n_samples - n_correct + 1)
        exponent = n_correct * log_p + (n_samples - n_correct) * log_q
        total = logsumexp(exponent, b=weights) + constant
        if n_correct == 0 and unsolvable[0] > 0:
            total = np.logaddexp(total, np.log(unsolvable[0]))
        return float(total)
