"""Aggregate scores over several benchmarks or tasks (Agarwal et al. 2021, rliable).

`scores` is (runs, tasks), higher better; further leading axes are allowed, so that one call handles
a stack of bootstrap resamples. A run is a seed or a repetition of the whole set of tasks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ttscale.errors import InputError
from ttscale.stats.arrays import FloatArray, finite_numbers, whole_numbers
from ttscale.stats.intervals import Interval


def interquartile_mean(scores: npt.ArrayLike) -> FloatArray:
    """IQM: mean of what is left when floor(count/4) scores are cut at either end; shape (...)."""
    matrix = _runs_by_tasks("scores", scores)
    flat = np.sort(matrix.reshape(*matrix.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    middle: FloatArray = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return middle


def median_of_tasks(scores: npt.ArrayLike) -> FloatArray:
    """Median over tasks of the mean over runs; shape (...)."""
    median: FloatArray = np.median(_runs_by_tasks("scores", scores).mean(axis=-2), axis=-1)
    return median


def optimality_gap(scores: npt.ArrayLike, target: float = 1.0) -> FloatArray:
    """Mean amount by which scores fall short of `target`; what exceeds it does not count."""
    reached = np.minimum(_runs_by_tasks("scores", scores), target)
    gap: FloatArray = target - reached.mean(axis=(-2, -1))
    return gap


def probability_of_improvement(first: npt.ArrayLike, second: npt.ArrayLike) -> FloatArray:
    """P(a run of the first beats a run of the second), averaged over tasks; ties count one half.

    first: (..., runs, tasks), second: (..., other runs, tasks).
    """
    one, two = _runs_by_tasks("first", first), _runs_by_tasks("second", second)
    if one.shape[-1] != two.shape[-1]:
        got = f"{one.shape[-1]} and {two.shape[-1]} tasks"
        raise InputError(
            "arms differ in tasks", where="first, second", got=got, hint="the same tasks"
        )
    gap = one[..., :, None, :] - two[..., None, :, :]
    better: FloatArray = ((gap > 0) + 0.5 * (gap == 0)).mean(axis=(-3, -2, -1))
    return better


def performance_profile(
    scores: npt.ArrayLike, thresholds: npt.ArrayLike, *, by_task: bool = False
) -> FloatArray:
    """Share of scores (or of task means, `by_task`) strictly above each threshold.

    Shape (...) + thresholds.shape.
    """
    matrix, bars = _runs_by_tasks("scores", scores), finite_numbers("thresholds", thresholds)
    flat = matrix.mean(axis=-2) if by_task else matrix.reshape(*matrix.shape[:-2], -1)
    above: FloatArray = (flat[..., None, :] > bars.reshape(-1, 1)).mean(axis=-1)
    return above.reshape(matrix.shape[:-2] + bars.shape)


def stratified_bootstrap(
    scores: npt.ArrayLike,
    statistic: Callable[[FloatArray], FloatArray],
    rng: np.random.Generator,
    *,
    n_resamples: int = 2000,
    resample_tasks: bool = False,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic of (runs, tasks), runs redrawn within every task.

    `statistic` must take (resamples, runs, tasks), as all functions of this module do. Tasks are
    the fixed strata unless `resample_tasks`. With one run there is nothing to redraw but tasks.
    """
    matrix = _runs_by_tasks("scores", scores)
    if matrix.ndim != 2:
        raise InputError("one matrix is resampled at a time", where="scores", got=matrix.shape)
    n_resamples = int(whole_numbers("n_resamples", n_resamples, at_least=2))
    n_runs, n_tasks = matrix.shape
    parts = []
    for done in range(0, n_resamples, 512):
        size = (min(512, n_resamples - done), n_runs, n_tasks)
        run = rng.integers(n_runs, size=size)
        task = np.arange(n_tasks)
        if resample_tasks:
            task = rng.integers(n_tasks, size=(size[0], 1, n_tasks))
        parts.append(statistic(matrix[run, task]))
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(np.concatenate(parts), (tail, 1.0 - tail), axis=0)
    return Interval(statistic(matrix), low, high)


def _runs_by_tasks(name: str, scores: npt.ArrayLike) -> FloatArray:
    matrix = finite_numbers(name, scores)
    if matrix.ndim < 2 or 0 in matrix.shape[-2:]:
        raise InputError(
            "scores are a matrix of runs by tasks",
            where=name,
            got=f"shape {matrix.shape}",
            hint="shape (runs, tasks); one run is scores[None, :]",
        )
    return matrix
