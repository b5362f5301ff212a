"""A quadrature grid over the success probability of a problem, shared by every coverage law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]

# Nodes per unit of log-odds where counts say little, and per standard deviation of a binomial
# count where they say much. The trapezoid rule then errs by less than 1e-9 (FORMULAS 2.4).
LOG_ODDS_STEP = 0.25
DEVIATION_STEP = 0.6
LOG_ODDS_REACH = 30.0
FEWEST_DRAWS = 300
TAPS = 6


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.logaddexp(0.0, x)


class Place(NamedTuple):
    """How weights at points between the nodes are carried to the nodes, by interpolation.

    Attributes
    ----------
    value : sparse map from the points of all rows (B * J) to the nodes of all rows (B * M).
    slope : its derivative by the points' log-odds.
    """

    value: csr_array
    slope: csr_array


@dataclass(frozen=True)
class Grid:
    """Nodes in log-odds, dense enough to resolve the likelihood of `n_draws` draws at every p.

    The coordinate tau(t) = t / 0.25 + 2 sqrt(n) arcsin(sqrt p) / 0.6 grows evenly with the
    log-odds t in the tails and with the variance-stabilised probability between; nodes stand at
    equal steps of tau, so that the trapezoid rule converges as fast as the integrand is smooth.

    Attributes
    ----------
    n_draws : the largest number of samples of a problem.
    log_odds, log_p, log_q, p : the nodes, shape (M,); q = 1 - p without cancellation.
    step : quadrature weight in log-odds of each node, shape (M,).
    """

    n_draws: int

    def coordinate(self, log_odds: Array) -> Array:
        """The coordinate tau at some log-odds; arcsin(sqrt p) is arctan(sqrt(p / q))."""
        root = np.sqrt(max(self.n_draws, FEWEST_DRAWS))
        tau: Array = np.arctan(np.exp(log_odds / 2)) * (2 * root / DEVIATION_STEP)
        tau += log_odds / LOG_ODDS_STEP
        return tau

    def stretch(self, log_odds: Array) -> Array:
        """d tau / d log-odds; sqrt(p q) is half a hyperbolic secant."""
        root = np.sqrt(max(self.n_draws, FEWEST_DRAWS))
        slope: Array = (root / DEVIATION_STEP / 2) / np.cosh(log_odds / 2)
        slope += 1 / LOG_ODDS_STEP
        return slope

    @cached_property
    def log_odds(self) -> Array:
        dense = np.linspace(-LOG_ODDS_REACH, LOG_ODDS_REACH, 100_001)
        tau = self.coordinate(dense)
        nodes = np.linspace(tau[0], tau[-1], int(np.ceil(tau[-1] - tau[0])) + 1)
        log_odds = np.interp(nodes, tau, dense)
        for _ in range(3):
            log_odds = log_odds - (self.coordinate(log_odds) - nodes) / self.stretch(log_odds)
        return log_odds

    @cached_property
    def spacing(self) -> float:
        ends = self.coordinate(self.log_odds[[0, -1]])
        return float((ends[1] - ends[0]) / (len(self.log_odds) - 1))

    @cached_property
    def step(self) -> Array:
        return self.spacing / self.stretch(self.log_odds)

    @cached_property
    def log_p(self) -> Array:
        return -softplus(-self.log_odds)

    @cached_property
    def log_q(self) -> Array:
        return -softplus(self.log_odds)

    @cached_property
    def p(self) -> Array:
        return np.exp(self.log_p)

    def place(self, log_odds: Array) -> Place:
        """Six-point Lagrange interpolation from points of shape (B, J) to the nodes of B rows."""
        n_rows, n_nodes = len(log_odds), len(self.log_odds)
        start = self.coordinate(self.log_odds[:1])
        position = (self.coordinate(log_odds) - start) / self.spacing
        position = np.clip(position, TAPS // 2 - 1, n_nodes - TAPS // 2 - 1)
        node = np.minimum(position.astype(np.intp), n_nodes - TAPS // 2 - 1)
        weight, slope = _lagrange(position - node)
        slope *= (self.stretch(log_odds) / self.spacing)[:, :, None]
        first = node - (TAPS // 2 - 1) + n_nodes * np.arange(n_rows)[:, None]
        columns = (first[:, :, None] + np.arange(TAPS)).astype(np.int32).ravel()
        ends = np.arange(0, len(columns) + 1, TAPS, dtype=np.int32)
        shape = (log_odds.size, n_rows * n_nodes)
        value = csr_array((weight.ravel(), columns, ends), shape=shape)
        return Place(value, csr_array((slope.ravel(), columns, ends), shape=shape))

    def gather(self, carry: csr_array, weights: Array) -> Array:
        """Weights at the nodes, shape (F, B, M), from weights at the points, shape (F, B, J)."""
        n_fields, n_rows = weights.shape[:2]
        carried = carry.T @ np.ascontiguousarray(weights.reshape(n_fields, -1).T)
        return np.ascontiguousarray(carried.T).reshape(n_fields, n_rows, -1)


@lru_cache(maxsize=32)
def grid_for(n_draws: int) -> Grid:
    """The grid for pools of up to `n_draws` samples a problem."""
    return Grid(max(n_draws, FEWEST_DRAWS))


# Row d holds the coefficients of x^d in the polynomials that are one at one tap, zero at the rest.
_COEFFICIENTS = np.linalg.inv(np.vander(np.arange(TAPS) - (TAPS // 2 - 1.0), increasing=True))


def _lagrange(fraction: Array) -> tuple[Array, Array]:
    """Weights of six equally spaced nodes and their derivatives, shape (..., 6)."""
    powers = np.ones((TAPS, *fraction.shape))
    for d in range(1, TAPS):
        np.multiply(powers[d - 1], fraction, out=powers[d])
    flat = powers.reshape(TAPS, -1)
    by_power = np.arange(1, TAPS)[:, None] * _COEFFICIENTS[1:]
    weights, slopes = flat.T @ _COEFFICIENTS, flat[:-1].T @ by_power
    return weights.reshape(*fraction.shape, TAPS), slopes.reshape(*fraction.shape, TAPS)
