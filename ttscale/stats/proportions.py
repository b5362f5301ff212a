"""Intervals and tests for plain counts: one 0/1 outcome per problem, or one problem's samples.

Pooling the samples of many problems into one count ignores that samples of a problem resemble each
other; `mean_interval` is made for that case.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import (
    FloatArray,
    finite_numbers,
    refuse,
    same_shape,
    sample_counts,
    whole_numbers,
)
from ttscale.stats.intervals import Interval


class McNemar(NamedTuple):
    """Problems only the first arm solved, only the second solved, and the exact two-sided p."""

    n_only_first: int
    n_only_second: int
    p_value: float


def wilson(n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion of independent trials; broadcasts, NaN at n = 0."""
    n, c = sample_counts(n_samples, n_correct)
    z = NormalDist().inv_cdf(0.5 + _level(level) / 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = c / n
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = np.where(c == 0, 0.0, centre - half), np.where(c == n, 1.0, centre + half)
    empty = n == 0
    return Interval(share[()], np.where(empty, np.nan, low)[()], np.where(empty, np.nan, high)[()])


def jeffreys(n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Equal-tailed posterior of a proportion under the prior Beta(1/2, 1/2); broadcasts.

    As usual (Brown, Cai, DasGupta 2001) the end at the boundary is the boundary where no trial, or
    every trial, succeeded. With no trials it is the prior, with a NaN estimate.
    """
    from scipy.special import betaincinv

    n, c = sample_counts(n_samples, n_correct)
    tail = (1.0 - _level(level)) / 2.0
    low = np.where(c == 0, 0.0, betaincinv(c + 0.5, n - c + 0.5, tail))
    high = np.where(c == n, 1.0, betaincinv(c + 0.5, n - c + 0.5, 1.0 - tail))
    return Interval(np.where(n > 0, c / np.maximum(n, 1), np.nan)[()], low[()], high[()])


def pass_at_k_posterior(
    n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, k: npt.ArrayLike, level: float = 0.95
) -> Interval:
    """One problem's coverage at any k, k > n included: `jeffreys` carried through 1-(1-p)^k.

    The transformation is monotone, so the ends are exact posterior quantiles; the estimate is the
    posterior mean. For a single problem, or a fixed set of them, where there is nothing to
    resample. Beyond n it leans on the prior when no sample succeeded. Broadcasts like `pass_at_k`.
    """
    from scipy.special import betaln

    n, c = sample_counts(n_samples, n_correct)
    k = whole_numbers("k", k, at_least=1)
    same_shape(n_samples=n, n_correct=c, k=k)
    rate = jeffreys(n, c, level)
    mean = -np.expm1(betaln(c + 0.5, n - c + 0.5 + k) - betaln(c + 0.5, n - c + 0.5))
    with np.errstate(divide="ignore"):
        low, high = (-np.expm1(k * np.log1p(-end)) for end in (rate.low, rate.high))
    return Interval(mean[()], low + 0.0, high)


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike) -> McNemar:
    """Exact McNemar test of two arms with one 0/1 outcome each on the same problems.

    Under the null, the problems that only one arm solved are fair coin flips: two-sided binomial
    p-value, 1 where no problem differs. first, second: (problems,) of 0/1.
    """
    one, two = (
        finite_numbers(name, arm, 0.0, 1.0) for name, arm in (("first", first), ("second", second))
    )
    if one.shape != two.shape or one.ndim != 1:
        got = f"shapes {one.shape} and {two.shape}"
        hint = "one outcome per problem and arm, in one order"
        raise InputError(
            "paired arms need the same problems", where="first, second", got=got, hint=hint
        )
    for name, arm in (("first", one), ("second", two)):
        refuse((arm != 0) & (arm != 1), name, arm, "McNemar's test needs 0/1 outcomes", "0 or 1")
    only_first, only_second = int((one > two).sum()), int((two > one).sum())
    flips = only_first + only_second
    tail = sum(math.comb(flips, heads) for heads in range(min(only_first, only_second) + 1))
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**flips))


def design_effect(n_samples: npt.ArrayLike, correlation: npt.ArrayLike) -> FloatArray:
    """Factor 1 + (n-1) rho by which clustering inflates the variance of a pooled proportion."""
    n = whole_numbers("n_samples", n_samples, at_least=1)
    rho = finite_numbers("correlation", correlation, -1.0, 1.0)
    return (1.0 + (n - 1) * rho)[()]


def _level(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise InputError("level is a chance", where="level", got=level, hint="0.95")
    return level
