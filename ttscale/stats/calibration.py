"""Whether a score means what it says: reliability, Brier score, calibration error, and scaling.

A probability is calibrated if of the answers given 0.7, seven in ten are right. Samples of one
problem are not independent, so every function that needs to know them takes the column `problem`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError, closest
from ttscale.stats.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    finite_numbers,
    real_numbers,
    refuse,
)

Scaling: TypeAlias = Literal["platt", "isotonic"]
Binning: TypeAlias = Literal["uniform", "quantile"]


class Reliability(NamedTuple):
    """A reliability diagram: of each bin that holds samples, (bins,).

    low, high: ends of the bin. n_samples: how many fall into it. probability: the mean of what they
    state. share_right: how many of them are right. squared_error: variance of share_right -
    probability, with problems as the random unit; in a bin with one problem that of its samples,
    which is too small, and NaN with one sample.
    """

    low: FloatArray
    high: FloatArray
    n_samples: IntArray
    probability: FloatArray
    share_right: FloatArray
    squared_error: FloatArray


class CalibrationError(NamedTuple):
    """Expected calibration error, and what is left of it without its bias.

    plain: mean |share right - stated probability| over samples, by bin. It is biased up: noise in
    the shares counts as error. debiased: without that bias, to first order; can be below zero.
    squared, squared_debiased: the same for squared gaps, where the correction is exact.
    """

    plain: float
    debiased: float
    squared: float
    squared_debiased: float


def brier(probability: npt.ArrayLike, correct: npt.ArrayLike) -> float:
    """Mean squared difference of stated probability and outcome, (samples,) each; 0 is best."""
    stated, right = _stated(probability, correct)
    return float(np.mean((stated - right) ** 2))


def reliability(
    probability: npt.ArrayLike,
    correct: npt.ArrayLike,
    problem: npt.ArrayLike | None = None,
    *,
    n_bins: int = 10,
    binning: Binning = "uniform",
) -> Reliability:
    """Bins of stated probabilities with the share of right answers in each.

    probability, correct: (samples,). problem: (samples,) ids; without them samples are taken as
    independent. binning: "uniform" cuts [0, 1] evenly, "quantile" cuts the samples evenly (equal
    probabilities stay together). Bins are closed on the right, the first on both sides, as those of
    scikit-learn's `calibration_curve`. Empty bins are left out.
    """
    stated, right = _stated(probability, correct)
    if n_bins < 1:
        raise InputError("a diagram needs a bin", where="n_bins", got=n_bins, hint="10")
    if binning not in get_args(Binning):
        hint = closest(binning, get_args(Binning))
        raise InputError("unknown binning", where="binning", got=binning, hint=hint)
    shares = np.linspace(0.0, 1.0, n_bins + 1)
    edges = np.asarray(np.quantile(stated, shares) if binning == "quantile" else shares, np.float64)
    place = np.searchsorted(edges[1:-1], stated)
    used, bins = np.unique(place, return_inverse=True)
    bins = bins.ravel()
    count = np.bincount(bins)
    mean, share = np.bincount(bins, stated) / count, np.bincount(bins, right) / count
    owner = np.arange(len(stated))
    if problem is not None:
        owner = np.unique(np.asarray(problem), return_inverse=True)[1].ravel()
    gap = (right - stated) - (share - mean)[bins]
    spread = _clustered_variance(gap, bins, owner, count)
    return Reliability(edges[used], edges[used + 1], count, mean, share, spread)


def calibration_error(diagram: Reliability) -> CalibrationError:
    """Expected calibration error of a diagram, weighted by samples, with its bias correction.

    With gap d_b and variance v_b of bin b: E d_b^2 exceeds the true squared gap by v_b, which
    `squared_debiased` subtracts (Kumar, Liang and Ma 2019, section 4, where the bin holds one
    probability and v_b = s(1-s)/(n-1)). For |d_b| the bias is that of a folded normal around the
    observed gap, as in their normal debiasing, in closed form instead of by simulation. A bin of
    one sample has no variance and is left uncorrected.
    """
    weight = diagram.n_samples / diagram.n_samples.sum()
    gap = np.abs(diagram.share_right - diagram.probability)
    variance = np.nan_to_num(diagram.squared_error)
    bias = _folded_mean(gap, np.sqrt(variance)) - gap
    return CalibrationError(
        float(weight @ gap),
        float(weight @ (gap - bias)),
        float(weight @ gap**2),
        float(weight @ (gap**2 - variance)),
    )


def platt(scores: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[float, float]:
    """(slope, intercept) of P(right) = 1 / (1 + exp(-slope * score - intercept)).

    Maximum likelihood on Platt's smoothed targets (n_right + 1)/(n_right + 2) and 1/(n_wrong + 2),
    so that separable scores get a finite slope; a constant score gets slope 0. scores: (samples,),
    finite. Source: Platt 1999; Lin, Lin and Weng 2007.
    """
    x, y = finite_numbers("scores", scores), finite_numbers("correct", correct, 0.0, 1.0)
    n_right = float(y.sum())
    n_wrong = len(y) - n_right
    target = np.where(y > 0, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    centre, scale = float(x.mean()), float(x.std())
    if scale <= 1e-12 * max(1.0, abs(centre)):
        share = float(target.mean())
        return 0.0, math.log(share / (1 - share))
    z = (x - centre) / scale

    def loss(a: float, b: float) -> float:
        line = a * z + b
        return float(np.sum(np.logaddexp(0.0, line) - target * line))

    a, b = 0.0, math.log(float(target.mean()) / (1 - float(target.mean())))
    now = loss(a, b)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-(a * z + b)))
        slack, curve = target - chance, chance * (1 - chance)
        gradient = np.array([slack @ z, slack.sum()])
        cross = float(curve @ z)
        hessian = np.array([[curve @ z**2, cross], [cross, curve.sum()]]) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (then := loss(a + size * step[0], b + size * step[1])) > now and size > 1e-10:
            size /= 2
        a, b = a + size * float(step[0]), b + size * float(step[1])
        if now - then <= 1e-12 * abs(now):
            break
        now = then
    slope = a / scale
    return slope, b - slope * centre


def isotonic(scores: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Thresholds and the non-decreasing shares of right answers at them, (levels,) each.

    Between thresholds the map is linear, beyond them flat: `np.interp(score, *isotonic(...))`.
    Source: pool adjacent violators (Zadrozny and Elkan 2002), by scipy.
    """
    from scipy.optimize import isotonic_regression

    x, y = finite_numbers("scores", scores), finite_numbers("correct", correct, 0.0, 1.0)
    levels, place = np.unique(x, return_inverse=True)
    count = np.bincount(place.ravel())
    share = np.bincount(place.ravel(), y) / count
    fitted = isotonic_regression(share, weights=count, increasing=True)
    return levels, np.asarray(fitted.x, dtype=np.float64)


