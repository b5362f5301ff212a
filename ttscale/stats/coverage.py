"""Estimators that need only how many of a problem's samples are right (FORMULAS: pass@k and kin).

Every function broadcasts like numpy: counts of shape (problems, 1) against k of shape (ks,) give
a matrix (problems, ks). Values are means over all k-subsets of the n samples drawn, so they are
unbiased for k independent samples; they are NaN where k > n. Average problems, never pool counts.
"""

from __future__ import annotations

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
from ttscale.stats.binomials import log_binomial, log_miss


def pass_at_k(n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Chance that at least one of k samples is right (coverage): 1 - C(n-c, k)/C(n, k).

    n_samples, n_correct, k: whole numbers, broadcast together; a float for scalars. Relative error
    below 1e-11 up to n = 10,000. Raises InputError for c > n, negative or broken counts, k < 1.
    Source: Chen et al. 2021 (arXiv 2107.03374), eq. 1.
    """
    n, c = sample_counts(n_samples, n_correct)
    k = whole_numbers("k", k, at_least=1)
    same_shape(n_samples=n, n_correct=c, k=k)
    return (0.0 - np.expm1(log_miss(n, c, k)))[()]


def pass_hat_k(n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """Chance that all of k samples are right (pass^k): C(c, k)/C(n, k).

    Shapes and errors as `pass_at_k`. Source: Yao et al. 2024 (tau-bench, arXiv 2406.12045).
    """
    n, c = sample_counts(n_samples, n_correct)
    k = whole_numbers("k", k, at_least=1)
    same_shape(n_samples=n, n_correct=c, k=k)
    return np.exp(log_miss(n, n - c, k))[()]


def g_pass_at_k(
    n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, k: npt.ArrayLike, tau: npt.ArrayLike
) -> FloatArray:
    """Chance that at least max(1, ceil(tau k)) of k samples are right (G-Pass@k).

    tau in [0, 1] broadcasts too; tau -> 0 is pass@k, tau = 1 pass^k. Absolute error about 1e-12
    at n = 1,000. Source: Liu et al. 2025 (G-Pass@k, arXiv 2412.13147).
    """
    n, c = sample_counts(n_samples, n_correct)
    k = whole_numbers("k", k, at_least=1)
    tau = finite_numbers("tau", tau, 0.0, 1.0)
    shape = same_shape(n_samples=n, n_correct=c, k=k, tau=tau)
    needed = np.floor(tau * k).astype(np.int64)
    needed = np.maximum(1, needed + (tau > needed / k))  # compares tau with j/k: no rounding up
    n, c, k, needed = (np.broadcast_to(array, shape) for array in (n, c, k, needed))
    log_all = log_binomial(n, k)
    total = np.zeros(shape)
    with np.errstate(invalid="ignore"):  # -inf - -inf where k > n, masked below
        for extra in range(int(np.max(np.minimum(c, k) - needed, initial=-1)) + 1):
            right = needed + extra
            total += np.exp(log_binomial(c, right) + log_binomial(n - c, k - right) - log_all)
    return np.where(k <= n, np.minimum(total, 1.0), np.nan)[()]


class AcceptFirst(NamedTuple):
    """What rejection sampling with a binary verifier gives within k attempts.

    correct: chance that a right answer is returned; returned: chance that any answer is;
    attempts: expected samples drawn.
    """

    correct: FloatArray
    returned: FloatArray
    attempts: FloatArray


def accept_first(
    n_samples: npt.ArrayLike,
    n_accepted: npt.ArrayLike,
    n_accepted_correct: npt.ArrayLike,
    k: npt.ArrayLike,
) -> AcceptFirst:
    """Draw until the verifier accepts or k samples are used; return the accepted one.

    Exact over all orders of the pool. With a of n accepted, attempts have the closed form
    (n+1)/(a+1) times pass@k of (n+1, a+1): the hockey-stick sum of the chances of drawing on.
    Shapes and errors as `pass_at_k`.
    """
    n, a = sample_counts(n_samples, n_accepted, of="n_accepted")
    c = whole_numbers("n_accepted_correct", n_accepted_correct)
    k = whole_numbers("k", k, at_least=1)
    shape = same_shape(n_samples=n, n_accepted=a, n_accepted_correct=c, k=k)
    refuse(
        np.broadcast_to(c > a, shape),
        "n_accepted_correct",
        np.broadcast_to(c, shape),
        "more accepted-and-correct samples than accepted ones",
        "n_accepted_correct <= n_accepted",
    )
    returned = pass_at_k(n, a, k)
    attempts = (n + 1) / (a + 1) * (0.0 - np.expm1(log_miss(n + 1, a + 1, k)))
    attempts = np.where(k <= n, attempts, np.nan)[()]
    return AcceptFirst(returned * (c / np.maximum(a, 1)), returned, attempts)


def rate_until_success(n_successes: npt.ArrayLike, n_trials: npt.ArrayLike) -> FloatArray:
    """Success rate when sampling stopped at the r-th success on trial K: (r-1)/(K-1), unbiased.

    The plain r/K is biased up (PassUntil, Hu et al. 2023). NaN for r = 1, where no unbiased
    estimate exists short of "1 if K = 1".
    """
    trials, successes = sample_counts(n_trials, n_successes, of="n_successes")
    successes = whole_numbers("n_successes", successes, at_least=1)
    rate = (successes - 1) / np.maximum(trials - 1, 1)
    return np.where(successes >= 2, rate, np.nan)[()]


def within_problem_variance(
    n_samples: npt.ArrayLike, n_correct: npt.ArrayLike, k: npt.ArrayLike
) -> FloatArray:
    """Delete-one jackknife variance of one problem's pass@k over its own samples.

    For a *fixed* set of problems: the variance of the mean of Q problems is the sum over Q^2.
    Exact in mean at k = 1, too large by 8 % at k = n/4 and 44 % at k = n/2 (n = 20, p = 0.15);
    NaN for k >= n. An interval that speaks about new problems needs `mean_interval` instead.
    """
    n, c = sample_counts(n_samples, n_correct)
    k = whole_numbers("k", k, at_least=1)
    shape = same_shape(n_samples=n, n_correct=c, k=k)
    n, c, k = (np.broadcast_to(array, shape) for array in (n, c, k))
    if np.any(n < 1):
        raise InputError("a problem without samples has no variance", where="n_samples", got=0)
    fewer = n - 1
    without_right = pass_at_k(fewer, np.maximum(c - 1, 0), k)
    without_wrong = pass_at_k(fewer, np.minimum(c, fewer), k)
    centre = (c * without_right + (n - c) * without_wrong) / n
    spread = c * (without_right - centre) ** 2 + (n - c) * (without_wrong - centre) ** 2
    return ((n - 1) / n * spread)[()]
