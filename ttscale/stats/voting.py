"""Weighted votes: every sample adds its weight to its answer, the heaviest answer wins.

No closed form is known for the expected weighted vote of k samples. Where there are few subsets all
are listed; else random subsets without replacement, nested in one permutation for all k, estimate
it with a stated standard error. With weights of 1 this is `majority_at_k`, which is exact.
"""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import (
    FloatArray,
    IntArray,
    as_rows,
    finite_numbers,
    real_numbers,
    same_shape,
    whole_numbers,
)

_LISTED_SUBSETS = 20_000


class Estimate(NamedTuple):
    """A Monte Carlo value with its standard error, 0 where every subset was listed."""

    value: FloatArray
    standard_error: FloatArray


def weighted_majority_at_k(
    answer_classes: npt.ArrayLike,
    weights: npt.ArrayLike,
    correct: npt.ArrayLike,
    k: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    n_resamples: int = 1000,
    present: npt.ArrayLike | None = None,
) -> Estimate:
    """Expected correctness of the answer with the greatest summed weight among k samples.

    answer_classes: (..., n) whole numbers, equal where answers are; -1 abstains. weights: (..., n)
    such as verifier scores; a sample with NaN weight casts no vote. correct: (..., n), 0/1; a class
    counts with the share of its samples that are right. present: (..., n), False where a padded row
    holds no sample. Ties (sums equal to 1e-12) are broken uniformly; answers that nobody of the
    subset gave cannot win, so negative weights are fine. Values have shape (...) + k.shape, NaN
    where k exceeds the samples; exact where C(n, k) <= 20,000. A standard error of 0 from
    `n_resamples` draws means that all agreed: the chance of another outcome is below 3/n_resamples.
    """
    classes = whole_numbers("answer_classes", answer_classes, at_least=-1)
    heavy = real_numbers("weights", weights)
    right = finite_numbers("correct", correct, 0.0, 1.0)
    mask = np.asarray(True if present is None else present, dtype=np.bool_)
    shape = same_shape(answer_classes=classes, weights=heavy, correct=right, present=mask)
    if not shape or not shape[-1]:
        hint = "an array of shape (..., n) with n >= 1"
        raise InputError("no samples", where="answer_classes", got=shape, hint=hint)
    if np.any(np.isinf(heavy)):
        raise InputError("infinite weights", where="weights", hint="finite numbers, or NaN")
    if n_resamples < 2:
        raise InputError("too few resamples for an error", where="n_resamples", got=n_resamples)
    ks = whole_numbers("k", k, at_least=1)
    columns, column_of_k = np.unique(ks.ravel(), return_inverse=True)
    classes, heavy, right = (
        as_rows(classes, shape),
        as_rows(heavy, shape),
        as_rows(right, shape),
    )
    value = np.full((len(classes), len(columns)), np.nan)
    error = value.copy()
    for row, here in enumerate(as_rows(mask, shape)):
        pool = _Pool.of(classes[row, here], heavy[row, here], right[row, here])
        inside = columns <= pool.n
        value[row, inside], error[row, inside] = _expected(pool, columns[inside], rng, n_resamples)
    return Estimate(
        *(
            array[:, column_of_k.ravel()].reshape(shape[:-1] + ks.shape)[()]
            for array in (value, error)
        )
    )


class _Pool(NamedTuple):
    """One problem: seat of every sample's answer (the last seat abstains), weight, share right."""

    n: int
    seat: IntArray
    weight: FloatArray
    share: FloatArray

    @classmethod
    def of(cls, classes: IntArray, weight: FloatArray, correct: FloatArray) -> _Pool:
        votes = (classes >= 0) & ~np.isnan(weight)
        found, seat_of_vote = np.unique(classes[votes], return_inverse=True)
        seat = np.full(len(classes), len(found))
        seat[votes] = seat_of_vote
        # The share of the class's samples that are right, those without a weight included.
        member = np.searchsorted(found, classes)
        member = np.where(np.isin(classes, found), member, len(found))
        length = len(found) + 1
        hits = np.bincount(member, correct, length)
        share = hits / np.maximum(np.bincount(member, minlength=length), 1)
        return cls(len(classes), seat, np.where(votes, weight, 0.0), share[:-1])

    def tally(self, samples: IntArray) -> FloatArray:
        """(3, subsets, seats): votes, weights and absolute weights of the samples in each row."""
        n_rows, n_seats = len(samples), len(self.share) + 1
        cell = (np.arange(n_rows)[:, None] * n_seats + self.seat[samples]).ravel()
        weight = self.weight[samples].ravel()
        of_each = (np.ones_like(weight), weight, np.abs(weight))
        cells = [np.bincount(cell, each, n_rows * n_seats) for each in of_each]
        sums = np.stack(cells).astype(np.float64, copy=False)
        return sums.reshape(3, n_rows, n_seats)[:, :, :-1]

    def outcome(self, tally: FloatArray) -> FloatArray:
        """Correctness of the winner in each row, averaged over tied winners."""
        votes, weights, sizes = tally
        if not len(self.share):
            return np.zeros(len(votes))
        weights = np.where(votes > 0.5, weights, -np.inf)
        bar = weights.max(axis=1) - 1e-12 * sizes.sum(axis=1)
        tied = (weights >= bar[:, None]) & (votes > 0.5)
        value: FloatArray = (tied @ self.share) / np.maximum(tied.sum(axis=1), 1)
        return value


def _expected(
    pool: _Pool, ks: IntArray, rng: np.random.Generator, n_resamples: int
) -> tuple[FloatArray, FloatArray]:
    value, error = np.empty(len(ks)), np.zeros(len(ks))
    listed = np.array([math.comb(pool.n, int(k)) <= _LISTED_SUBSETS for k in ks], dtype=np.bool_)
    for column in np.flatnonzero(listed):
        value[column] = pool.outcome(_every_subset(pool, int(ks[column]))).mean()
    if not listed.all():
        orders = rng.permuted(np.tile(np.arange(pool.n), (n_resamples, 1)), axis=1)
        tally, start = np.zeros((3, n_resamples, len(pool.share))), 0
        for column in np.flatnonzero(~listed):
            tally += pool.tally(orders[:, start : ks[column]])
            start = int(ks[column])
            outcome = pool.outcome(tally)
            value[column] = outcome.mean()
            error[column] = outcome.std(ddof=1) / math.sqrt(n_resamples)
    return value, error


def _every_subset(pool: _Pool, k: int) -> FloatArray:
    """The tally of all k-subsets; the smaller of a subset and its complement is listed."""
    size = min(k, pool.n - k)
    members = np.fromiter(chain.from_iterable(combinations(range(pool.n), size)), dtype=np.int64)
    part = pool.tally(members.reshape(math.comb(pool.n, size), size))
    return part if size == k else pool.tally(np.arange(pool.n)[None]) - part
