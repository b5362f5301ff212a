"""Ratios of binomial coefficients that neither overflow nor cancel."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from ttscale.stats.arrays import FloatArray, IntArray


def log_miss(n: IntArray, marked: IntArray, k: IntArray) -> FloatArray:
    """log [C(n - marked, k) / C(n, k)]: log-chance that k draws of n miss all marked items.

    -inf where k > n - marked, NaN where k > n; broadcasts. With y = x + 1/2, Stirling's series
    reads log x! = y log y - y + log(2 pi)/2 + r(y), and of the four factorials in the ratio only
    terms relative to y_n survive: no large numbers are subtracted. Relative error about 1e-12 up
    to n = 10,000.
    """
    unmarked, kept = n - marked, np.maximum(n - k, 0)
    left = unmarked - k
    feasible = left >= 0
    left = np.maximum(left, 0)
    scale = n + 0.5
    rest = _stirling_rest(int(np.max(n, initial=0)) + 1)
    log_ratio = (
        (unmarked + 0.5) * np.log1p(-marked / scale)
        + (kept + 0.5) * np.log1p((kept - n) / scale)
        - (left + 0.5) * np.log1p((left - n) / scale)
        + ((rest[unmarked] - rest[n]) + (rest[kept] - rest[left]))
    )
    missed = np.where(feasible, np.minimum(log_ratio, 0.0), -np.inf)
    return np.where(k <= n, missed, np.nan)


def _stirling_rest(length: int) -> FloatArray:
    """r(x + 1/2) of `log_miss` for x < length: exact below 32, then three terms (error 1e-14)."""
    small = min(length, 32)
    exact = [
        math.lgamma(x + 1) - (x + 0.5) * math.log(x + 0.5) + x + 0.5 - math.log(2 * math.pi) / 2
        for x in range(small)
    ]
    y = np.arange(small, length) + 0.5
    series = (-1 / 24 + (7 / 2880 - 31 / 40320 / y**2) / y**2) / y
    return np.concatenate([exact, series])


@lru_cache(maxsize=4)
def _log_factorial_table(length: int) -> FloatArray:
    # Extended precision where there is some: the running sum of a million terms loses five digits.
    logs = np.log(np.arange(1, length, dtype=np.longdouble))
    return np.concatenate([[0.0], np.cumsum(logs).astype(np.float64)])


def log_factorials(n_max: int) -> FloatArray:
    """log x! for x = 0 .. at least n_max (shared table: do not write to it)."""
    return _log_factorial_table(1 << max(10, (n_max + 1).bit_length()))


def log_binomial(n: IntArray, k: IntArray) -> FloatArray:
    """log C(n, k), -inf outside 0 <= k <= n; broadcasts."""
    table = log_factorials(int(np.max(n, initial=0)))
    inside = (k >= 0) & (k <= n)
    k = np.where(inside, k, 0)
    return np.where(inside, table[n] - table[k] - table[n - k], -np.inf)
