"""How success rates differ between problems, without assuming a family of distributions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import FloatArray, finite_numbers, sample_counts


class RateMixture(NamedTuple):
    """Success rates (nodes,) and the share of problems at each: (nodes,), or (B, nodes)."""

    rate: FloatArray
    weight: FloatArray


def rate_mixture(
    n_samples: npt.ArrayLike,
    n_correct: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    n_steps: int = 100,
) -> RateMixture:
    """The distribution of problems' success rates that makes the counts likeliest.

    n_samples, n_correct: (problems,). The observed shares c/n spread wider than the true rates by
    the noise of n draws; a functional of the rates that is not linear, such as a ceiling, is biased
    if it takes them for the truth. Here their distribution on 101 nodes, even in arcsin of the
    root, is the non-parametric maximum likelihood, by `n_steps` steps of EM: few steps smooth, many
    make atoms, with nearly the same likelihood. weights: (B, problems) of resamples, one mixture
    for each. Source: Kiefer and Wolfowitz 1956; Laird 1978.
    """
    n, c = sample_counts(n_samples, n_correct)
    if n.ndim != 1 or n.shape != c.shape or not len(n):
        got = f"shapes {n.shape} and {c.shape}"
        raise InputError("one count per problem", where="n_samples, n_correct", got=got)
    rows = np.ones((1, len(n))) if weights is None else finite_numbers("weights", weights, 0.0)
    pairs, group = np.unique(np.stack([n, c]), axis=1, return_inverse=True)
    counts = np.zeros((len(rows), pairs.shape[1]))
    np.add.at(counts.T, group.ravel(), rows.T)
    counts /= counts.sum(axis=1, keepdims=True)
    rate = np.sin(np.linspace(0.0, np.pi / 2, 101)) ** 2
    likelihood = _likelihood(pairs[0].astype(np.float64), pairs[1].astype(np.float64), rate)
    mixture = np.full((len(rows), len(rate)), 1.0 / len(rate))
    for _ in range(n_steps):
        mixture *= (counts / np.maximum(mixture @ likelihood, 1e-300)) @ likelihood.T
        mixture[mixture < 1e-30] = 0.0  # numbers below the normal ones are slow
    return RateMixture(rate, mixture if weights is not None else mixture[0])


def _likelihood(n: FloatArray, c: FloatArray, rate: FloatArray) -> FloatArray:
    """Chance of each pair of counts at each rate, up to a factor of the pair, (nodes, pairs)."""
    from scipy.special import xlog1py, xlogy

    log = xlogy(c, rate[:, None]) + xlog1py(n - c, -rate[:, None])
    relative: FloatArray = np.exp(np.maximum(log - log.max(axis=0), -300.0))
    return relative
