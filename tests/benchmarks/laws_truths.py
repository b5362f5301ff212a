"""Distributions of success probability with known truth, for the simulations of the laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]


@dataclass(frozen=True)
class Truth:
    """A distribution of p over problems: its group in reports, its law, how to draw from it."""

    group: str
    name: str
    law: str
    draw: Draw

    def failure(self, ks: Array, n_draws: int = 4_000_000) -> Array:
        """1 - coverage over infinitely many problems, by Monte Carlo, shape (K,)."""
        p = self.draw(np.random.default_rng(99), n_draws)
        log_miss = np.log1p(-np.minimum(p, 1 - 1e-16))
        return np.array([np.exp(k * log_miss).mean() for k in ks])


def beta(a: float, b: float, scale: float = 1.0) -> Draw:
    """scale * Beta(a, b)."""
    return lambda rng, size: scale * rng.beta(a, b, size)


def kumaraswamy(a: float, b: float, scale: float = 1.0) -> Draw:
    """scale * Kumaraswamy(a, b), by its quantile function."""
    return lambda rng, size: scale * (1 - (1 - rng.random(size)) ** (1 / b)) ** (1 / a)


def either(first: Draw, second: Draw, share: float) -> Draw:
    """The first with probability `share`, else the second."""

    def draw(rng: np.random.Generator, size: int) -> Array:
        return np.where(rng.random(size) < share, first(rng, size), second(rng, size))

    return draw


def logit_normal(mu: float, sigma: float) -> Draw:
    """log-odds ~ Normal(mu, sigma)."""
    return lambda rng, size: 1 / (1 + np.exp(-rng.normal(mu, sigma, size)))


def point(p: float) -> Draw:
    """The same p for every problem."""
    return lambda _rng, size: np.full(size, p)


TRUTHS = (
    Truth("Beta", "Beta(0.1, 2)", "beta", beta(0.1, 2)),
    Truth("Beta", "Beta(0.3, 3.5)", "beta", beta(0.3, 3.5)),
    Truth("Beta", "Beta(0.5, 1.5)", "beta", beta(0.5, 1.5)),
    Truth("scaled Beta", "0.2 Beta(0.3, 3.5)", "scaled_beta", beta(0.3, 3.5, 0.2)),
    Truth("scaled Beta", "0.5 Beta(0.5, 1.5)", "scaled_beta", beta(0.5, 1.5, 0.5)),
    Truth("scaled Beta", "0.1 Beta(0.2, 2)", "scaled_beta", beta(0.2, 2, 0.1)),
    Truth("Kumaraswamy", "Kumaraswamy(0.3, 3.5)", "kumaraswamy", kumaraswamy(0.3, 3.5)),
    Truth("Kumaraswamy", "Kumaraswamy(0.5, 2)", "kumaraswamy", kumaraswamy(0.5, 2)),
    Truth("Kumaraswamy", "0.2 Kumaraswamy(0.5, 2)", "scaled_kumaraswamy", kumaraswamy(0.5, 2, 0.2)),
    Truth(
        "two clusters",
        "Beta(5, 5) or Beta(1, 200)",
        "two_cluster",
        either(beta(5, 5), beta(1, 200), 0.6),
    ),
    Truth(
        "two clusters",
        "Beta(4, 8) or Beta(0.3, 20)",
        "two_cluster",
        either(beta(4, 8), beta(0.3, 20), 0.5),
    ),
    Truth("two clusters", "0.5 or 0.0001", "two_cluster", either(point(0.5), point(1e-4), 0.5)),
    Truth("two clusters", "0.3 or 0.001", "two_cluster", either(point(0.3), point(1e-3), 0.5)),
    Truth("outside", "logit-normal(-4, 3)", "logit_normal", logit_normal(-4, 3)),
    Truth(
        "outside", "10 % impossible", "zero_inflated_beta", either(point(0.0), beta(0.3, 3.5), 0.1)
    ),
)
