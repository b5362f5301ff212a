"""Where a curve of accuracy against k turns down: over-optimisation of an imperfect score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import FloatArray, finite_numbers
from ttscale.stats.intervals import Interval, problem_weights

_CLOSE = 1e-12  # rounding of a mean


class TurningPoint(NamedTuple):
    """The highest point of a mean curve and the fall from there to its end.

    k: budget of the highest mean. k_low, k_high: the span of budgets that may be the true one.
    drop: mean there minus mean at the largest budget; its interval holds for whichever budget the
    data pick. turns_down: whether that interval excludes zero.
    """

    k: int
    k_low: int
    k_high: int
    drop: Interval
    turns_down: bool


def turning_point(
    values: npt.ArrayLike,
    ks: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
) -> TurningPoint:
    """Where the mean over problems is highest, and whether it falls after that.

    values: (problems, ks), without NaN. ks: (ks,) rising. Problems are resampled. The highest point
    of a flat noisy curve is above its end by construction, so an interval for a drop at a fixed k
    would cry wolf: the drop's interval here is simultaneous over all k (sup-t band). A budget is in
    the span if no other one is higher by more than such a band allows (a model confidence set,
    Hansen, Lunde and Nason 2011), which holds the true argmax in at least `level` of cases. One
    problem has no spread: its interval is infinite.
    """
    matrix, budgets = finite_numbers("values", values), finite_numbers("ks", ks, 0.0)
    if matrix.ndim != 2 or matrix.shape != (len(matrix), len(budgets)) or not matrix.size:
        got = f"shape {matrix.shape} for {budgets.shape} ks"
        raise InputError("one row for each problem, one column for each k", where="values", got=got)
    n_problems, mean = len(matrix), matrix.mean(axis=0)
    noise = problem_weights(n_problems, n_resamples, rng, "bootstrap") @ matrix - mean
    top = int(np.argmax(mean))

    def band(k: int) -> tuple[FloatArray, float]:
        """Standard errors (ks,) of the differences to column k, and how many of them to allow."""
        error = (matrix - matrix[:, [k]]).std(axis=0, ddof=min(1, n_problems - 1))
        error = error / np.sqrt(n_problems)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.abs(noise - noise[:, [k]]) / error
        return error, float(np.quantile(np.where(error > _CLOSE, size, 0.0).max(axis=1), level))

    error, factor = band(len(budgets) - 1)
    drop = mean[top] - mean[-1]
    reach = factor * error[top] if n_problems > 1 else np.float64(np.inf)
    kept = []
    for k in range(len(budgets)):
        error, factor = band(k)
        if n_problems == 1 or np.all(mean - mean[k] <= factor * error + _CLOSE):
            kept.append(k)
    return TurningPoint(
        int(budgets[top]),
        int(budgets[kept[0]]),
        int(budgets[kept[-1]]),
        Interval(drop, drop - reach, drop + reach),
        bool(drop - reach > _CLOSE),
    )
