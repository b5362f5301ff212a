"""Estimators that look at the top of an order: best-of-k by a score, the longest of k.

All rest on one fact. Sort n samples downward; the top of a random k-subset is sample i (from 0)
with chance C(n-i-1, k-1)/C(n, k). Tied samples are exchangeable, so each takes the mean of its
tie group and the expectation is exact under uniform tie-breaking, without shuffles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    as_rows,
    finite_numbers,
    real_numbers,
    same_shape,
    whole_numbers,
)


def best_of_k(
    scores: npt.ArrayLike,
    correct: npt.ArrayLike,
    k: npt.ArrayLike,
    *,
    present: npt.ArrayLike | None = None,
    with_replacement: bool = False,
) -> FloatArray:
    """Expected correctness of the best-scored of k samples, exact over subsets and ties.

    scores: (..., n), higher is better; NaN ranks below every number (tied with -inf).
    correct: (..., n), 0/1 or a grade in [0, 1]. k: any shape. present: (..., n) bool, False where
    a padded row holds no sample. Returns (...) + k.shape, NaN where k exceeds the samples present.
    `with_replacement` gives the plug-in for an infinite pool instead (any k; biased for small n).
    Error below 1e-13. Source: grouped form of FORMULAS 1.3; without ties Singhi et al. 2025.
    """
    correct = finite_numbers("correct", correct, 0.0, 1.0)
    scores = real_numbers("scores", scores)
    return _expected_top(scores, correct, k, present, with_replacement)


def expected_longest(
    lengths: npt.ArrayLike, k: npt.ArrayLike, *, present: npt.ArrayLike | None = None
) -> FloatArray:
    """Expected longest of k samples: the latency, in tokens or seconds, of k run in parallel.

    lengths: (..., n), in any unit; shapes as `best_of_k`. (The expected total is k times the mean.)
    """
    lengths = finite_numbers("lengths", lengths, 0.0)
    return _expected_top(lengths, lengths, k, present, with_replacement=False)


def selection_efficiency(
    selected: npt.ArrayLike, pass_at_1: npt.ArrayLike, pass_at_k: npt.ArrayLike
) -> FloatArray:
    """Share of the gap between one sample and coverage that a selector closes; broadcasts.

    0 is random choice, 1 an oracle, negative worse than random; NaN where there is no gap.
    """
    selected, low, high = (
        real_numbers(name, value)
        for name, value in (
            ("selected", selected),
            ("pass_at_1", pass_at_1),
            ("pass_at_k", pass_at_k),
        )
    )
    same_shape(selected=selected, pass_at_1=low, pass_at_k=high)
    gap = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap > 0, (selected - low) / gap, np.nan)[()]


def _expected_top(
    keys: FloatArray,
    values: FloatArray,
    k: npt.ArrayLike,
    present: npt.ArrayLike | None,
    with_replacement: bool,
) -> FloatArray:
    ks = whole_numbers("k", k, at_least=1)
    mask = np.asarray(True if present is None else present, dtype=np.bool_)
    shape = same_shape(scores=keys, correct=values, present=mask)
    if not shape or not shape[-1]:
        hint = "an array of shape (..., n) with n >= 1"
        raise InputError("one entry per sample is needed", where="scores", got=shape, hint=hint)
    mask = as_rows(mask, shape)
    ranked, n = _rank(as_rows(keys, shape), as_rows(values, shape), mask), mask.sum(axis=1)
    columns, column_of_k = np.unique(ks.ravel(), return_inverse=True)
    curves = np.full((len(ranked), len(columns)), np.nan)
    for size in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == size)
        rows_or_all = slice(None) if len(rows) == len(ranked) else rows
        for first, last in _neighbours(columns, int(size), with_replacement):
            weights = _top_weights(int(size), columns[first:last], with_replacement)
            curves[rows_or_all, first:last] = ranked[rows_or_all, : len(weights)] @ weights
    return curves[:, column_of_k.ravel()].reshape(shape[:-1] + ks.shape)[()]


def _rank(keys: FloatArray, values: FloatArray, present: BoolArray) -> FloatArray:
    """Values sorted by key downward, tied ones replaced by their mean, absent ones last."""
    keys = np.where(present, np.where(np.isnan(keys), np.inf, -keys), np.nan)  # NaN sorts last
    order = np.argsort(keys, axis=1)
    keys, values = np.take_along_axis(keys, order, 1), np.take_along_axis(values, order, 1)
    starts = np.ones(keys.shape, dtype=np.bool_)
    starts[:, 1:] = keys[:, 1:] != keys[:, :-1]
    if starts.all():
        return values
    group = np.cumsum(starts.ravel()) - 1
    means: FloatArray = np.bincount(group, weights=values.ravel()) / np.bincount(group)
    smoothed: FloatArray = means[group]
    return smoothed.reshape(values.shape)


def _neighbours(columns: IntArray, n: int, with_replacement: bool) -> list[tuple[int, int]]:
    """Slices of the sorted ks whose largest is at most a quarter above the smallest."""
    end = len(columns) if with_replacement else int(np.searchsorted(columns, n, side="right"))
    slices, first = [], 0
    while first < end:
        last = min(end, int(np.searchsorted(columns, 1.25 * columns[first], side="right")))
        slices.append((first, last))
        first = last
    return slices


def _top_weights(n: int, ks: IntArray, with_replacement: bool) -> FloatArray:
    """Chance (ranks, ks) that the top of k draws is the sample of that rank.

    From rank to rank C(n-i-1, k-1) falls by the factor (n-k-i)/(n-1-i): a running product of
    numbers below 1, no factorials. The weight beyond rank 40 n/k is below exp(-40) and left out,
    which makes all k of a pool cost O(n log n) instead of O(n^2).
    """
    depth = min(n, -(-40 * n // int(ks[0])) + 1)
    rank = np.arange(depth)[:, None]
    if with_replacement:
        return ((n - rank) / n) ** ks - ((n - rank - 1) / n) ** ks
    factors = np.maximum(n - ks - rank + 1, 0) / np.maximum(n - rank, 1)
    factors[0] = ks / n
    return np.cumprod(factors, axis=0)
