"""Intervals that treat problems as the random unit.

`values` is always the matrix (problems, ks) of unbiased per-problem estimates, or a vector
(problems,). Its spread over problems already holds the noise of finite samples, so problems are
resampled and samples never are: resampling both centres the interval on a biased plug-in. All ks
share the same resamples, so every replicate is a whole curve, and all replicates together are one
matrix product, weights @ values.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError, closest
from ttscale.stats.arrays import FloatArray, real_numbers

Method: TypeAlias = Literal["bayes", "bootstrap"]


class Interval(NamedTuple):
    """An estimate with the ends of its interval; scalars, or one entry per k."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


class Difference(NamedTuple):
    """A paired mean difference, its interval, and the share of replicates above zero."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    chance_positive: FloatArray


def problem_weights(
    n_problems: int, n_resamples: int, rng: np.random.Generator, method: Method = "bayes"
) -> FloatArray:
    """Weights of the problems in every replicate, rows summing to 1.

    bootstrap: (resamples, problems), drawing problems with replacement.
    bayes: (resamples, problems + 2), the posterior of a Dirichlet process whose prior is worth one
    problem, half of it at the bottom and half at the top of the scale; the last two columns weigh
    these two. On 0/1 values it is Jeffreys' posterior Beta(s + 1/2, f + 1/2), with many problems
    Rubin's (1981) Bayesian bootstrap, and it keeps its width where all problems agree and the
    bootstrap shrinks to a point.
    """
    if method not in get_args(Method):
        hint = closest(method, get_args(Method))
        raise InputError("unknown interval method", where="method", got=method, hint=hint)
    if n_problems < 1 or n_resamples < 1:
        got = f"{n_problems} problems, {n_resamples} resamples"
        raise InputError("nothing to resample", where="problem_weights", got=got, hint="1 or more")
    if method == "bootstrap":
        counts = rng.multinomial(n_problems, np.full(n_problems, 1.0 / n_problems), n_resamples)
        return counts / n_problems
    shapes = np.concatenate([np.ones(n_problems), [0.5, 0.5]])
    weights = rng.standard_gamma(shapes, (n_resamples, n_problems + 2))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def replicates(
    values: npt.ArrayLike, weights: FloatArray, support: tuple[float, float] = (0.0, 1.0)
) -> FloatArray:
    """Weighted means (resamples, ks) of values (problems, ks), for weights of `problem_weights`.

    A NaN is left out and the remaining weights of its column are scaled up.
    """
    values = real_numbers("values", values)
    n_problems = len(values)
    extra = weights.shape[1] - n_problems
    assert extra in (0, 2), "weights come from problem_weights for as many problems"
    seen = np.isfinite(values)
    total: FloatArray = weights[:, :n_problems] @ np.where(seen, values, 0.0)
    if extra:
        total += (weights[:, n_problems:] @ np.array(support)).reshape(
            (-1,) + (1,) * (total.ndim - 1)
        )
    if seen.all():
        return total
    absent = weights[:, :n_problems] @ (~seen).astype(np.float64)
    return np.where(
        seen.any(axis=0), total / np.maximum(1.0 - absent, np.finfo(float).tiny), np.nan
    )


def mean_interval(
    values: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    method: Method = "bayes",
    support: tuple[float, float] = (0.0, 1.0),
    available: bool = False,
) -> Interval:
    """The mean over problems, per column, with an interval for new problems of the same kind.

    values: (problems,) or (problems, ks), each within `support` (the bootstrap needs none: use it
    for tokens or seconds). A column with a NaN (a problem with fewer than k samples) gives NaN;
    `available` averages the problems that have a value instead, and then neighbouring ks may speak
    about different problems. The interval always holds the estimate. How often the two methods
    hold the truth is tabulated in docs/estimators.md: "bayes" is right near 0 and 1 and on few
    problems, where the bootstrap is too narrow, and wide on few problems that are all alike.
    """
    matrix = real_numbers("values", values)
    return _interval(matrix, rng, level, n_resamples, method, support, available)[0]


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    method: Method | None = None,
    support: tuple[float, float] = (0.0, 1.0),
) -> Difference:
    """Mean of first - second over the same problems, row by row, with its interval.

    first, second: (problems,) or (problems, ks) of the same shape. Both arms share the problems of
    every replicate, so what makes a problem hard for both cancels. By default a column gets "bayes"
    if all its differences are none or total (one 0/1 outcome per problem, or no problem that tells
    the arms apart), else "bootstrap": the better choice in either case by docs/estimators.md.
    """
    one, two = real_numbers("first", first), real_numbers("second", second)
    if one.shape != two.shape:
        raise InputError(
            "paired arms need the same problems and ks",
            where="first, second",
            got=f"shapes {one.shape} and {two.shape}",
            hint="keep the problems both arms have, in one order",
        )
    gap, width = one - two, support[1] - support[0]
    total = np.isin(np.abs(gap), (0.0, width)).all(axis=0)

    def difference(method: Method) -> Difference:
        span = (-width, width)
        interval, draws = _interval(gap, rng, level, n_resamples, method, span, False)
        positive = (draws > 0).mean(axis=0) + 0.5 * (draws == 0).mean(axis=0)
        return Difference(*interval, (positive + 0.0 * interval.estimate)[()])

    if method is not None:
        return difference(method)
    if total.all() or not total.any():
        return difference("bayes" if total.all() else "bootstrap")
    both = zip(difference("bayes"), difference("bootstrap"), strict=True)
    return Difference(*(np.where(total, bayes, bootstrap) for bayes, bootstrap in both))


def _interval(
    matrix: FloatArray,
    rng: np.random.Generator,
    level: float,
    n_resamples: int,
    method: Method,
    support: tuple[float, float],
    available: bool,
) -> tuple[Interval, FloatArray]:
    """The interval of the mean over problems, and the replicates (resamples first) behind it."""
    if matrix.ndim not in (1, 2) or not len(matrix):
        hint = "values of shape (problems,) or (problems, ks)"
        raise InputError(
            "one row per problem is needed", where="values", got=f"shape {matrix.shape}", hint=hint
        )
    if not 0.0 < level < 1.0:
        raise InputError("level is a chance", where="level", got=level, hint="0.95")
    seen = np.isfinite(matrix)
    if method == "bayes":
        _refuse_outside(matrix[seen], support)
    draws = replicates(matrix, problem_weights(len(matrix), n_resamples, rng, method), support)
    count = seen.sum(axis=0)
    estimate = np.where(seen, matrix, 0.0).sum(axis=0) / np.maximum(count, 1)
    hidden = (count == 0) if available else ~seen.all(axis=0)
    estimate, draws = np.where(hidden, np.nan, estimate), np.where(hidden, np.nan, draws)
    tail = (1.0 - level) / 2.0
    if method == "bootstrap":
        tail = expanded_tail(tail, int(np.min(count, where=count > 0, initial=len(matrix))))
    low, high = np.quantile(draws, (tail, 1.0 - tail), axis=0)
    ends = np.minimum(low, estimate)[()], np.maximum(high, estimate)[()]
    return Interval(estimate[()], *ends), draws


def expanded_tail(tail: float, n_problems: int) -> float:
    """Tail of the percentile interval that is as wide as Student's t on a mean of n values.

    The plain percentile interval is narrow by sqrt((n-1)/n) z/t: 93 % for 95 % at n = 20.
    Source: Hesterberg 2015, "expanded percentile interval".
    """
    from scipy.special import ndtr, stdtrit

    if n_problems < 2:
        return tail
    t = float(stdtrit(n_problems - 1, tail))
    return float(ndtr(t * math.sqrt(n_problems / (n_problems - 1))))


def _refuse_outside(values: FloatArray, support: tuple[float, float]) -> None:
    low, high = support
    if values.size and (values.min() < low - 1e-9 or values.max() > high + 1e-9):
        raise InputError(
            "values outside the support that the interval's prior spans",
            where="values",
            got=f"{values.min():g} .. {values.max():g}, support {low:g} .. {high:g}",
            hint='support=(lowest, highest possible), or method="bootstrap"',
        )
