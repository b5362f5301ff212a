"""Is one arm better than another on the same problems? Tests with problems as the random unit."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError, closest
from ttscale.stats.arrays import FloatArray, finite_numbers, real_numbers, refuse

Test: TypeAlias = Literal["sign_flip", "bootstrap"]


def paired_p_value(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    test: Test = "sign_flip",
    n_resamples: int = 10_000,
) -> FloatArray:
    """Two-sided p-value of "both arms are equally good", for each column.

    first, second: (problems,) or (problems, columns) of per-problem estimates, without NaN; samples
    of a problem are inside its estimate, so the test is clustered by problem. "sign_flip" swaps the
    arms of random problems: exact where swapping changes nothing but the labels, as for two scores
    without information, and all swaps are listed where at most 13 problems differ. "bootstrap"
    resamples problems around a difference of zero and compares t statistics: for differences that
    are zero in the mean and far from symmetric. With random swaps or resamples the p-value is
    (1 + as extreme ones) / (1 + n_resamples); it is 1 where no problem differs. How often each
    rejects where nothing is to be found: docs/compare.md. Source: Fisher 1935; Phipson, Smyth 2010.
    """
    one, two = finite_numbers("first", first), finite_numbers("second", second)
    if one.shape != two.shape or one.ndim not in (1, 2) or not len(one):
        got = f"shapes {one.shape} and {two.shape}"
        hint = "the same problems and columns in both arms, in one order"
        raise InputError("paired arms do not match", where="first, second", got=got, hint=hint)
    if test not in get_args(Test):
        hint = closest(test, get_args(Test))
        raise InputError("unknown test", where="test", got=test, hint=hint)
    gap = one - two
    found = [
        _p_value(column[np.abs(column) > 1e-12], len(gap), rng, test, n_resamples)
        for column in gap.reshape(len(gap), -1).T
    ]
    return np.array(found).reshape(gap.shape[1:])[()]


def _p_value(
    gap: FloatArray, n_problems: int, rng: np.random.Generator, test: Test, n_resamples: int
) -> float:
    """p-value from the differences that are not zero, of all problems."""
    if not len(gap):
        return 1.0
    if test == "sign_flip":
        listed = 2 ** len(gap) <= n_resamples
        if listed:
            bits = np.arange(2 ** len(gap))[:, None] >> np.arange(len(gap))
            swapped = bits % 2 * 2.0 - 1.0
        else:
            swapped = rng.integers(0, 2, (n_resamples, len(gap))) * 2.0 - 1.0
        extreme = np.abs(swapped @ gap) >= abs(gap.sum()) * (1 - 1e-9)
        if listed:
            return float(extreme.mean())
    else:
        whole = np.concatenate([gap, np.zeros(n_problems - len(gap))])
        counts = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), n_resamples)
        mean, square = counts @ whole / n_problems, counts @ whole**2 / n_problems
        observed = _t(whole.mean(), np.mean(whole**2), whole.mean())
        replicate = _t(mean, square, mean - whole.mean())
        extreme = np.abs(replicate) >= abs(float(observed)) * (1 - 1e-9)
    return (1 + int(extreme.sum())) / (1 + n_resamples)


def _t(
    mean: FloatArray | np.float64, square: FloatArray | np.float64, shift: FloatArray | np.float64
) -> FloatArray:
    """Shift over the spread of the sample, infinite where there is no spread but a shift."""
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(shift) > 1e-12, shift / spread, 0.0)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """p-values corrected for their number, in the given order and shape; NaN stays and is no test.

    Rejecting those below 0.05 wrongly rejects anything at all in at most 5 % of studies, however
    the tests depend on each other. Source: Holm 1979.
    """
    given = real_numbers("p_values", p_values)
    refuse((given < 0) | (given > 1), "p_values", given, "a p-value is a chance", "0 to 1, or NaN")
    flat = given.ravel()
    order = np.argsort(flat)  # NaN last
    tests = order[: int(np.sum(~np.isnan(flat)))]
    adjusted = np.full(flat.shape, np.nan)
    raised = flat[tests] * np.arange(len(tests), 0, -1)
    adjusted[tests] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return adjusted.reshape(given.shape)[()]