def cross_fitted(
    scores: npt.ArrayLike,
    correct: npt.ArrayLike,
    problem: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    scaling: Scaling = "platt",
    n_folds: int = 5,
) -> FloatArray:
    """Probabilities from a scaling that was fitted on other problems, (samples,).

    scores: (samples,). correct: (samples,) 0/1, NaN = ungradable, which counts as wrong. problem:
    (samples,) ids; problems, never samples, are dealt into folds at random. A NaN score gets the
    share of right answers among NaN scores of the other folds, or among all of them where those
    hold none; infinite scores are as the finite one next to them.
    """
    key, grade = real_numbers("scores", scores), real_numbers("correct", correct)
    ids, owner = np.unique(np.asarray(problem), return_inverse=True)
    if scaling not in get_args(Scaling):
        hint = closest(scaling, get_args(Scaling))
        raise InputError("unknown scaling", where="scaling", got=scaling, hint=hint)
    if len(ids) < 2 or n_folds < 2:
        raise InputError(
            "a scaling is fitted on other problems",
            where="problem, n_folds",
            got=f"{len(ids)} problem(s), {n_folds} fold(s)",
            hint="2 or more of both",
        )
    right, seen = np.nan_to_num(grade), np.isfinite(key)
    key = np.clip(key, *((key[seen].min(), key[seen].max()) if seen.any() else (-1.0, 1.0)))
    known = ~np.isnan(key)
    fold = (rng.permutation(len(ids)) % min(n_folds, len(ids)))[owner.ravel()]
    stated = np.empty(len(key))
    for number in range(int(fold.max()) + 1):
        here, there = fold == number, fold != number
        stated[here] = _fallback(right[there], known[there])
        fitted, asked = there & known, here & known
        if not fitted.any():
            stated[asked] = right[there].mean()
        elif scaling == "isotonic":
            stated[asked] = np.interp(key[asked], *isotonic(key[fitted], right[fitted]))
        else:
            slope, intercept = platt(key[fitted], right[fitted])
            line = np.clip(slope * key[asked] + intercept, -700.0, 700.0)
            stated[asked] = 1 / (1 + np.exp(-line))
    return stated


def _fallback(right: FloatArray, known: BoolArray) -> float:
    """The probability of a sample without a score."""
    return float(right[~known].mean() if not known.all() else right.mean())


def _stated(probability: npt.ArrayLike, correct: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    stated = finite_numbers("probability", probability, 0.0, 1.0)
    right = finite_numbers("correct", correct, 0.0, 1.0)
    refuse((right != 0) & (right != 1), "correct", right, "an outcome is 0 or 1", "0 or 1")
    if stated.shape != right.shape or stated.ndim != 1 or not len(stated):
        got = f"shapes {stated.shape} and {right.shape}"
        raise InputError(
            "one probability and one outcome per sample", where="probability, correct", got=got
        )
    return stated, right


def _clustered_variance(
    residual: FloatArray, bins: IntArray, owner: IntArray, count: IntArray
) -> FloatArray:
    """Variance of the mean residual of every bin, owners independent.

    In a bin of one owner its samples are taken as independent; NaN in a bin of one sample.
    """
    alone = np.bincount(np.unique(np.stack([bins, owner]), axis=1)[0], minlength=len(count)) == 1
    owner = np.where(alone[bins], owner.max() + 1 + np.arange(len(owner)), owner)
    cells, cell = np.unique(np.stack([bins, owner]), axis=1, return_inverse=True)
    total = np.bincount(cell.ravel(), residual)
    n_owners = np.bincount(cells[0], minlength=len(count))
    square = np.bincount(cells[0], total**2, len(count))
    factor = np.where(n_owners > 1, n_owners / np.maximum(n_owners - 1, 1), np.nan)
    variance: FloatArray = square / count**2 * factor
    return variance


def _folded_mean(centre: FloatArray, spread: FloatArray) -> FloatArray:
    """E|x| for x normal around `centre` >= 0."""
    from scipy.special import erf

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, centre / spread, np.inf)
    bump = spread * math.sqrt(2 / math.pi) * np.exp(-0.5 * ratio**2)
    mean: FloatArray = bump + centre * erf(ratio / math.sqrt(2))
    return mean
