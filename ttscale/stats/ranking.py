"""How well a score ranks right answers above wrong ones: AUROC and average precision.

Both are exact with ties. Within problems they say what best-of-k feeds on; over a whole pool they
also reward a score that only knows which problems are easy. A NaN score is the lowest of all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    finite_numbers,
    real_numbers,
    refuse,
    same_shape,
)
from ttscale.stats.intervals import Interval, expanded_tail, mean_interval, problem_weights

_MOST_LEVELS = 1000


class RankQuality(NamedTuple):
    """AUROC and average precision (AUPRC) of one score on one pool, with intervals over problems.

    `auroc` and `auprc` compare answers across problems, `auroc_within` and `auprc_within` are means
    over the `n_problems_within` problems that have right and wrong answers. Chance is 1/2 for
    AUROC; for average precision it is about the share of right answers: `prevalence`, and
    `prevalence_within` in those problems. Values are NaN where one of the two labels is absent.
    """

    auroc: Interval
    auroc_within: Interval
    auprc: Interval
    auprc_within: Interval
    prevalence: float
    prevalence_within: float
    n_problems_within: int
    n_nan: int


def auroc(
    scores: npt.ArrayLike, correct: npt.ArrayLike, *, present: npt.ArrayLike | None = None
) -> FloatArray:
    """Chance that a right answer scores above a wrong one, ties counted one half.

    scores: (..., n), higher is better; NaN ranks below every number (tied with -inf). correct:
    (..., n), 0/1. present: (..., n) bool, False where a padded row holds no sample. Returns (...),
    one value for each row, NaN where a row lacks one of the labels. Source: Mann and Whitney 1947.
    """
    return _by_row(scores, correct, present)[0]


def average_precision(
    scores: npt.ArrayLike, correct: npt.ArrayLike, *, present: npt.ArrayLike | None = None
) -> FloatArray:
    """Area under the precision-recall curve as a sum of steps: mean precision at the right answers.

    Tied scores are one threshold, as in scikit-learn. Shapes, NaN scores and NaN values as `auroc`.
    """
    return _by_row(scores, correct, present)[1]


def rank_quality(
    problem: npt.ArrayLike,
    scores: npt.ArrayLike,
    correct: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
) -> RankQuality:
    """Rank quality of a pool given as columns, one row per sample; problems are resampled.

    problem: (rows,) ids of any sortable kind. scores: (rows,). correct: (rows,) 0/1, NaN =
    ungradable, which counts as wrong. Replicates of the overall values are computed on at most
    1,000 levels of the score and shifted to the exact estimate; pools with fewer distinct scores
    lose nothing by it. With fewer than two problems the overall intervals are NaN.
    """
    ids, code = np.unique(np.asarray(problem), return_inverse=True)
    code, key = code.ravel(), real_numbers("scores", scores)
    grade = real_numbers("correct", correct)
    if code.shape != key.shape or key.shape != grade.shape or key.ndim != 1 or not len(key):
        got = f"shapes {code.shape}, {key.shape} and {grade.shape}"
        hint = "three columns with one entry per sample"
        raise InputError(
            "columns do not fit together", where="problem, scores, correct", got=got, hint=hint
        )
    refuse(~np.isin(np.nan_to_num(grade), (0, 1)), "correct", grade, "not a label", "0, 1, or NaN")
    right = np.nan_to_num(grade) > 0
    n_nan = int(np.isnan(key).sum())
    key = _lowest(key)
    whole = _areas(np.zeros_like(code), key, right, 1)
    draws = _replicates(
        code, key, right, problem_weights(len(ids), n_resamples, rng, "bootstrap"), whole
    )
    tail = expanded_tail((1.0 - level) / 2.0, len(ids))
    overall = [_percentiles(*pair, tail) for pair in zip(whole, draws, strict=True)]
    within = np.stack(_areas(code, key, right, len(ids)), axis=1)
    both = np.isfinite(within).all(axis=1)
    if both.any():
        found = mean_interval(within[both], rng, level=level, n_resamples=n_resamples)
    else:
        found = Interval(*np.full((3, 2), np.nan))
    inside = [Interval(*(end[column] for end in found)) for column in (0, 1)]
    share = np.bincount(code, right) / np.bincount(code)
    return RankQuality(
        overall[0],
        inside[0],
        overall[1],
        inside[1],
        prevalence=float(right.mean()),
        prevalence_within=float(share[both].mean()) if both.any() else float("nan"),
        n_problems_within=int(both.sum()),
        n_nan=n_nan,
    )


def _by_row(
    scores: npt.ArrayLike, correct: npt.ArrayLike, present: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    key, right = real_numbers("scores", scores), finite_numbers("correct", correct, 0.0, 1.0)
    refuse(~np.isin(right, (0, 1)), "correct", right, "a label is 0 or 1", "0 or 1")
    mask = np.asarray(True if present is None else present, dtype=np.bool_)
    shape = same_shape(scores=key, correct=right, present=mask)
    if not shape or not shape[-1]:
        hint = "an array of shape (..., n) with n >= 1"
        raise InputError("one entry per sample is needed", where="scores", got=shape, hint=hint)
    keep = np.broadcast_to(mask, shape).ravel()
    row = np.repeat(np.arange(int(np.prod(shape[:-1]))), shape[-1])[keep]
    key = np.broadcast_to(key, shape).ravel()[keep]
    label = np.broadcast_to(right, shape).ravel()[keep] > 0
    found = _areas(row, _lowest(key), label, int(np.prod(shape[:-1])))
    area, precision = (value.reshape(shape[:-1])[()] for value in found)
    return area, precision


def _lowest(key: FloatArray) -> FloatArray:
    """Scores without NaN: below every number there is -inf."""
    return np.where(np.isnan(key), -np.inf, key)


def _areas(
    group: IntArray, key: FloatArray, right: BoolArray, n_groups: int
) -> tuple[FloatArray, FloatArray]:
    """AUROC and average precision of every group, each of shape (groups,)."""
    order = np.lexsort((-key, group))
    group, key, right = group[order], key[order], right[order]
    if not len(key):
        empty = np.full(n_groups, np.nan)
        return empty, empty.copy()
    first = np.ones(len(key), dtype=np.bool_)
    first[1:] = (group[1:] != group[:-1]) | (key[1:] != key[:-1])
    starts = np.flatnonzero(first)
    owner = group[starts]
    # Of every threshold: right and wrong ones at it, and above it within the group.
    hits = np.add.reduceat(right, starts, dtype=np.float64)
    size = np.diff(np.append(starts, len(key))).astype(np.float64)
    misses = size - hits
    hits_above, misses_above = (_before(count, owner, n_groups) for count in (hits, misses))
    n_right = np.bincount(owner, hits, n_groups)
    n_wrong = np.bincount(owner, misses, n_groups)
    pairs = misses * (hits_above + 0.5 * hits)
    reached = (hits_above + hits) / (hits_above + hits + misses_above + misses)
    with np.errstate(divide="ignore", invalid="ignore"):
        area = np.bincount(owner, pairs, n_groups) / (n_right * n_wrong)
        precision = np.bincount(owner, hits * reached, n_groups) / n_right
    return area, np.where(n_wrong > 0, precision, np.nan)


def _before(count: FloatArray, owner: IntArray, n_groups: int) -> FloatArray:
    """Sum of the counts that stand before each entry within its owner."""
    total = np.cumsum(count) - count
    start = np.searchsorted(owner, np.arange(n_groups))
    before: FloatArray = total - total[np.minimum(start, len(total) - 1)][owner]
    return before


def _replicates(
    code: IntArray,
    key: FloatArray,
    right: BoolArray,
    weights: FloatArray,
    exact: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Overall AUROC and average precision under weights (B, problems), each of shape (B,).

    Scores become at most 1,000 levels of about equal size, so that replicates are matrix products;
    what that costs is taken off by the difference it makes to the whole pool, whose values `exact`
    are known.
    """
    values, rank = np.unique(-key, return_inverse=True)
    if len(values) > _MOST_LEVELS:
        ends = np.linspace(0, len(key), _MOST_LEVELS + 1)[1:-1]
        filled = np.cumsum(np.bincount(rank.ravel()))
        rank = np.searchsorted(ends, filled, side="right")[rank.ravel()]
    n_problems, n_levels = weights.shape[1], int(rank.max()) + 1
    cell = code * n_levels + rank.ravel()
    sums = []
    for chosen in (right, ~right):
        table = np.bincount(cell[chosen], minlength=n_problems * n_levels)
        table = table.reshape(n_problems, n_levels).astype(np.float64)
        every = np.concatenate([table.sum(axis=0, keepdims=True), weights @ table])
        sums.append(every)
    hits, misses = sums
    reached, lost = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = (misses * (reached - 0.5 * hits)).sum(axis=1)
        area = pairs / (reached[:, -1] * lost[:, -1])
        share = np.where(reached + lost > 0, reached / (reached + lost), 0.0)
        precision = (hits * share).sum(axis=1) / reached[:, -1]
    one, two = (
        column[1:] + (known - column[0])
        for column, known in zip((area, precision), exact, strict=True)
    )
    return one, two


def _percentiles(exact: FloatArray, draws: FloatArray, tail: float) -> Interval:
    """The interval of a value (1,) from its replicates (B,); NaN where these are all alike or NaN.

    A replicate is NaN where it holds one label only.
    """
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(exact[0]) or np.unique(draws).size < 2:
        return Interval(exact[0], *np.full(2, np.nan))
    low, high = np.clip(np.quantile(draws, (tail, 1.0 - tail)), 0.0, 1.0)
    return Interval(exact[0], np.minimum(low, exact[0]), np.maximum(high, exact[0]))
